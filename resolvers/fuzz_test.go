package resolvers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/vektah/gqlparser/v2/ast"
)

// FuzzDocument posts documents and variables, as somebody who may do everything. Whatever comes, the answer is JSON, not
// a fault of the server, comes in time, and has a code with every error: never INTERNAL, which a panic has too.
//
// Each worker has a control plane of its own, which may be left in any state.
func FuzzDocument(f *testing.F) {
	for _, seed := range documentSeeds(f) {
		f.Add(seed.document, seed.variables)
	}
	f.Fuzz(func(t *testing.T, document, variables string) {
		query, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"query":` + string(query) + `,"variables":` + variables + `}` // which may be no JSON
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		start := time.Now()
		shared.as("admin").ServeHTTP(rec, req)
		if took := time.Since(start); took > patience {
			t.Errorf("took %v", took)
		}
		if rec.Code >= 500 {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
		checkCodes(t, rec.Body.Bytes())
	})
}

// checkCodes wants an answer whose errors all have a code that is not about this program.
func checkCodes(t *testing.T, body []byte) {
	t.Helper()
	var r reply
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&r); err != nil || decoder.More() {
		t.Fatalf("the answer is not one JSON value: %v: %s", err, body)
	}
	if r.Data == nil && len(r.Errors) == 0 {
		t.Errorf("neither data nor an error: %s", body)
	}
	for _, e := range r.Errors {
		if e.Extensions.Code == "" || e.Extensions.Code == "INTERNAL" || e.Message == "" {
			t.Errorf("code %q, message %q", e.Extensions.Code, e.Message)
		}
	}
}

type documentSeed struct{ document, variables string }

// documentSeeds are every operation that reads or only checks, the queries of the scripts, and what has been the undoing
// of others.
func documentSeeds(f *testing.F) []documentSeed {
	schema := loadSchema(f, schemaFile)
	seeds := []documentSeed{
		{`{ __schema { types { name fields { name args { name type { name ofType { name } } } } } } }`, `{}`},
		{`query($n: String!, $l: Int) { functions(namespace: $n) { name } applications(first: $l, offset: -1) { name } }`, `{"n": "a/../b", "l": 1e400}`},
		{`query($n: String!) { function(namespace: $n, name: "") { name } }`, `{"n": null}`},
		{`query($s: InstanceStatusType) { serviceInstances(namespace: "default", status: $s) { name } }`, `{"s": "NONE"}`},
		{`query($s: SubscriberInput) { triggers(namespace: "default", subscriber: $s) { name } }`, `{"s": {"ref": {"apiVersion": "", "kind": [], "name": {}, "namespace": 1}, "port": 70000}}`},
		{
			`mutation($p: FunctionMutationInput!) { createFunction(name: "f", namespace: "nowhere", params: $p) { name } }`,
			`{"p": {"labels": {"a": 1}, "source": "", "dependencies": "", "env": [{"name": "=", "value": ""}], "replicas": {"min": -1}, "resources": {"limits": {"cpu": "x"}, "requests": {}}, "buildResources": {"limits": {}, "requests": {}}}}`,
		},
		{
			`mutation($f: JSON) { createTrigger(namespace: "nowhere", trigger: {broker: "", filterAttributes: $f, subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "x", namespace: "nowhere"}}}) { name } }`,
			`{"f": "{\"a\": [1, {\"b\": null}]}"}`,
		},
		{`mutation($l: Labels) { createApplication(name: "../x", labels: $l, dryRun: true) { name } }`, `{"l": {"\u0000": "\ud800"}}`},
		{`{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`, `null`},
		{`query a { applications { name } } query b { applications { name } }`, `{}`},
		{`{ applications @skip(if: $x) @include(if: null) { name } }`, `{"x": 1}`},
		{`query($x: Boolean = true) { applications @skip(if: $x) { ... @include(if: $x) { name } } }`, `[]`},
		{`subscription { applicationEvent { type } }`, `{}`},
		{`{ a: __typename ` + strings.Repeat("b: __typename ", 100) + `}`, `""`},
		{strings.Repeat("{ namespace(name: ", 100), `{"a":`},
		{strings.Repeat("[", 1000), strings.Repeat("[", 1000)},
		{`{ application(name: """` + "\x00\u2028\xff" + `""") { name } }`, `{}`},
		{`"d" type Query { a: B } extend schema @a`, `{}`},
		{``, ``},
	}
	for _, kind := range []ast.Operation{ast.Query, ast.Mutation} {
		for _, op := range operationsOf(f, schema, kind, here) {
			if kind == ast.Query || op.dry() {
				seeds = append(seeds, documentSeed{op.document[selectionDepth-1], `{}`})
			}
		}
	}
	for _, file := range filesOf(f, "testdata/*.txtar", "testdata/*/*.txtar") {
		script, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, step := range script.Files {
			if strings.HasSuffix(step.Name, ".graphql") && !bytes.Contains(step.Data, []byte("mutation")) {
				seeds = append(seeds, documentSeed{string(step.Data), `{}`})
			}
		}
	}
	return seeds
}
