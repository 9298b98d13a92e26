package transport_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// echo is a schema whose answer is the variables of the operation, as gqlgen would have written them: with spaces, so
// that it shows if somebody writes them again.
type echo struct{}

var echoSchema = gqlparser.MustLoadSchema(&ast.Source{Input: `
	type Query { echo(n: Int, s: String): String }
	type Mutation { echo(n: Int): String }
	type Subscription { echo: String }`})

func (echo) Schema() *ast.Schema { return echoSchema }

func (echo) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (echo) Exec(ctx context.Context) graphql.ResponseHandler {
	op := graphql.GetOperationContext(ctx)
	if op.OperationName == "Null" {
		return graphql.OneShot(&graphql.Response{Data: []byte("null"), Errors: graphql.ErrorResponse(ctx, "x").Errors})
	}
	variables, err := json.Marshal(op.Variables)
	if err != nil {
		return graphql.OneShot(graphql.ErrorResponse(ctx, "%v", err))
	}
	return graphql.OneShot(&graphql.Response{Data: []byte("{ \"echo\":  " + string(variables) + " }")})
}

// newEcho serves echo.
func newEcho(documents *transport.Documents) http.Handler {
	srv := handler.New(echo{})
	srv.AddTransport(transport.HTTP{MaxBatch: 3})
	srv.Use(documents)
	return srv
}

// exchange is a request and the answer to it.
type exchange struct {
	name           string
	method, target string // "GET" and a query string, or "POST" and a body
	header         []string
	status         int
	contentType    string // without its charset
	want           string // the body, or with a * at its end what it begins with
}

const (
	plain    = "application/json"
	response = "application/graphql-response+json"
)

func get(values ...string) string {
	query := url.Values{}
	for i := 0; i < len(values); i += 2 {
		query.Add(values[i], values[i+1])
	}
	return query.Encode()
}

func bad(message string) string {
	return `{"errors":[{"message":"` + message + `","extensions":{"code":"BAD_REQUEST"}}]}`
}

func (x exchange) run(t *testing.T, h http.Handler) {
	t.Run(x.name, func(t *testing.T) {
		r := httptest.NewRequestWithContext(t.Context(), x.method, "/graphql", strings.NewReader(x.target))
		if x.method != http.MethodPost {
			r = httptest.NewRequestWithContext(t.Context(), x.method, "/graphql?"+x.target, nil)
		} else {
			r.Header.Set("Content-Type", plain)
		}
		for i := 0; i < len(x.header); i += 2 {
			r.Header.Set(x.header[i], x.header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		start, isStart := strings.CutSuffix(x.want, "*")
		if w.Code != x.status || (body != x.want && (!isStart || !strings.HasPrefix(body, start))) {
			t.Errorf("got %d %s\nwant %d %s", w.Code, body, x.status, x.want)
		}
		if got := w.Header().Get("Content-Type"); got != x.contentType+"; charset=utf-8" {
			t.Errorf("Content-Type %s, want %s", got, x.contentType)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Error("the answer may be stored")
		}
		if allow := w.Header().Get("Allow"); (allow != "") != (w.Code == http.StatusMethodNotAllowed) {
			t.Errorf("status %d with Allow: %s", w.Code, allow)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("not JSON: %s", body)
		}
	})
}

func TestHTTP(t *testing.T) {
	h := newEcho(transport.NewDocuments(nil, false))
	const (
		query     = `{"query":"{echo}"}`
		variables = `"query":"query($n:Int){echo(n:$n)}","variables":`
		empty     = `{"data":{ "echo":  {} }}`
	)
	wants := []string{"Accept", response}
	for _, x := range []exchange{
		{"data are written as they are", "POST", query, nil, 200, plain, empty},
		{"charset", "POST", query, []string{"Content-Type", "application/json; charset=UTF-8"}, 200, plain, empty},
		{"large numbers keep their digits", "POST", `{"query":"query($n:Int){echo(n:$n)}","variables":{"n":9007199254740993}}`, nil, 200, plain, `{"data":{ "echo":  {"n":9007199254740993} }}`},
		{"null is as good as nothing", "POST", `{"query":"{echo}","variables":null,"operationName":null,"extensions":null}`, nil, 200, plain, empty},
		{"undeclared variables are ignored", "POST", `{` + variables + `{"x":1}}`, nil, 200, plain, empty},
		{"GET", "GET", get("query", "query a($s:String){echo(s:$s)} query b{echo}", "variables", `{"s":"ä"}`, "operationName", "a"), nil, 200, plain, `{"data":{ "echo":  {"s":"ä"} }}`},
		{"GET, empty parameters", "GET", get("query", "{echo}", "variables", "", "operationName", "", "extensions", "", "documentId", ""), nil, 200, plain, empty},
		{"null data are data", "POST", `{"query":"query Null{echo}","operationName":"Null"}`, wants, 200, response, `{"errors":[{"message":"x"}],"data":null}`},

		{"parse error", "POST", `{"query":"{"}`, wants, 400, response, `{"errors":[{"message":"Expected Name, found \u003cEOF\u003e"*`},
		{"parse error, for an older client", "POST", `{"query":"{"}`, nil, 200, plain, `{"errors":[{"message":"Expected Name, found \u003cEOF\u003e"*`},
		{"subscription", "POST", `{"query":"subscription{echo}"}`, wants, 400, response, bad("GraphQL subscriptions need a websocket, or a POST with Accept: text/event-stream")},
		{"subscription by GET", "GET", get("query", "subscription{echo}"), nil, 200, plain, bad("GraphQL subscriptions need a websocket, or a POST with Accept: text/event-stream")},
		{"mutation by GET", "GET", get("query", "mutation{echo}"), nil, 405, plain, bad("mutations need a POST")},
		{"one of the operations is a mutation", "GET", get("query", "query a{echo} mutation b{echo}", "operationName", "b"), wants, 405, response, bad("mutations need a POST")},
		{"another is", "GET", get("query", "query a{echo} mutation b{echo}", "operationName", "a"), nil, 200, plain, empty},
		{"other method", "PUT", "", nil, 405, plain, bad("PUT is not possible here")},

		{"no content type", "POST", query, []string{"Content-Type", ""}, 415, plain, bad("Content-Type must be application/json, in UTF-8")},
		{"form", "POST", query, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, plain, bad("Content-Type must be application/json, in UTF-8")},
		{"other charset", "POST", query, []string{"Content-Type", "application/json; charset=latin1"}, 415, plain, bad("Content-Type must be application/json, in UTF-8")},
		{"nothing acceptable", "POST", query, []string{"Accept", "text/html"}, 406, plain, bad("Accept must allow application/graphql-response+json or application/json")},

		{"nothing", "POST", "", nil, 400, plain, bad("the body is not a GraphQL request in JSON")},
		{"no JSON", "POST", "nonsense", wants, 400, response, bad("the body is not a GraphQL request in JSON")},
		{"no object", "POST", `"query"`, nil, 400, plain, bad("the body is not a GraphQL request in JSON")},
		{"null", "POST", `null`, nil, 400, plain, bad("the body is not a GraphQL request in JSON")},
		{"two objects", "POST", query + query, nil, 400, plain, bad("the body is not a GraphQL request in JSON")},
		{"no UTF-8", "POST", "{\"query\":\"{echo(s:\\\"\xff\\\")}\"}", nil, 400, plain, bad("the body is not UTF-8")},
		{"no query", "POST", `{"qeury":"{echo}"}`, nil, 400, plain, bad("the parameter query is missing")},
		{"query is null", "POST", `{"query":null}`, nil, 400, plain, bad("the parameter query is missing")},
		{"query of another type", "POST", `{"query":["{echo}"]}`, nil, 400, plain, bad("the parameter query must be a string, not a JSON value of type array")},
		{"operationName of another type", "POST", `{"query":"{echo}","operationName":0}`, nil, 400, plain, bad("the parameter operationName must be a string, not a JSON value of type number")},
		{"variables of another type", "POST", `{` + variables + `[7]}`, nil, 400, plain, bad("the parameter variables must be an object, not a JSON value of type array")},
		{"extensions of another type", "POST", `{"query":"{echo}","extensions":"x"}`, nil, 400, plain, bad("the parameter extensions must be an object, not a JSON value of type string")},
		{"GET without a query", "GET", "", nil, 400, plain, bad("the parameter query is missing")},
		{"GET with two", "GET", get("query", "{echo}", "query", "{echo}"), nil, 400, plain, bad("the parameter query is given more than once")},
		{"GET with bad variables", "GET", get("query", "{echo}", "variables", "[1]"), nil, 400, plain, bad("the parameter variables must be an object in JSON")},
		{"GET with a malformed URL", "GET", "query=%zz", nil, 400, plain, bad("the query of the URL is malformed")},
		{"GET that is no UTF-8", "GET", "query=%ff", nil, 400, plain, bad("the query of the URL is malformed")},

		{"batch", "POST", `[{` + variables + `{"n":1}},{"query":"mutation($n:Int){echo(n:$n)}","variables":{"n":2}},{"query":"{"}]`, wants, 200, response, `[{"data":{ "echo":  {"n":1} }},{"data":{ "echo":  {"n":2} }},{"errors":[{*`},
		{"batch of one", "POST", ` [` + query + `]`, nil, 200, plain, `[` + empty + `]`},
		{"batch of none", "POST", `[]`, nil, 400, plain, bad("the batch is empty")},
		{"batch of too many", "POST", `[` + strings.Repeat(query+",", 3) + query + `]`, nil, 413, plain, `{"errors":[{"message":"a batch may have at most 3 requests","extensions":{"code":"TOO_LARGE"}}]}`},
		{"batch of which one is no request", "POST", `[` + query + `,{}]`, nil, 400, plain, bad("the parameter query is missing")},
		{"batch with null", "POST", `[` + query + `,null]`, nil, 400, plain, bad("the parameter query is missing")},
		{"batch of batches", "POST", `[[` + query + `]]`, nil, 400, plain, bad("the body is not a GraphQL request in JSON")},
		{"batch with a wrong type", "POST", `[` + query + `,{"query":1}]`, nil, 400, plain, bad("the parameter query must be a string, not a JSON value of type number")},
	} {
		x.run(t, h)
	}
}

// TestBodyTooLarge leaves the limit to who wraps the body, and answers when it is reached.
func TestBodyTooLarge(t *testing.T) {
	h := newEcho(transport.NewDocuments(nil, false))
	limited := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 10)
		h.ServeHTTP(w, r)
	})
	exchange{"", "POST", `{"query":"{echo}"}`, nil, 413, plain, `{"errors":[{"message":"the request is larger than 10 bytes","extensions":{"code":"TOO_LARGE"}}]}`}.run(t, limited)
}

func TestAccept(t *testing.T) {
	h := newEcho(transport.NewDocuments(nil, false))
	for accept, want := range map[string]string{
		"":                          plain,
		"*/*":                       plain,
		"application/*":             plain,
		"text/html, */*;q=0.1":      plain,
		response:                    response,
		response + ";charset=utf-8": response,
		response + "; charset=utf-8, application/json; charset=utf-8":        response,
		"application/json, " + response:                                      plain,
		"application/json;q=0.5, " + response:                                response,
		response + ";q=0.1, application/json;q=0.2":                          plain,
		"*/*;q=0.1, " + response:                                             response,
		response + ";q=0.1, */*":                                             plain,
		"application/json;q=0, */*":                                          response,
		"multipart/mixed;subscriptionSpec=1.0, application/json":             plain,
		"text/event-stream, " + response:                                     response,
		"APPLICATION/JSON":                                                   plain,
		"text/html":                                                          "",
		"application/json;charset=latin1":                                    "",
		"application/json;q=0":                                               "",
		"application/json;q=2":                                               "",
		"application/json;q=0, application/graphql-response+json;q=0, */*":   "",
		"application/json, application/graphql-response+json;charset=latin1": plain,
	} {
		x := exchange{accept, "POST", `{"query":"{echo}"}`, []string{"Accept", accept}, 200, want, `{"data"*`}
		if accept == "" {
			x.header = nil
		}
		if want == "" {
			x.status, x.contentType, x.want = 406, plain, `{"errors"*`
		}
		x.run(t, h)
	}
}

func TestClientLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, "POST", "/graphql", strings.NewReader(`{"query":"{echo}"}`))
	r.Header.Set("Content-Type", plain)
	w := httptest.NewRecorder()
	newEcho(transport.NewDocuments(nil, false)).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "UNAVAILABLE") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestWebsocketsAreForOthers(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/graphql", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "h2c")
	if !(transport.HTTP{}).Supports(r) {
		t.Error("an offer to speak another protocol is not passed over")
	}
	r.Header.Set("Upgrade", "websocket")
	if (transport.HTTP{}).Supports(r) {
		t.Error("a websocket is taken for HTTP")
	}
}

func hashOf(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}
