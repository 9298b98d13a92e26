package transport_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// TestFanout holds that the same subscription runs once, whoever asks, that others run by themselves, and that one that
// has ended is begun anew.
func TestFanout(t *testing.T) {
	srv := serve(t, &transport.Websocket{}, &transport.SSE{}, nil)
	var clients []*client
	for i := range 3 {
		c := srv.greeted(t, transport.TransportWS)
		c.send(`{"id":"` + strconv.Itoa(i) + `","type":"subscribe","payload":{"query":"subscription{name}"}}`)
		c.send(`{"id":"q","type":"subscribe","payload":{"query":"{name}"}}`) // answered when the one before has begun
		c.want(`{"id":"q","type":"next","payload":{"data":{"name":"x"}}}`, `{"id":"q","type":"complete"}`)
		clients = append(clients, c)
	}
	s := <-srv.streams
	s.send(t, "one", transport.Label{})
	for i, c := range clients {
		c.want(`{"id":"` + strconv.Itoa(i) + `","type":"next","payload":{"data":{"name":"one"}}}`)
	}
	clients[0].send(`{"id":"v","type":"subscribe","payload":{"query":"subscription($x:String){name(of:$x)}","variables":{"x":"1"}}}`)
	other := <-srv.streams
	clients[0].send(`{"id":"w","type":"subscribe","payload":{"query":"subscription($x:String){name(of:$x)}","variables":{"x":"2"}}}`)
	(<-srv.streams).send(t, "w", transport.Label{})
	clients[0].want(`{"id":"w","type":"next","payload":{"data":{"name":"w"}}}`)
	other.send(t, "v", transport.Label{})
	clients[0].want(`{"id":"v","type":"next","payload":{"data":{"name":"v"}}}`)

	// What became known before a reader came is not for it.
	late := srv.greeted(t, transport.TransportWS)
	before := time.Now()
	late.send(`{"id":"l","type":"subscribe","payload":{"query":"subscription{name}"}}`)
	late.send(`{"id":"q","type":"subscribe","payload":{"query":"{name}"}}`)
	late.want(`{"id":"q","type":"next","payload":{"data":{"name":"x"}}}`, `{"id":"q","type":"complete"}`)
	s.send(t, "old", transport.Label{Key: "a", At: before})
	s.send(t, "new", transport.Label{Key: "a", At: time.Now()})
	late.want(`{"id":"l","type":"next","payload":{"data":{"name":"new"}}}`)

	close(s.events)
	late.want(`{"id":"l","type":"complete"}`)
	late.send(`{"id":"l","type":"subscribe","payload":{"query":"subscription{name}"}}`)
	again := <-srv.streams
	_ = late.conn.Close()
	<-again.ctx.Done() // with its last reader
}

// TestStalledReader holds that a reader that does not read holds up nobody, and gets the latest state when it reads again.
func TestStalledReader(t *testing.T) {
	srv := serve(t, &transport.Websocket{Alive: time.Hour}, &transport.SSE{}, nil)
	stalled, quick := srv.greeted(t, transport.TransportWS), srv.greeted(t, transport.TransportWS)
	for _, c := range []*client{stalled, quick} {
		c.send(subscribeMessage)
		c.send(`{"id":"q","type":"subscribe","payload":{"query":"{name}"}}`)
		c.want(`{"id":"q","type":"next","payload":{"data":{"name":"x"}}}`, `{"id":"q","type":"complete"}`)
	}
	s := <-srv.streams
	const events = 3000
	long := strings.Repeat("x", 10_000) // 30 MB do not fit into the buffers between
	for i := range events {
		s.send(t, fmt.Sprintf("%d %s", i, long), transport.Label{Key: "a"})
	}
	s.send(t, "gone", transport.Label{Key: "a", Kind: transport.Deleted})
	s.send(t, "last", transport.Label{Key: "b"})
	for _, c := range []*client{quick, stalled} {
		read := 0
		for !strings.HasSuffix(c.next(), `{"name":"gone"}}}`) {
			read++
		}
		c.want(`{"id":"1","type":"next","payload":{"data":{"name":"last"}}}`)
		if c == stalled && read > events/2 {
			t.Errorf("%d of %d states waited for a reader of the latest", read, events)
		}
	}
}

// TestStalledEnd holds that a client that does not read cannot put off the end of its stream, as when the server stops.
func TestStalledEnd(t *testing.T) {
	for _, kind := range []string{"websocket", "event stream"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan struct{}, 1)
			srv := serve(t, &transport.Websocket{Alive: time.Hour}, &transport.SSE{Alive: time.Hour}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					next.ServeHTTP(w, r.WithContext(ctx))
					served <- struct{}{}
				})
			})
			if kind == "websocket" {
				srv.greeted(t, transport.TransportWS).send(subscribeMessage)
			} else {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(`{"query":"subscription{name}"}`))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Accept", "text/event-stream")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = resp.Body.Close() })
			}
			s, long := <-srv.streams, strings.Repeat("x", 100_000)
			for range 300 { // more than fits into the buffers between
				s.send(t, long, transport.Label{})
			}
			stop()
			select {
			case <-served:
			case <-time.After(5 * time.Second): // what web.Serve gives streams
				t.Error("it goes on")
			}
		})
	}
}

// TestCrowd has readers join, leave and stall while events come thick and fast. No deletion may be lost by those who stay,
// and nothing may be left in the end.
func TestCrowd(t *testing.T) {
	before := runtime.NumGoroutine()
	srv := serve(t, &transport.Websocket{Alive: time.Hour}, &transport.SSE{}, nil)
	const readers, deletions = 300, 150
	var staying, passing sync.WaitGroup
	first := srv.crowdMember(t)
	s := <-srv.streams
	members, stalled := []*client{first}, []*client{}
	for len(members) < readers/3 {
		members = append(members, srv.crowdMember(t))
	}
	for range readers / 3 { // join and leave
		passing.Go(func() {
			for range 5 {
				c := srv.crowdMember(t)
				for range rand.IntN(5) {
					_, _, _ = c.conn.ReadMessage() // may end, and then the connection does
				}
				_ = c.conn.Close()
			}
		})
	}
	for range readers / 3 { // never read
		stalled = append(stalled, srv.crowdMember(t))
	}
	for _, c := range members {
		staying.Go(func() {
			seen := map[string]bool{}
			for len(seen) < deletions {
				_, raw, err := c.conn.ReadMessage()
				if err != nil {
					t.Errorf("%v, %d of %d deletions", err, len(seen), deletions)
					return
				}
				if _, name, ok := strings.Cut(string(raw), `"name":"deleted `); ok {
					seen[name] = true
				}
			}
		})
	}
	for i := range deletions {
		key := strconv.Itoa(i)
		s.send(t, "added "+key, transport.Label{Key: key, Kind: transport.Added})
		s.send(t, "changed "+key, transport.Label{Key: key})
		s.send(t, "deleted "+key, transport.Label{Key: key, Kind: transport.Deleted})
	}
	staying.Wait()
	left := make(chan struct{})
	go func() { passing.Wait(); close(left) }()
	for gone := false; !gone; { // those who still wait for a message get one
		select {
		case <-left:
			gone = true
		default:
			s.send(t, "more", transport.Label{Key: "more"})
		}
	}
	for _, c := range slices.Concat(members, stalled) {
		_ = c.conn.Close()
	}
	<-s.ctx.Done()
	close(s.events)
	srv.Close()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before+5; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// crowdMember subscribes and returns when the subscription has begun.
func (s *server) crowdMember(t *testing.T) *client {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{transport.TransportWS}, HandshakeTimeout: patience}
	conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err != nil {
		t.Error(err)
		return &client{t, &websocket.Conn{}}
	}
	_ = resp.Body.Close()
	_ = conn.SetReadDeadline(time.Now().Add(12 * patience))
	c := &client{t, conn}
	for _, m := range []string{initMessage, subscribeMessage, `{"id":"q","type":"subscribe","payload":{"query":"{name}"}}`} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Error(err)
		}
	}
	for {
		_, raw, err := conn.ReadMessage()
		if err != nil {
			t.Error(err)
		}
		if err != nil || string(raw) == `{"id":"q","type":"complete"}` {
			return c
		}
	}
}

func TestSSE(t *testing.T) {
	srv := serve(t, &transport.Websocket{}, &transport.SSE{Alive: 20 * time.Millisecond}, nil)
	open := func(method, target, body string) *http.Response {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, method, srv.URL+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream;q=0.9")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	for _, tt := range []struct{ name, method, target, body, want string }{
		{"query", "POST", "/", `{"query":"{name}"}`, "event: next\ndata: {\"data\":{\"name\":\"x\"}}\n\nevent: complete\ndata: \n\n"},
		{"query by GET", "GET", "/?query=%7Bname%7D", "", "event: next\ndata: {\"data\":{\"name\":\"x\"}}\n\nevent: complete\ndata: \n\n"},
		{
			"mutation by GET", "GET", "/?query=mutation%7Bname%7D", "",
			"event: next\ndata: {\"errors\":[{\"message\":\"GET requests only allow queries and subscriptions\",\"extensions\":{\"code\":\"BAD_REQUEST\"}}]}\n\nevent: complete\ndata: \n\n",
		},
		{"no query", "POST", "/", `{}`, `{"errors":[{"message":"the parameter query is missing","extensions":{"code":"BAD_REQUEST"}}]}`},
		{"batch", "POST", "/", `[{"query":"{name}"}]`, `{"errors":[{"message":"a batch cannot be answered by an event stream","extensions":{"code":"BAD_REQUEST"}}]}`},
		{"no JSON", "POST", "/", `x`, `{"errors":[{"message":"the body is not a GraphQL request in JSON","extensions":{"code":"BAD_REQUEST"}}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := io.ReadAll(open(tt.method, tt.target, tt.body).Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(string(body), ":\n\n", ""); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	resp := open("POST", "/", `{"query":"subscription{name}"}`)
	s := <-srv.streams
	s.send(t, "one", transport.Label{})
	lines := bufio.NewScanner(resp.Body)
	alive := 0
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
		if lines.Text() == ":" {
			alive++
		}
	}
	if lines.Text() != `data: {"data":{"name":"one"}}` || alive == 0 {
		t.Errorf("got %q after %d signs of life", lines.Text(), alive)
	}
	_ = resp.Body.Close()
	<-s.ctx.Done()
}
