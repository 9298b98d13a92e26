package transport_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// FuzzHTTP sends anything as a body, as a query string and as headers: the answer is always JSON, and either has data or
// an error with a code.
func FuzzHTTP(f *testing.F) {
	for _, body := range []string{
		`{"query":"{echo}"}`,
		`{"query":"query a($n:Int){echo(n:$n)}","operationName":"a","variables":{"n":9007199254740993},"extensions":{"x":[null]}}`,
		`{"query":"mutation{echo}"}`, `{"query":"subscription{echo}"}`, `{"documentId":"sha256:00"}`,
		`[{"query":"{echo}"},{"query":1}]`, `null`, `[[]]`, "{\"query\":\"\xff\"}",
		`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"},"documentId":{}}}`,
	} {
		f.Add(body, "application/json", "*/*")
		f.Add("query="+url.QueryEscape(body), "application/json; charset=utf-8", "application/graphql-response+json;q=0.1")
	}
	h := newEcho(transport.NewDocuments(nil, false))
	f.Fuzz(func(t *testing.T, text, contentType, accept string) {
		for _, r := range []*http.Request{
			httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(text)),
			httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql", nil),
		} {
			if r.Method == http.MethodGet {
				r.URL.RawQuery = text
			}
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			checkAnswer(t, w)
		}
	})
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	type answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	answers := make([]answer, 1)
	into := any(&answers[0])
	if strings.HasPrefix(w.Body.String(), "[") {
		into = &answers
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	for _, a := range answers {
		if a.Data == nil && (len(a.Errors) == 0 || a.Errors[0].Message == "" || a.Errors[0].Extensions.Code == "") {
			t.Errorf("neither data nor an error with a code: %d %s", w.Code, w.Body)
		}
	}
	if w.Code >= http.StatusInternalServerError {
		t.Errorf("a fault of the server: %d %s", w.Code, w.Body)
	}
}
