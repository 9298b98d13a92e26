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

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// serve serves the API without a cluster: enough for what gqlgen answers itself.
func serve(t *testing.T, limits Limits) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(NewHandler(&Resolver{}, limits))
	t.Cleanup(srv.Close)
	return srv
}

func TestHTTP(t *testing.T) {
	srv := serve(t, Limits{Body: 4096, Depth: 3, Complexity: 20})
	long := strings.Repeat("x", 5000)
	var many strings.Builder
	for i := range 11 {
		fmt.Fprintf(&many, "a%d:applications{name} ", i)
	}
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		want                       string
	}{
		{"post", "POST", "/", `{"query":"{__typename}"}`, 200, `{"data":{"__typename":"Query"}}`},
		{"get", "GET", "/?query=%7B__typename%7D", "", 200, `{"data":{"__typename":"Query"}}`},
		{"get of a mutation", "GET", "/?query=mutation%7B__typename%7D", "", 406, "GET requests only allow query operations"},
		{"syntax", "POST", "/", `{"query":"{"}`, 422, "GRAPHQL_PARSE_FAILED"},
		{"unknown field", "POST", "/", `{"query":"{nothing}"}`, 422, "GRAPHQL_VALIDATION_FAILED"},
		{"undeclared variables are ignored", "POST", "/", `{"query":"{__typename}","variables":{"x":1}}`, 200, `{"data":{"__typename":"Query"}}`},
		{"no JSON", "POST", "/", `nonsense`, 400, `"message":"the body is not a GraphQL request in JSON","extensions":{"code":"BAD_REQUEST"}`},
		{"subscription", "POST", "/", `{"query":"subscription{applicationEvent{type}}"}`, 200, "GraphQL subscriptions need a websocket or server-sent events"},
		{"too deep", "POST", "/", `{"query":"{applications{services{entries{type}}}}"}`, 200, "DEPTH_LIMIT_EXCEEDED"},
		{"too complex", "POST", "/", `{"query":"{` + many.String() + `}"}`, 200, "COMPLEXITY_LIMIT_EXCEEDED"},
		{
			"in circles", "POST", "/", `{"query":"{serviceClasses(namespace:\"n\"){instances{serviceClass{instances{name}}}}}"}`,
			200, "COMPLEXITY_LIMIT_EXCEEDED",
		},
		{"too large", "POST", "/", `{"query":"{__typename}","x":"` + long + `"}`, 413, "TOO_LARGE"},
		{"scalar of the wrong kind", "POST", "/", `{"query":"mutation{createNamespace(name:\"x\",labels:[1]){name}}"}`, 200, `"code":"INVALID"`},
		{"options", "OPTIONS", "/", "", 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.target, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
				t.Errorf("got %d %s\nwant %d with %s", resp.StatusCode, body, tt.status, tt.want)
			}
		})
	}
}

// TestWebsocket speaks both sub-protocols as their clients do.
func TestWebsocket(t *testing.T) {
	srv := serve(t, Limits{Alive: 10 * time.Millisecond})
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
func TestOddRequests(t *testing.T) {
	srv := serve(t, Limits{Body: 4096})
	post := func(body io.Reader, header ...string) (int, string) {
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
	const query = `{"query":"{__typename}"}`
	if status, answer := post(strings.NewReader(query), "Connection", "Upgrade", "Upgrade", "h2c"); status != 200 || !strings.Contains(answer, "Query") {
		t.Errorf("with an offer to speak HTTP/2: %d %s", status, answer)
	}
	// io.MultiReader hides the length.
	if status, answer := post(io.MultiReader(strings.NewReader(query))); status != 200 || !strings.Contains(answer, "Query") {
		t.Errorf("without length: %d %s", status, answer)
	}
	if status, answer := post(io.MultiReader(strings.NewReader(`{"query":"` + strings.Repeat("x", 5000)))); status != 413 || !strings.Contains(answer, "TOO_LARGE") {
		t.Errorf("without length, and too long: %d %s", status, answer)
	}
}

func TestDepthOf(t *testing.T) {
	for query, want := range map[string]int{
		`{a}`:                                 1,
		`{a{b{c}} d}`:                         3,
		`{a{...{b}}}`:                         2,
		`{...F} fragment F on Query{a{b{c}}}`: 3,
		`{__schema{types{fields{name}}}}`:     0,
	} {
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range doc.Fragments {
			resolveSpreads(doc.Operations[0].SelectionSet, f)
		}
		if got := depthOf(doc.Operations[0].SelectionSet); got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
}

// resolveSpreads does for a test what validation does for a request.
func resolveSpreads(set ast.SelectionSet, f *ast.FragmentDefinition) {
	for _, s := range set {
		if spread, ok := s.(*ast.FragmentSpread); ok && spread.Name == f.Name {
			spread.Definition = f
		}
	}
}
