package web_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kyma-eventmesh/kyma-console/web"
)

// running is a server under test.
type running struct {
	url  string
	stop context.CancelFunc
	done chan error // what Serve returned
}

// start serves h on a free port.
func start(t *testing.T, h http.Handler, o web.ServeOptions) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{"http://" + ln.Addr().String(), stop, make(chan error, 1)}
	go func() { r.done <- web.Serve(ctx, ln, h, o) }()
	t.Cleanup(stop)
	return r
}

// wait returns what Serve returned; it fails the test when that takes far longer than Serve promises.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Serve did not return")
		return nil
	}
}

// TestServeEndsWebsockets holds that a websocket's handler hears of the stop at once, may still say goodbye, and is waited
// for.
func TestServeEndsWebsockets(t *testing.T) {
	open := make(chan struct{})
	returned := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer conn.Close()
		close(open)
		<-r.Context().Done()
		bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye")
		_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
		returned <- context.Cause(r.Context())
	})
	s := start(t, h, web.ServeOptions{Grace: 20 * time.Second}) // a stop that waited for it would be noticed
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(s.url, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-open

	began := time.Now()
	s.stop()
	if err := s.wait(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stop took %v", took)
	}
	select {
	case cause := <-returned:
		if !errors.Is(cause, web.ErrStopping) {
			t.Errorf("cause %v", cause)
		}
	default:
		t.Error("Serve returned before the handler")
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("client got %v", err)
	}
}

// TestServeLetsRequestsFinish holds that an ordinary request is neither cut off nor cancelled by a stop.
func TestServeLetsRequestsFinish(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-finish
		if r.Context().Err() != nil {
			t.Error("the request was cancelled")
		}
		_, _ = io.WriteString(w, "done")
	})
	s := start(t, h, web.ServeOptions{Grace: 20 * time.Second})
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get(s.url)
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-began
	s.stop()
	refused(t, s.url) // so the stop is under way
	close(finish)
	if body := <-got; body != "done" {
		t.Errorf("client got %q", body)
	}
	if err := s.wait(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// refused returns once new connections are.
func refused(t *testing.T, url string) {
	t.Helper()
	for t.Context().Err() == nil {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

// TestServeIsBounded holds that neither a slow request nor one that ignores everything holds up the stop for ever.
func TestServeIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name    string
		header  string
		ignores bool // the handler does not look at its context
		want    string
	}{
		{"slow request is cancelled", "", false, ""},
		{"deaf request is given up", "", true, "1 requests were still being served"},
		{"deaf websocket is given up", "websocket", true, "1 requests were still being served"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began, end := make(chan struct{}), make(chan struct{})
			h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(began)
				if tc.ignores {
					<-end
					return
				}
				<-r.Context().Done()
			})
			s := start(t, h, web.ServeOptions{Grace: time.Millisecond})
			go func() {
				r, _ := http.NewRequest(http.MethodGet, s.url, nil)
				r.Header.Set("Upgrade", tc.header)
				if resp, err := http.DefaultClient.Do(r); err == nil {
					_ = resp.Body.Close()
				}
			}()
			<-began
			s.stop()
			err := s.wait(t)
			close(end)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Serve: %v, want %q", err, tc.want)
			}
		})
	}
}

// TestServeListenerFails holds that losing the listener is an error and not a quiet end.
func TestServeListenerFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	err = web.Serve(t.Context(), ln, http.NotFoundHandler(), web.ServeOptions{})
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("Serve: %v", err)
	}
}
