package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// requestIDHeader carries the id under which a request is logged; one that the client sends is kept.
const requestIDHeader = "X-Request-Id"

// bodyTimeout is how long a client may take to send its body. http.Server.ReadTimeout cannot be used for this: it also
// ends streams, whose requests last for hours.
const bodyTimeout = 30 * time.Second

// recovered turns a panic into a 500 and a line in the log with the stack.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause) // not a fault: net/http's way to drop a connection
			}
			s.Log.Error("panic while serving a request", "panic", cause, "method", r.Method, "path", r.URL.Path,
				"request", ww.Header().Get(requestIDHeader), "stack", string(debug.Stack()))
			if ww.Status() == 0 { // else it is too late for another answer
				writeError(ww, http.StatusInternalServerError, codeInternal, "internal error")
			}
		}()
		next.ServeHTTP(ww, r)
	})
}

// logged gives the request its id, in the answer's headers and for middleware.GetReqID, and logs it when it is done. The
// query string stays out of the log: a GET carries the document and its variables there.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := r.Header.Get(requestIDHeader)
		if !validRequestID(id) {
			id = uuid.NewString()
		}
		h := w.Header()
		h.Set(requestIDHeader, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")

		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			level := slog.LevelDebug
			if status := ww.Status(); status >= 500 && status != http.StatusServiceUnavailable {
				level = slog.LevelWarn // 503 is /readyz doing its work
			}
			s.Log.Log(r.Context(), level, "request", "method", r.Method, "path", r.URL.Path, "status", ww.Status(),
				"bytes", ww.BytesWritten(), "duration", time.Since(start), "request", id)
		}()
		next.ServeHTTP(ww, r.WithContext(context.WithValue(r.Context(), middleware.RequestIDKey, id)))
	})
}

// validRequestID keeps what a client sends from being a way to write into the log: short, and nothing but the characters
// that ids are made of.
func validRequestID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+="
	return id != "" && len(id) <= 128 && strings.Trim(id, allowed) == ""
}

// bodyLimited refuses bodies that are announced as too large, cuts off those that turn out to be, and gives the client
// bodyTimeout to send one.
func (s *server) bodyLimited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > s.MaxBody {
			w.Header().Set("Connection", "close") // rather than read what nobody wants
			writeError(w, http.StatusRequestEntityTooLarge, codeTooLarge, "the request is larger than this server accepts")
			return
		}
		if r.ContentLength != 0 && r.Body != nil {
			deadline := http.NewResponseController(w)
			_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout)) // not supported means there is no connection
			r.Body = &timedBody{http.MaxBytesReader(w, r.Body, s.MaxBody), deadline}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody lifts the read deadline once the body has been read: net/http goes on reading the connection to see the
// client leave, and a deadline there would cancel a stream that began with a POST.
type timedBody struct {
	io.ReadCloser
	deadline *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.deadline.SetReadDeadline(time.Time{})
	}
	return n, err
}

// isUpgrade reports whether the request asks for a websocket, by the same signs as the transport that would open it.
func isUpgrade(r *http.Request) bool {
	return websocket.IsWebSocketUpgrade(r)
}

// isStream reports whether the request's answer goes on until somebody ends it: a websocket or an event stream.
func isStream(r *http.Request) bool {
	return isUpgrade(r) || transport.AcceptsEvents(r)
}
