package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// GraphQL subscriptions as the two kinds of clients see them: over websockets of today's sub-protocol, and over those of
// the older one that the Console speaks.

const (
	transportWS = "graphql-transport-ws"
	legacyWS    = "graphql-ws"
)

// wsMessage is what travels on a websocket of either sub-protocol.
type wsMessage struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// wsClient is a connection with any number of subscriptions.
type wsClient struct {
	t      *testing.T
	conn   *websocket.Conn
	legacy bool
	// control gets what belongs to no subscription, but for signs of life.
	control chan wsMessage

	mu      sync.Mutex // of all below, and of writing
	alive   int        // signs of life
	streams map[string]*wsStream
}

// wsStream is one subscription.
type wsStream struct {
	c        *wsClient
	id       string
	messages chan wsMessage
	added    map[string]int
}

// dialWS connects with a token, nobody's for "", in the way that clients of the sub-protocol send one, and greets.
func dialWS(t *testing.T, protocol, token string) *wsClient {
	t.Helper()
	dialer, header := websocket.Dialer{Subprotocols: []string{protocol}}, http.Header{}
	switch {
	case token == "":
	case protocol == legacyWS:
		dialer.Subprotocols = append(dialer.Subprotocols, token) // browsers cannot send headers here
	default:
		header.Set("Authorization", "Bearer "+token)
	}
	conn, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(shared.console, "http")+"/graphql", header)
	if err != nil {
		t.Fatalf("%v: %+v", err, response)
	}
	response.Body.Close()
	t.Cleanup(func() { conn.Close() })
	if got := response.Header.Values("Sec-Websocket-Protocol"); len(got) != 1 || got[0] != protocol {
		t.Fatalf("sub-protocol %q, want %q and no token", got, protocol)
	}
	c := &wsClient{t: t, conn: conn, legacy: protocol == legacyWS, control: make(chan wsMessage, 10), streams: map[string]*wsStream{}}
	go c.read()
	c.send(wsMessage{Type: "connection_init", Payload: json.RawMessage(`{}`)})
	if got := c.next(c.control); got.Type != "connection_ack" {
		t.Fatalf("got %+v, want connection_ack", got)
	}
	return c
}

// read hands messages to their subscriptions until the connection ends.
func (c *wsClient) read() {
	defer close(c.control)
	for {
		var m wsMessage
		if err := c.conn.ReadJSON(&m); err != nil {
			return
		}
		c.mu.Lock()
		to := c.control
		if s := c.streams[m.ID]; s != nil {
			to = s.messages
		}
		switch m.Type {
		case "ka", "ping":
			c.alive++
			c.mu.Unlock()
			if m.Type == "ping" {
				c.send(wsMessage{Type: "pong"})
			}
			continue
		}
		c.mu.Unlock()
		to <- m
	}
}

func (c *wsClient) send(m wsMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.WriteJSON(m) // the reader sees a connection that has ended
}

func (c *wsClient) next(from <-chan wsMessage) wsMessage {
	c.t.Helper()
	select {
	case m, ok := <-from:
		if !ok {
			c.t.Fatal("the connection was closed")
		}
		return m
	case <-time.After(patience):
		c.t.Fatal("no message came")
	}
	return wsMessage{}
}

// subscribe starts a subscription.
func (c *wsClient) subscribe(document string, variables map[string]any) *wsStream {
	c.t.Helper()
	payload, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	s := &wsStream{c: c, id: strconv.Itoa(len(c.streams) + 1), messages: make(chan wsMessage, 1000), added: map[string]int{}}
	c.streams[s.id] = s
	c.mu.Unlock()
	start := map[bool]string{true: "start", false: "subscribe"}[c.legacy]
	c.send(wsMessage{ID: s.id, Type: start, Payload: payload})
	return s
}

// stop unsubscribes.
func (s *wsStream) stop() {
	s.c.send(wsMessage{ID: s.id, Type: map[bool]string{true: "stop", false: "complete"}[s.c.legacy]})
}

// wsEvent is an event of any subscription: what happened, and to which object or path.
type wsEvent struct {
	kind   string
	name   string
	object map[string]any
}

// event reads a message that must be an event without errors.
func (s *wsStream) event(m wsMessage) wsEvent {
	s.c.t.Helper()
	var payload struct {
		Data   map[string]map[string]any
		Errors json.RawMessage
	}
	want := map[bool]string{true: "data", false: "next"}[s.c.legacy]
	if err := json.Unmarshal(m.Payload, &payload); err != nil || m.Type != want || payload.Errors != nil || len(payload.Data) != 1 {
		s.c.t.Fatalf("got %s %s, want an event without errors", m.Type, m.Payload)
	}
	var e wsEvent
	for _, fields := range payload.Data {
		for key, value := range fields {
			if key == "type" {
				e.kind = value.(string)
				continue
			}
			e.object = value.(map[string]any)
		}
	}
	e.name, _ = e.object["name"].(string)
	if application, ok := e.object["application"].(string); ok {
		e.name = application // a path has none of its own
	}
	if e.kind == "ADD" {
		s.added[e.name]++
	}
	if s.added[e.name] > 1 {
		s.c.t.Fatalf("ADD of %s comes twice", e.name)
	}
	return e
}

// until reads events until one of the kind is about name and has what want says: field names and the JSON of their values.
func (s *wsStream) until(kind, name string, want ...string) {
	s.c.t.Helper()
	for {
		e := s.event(s.c.next(s.messages))
		if e.kind != kind || e.name != name {
			continue
		}
		holds := true
		for i := 0; i < len(want); i += 2 {
			got, err := json.Marshal(e.object[want[i]])
			holds = holds && err == nil && string(got) == want[i+1]
		}
		if holds {
			return
		}
		if kind != "UPDATE" {
			s.c.t.Fatalf("%s of %s: %v, want %v", kind, name, e.object, want)
		}
	}
}

// begun makes changes until the subscription tells about old, which was there before. That must be an update: what exists
// is not replayed.
func (s *wsStream) begun(old string, change func()) {
	s.c.t.Helper()
	eventually(s.c.t, func() error {
		for {
			select {
			case m := <-s.messages:
				switch e := s.event(m); {
				case e.name != old: // of another test
				case e.kind != "UPDATE":
					s.c.t.Fatalf("first %s of %s, want an update", e.kind, e.name)
				default:
					return nil
				}
			default:
				change()
				return fmt.Errorf("no event of %s", old)
			}
		}
	})
}

// TestWebsocketDoor connects in all ways that clients have.
func TestWebsocketDoor(t *testing.T) {
	token := accessToken(t, "default", "websocket-door")
	for _, tt := range []struct{ protocol, token string }{
		{transportWS, ""},
		{transportWS, token},
		{legacyWS, ""},
		{legacyWS, token},
	} {
		t.Run(fmt.Sprintf("%s, token: %t", tt.protocol, tt.token != ""), func(t *testing.T) {
			c := dialWS(t, tt.protocol, tt.token)
			s := c.subscribe("{ __typename }", nil)
			if got := c.next(s.messages); string(got.Payload) != `{"data":{"__typename":"Query"}}` {
				t.Errorf("got %s", got.Payload)
			}
			if got := c.next(s.messages); got.Type != "complete" {
				t.Errorf("got %s, want complete", got.Type)
			}
			if c.mu.Lock(); c.legacy != (c.alive > 0) {
				t.Errorf("%d signs of life right after the greeting", c.alive)
			}
			c.mu.Unlock()
			if !c.legacy {
				return
			}
			c.send(wsMessage{Type: "connection_terminate"})
			select {
			case m, ok := <-c.control:
				if ok {
					t.Errorf("got %+v, want the end", m)
				}
			case <-time.After(patience):
				t.Error("the connection is still open")
			}
		})
	}
	for _, tt := range []struct {
		name, protocols, origin string
		status                  int
		want                    string
	}{
		{"a wrong token", "graphql-ws, nonsense", "", 401, `{"errors":[{"message":"Unauthorized","extensions":{"code":"UNAUTHENTICATED"}}]}`},
		{"three parts", "graphql-ws, a, b", "", 400, `{"errors":[{"message":"sec-websocket-protocol malformed","extensions":{"code":"BAD_REQUEST"}}]}`},
		{
			"another origin", "graphql-ws", "http://evil.example", 403,
			`{"errors":[{"message":"requests from pages of origin \"http://evil.example\" are not allowed: the server must be started with this origin allowed","extensions":{"code":"FORBIDDEN"}}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
				"Sec-Websocket-Protocol": {tt.protocols},
			}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			wantAnswer(t, http.MethodGet, shared.console+"/graphql", header, "", httpAnswer{tt.status, "application/json; charset=utf-8", tt.want + "\n"})
		})
	}
}
