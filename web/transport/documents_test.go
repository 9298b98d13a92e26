package transport_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

const (
	document = "query Q($n:Int){echo(n:$n)}"
	mutation = "mutation M{echo}"
	answer   = `{"data":{ "echo":  {"n":1} }}`
)

func persisted(hash, rest string) string {
	return `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}` + rest + `}`
}

func stored(t *testing.T) transport.Stored {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.graphql": document, "b.graphql": mutation, "notes.txt": "nothing"} {
		write(t, filepath.Join(dir, name), text)
	}
	stored, err := transport.LoadDocuments(dir, echoSchema)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStoredDocuments(t *testing.T) {
	h := newEcho(transport.NewDocuments(stored(t), false))
	id := "sha256:" + hashOf(document)
	const notStored = `{"errors":[{"message":"there is no stored document %","extensions":{"code":"DOCUMENT_NOT_STORED"}}]}`
	for _, x := range []exchange{
		{"POST", "POST", `{"documentId":"` + id + `","variables":{"n":1}}`, nil, 200, plain, answer},
		{"GET", "GET", get("documentId", id, "variables", `{"n":1}`), nil, 200, plain, answer},
		{"as an extension", "POST", `{"extensions":{"documentId":"` + id + `"},"variables":{"n":1}}`, nil, 200, plain, answer},
		{"by Apollo's hash", "POST", persisted(hashOf(document), `,"variables":{"n":1}`), nil, 200, plain, answer},
		{"in a batch", "POST", `[{"documentId":"` + id + `","variables":{"n":1}}]`, nil, 200, plain, "[" + answer + "]"},
		{"any other", "POST", `{"query":"query Q($n:Int) {echo(n:$n)}","variables":{"n":1}}`, nil, 200, plain, answer},
		{"mutation by GET", "GET", get("documentId", "sha256:"+hashOf(mutation)), nil, 405, plain, bad("mutations need a POST")},
		{"unknown", "POST", `{"documentId":"sha256:0"}`, nil, 200, plain, strings.Replace(notStored, "%", "sha256:0", 1)},
		{"unknown, for a newer client", "POST", `{"documentId":"sha256:0"}`, []string{"Accept", response}, 400, response, strings.Replace(notStored, "%", "sha256:0", 1)},
		{"no text", "POST", `{"documentId":1}`, nil, 400, plain, bad("the parameter documentId must be a string, not a JSON value of type number")},
		{"no text, as an extension", "POST", `{"extensions":{"documentId":1}}`, nil, 200, plain, strings.Replace(notStored, "%", "1", 1)},
		{"with a query", "POST", `{"documentId":"` + id + `","query":"{echo}"}`, nil, 400, plain, bad("a request has either a query or a documentId")},
	} {
		x.run(t, h)
	}
}

func TestOnlyStoredDocuments(t *testing.T) {
	h := newEcho(transport.NewDocuments(stored(t), true))
	const refused = `{"errors":[{"message":"this server executes only stored documents, and this is none","extensions":{"code":"DOCUMENT_NOT_STORED"}}]}`
	for _, x := range []exchange{
		{"by its id", "POST", `{"documentId":"sha256:` + hashOf(document) + `","variables":{"n":1}}`, nil, 200, plain, answer},
		{"by Apollo's hash", "POST", persisted(hashOf(document), `,"variables":{"n":1}`), nil, 200, plain, answer},
		{"by its text", "POST", `{"query":"` + document + `","variables":{"n":1}}`, nil, 200, plain, answer},
		{"another", "POST", `{"query":"{echo}"}`, []string{"Accept", response}, 400, response, refused},
		{"another, that is persisted", "POST", persisted(hashOf("{echo}"), `,"query":"{echo}"`), nil, 200, plain, refused},
		{"another, that cannot have been persisted", "POST", persisted(hashOf("{echo}"), ""), nil, 200, plain, `{"errors":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`},
	} {
		x.run(t, h)
	}
}

func TestAutomaticPersistedQueries(t *testing.T) {
	h := newEcho(transport.NewDocuments(nil, false))
	const (
		notFound  = `{"errors":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`
		malformed = `the extension persistedQuery must be {\"version\": 1, \"sha256Hash\": \"...\"}`
	)
	hash := hashOf(document)
	long := document + strings.Repeat("#", 64<<10)
	for _, x := range []exchange{ // in this order
		{"not yet known", "POST", persisted(hash, ""), nil, 200, plain, notFound},
		{"not yet known, for a newer client", "POST", persisted(hash, ""), []string{"Accept", response}, 400, response, notFound},
		{"sent with its hash", "POST", persisted(hash, `,"query":"`+document+`","variables":{"n":1}`), nil, 200, plain, answer},
		{"known", "POST", persisted(hash, `,"variables":{"n":1}`), nil, 200, plain, answer},
		{"known to GET", "GET", get("extensions", `{"persistedQuery":{"version":1,"sha256Hash":"`+hash+`"}}`, "variables", `{"n":1}`), nil, 200, plain, answer},
		{"another's hash", "POST", persisted(hash, `,"query":"{echo}"`), nil, 200, plain, bad("the hash of the extension persistedQuery is not that of the query")},
		{"another version", "POST", `{"extensions":{"persistedQuery":{"version":2,"sha256Hash":"` + hash + `"}}}`, nil, 200, plain, bad(malformed)},
		{"no object", "POST", `{"extensions":{"persistedQuery":"` + hash + `"}}`, nil, 200, plain, bad(malformed)},
		{"no hash", "POST", `{"extensions":{"persistedQuery":{"version":1}}}`, nil, 200, plain, bad(malformed)},
		{"too long to keep", "POST", persisted(hashOf(long), `,"query":"`+long+`","variables":{"n":1}`), nil, 200, plain, answer},
		{"not kept", "POST", persisted(hashOf(long), ""), nil, 200, plain, notFound},
	} {
		x.run(t, h)
	}
}

func TestLoadDocuments(t *testing.T) {
	hash := hashOf(document)
	for _, tt := range []struct {
		name, manifest string
		want           transport.Stored
		err            string
	}{
		{"by id", `{"q":"` + document + `"}`, transport.Stored{"q": document, "sha256:" + hash: document}, ""},
		{"by hash", `{"sha256:` + hash + `":"` + document + `"}`, transport.Stored{"sha256:" + hash: document}, ""},
		{
			"of Apollo", `{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"` + hash + `","name":"Q","type":"query","body":"` + document + `"}]}`,
			transport.Stored{hash: document, "sha256:" + hash: document},
			"",
		},
		{"none", `{}`, transport.Stored{}, ""},
		{"wrong hash", `{"sha256:00":"` + document + `"}`, nil, "has the id sha256:" + hash},
		{"no longer in the schema", `{"q":"{nothing}"}`, nil, `document`},
		{"no manifest", `["` + document + `"]`, nil, "no manifest"},
		{"no JSON", document, nil, "no manifest"},
		{
			"one id twice", `{"format":"apollo-persisted-query-manifest","operations":[{"id":"x","body":"{echo}"},{"id":"x","body":"` + document + `"}]}`, nil,
			"two documents have the id x",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "manifest.json")
			write(t, file, tt.manifest)
			got, err := transport.LoadDocuments(file, echoSchema)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), file) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := transport.LoadDocuments(filepath.Join(t.TempDir(), "none"), echoSchema); err == nil {
		t.Error("a file that does not exist is no error")
	}
}
