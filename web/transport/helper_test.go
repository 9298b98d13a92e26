package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// patience is how long a test waits for what must happen. Only a failing test takes so long.
const patience = 10 * time.Second

var schema = gqlparser.MustLoadSchema(&ast.Source{Input: `
	schema { query: Query mutation: Mutation subscription: Subscription }
	type Query { name: String! }
	type Mutation { name: String! }
	type Subscription { name(of: String): String! }`})

// server serves transports whose subscriptions answer with what stream sends.
type server struct {
	*httptest.Server
	streams chan *source // those that have begun
}

// source is one running subscription: the test decides what it answers.
type source struct {
	ctx    context.Context
	events chan event
}

type event struct {
	label transport.Label
	data  string
}

// send has the subscription answer; it returns when the answer has been taken.
func (s *source) send(t *testing.T, data string, label transport.Label) {
	t.Helper()
	select {
	case s.events <- event{label, data}:
	case <-time.After(patience):
		t.Fatal("nobody takes the event")
	}
}

func serve(t *testing.T, ws *transport.Websocket, sse *transport.SSE, wrap func(http.Handler) http.Handler) *server {
	t.Helper()
	s := &server{streams: make(chan *source, 1000)}
	gql := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc:     func() *ast.Schema { return schema },
		ComplexityFunc: func(context.Context, string, string, int, map[string]any) (int, bool) { return 0, false },
		ExecFunc:       s.exec,
	})
	if ws.Fanout == nil {
		ws.Fanout = &transport.Fanout{}
	}
	sse.Fanout = ws.Fanout
	gql.AddTransport(ws)
	gql.AddTransport(sse)
	var h http.Handler = gql
	if wrap != nil {
		h = wrap(h)
	}
	s.Server = httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// exec answers every query with one name, and subscriptions with what their source sends.
func (s *server) exec(ctx context.Context) graphql.ResponseHandler {
	switch op := graphql.GetOperationContext(ctx); op.Operation.Operation {
	case ast.Subscription:
		src := &source{ctx: ctx, events: make(chan event)}
		announced := make(chan event)
		go func() {
			defer close(announced)
			for e := range src.events {
				transport.Announce(ctx, e.label)
				select {
				case announced <- e:
				case <-ctx.Done():
					return
				}
			}
		}()
		s.streams <- src
		return func(ctx context.Context) *graphql.Response {
			select {
			case e, ok := <-announced:
				if !ok {
					return nil
				}
				if e.data == "panic" {
					panic("as told")
				}
				return &graphql.Response{Data: json.RawMessage(`{"name":"` + e.data + `"}`)}
			case <-ctx.Done():
				return nil
			}
		}
	default:
		if op.Operation.Name == "Panic" {
			panic("as told")
		}
		return graphql.OneShot(&graphql.Response{Data: json.RawMessage(`{"name":"x"}`)})
	}
}

// client is a websocket of one test.
type client struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *server) dial(t *testing.T, protocols ...string) *client {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: patience}
	conn, resp, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return &client{t, conn}
}

// greeted is a client that has been acknowledged.
func (s *server) greeted(t *testing.T, protocol string) *client {
	t.Helper()
	c := s.dial(t, protocol)
	c.send(`{"type":"connection_init"}`)
	c.want(`{"type":"connection_ack"}`)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next message that is no sign of life.
func (c *client) next() string {
	c.t.Helper()
	for {
		_, raw, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatal(err)
		}
		if text := string(raw); text != `{"type":"ka"}` && text != `{"type":"ping"}` {
			return text
		}
	}
}

func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		if got := c.next(); got != want {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// wantClose reads to the end, which must have this code.
func (c *client) wantClose(code int) {
	c.t.Helper()
	for {
		_, _, err := c.conn.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
		case errors.As(err, &closed):
			if closed.Code != code {
				c.t.Errorf("closed with %d %q, want %d", closed.Code, closed.Text, code)
			}
			return
		default:
			c.t.Fatalf("%v, want a close frame with %d", err, code)
		}
	}
}
