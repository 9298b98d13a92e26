# make run    start everything in this process
# make test   what CI runs, installing what it needs
# make fuzz   each fuzz test for FUZZTIME
# make bench  the figures of docs/benchmarks.md

.PHONY: run test check generate unit examples fuzz bench clean

# Two test binaries at a time: each holds a whole control plane, and under the race detector that is more than 1 GB.
TEST_PACKAGES_AT_ONCE ?= 2

run:
	go run .

test: tools check generate unit examples

.PHONY: tools
# What a fresh machine with only Go and apt lacks. The packages of npm are installed by the test that uses them.
tools:
	@command -v node > /dev/null && command -v npm > /dev/null || (apt-get update -qq && apt-get install -y -qq nodejs npm)
	@command -v jq > /dev/null && command -v curl > /dev/null || (apt-get update -qq && apt-get install -y -qq jq curl)

check:
	@test -z "$$(go tool gofumpt -l $$(git ls-files '*.go' | grep -v '^graph/'))" || (echo 'run: go tool gofumpt -w .'; go tool gofumpt -l .; exit 1)
	go vet ./...
	go vet -tags cluster .
	go tool staticcheck ./...

# Generated code is what its sources say: generating again changes nothing.
generate:
	@state() { git diff; git ls-files --others --exclude-standard; }; before=$$(state); \
	go generate ./... || exit; \
	test "$$before" = "$$(state)" || { git status --short; echo 'go generate changed or made files: commit them'; exit 1; }

unit:
	go test -race -p $(TEST_PACKAGES_AT_ONCE) -timeout 30m ./...

# The examples, run against the program as a user runs it.
examples:
	examples/test.sh

# Each fuzz test as package:name, for go test takes one at a time. Making an interesting input smaller is kept short, for it
# would take most of the time.
FUZZ_TESTS = $(shell grep -rHoE '^func Fuzz[A-Za-z0-9]*' --include='*_test.go' . | sed 's|/[^/]*:func |:|' | sort)
FUZZTIME ?= 1m

fuzz:
	@for t in $(FUZZ_TESTS); do \
		echo "$$t" && go test -run '^$$' -fuzz "^$${t#*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$${t%:*}" || exit; \
	done

# Those of the API write their tables into docs/benchmarks.md by themselves.
bench:
	@mkdir -p bin
	go test -run '^$$' -bench 'Start|Provision' -benchtime 20x -timeout 30m . > bin/bench.txt; status=$$?; cat bin/bench.txt; exit $$status
	go test -run '^$$' -bench 'API|Streams' -benchtime 1x -timeout 30m .
	go test -run '^$$' -bench . ./k8s

clean:
	rm -rf bin
