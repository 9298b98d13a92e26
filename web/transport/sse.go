package transport

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// SSE is a gqlgen transport for GraphQL over server-sent events in the distinct connections mode: one request, one
// operation of any kind. See https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. Its fields are set before
// use.
type SSE struct {
	// Fanout shares subscriptions; required.
	Fanout *Fanout
	// Alive is how often a comment is sent that keeps proxies from closing the connection. Default 10 s.
	Alive time.Duration
}

var _ graphql.Transport = (*SSE)(nil)

// Supports reports whether the request is to be answered by events.
func (t *SSE) Supports(r *http.Request) bool {
	return (r.Method == http.MethodPost || r.Method == http.MethodGet) && AcceptsEvents(r)
}

// AcceptsEvents reports whether a request accepts server-sent events by name, which a browser's page load does not.
func AcceptsEvents(r *http.Request) bool {
	for accepted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, _, err := mime.ParseMediaType(strings.TrimSpace(accepted))
		if err == nil && mediaType == eventStream {
			return true
		}
	}
	return false
}

// Do answers with a stream of events.
func (t *SSE) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	all, batch, err := readRequest(r)
	if err == nil && batch {
		err = malformed("a batch cannot be answered by an event stream")
	}
	if err != nil {
		refuse(w, plainJSON, asRefusal(err))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	h := w.Header()
	h.Set("Content-Type", eventStream+"; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // a proxy that collects before it sends would make a stream of nothing
	w.WriteHeader(http.StatusOK)
	s := &sseReader{wake: make(chan struct{}, 1)}
	defer s.leave()
	go execute(ctx, job{exec: exec, fanout: t.Fanout, raw: all[0], to: s, onLeave: s.onLeave, readOnly: r.Method == http.MethodGet})
	s.copyTo(ctx, w, cmp.Or(t.Alive, 10*time.Second))
}

// sseReader is the reader of one event stream.
type sseReader struct {
	departure
	wake chan struct{} // holds a token while there is something to write

	mu       sync.Mutex // of what follows
	box      mailbox
	finished bool
	errs     []byte
}

var _ reader = (*sseReader)(nil)

func (s *sseReader) offer(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return
	}
	if !s.box.put(m) {
		s.finished, s.errs = true, encodeErrors(gqlerror.List{errSlow()})
	}
	s.signal()
}

func (s *sseReader) finish(errs []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.finished, s.errs = true, errs
		s.signal()
	}
}

func (s *sseReader) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns what waits, as events, and whether that is all.
func (s *sseReader) take() (events []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	for _, payload := range s.box.take() {
		writeEvent(&b, typeNext, payload)
	}
	if s.finished {
		if s.errs != nil {
			writeEvent(&b, typeNext, slices.Concat([]byte(`{"errors":`), s.errs, []byte(`}`)))
		}
		writeEvent(&b, typeComplete, nil)
	}
	return b.Bytes(), s.finished
}

// writeEvent writes a server-sent event. JSON as it is encoded here has no line breaks.
func writeEvent(b *bytes.Buffer, event string, data []byte) {
	b.WriteString("event: " + event + "\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
}

// copyTo writes events until the last one, or until the client has left. A sign-in that ends is told as an error.
func (s *sseReader) copyTo(ctx context.Context, w http.ResponseWriter, alive time.Duration) {
	out := http.NewResponseController(w)
	// Where it is not supported, the server's own holds.
	limit := func(d time.Duration) { _ = out.SetWriteDeadline(time.Now().Add(d)) }
	defer context.AfterFunc(ctx, func() { limit(endTimeout) })()
	write := func(b []byte) bool {
		limit(writeTimeout)
		if ctx.Err() != nil { // only now, so that the end is not missed
			limit(endTimeout)
		}
		_, err := w.Write(b)
		return err == nil && out.Flush() == nil
	}
	tick := time.NewTicker(alive)
	defer tick.Stop()
	for ok := write([]byte(":\n\n")); ok; {
		select {
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), ErrSignedOut) {
				return
			}
			s.finish(encodeErrors(gqlerror.List{coded(codeUnauthenticated, ErrSignedOut.Error())}))
			events, _ := s.take()
			write(events)
			return
		case <-tick.C:
			ok = write([]byte(":\n\n"))
		case <-s.wake:
			events, last := s.take()
			ok = write(events) && !last
		}
	}
}
