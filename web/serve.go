package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ErrStopping is the cause (context.Cause) with which requests' contexts end when the server stops.
var ErrStopping = errors.New("web: server is stopping")

// DefaultGrace is how long requests may go on after a stop when ServeOptions.Grace is 0.
const DefaultGrace = 5 * time.Second

// Limits of a connection. There is no limit for a whole request or answer: streams last for hours, and bodies have a
// limit of their own (see bodyTimeout).
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10 // an id token with many groups has a few KiB
	handlerTimeout    = time.Second
)

// ServeOptions is what Serve can be told; the zero value is fine.
type ServeOptions struct {
	// Grace is how long ordinary requests may go on after ctx has ended; 0 means DefaultGrace.
	Grace time.Duration
	// Log takes net/http's complaints about clients, at debug level; nil discards them.
	Log *slog.Logger
}

// Serve answers requests on ln with h until ctx ends, then stops and returns nil. It owns ln and has closed it when it
// returns.
//
// Stopping is bounded in time. Streams (websockets, event streams) have no end of their own, so their contexts end at
// once, with ErrStopping as the cause; ordinary requests get Grace to finish, then their contexts end as well. When a
// handler has not returned a second after that, Serve gives up on it and says so in its error.
//
// The listener speaks HTTP/1.1 only: a websocket needs a connection of its own to take over, which HTTP/2 has not.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, o ServeOptions) error {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// Requests outlive ctx by the grace, so their contexts are not its children.
	base, endAll := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endAll(ErrStopping)
	streams, endStreams := context.WithCancelCause(base)
	defer endStreams(ErrStopping)

	running := &runningHandlers{next: h, streams: streams}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	srv := &http.Server{
		Handler:           running,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         protocols,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		endAll(ErrStopping)
		return errors.Join(fmt.Errorf("serve %s: %w", ln.Addr(), err), srv.Close(), running.wait(handlerTimeout))
	case <-ctx.Done():
	}

	endStreams(ErrStopping)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
	defer cancel()
	stopped := srv.Shutdown(grace) // no new requests; waits for ordinary ones, knows nothing of websockets
	left := running.waitUntil(grace)
	if stopped == nil && left == nil {
		<-failed
		return nil
	}
	endAll(ErrStopping)
	err := running.wait(handlerTimeout)
	_ = srv.Close() // what still holds a connection loses it; closing twice is no fault
	<-failed
	if err != nil {
		return fmt.Errorf("stop %s: %w", ln.Addr(), err)
	}
	return nil
}

// runningHandlers counts the calls of next, hijacked ones included, which http.Server.Shutdown does not, and ends the
// context of streams when the server stops.
type runningHandlers struct {
	next    http.Handler
	streams context.Context // the life of a kind of requests, not of a call

	mu    sync.Mutex
	count int
	idle  chan struct{} // closed when count is 0; nil while nobody waits
}

func (h *runningHandlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.add(1)
	defer h.add(-1)
	if isStream(r) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(h.streams, func() { cancel(context.Cause(h.streams)) })()
		r = r.WithContext(ctx)
	}
	h.next.ServeHTTP(w, r)
}

// add counts n more calls and wakes those who wait for there to be none.
func (h *runningHandlers) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count += n
	if h.count == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}

// wait returns nil when no handler runs, or an error after d.
func (h *runningHandlers) wait(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return h.waitUntil(ctx)
}

// waitUntil returns nil when no handler runs, or an error when ctx ends first.
func (h *runningHandlers) waitUntil(ctx context.Context) error {
	h.mu.Lock()
	count := h.count
	if count == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d requests were still being served", count)
	}
}
