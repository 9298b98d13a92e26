package web_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/kyma-eventmesh/kyma-console/web"
	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

func TestSignIn(t *testing.T) {
	h := web.New(config())
	for _, tc := range []struct {
		name, authorization string
		status              int
	}{
		{"known", "Bearer alice", 200},
		{"nobody", "", 401},
		{"token not valid", "Bearer expired", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var headers []string
			if tc.authorization != "" {
				headers = []string{"Authorization", tc.authorization}
			}
			w := answer(h, ask("GET", "/graphql", "", headers...))
			if w.Code != tc.status {
				t.Fatalf("status %d, want %d", w.Code, tc.status)
			}
			if tc.status == 200 {
				want := map[string]string{"user": "alice", "header": "", "protocol": "", "body": ""}
				if diff := cmp.Diff(want, seen(t, w)); diff != "" {
					t.Errorf("the handler sees (-want +got):\n%s", diff)
				}
				return
			}
			const want = `{"errors":[{"message":"Unauthorized","extensions":{"code":"UNAUTHENTICATED"}}]}` + "\n"
			if diff := cmp.Diff(want, w.Body.String()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
}

// seen decodes what whoAmI answered.
func seen(t *testing.T, w *httptest.ResponseRecorder) map[string]string {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%q: %v", w.Body, err)
	}
	return got
}

func TestTokenInSubprotocol(t *testing.T) {
	h := web.New(config())
	for _, tc := range []struct {
		name          string
		offered       []string // values of the header
		authorization string
		status        int
		user          string
		protocol      string
	}{
		{"the Console's", []string{"graphql-ws, alice"}, "", 200, "alice", "graphql-ws"},
		{"no space", []string{"graphql-ws,alice"}, "", 200, "alice", "graphql-ws"},
		{"in two headers", []string{"graphql-ws", "alice"}, "", 200, "alice", "graphql-ws"},
		{"today's protocol", []string{"graphql-transport-ws, alice"}, "", 200, "alice", "graphql-transport-ws"},
		{"the header wins", []string{"graphql-ws, bob"}, "Bearer alice", 200, "alice", "graphql-ws"},
		{"a token that is not valid", []string{"graphql-ws, expired"}, "", 401, "", ""},
		{"two protocols are not a token", []string{"graphql-transport-ws, graphql-ws"}, "", 401, "", ""},
		{"two protocols and the header", []string{"graphql-transport-ws, graphql-ws"}, "Bearer alice", 200, "alice", "graphql-transport-ws, graphql-ws"},
		{"one protocol and the header", []string{"graphql-ws"}, "Bearer alice", 200, "alice", "graphql-ws"},
		{"one protocol, nobody", []string{"graphql-ws"}, "", 401, "", ""},
		{"none and the header", nil, "Bearer alice", 200, "alice", ""},
		{"three", []string{"graphql-ws, graphql-transport-ws, alice"}, "", 400, "", ""},
		{"token first", []string{"alice, graphql-ws"}, "", 400, "", ""},
		{"empty entry", []string{"graphql-ws, "}, "", 400, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := ask("GET", "/graphql", "", "Connection", "Upgrade", "Upgrade", "websocket")
			for _, o := range tc.offered {
				r.Header.Add("Sec-WebSocket-Protocol", o)
			}
			if tc.authorization != "" {
				r.Header.Set("Authorization", tc.authorization)
			}
			w := answer(h, r)
			if w.Code != tc.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			if tc.status != 200 {
				if errorCode(t, w.Body.Bytes()) == "" {
					t.Errorf("refused without a code: %s", w.Body)
				}
				return
			}
			want := map[string]string{"user": tc.user, "header": "", "protocol": tc.protocol, "body": ""}
			if diff := cmp.Diff(want, seen(t, w)); diff != "" {
				t.Errorf("the handler sees (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWebsocketHandshake is the Console's handshake over a real connection: the server answers with the protocol alone.
func TestWebsocketHandshake(t *testing.T) {
	c := config()
	c.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{"graphql-ws"}}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		_ = conn.Close()
	})
	srv := httptest.NewServer(web.New(c))
	defer srv.Close()

	dialer := websocket.Dialer{Subprotocols: []string{"graphql-ws", "alice"}}
	conn, resp, err := dialer.Dial(strings.Replace(srv.URL, "http", "ws", 1)+"/graphql", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "graphql-ws" {
		t.Errorf("protocol %q", got)
	}
}

// TestStreamEndsWithSignIn holds the promise that a token which is withdrawn ends what was begun with it.
func TestStreamEndsWithSignIn(t *testing.T) {
	for _, tc := range []struct {
		name    string
		headers []string
		stream  bool
	}{
		{"websocket", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, true},
		{"websocket, and another protocol", []string{"Connection", "Upgrade", "Upgrade", "h2c, WebSocket"}, true},
		{"event stream", []string{"Accept", "text/event-stream"}, true},
		{"event stream, in capitals", []string{"Accept", "application/json, Text/Event-Stream;q=1"}, true},
		{"event stream, in a second header", []string{"Accept", "application/json", "Accept", "text/event-stream"}, true},
		{"ordinary request", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked atomic.Int32
			c := config()
			c.Recheck = time.Millisecond
			c.Authenticate = func(r *http.Request) (user.Info, bool, error) {
				if asked.Add(1) > 3 { // the token holds for the start and two checks
					return nil, false, nil
				}
				r.Header.Del("Authorization") // authenticators may take it; the next check needs it again
				return &user.DefaultInfo{Name: "alice"}, true, nil
			}
			c.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if !tc.stream {
					return
				}
				<-r.Context().Done()
				if got := context.Cause(r.Context()); !errors.Is(got, transport.ErrSignedOut) {
					t.Errorf("cause %v", got)
				}
			})
			answer(web.New(c), ask("GET", "/graphql", "", append(tc.headers, "Authorization", "Bearer alice")...))
			if got := asked.Load(); !tc.stream && got != 1 {
				t.Errorf("asked %d times", got)
			}
		})
	}
}

// TestStreamEndsWithRights holds that a stream does not go on with groups that its user is no longer in.
func TestStreamEndsWithRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		checks := 0
		c.Authenticate = func(*http.Request) (user.Info, bool, error) {
			checks++
			groups := [][]string{{"admins", "staff"}, {"staff", "admins"}, {"staff"}}[checks-1]
			return &user.DefaultInfo{Name: "alice", Groups: groups}, true, nil
		}
		c.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			start := time.Now()
			<-r.Context().Done()
			if took := time.Since(start); took != 2*web.DefaultRecheck || !errors.Is(context.Cause(r.Context()), transport.ErrSignedOut) {
				t.Errorf("ended after %v by %v", took, context.Cause(r.Context()))
			}
		})
		answer(web.New(c), ask("GET", "/graphql", "", "Accept", "text/event-stream"))
	})
}

// TestGreetLater holds that what has no first message to sign in by is for nobody unknown.
func TestGreetLater(t *testing.T) {
	h := web.New(config())
	for path, headers := range map[string][]string{
		"/metrics":         {"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Protocol", "graphql-transport-ws"},
		"/graphql?query=x": {"Upgrade", "websocket", "Sec-WebSocket-Protocol", "graphql-transport-ws"}, // and no Connection: a GET
	} {
		if w := answer(h, ask("GET", path, "", headers...)); w.Code != http.StatusUnauthorized {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestStreamEndsWithToken holds that a stream ends at the moment at which its token expires, not at the next check.
func TestStreamEndsWithToken(t *testing.T) {
	for _, tc := range []struct {
		name, claims string
		ends         bool
	}{
		{"expires", `{"exp":%d}`, true},
		{"expires, in another writing", `{"sub":"alice","exp":%d.0}`, true},
		{"does not say", `{"iat":%d}`, false},
		{"says nonsense", `{"exp":"%d"}`, false},
		{"is no JSON", `%d exp`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const life, recheck = 90 * time.Second, time.Minute
				start := time.Now()
				claims := fmt.Sprintf(tc.claims, start.Add(life).Unix())
				token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
				c := config()
				c.Recheck = recheck
				c.Authenticate = func(*http.Request) (user.Info, bool, error) { return &user.DefaultInfo{Name: "alice"}, true, nil }
				c.GraphQL = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
					defer cancel()
					<-ctx.Done()
					if got := context.Cause(ctx); errors.Is(got, transport.ErrSignedOut) != tc.ends {
						t.Errorf("ended by %v", got)
					}
					if took := time.Since(start); tc.ends && took != life {
						t.Errorf("ended after %v, want %v", took, life)
					}
				})
				answer(web.New(c), ask("GET", "/graphql", "", "Accept", "text/event-stream", "Authorization", "Bearer "+token))
			})
		})
	}
}
