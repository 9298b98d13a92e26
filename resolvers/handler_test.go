package resolvers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/ast"
)

// serve serves the API without a cluster: enough for what gqlgen answers itself.
func serve(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(NewHandler(&Resolver{}, o))
	t.Cleanup(srv.Close)
	return srv
}

// TestHTTP sends documents that are not executed, or need no cluster. That of GraphQL over HTTP itself is tested in
// web/transport.
func TestHTTP(t *testing.T) {
	srv := serve(t, Options{Limits: Limits{Body: 4096, Depth: 3, Cost: 200, Aliases: 10, Batch: 2, Tokens: 100}})
	hidden := serve(t, Options{NoIntrospection: true})
	var many strings.Builder
	for i := range 11 {
		fmt.Fprintf(&many, "a%d:__typename ", i)
	}
	const variable = `"query":"query($name:String!){application(name:$name){name}}"`
	for _, tt := range []struct {
		name, body string
		status     int // 200 instead for a client that asks for application/json
		want       string
	}{
		{"query", `{"query":"{__typename}"}`, 200, `{"data":{"__typename":"Query"}}`},
		{"undeclared variables are ignored", `{"query":"{__typename}","variables":{"x":1}}`, 200, `{"data":{"__typename":"Query"}}`},
		{"syntax", `{"query":"{"}`, 400, `"code":"GRAPHQL_PARSE_FAILED"`},
		{"too many tokens", `{"query":"{` + strings.Repeat("__typename ", 100) + `}"}`, 400, `"code":"GRAPHQL_PARSE_FAILED"`},
		{"unknown field", `{"query":"{nothing}"}`, 400, `"code":"GRAPHQL_VALIDATION_FAILED"`},
		{"suggestion", `{"query":"{__typenames}"}`, 400, `Did you mean`},
		{"unknown operation", `{"query":"query a{__typename}","operationName":"b"}`, 400, `"code":"GRAPHQL_VALIDATION_FAILED"`},
		{"no document", `{"query":""}`, 400, `"code":"GRAPHQL_VALIDATION_FAILED"`},
		{
			"variable of the wrong type", `{` + variable + `,"variables":{"name":[1]}}`, 400,
			`{"errors":[{"message":"variable $name: cannot use slice as String","extensions":{"code":"INVALID","fields":[{"field":"$name","message":"cannot use slice as String"}]}}]}`,
		},
		{"variable is missing", `{` + variable + `}`, 400, `"variable $name: must be defined"`},
		{"scalar of the wrong kind", `{"query":"mutation{createNamespace(name:\"x\",labels:[1]){name}}"}`, 200, `"code":"INVALID"`},
		{"subscription", `{"query":"subscription{applicationEvent{type}}"}`, 400, "GraphQL subscriptions need a websocket"},
		{"too deep", `{"query":"{applications{services{entries{type}}}}"}`, 400, `"code":"DEPTH_LIMIT_EXCEEDED"`},
		{"too many aliases", `{"query":"{` + many.String() + `}"}`, 400, `"code":"ALIAS_LIMIT_EXCEEDED"`},
		{
			"too costly", `{"query":"{serviceClasses(namespace:\"n\"){instances{name labels}}}"}`,
			400, `"code":"COMPLEXITY_LIMIT_EXCEEDED"`,
		},
		{"cost that nobody asks for", `{"query":"{__typename a:__typename}"}`, 200, `{"data":{"__typename":"Query","a":"Query"}}`},
		{
			"cost", `{"query":"{__typename a:__typename}","extensions":{"cost":true}}`,
			200, `{"data":{"__typename":"Query","a":"Query"},"extensions":{"cost":{"limit":200,"requested":2}}}`,
		},
		{"automatic persisted query", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, 400, `"code":"PERSISTED_QUERY_NOT_FOUND"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for accept, status := range map[string]int{"application/json": 200, "application/graphql-response+json": tt.status} {
				got, body := post(t, srv, strings.NewReader(tt.body), "Accept", accept)
				if got != status || !strings.Contains(body, tt.want) {
					t.Errorf("got %d %s\nwant %d with %s", got, body, status, tt.want)
				}
				if executed := strings.Contains(body, `"data":`); executed != (tt.status == 200) {
					t.Errorf("there are data: %v, in %s", executed, body)
				}
			}
		})
	}
	if status, body := post(t, srv, strings.NewReader(`{"query":"{__typename}","x":"`+strings.Repeat("x", 5000)+`"}`)); status != 413 || !strings.Contains(body, "TOO_LARGE") {
		t.Errorf("a body that is too large: %d %s", status, body)
	}
	if status, body := post(t, srv, strings.NewReader(`[{"query":"{a}"},{"query":"{a}"},{"query":"{a}"}]`)); status != 413 || !strings.Contains(body, "TOO_LARGE") {
		t.Errorf("a batch that is too large: %d %s", status, body)
	}
	for document, want := range map[string]string{
		"{__typename}":                        `{"data":{"__typename":"Query"}}`,
		"{__schema{types{name}}}":             "INTROSPECTION_DISABLED",
		`{...{__type(name:\"Query\"){name}}}`: "INTROSPECTION_DISABLED",
	} {
		if _, body := post(t, hidden, strings.NewReader(`{"query":"`+document+`"}`)); !strings.Contains(body, want) {
			t.Errorf("without introspection, %s: got %s, want %s in it", document, body, want)
		}
	}
	if _, body := post(t, hidden, strings.NewReader(`{"query":"{__typenames}"}`)); strings.Contains(body, "Did you mean") {
		t.Errorf("without introspection, a name is suggested: %s", body)
	}
}

// post sends a body with headers given as name, value pairs.
func post(t *testing.T, srv *httptest.Server, body io.Reader, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// TestWebsocket speaks both sub-protocols as their clients do.
func TestWebsocket(t *testing.T) {
	srv := serve(t, Options{Limits: Limits{Alive: 10 * time.Millisecond}})
	for _, tt := range []struct {
		name    string
		offer   []string
		agreed  string
		start   string
		want    []string // types of messages until the answer is complete, signs of life left out
		isAlive string   // the sign of life
	}{
		{"the Console, token behind the protocol", []string{"graphql-ws", "some.token"}, "graphql-ws", "start", []string{"connection_ack", "data", "complete"}, "ka"},
		{"graphql-transport-ws", []string{"graphql-transport-ws"}, "graphql-transport-ws", "subscribe", []string{"connection_ack", "next", "complete"}, "ping"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialer := websocket.Dialer{Subprotocols: tt.offer, HandshakeTimeout: 10 * time.Second}
			conn, resp, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != tt.agreed {
				t.Errorf("agreed on %q, want %q", got, tt.agreed)
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			write(t, conn, `{"type":"connection_init","payload":{}}`)
			write(t, conn, `{"type":"`+tt.start+`","id":"1","payload":{"query":"{__typename}"}}`)
			var got []string
			alive := false
			for !alive || len(got) == 0 || got[len(got)-1] != "complete" {
				var message struct {
					Type    string
					Payload json.RawMessage
				}
				if err := conn.ReadJSON(&message); err != nil {
					t.Fatalf("after %v: %v", got, err)
				}
				if message.Type == tt.isAlive {
					alive = true
					continue
				}
				got = append(got, message.Type)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("messages: -want +got\n%s", diff)
			}
		})
	}
}

func write(t *testing.T, conn *websocket.Conn, message string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// TestOddRequests sends what http.Client does not send by itself.
// TestShortDocuments holds that long documents, parsed, do not fill the memory.
func TestShortDocuments(t *testing.T) {
	kept := shortDocuments{lru.New[*ast.QueryDocument](2)}
	for length, want := range map[int]bool{1: true, longestParsed: true, longestParsed + 1: false} {
		text := strings.Repeat("x", length)
		kept.Add(t.Context(), text, &ast.QueryDocument{})
		if _, got := kept.Get(t.Context(), text); got != want {
			t.Errorf("a document of %d bytes is kept: %v", length, got)
		}
	}
}

func TestOddRequests(t *testing.T) {
	srv := serve(t, Options{Limits: Limits{Body: 4096}})
	const query = `{"query":"{__typename}"}`
	if status, answer := post(t, srv, strings.NewReader(query), "Connection", "Upgrade", "Upgrade", "h2c"); status != 200 || !strings.Contains(answer, "Query") {
		t.Errorf("with an offer to speak HTTP/2: %d %s", status, answer)
	}
	// io.MultiReader hides the length.
	if status, answer := post(t, srv, io.MultiReader(strings.NewReader(query))); status != 200 || !strings.Contains(answer, "Query") {
		t.Errorf("without length: %d %s", status, answer)
	}
	if status, answer := post(t, srv, io.MultiReader(strings.NewReader(`{"query":"`+strings.Repeat("x", 5000)))); status != 413 || !strings.Contains(answer, "TOO_LARGE") {
		t.Errorf("without length, and too long: %d %s", status, answer)
	}
}

func dial(t *testing.T, srv *httptest.Server, protocol string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{protocol}, HandshakeTimeout: 10 * time.Second}
	conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
