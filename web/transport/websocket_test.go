package transport_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

const (
	initMessage      = `{"type":"connection_init"}`
	subscribeMessage = `{"id":"1","type":"subscribe","payload":{"query":"subscription{name}"}}`
)

// TestClose breaks the protocol in all ways that it has an answer for.
func TestClose(t *testing.T) {
	srv := serve(t, &transport.Websocket{MaxMessage: 2000}, &transport.SSE{}, nil)
	for _, tt := range []struct {
		name     string
		messages []string
		code     int
	}{
		{"no JSON", []string{"{"}, 4400},
		{"an array", []string{"[]"}, 4400},
		{"two values", []string{initMessage + initMessage}, 4400},
		{"no type", []string{`{}`}, 4400},
		{"an unknown type", []string{`{"type":"start"}`}, 4400},
		{"a type for clients only", []string{initMessage, `{"type":"next","id":"1","payload":{}}`}, 4500},
		{"a payload that is no object", []string{`{"type":"connection_init","payload":"x"}`}, 4400},
		{"no id", []string{initMessage, `{"type":"subscribe","payload":{"query":"{name}"}}`}, 4400},
		{"an empty id", []string{initMessage, `{"type":"subscribe","id":"","payload":{"query":"{name}"}}`}, 4400},
		{"no payload", []string{initMessage, `{"type":"subscribe","id":"1"}`}, 4400},
		{"no query", []string{initMessage, `{"type":"subscribe","id":"1","payload":{}}`}, 4400},
		{"a query that is no string", []string{initMessage, `{"type":"subscribe","id":"1","payload":{"query":1}}`}, 4400},
		{"variables that are no object", []string{initMessage, `{"type":"subscribe","id":"1","payload":{"query":"{name}","variables":"x"}}`}, 4400},
		{"subscribe before the acknowledgement", []string{subscribeMessage}, 4401},
		{"two greetings", []string{initMessage, initMessage}, 4429},
		{"an id twice", []string{initMessage, subscribeMessage, subscribeMessage}, 4409},
		{"too long", []string{`{"type":"ping","payload":{"x":"` + strings.Repeat("x", 3000) + `"}}`}, websocket.CloseMessageTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := srv.dial(t, transport.TransportWS)
			for _, m := range tt.messages {
				c.send(m)
			}
			c.wantClose(tt.code)
		})
	}
	t.Run("an unknown sub-protocol", func(t *testing.T) { srv.dial(t, "soap").wantClose(4406) })
	t.Run("no sub-protocol", func(t *testing.T) { srv.dial(t).wantClose(4406) })
}

func TestInitTimeout(t *testing.T) {
	srv := serve(t, &transport.Websocket{InitTimeout: time.Millisecond}, &transport.SSE{}, nil)
	srv.dial(t, transport.TransportWS).wantClose(4408)
	srv.dial(t, transport.LegacyWS).wantClose(4408)
}

// TestAlive holds that a client of today's sub-protocol that answers lives, and one that does not is cut off.
func TestAlive(t *testing.T) {
	srv := serve(t, &transport.Websocket{Alive: 50 * time.Millisecond}, &transport.SSE{}, nil)
	c := srv.greeted(t, transport.TransportWS)
	for range 5 {
		if _, raw, err := c.conn.ReadMessage(); err != nil || string(raw) != `{"type":"ping"}` {
			t.Fatalf("got %s, %v, want a sign of life", raw, err)
		}
		c.send(`{"type":"pong"}`)
	}
	c.send(`{"type":"ping","payload":{"x":1}}`)
	c.want(`{"type":"pong","payload":{"x":1}}`)
	c.wantClose(websocket.ClosePolicyViolation)

	c = srv.dial(t, transport.LegacyWS)
	c.send(initMessage)
	for _, want := range []string{`{"type":"connection_ack"}`, `{"type":"ka"}`, `{"type":"ka"}`, `{"type":"ka"}`, `{"type":"ka"}`, `{"type":"ka"}`} {
		if _, raw, err := c.conn.ReadMessage(); err != nil || string(raw) != want {
			t.Fatalf("got %s, %v, want %s", raw, err, want)
		}
	}
}

// TestOperations runs every kind of operation over both sub-protocols, and what goes wrong with them.
func TestOperations(t *testing.T) {
	const fault = `[{"message":"Cannot query field \"nothing\" on type \"Query\".","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]`
	for _, tt := range []struct{ protocol, start, next, stop string }{
		{transport.TransportWS, "subscribe", "next", "complete"},
		{transport.LegacyWS, "start", "data", "stop"},
	} {
		t.Run(tt.protocol, func(t *testing.T) {
			srv := serve(t, &transport.Websocket{MaxOperations: 2}, &transport.SSE{}, nil)
			c := srv.greeted(t, tt.protocol)
			start := func(id, query string) {
				c.send(`{"id":"` + id + `","type":"` + tt.start + `","payload":{"query":"` + query + `","operationName":null,"variables":null}}`)
			}
			next := func(id, name string) string {
				return `{"id":"` + id + `","type":"` + tt.next + `","payload":{"data":{"name":"` + name + `"}}}`
			}
			start("q", "{name}")
			c.want(next("q", "x"), `{"id":"q","type":"complete"}`)
			start("q", "mutation{name}") // the id is free again
			c.want(next("q", "x"), `{"id":"q","type":"complete"}`)
			start("bad", "{nothing}")
			c.want(`{"id":"bad","type":"error","payload":` + fault + `}`)
			start("p", "query Panic{name}")
			if got := c.next(); !strings.HasPrefix(got, `{"id":"p","type":"error"`) {
				t.Errorf("got %s, want an error", got)
			}

			start("s", "subscription{name}")
			s := <-srv.streams
			s.send(t, "one", transport.Label{})
			s.send(t, "two", transport.Label{})
			c.want(next("s", "one"), next("s", "two"))
			start("other", "subscription{name(of:\\\"other\\\")}")
			other := <-srv.streams
			start("more", "{name}")
			c.want(`{"id":"more","type":"error","payload":[{"message":"more than 2 operations at once on one websocket","extensions":{"code":"RATE_LIMITED"}}]}`)
			close(other.events)
			c.want(`{"id":"other","type":"complete"}`)
			c.send(`{"id":"s","type":"` + tt.stop + `"}`)
			select {
			case <-s.ctx.Done():
			case <-time.After(patience):
				t.Error("the subscription goes on")
			}
			c.send(`{"id":"unknown","type":"` + tt.stop + `"}`)
			if tt.protocol == transport.LegacyWS {
				c.want(`{"id":"s","type":"complete"}`)
			}
			start("p", "subscription{name}")
			(<-srv.streams).send(t, "panic", transport.Label{})
			if got := c.next(); !strings.HasPrefix(got, `{"id":"p","type":"error"`) {
				t.Errorf("got %s, want an error", got)
			}
		})
	}
}

// TestLegacy holds what only the older sub-protocol has.
func TestLegacy(t *testing.T) {
	srv := serve(t, &transport.Websocket{}, &transport.SSE{}, nil)
	c := srv.greeted(t, transport.LegacyWS)
	c.send(`{"type":"subscribe","id":"1","payload":{"query":"{name}"}}`)
	c.want(`{"type":"error","payload":{"message":"unexpected message of type \"subscribe\""}}`)
	start := `{"id":"1","type":"start","payload":{"query":"subscription{name}"}}`
	c.send(start)
	first := <-srv.streams
	c.send(`{"id":"1","type":"start","payload":{"query":"subscription{name(of:\"new\")}"}}`) // takes the place of the first
	(<-srv.streams).send(t, "new", transport.Label{})
	c.want(`{"id":"1","type":"data","payload":{"data":{"name":"new"}}}`)
	<-first.ctx.Done()
	c.send(`{"type":"connection_terminate"}`)
	c.wantClose(websocket.CloseNormalClosure)
}

// signedInBy makes requests those of nobody, who can sign in with the token "good" for as long as the context lasts.
func signedInBy(signedIn context.Context) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			signIn := func(ctx context.Context, token string) (context.Context, context.CancelFunc, bool) {
				ctx, cancel := context.WithCancelCause(request.WithUser(ctx, &user.DefaultInfo{Name: token}))
				context.AfterFunc(signedIn, func() { cancel(context.Cause(signedIn)) })
				return ctx, func() { cancel(nil) }, token == "good"
			}
			next.ServeHTTP(w, r.WithContext(transport.WithSignIn(r.Context(), signIn)))
		})
	}
}

func TestSignIn(t *testing.T) {
	signedIn, signOut := context.WithCancelCause(t.Context())
	srv := serve(t, &transport.Websocket{}, &transport.SSE{}, signedInBy(signedIn))
	c := srv.dial(t, transport.TransportWS)
	c.send(initMessage)
	c.wantClose(4401)
	c = srv.dial(t, transport.TransportWS)
	c.send(`{"type":"connection_init","payload":{"Authorization":"Bearer bad"}}`)
	c.wantClose(4403)
	c = srv.dial(t, transport.TransportWS)
	c.send(`{"type":"connection_init","payload":{"Authorization":{"token":"good"}}}`)
	c.wantClose(4403)
	c = srv.dial(t, transport.LegacyWS)
	c.send(`{"type":"connection_init","payload":{"authorization":"bad"}}`)
	c.want(`{"type":"connection_error","payload":{"message":"Unauthorized"}}`)
	c.wantClose(4403)

	var clients []*client
	for _, protocol := range []string{transport.TransportWS, transport.LegacyWS} {
		c := srv.dial(t, protocol)
		c.send(`{"type":"connection_init","payload":{"authorization":"Bearer good"}}`)
		c.want(`{"type":"connection_ack"}`)
		kind := map[string]string{transport.TransportWS: "subscribe", transport.LegacyWS: "start"}[protocol]
		c.send(`{"id":"1","type":"` + kind + `","payload":{"query":"subscription{name}"}}`)
		clients = append(clients, c)
	}
	s := <-srv.streams // the same for both
	if u, _ := request.UserFrom(s.ctx); u == nil || u.GetName() != "good" {
		t.Errorf("the subscription is that of %v", u)
	}
	c = clients[1]
	c.send(`{"id":"x","type":"start","payload":{"query":"subscription{name}"}}`) // both run, for sure
	c.send(`{"id":"q","type":"start","payload":{"query":"{name}"}}`)
	c.want(`{"id":"q","type":"data","payload":{"data":{"name":"x"}}}`, `{"id":"q","type":"complete"}`)
	signOut(transport.ErrSignedOut)
	clients[0].wantClose(4401)
	for range 2 {
		if got := c.next(); !strings.Contains(got, `"type":"error","payload":[{"message":"the sign-in has expired or was withdrawn","extensions":{"code":"UNAUTHENTICATED"}}]`) {
			t.Errorf("got %s", got)
		}
	}
	c.wantClose(4401)
}

// TestAdmit holds that a user has no more websockets than he may, and may have another when one has ended.
func TestAdmit(t *testing.T) {
	places := make(chan string, 1)
	admit := func(ctx context.Context) (leave func(), ok bool) {
		u, _ := request.UserFrom(ctx)
		select {
		case places <- u.GetName():
			return func() { <-places }, true
		default:
			return nil, false
		}
	}
	srv := serve(t, &transport.Websocket{Admit: admit}, &transport.SSE{}, signedInBy(t.Context()))
	const good = `{"type":"connection_init","payload":{"authorization":"good"}}`
	first := srv.dial(t, transport.TransportWS)
	first.send(good)
	first.want(`{"type":"connection_ack"}`)
	second := srv.dial(t, transport.TransportWS)
	second.send(good)
	second.wantClose(websocket.CloseTryAgainLater)
	older := srv.dial(t, transport.LegacyWS)
	older.send(good)
	older.want(`{"type":"connection_error","payload":{"message":"too many websockets and event streams of one user at once"}}`)
	older.wantClose(websocket.CloseTryAgainLater)

	first.send(`nonsense`)
	first.wantClose(4400)
	select { // the place of the first, which is free a moment later
	case places <- "":
	case <-time.After(patience):
		t.Error("the first is still there")
	}
}
