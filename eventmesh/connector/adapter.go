package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

const (
	// DefaultMaxBody is the largest request body taken, in bytes, when none is configured.
	DefaultMaxBody = 1 << 20
	// DefaultTimeout is how long a sink may take to answer for one event when nothing is configured.
	DefaultTimeout = 30 * time.Second

	// forwardError is what a sender is told when the sink did not take an event. The words are the original adapter's.
	forwardError = "unable to forward event to sink"
)

// Source is where an application's events go, and under which name.
type Source struct {
	// Name is the CloudEvents attribute source that every event gets.
	Name string
	// Sink is the URL that takes them, in binary mode.
	Sink *url.URL
}

// Adapter takes CloudEvents 1.0 over HTTP, in binary, structured and batched mode, and hands them to a sink as its own
// source's. It answers on every path and to every method, as the receive adapter of Kyma's HTTPSource does; only
// GET /healthz is for itself. Its answers:
//
//	200                     the sink took every event; with the event that the sink replied, if it did so to a single one
//	400                     not a CloudEvent (empty body), or what is wrong with it ({"error": …}); nothing was forwarded
//	413 {"error": …}        the body is larger than MaxBody
//	502                     the sink refused the event, or could not be reached
//	502 {"error": …, "accepted": n}   as before, for a batch: only its first n events were taken
//
// A batch is validated as a whole, then forwarded in order; a sender that repeats one after a 502 repeats those n too.
// Errors of Resolve are answered as {"code": status, "error": message}.
type Adapter struct {
	// Resolve finds the source that a request is for. Its errors are of the Kubernetes API: NotFound, ServiceUnavailable.
	Resolve func(*http.Request) (Source, error)
	// Transport sends to the sink, http.DefaultTransport when nil. Redirects are not followed.
	Transport http.RoundTripper
	// MaxBody is the largest body taken, in bytes; DefaultMaxBody when 0.
	MaxBody int64
	// Timeout is how long the sink may take for one event; DefaultTimeout when 0.
	Timeout time.Duration
	// UserAgent is how the adapter calls itself to the sink.
	UserAgent string
	// Log takes what senders are not told: why the sink did not take an event.
	Log *slog.Logger
}

// ServeHTTP takes the events of one request.
func (a *Adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/healthz" {
		w.WriteHeader(http.StatusOK)
		return
	}
	source, err := a.Resolve(r)
	if err != nil {
		writeError(w, r, a.Log, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.maxBody()))
	if err != nil {
		status, message := http.StatusBadRequest, "Invalid request"
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status, message = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
		}
		writeJSON(w, status, contentTypeJSON, eventError{Error: message})
		return
	}
	requests, err := a.requests(r, source, body)
	if errors.Is(err, errNoVersion) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, contentTypeJSON, eventError{Error: err.Error()})
		return
	}
	if isBatch(r.Header) {
		a.forwardBatch(w, requests)
		return
	}
	reply, err := a.send(requests[0])
	if err != nil {
		a.logFailure(requests[0], err)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	maps.Copy(w.Header(), reply.header)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(reply.body) // The sender left: the event is with the sink all the same.
}

// eventError is what a sender of CloudEvents is told.
type eventError struct {
	Error string `json:"error"`
	// Accepted is how many events of a batch were taken, nil when it was not a batch.
	Accepted *int `json:"accepted,omitempty"`
}

// forwardBatch sends the events of a batch in order until one is not taken.
func (a *Adapter) forwardBatch(w http.ResponseWriter, requests []*http.Request) {
	for accepted, request := range requests {
		// What the sink replies to one of many has no place in the answer.
		if _, err := a.send(request); err != nil {
			a.logFailure(request, err)
			writeJSON(w, http.StatusBadGateway, contentTypeJSON, eventError{Error: forwardError, Accepted: &accepted})
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// requests are the requests to the sink for the events of r, as events of source.
func (a *Adapter) requests(r *http.Request, source Source, body []byte) ([]*http.Request, error) {
	events, err := parseEvents(r.Header, body)
	if err != nil {
		return nil, err
	}
	header := forwardedHeader(r.Header)
	requests := make([]*http.Request, 0, len(events))
	for i, e := range events {
		request, err := a.request(r.Context(), source, e, header)
		if err != nil && isBatch(r.Header) {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		if err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
	return requests, nil
}

// request is the request to the sink for e, as an event of source.
func (a *Adapter) request(ctx context.Context, source Source, e *event.Event, header http.Header) (*http.Request, error) {
	if err := e.Context.SetSource(source.Name); err != nil {
		return nil, err
	}
	request, err := newRequest(ctx, source.Sink.String(), e)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	if a.UserAgent != "" {
		request.Header.Set("User-Agent", a.UserAgent)
	}
	return request, nil
}

// reply is what a sink said beside taking an event: an event, or nothing.
type reply struct {
	header http.Header
	body   []byte
}

// statusError is an answer of the sink other than 2xx.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("%d %s", int(s), http.StatusText(int(s))) }

// send sends one event. The error is a statusError when the sink answered, but did not take it.
func (a *Adapter) send(r *http.Request) (reply, error) {
	timeout := a.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	transport := a.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	// A client would follow redirects, and turn the POST into a GET for it.
	response, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	// Read in any case, for the connection to be used again; in bounds, as the sink may be anybody's.
	body, err := io.ReadAll(io.LimitReader(response.Body, a.maxBody()+1))
	switch {
	case response.StatusCode < 200 || response.StatusCode > 299:
		return reply{}, statusError(response.StatusCode)
	case !isEvent(response.Header):
		return reply{}, nil
	case err != nil || int64(len(body)) > a.maxBody():
		// The event is taken: to fail now would only bring it again.
		a.Log.Warn("reply of the sink dropped", "sink", r.URL.String(), "bytes", len(body), "error", err)
		return reply{}, nil
	}
	return reply{header: eventHeader(response.Header), body: bytes.Clone(body)}, nil
}

func (a *Adapter) logFailure(r *http.Request, err error) {
	a.Log.Warn(forwardError, "source", r.Header.Get("Ce-Source"), "id", r.Header.Get("Ce-Id"), "sink", r.URL.String(), "error", err)
}

func (a *Adapter) maxBody() int64 {
	if a.MaxBody == 0 {
		return DefaultMaxBody
	}
	return a.MaxBody
}

// forwardedHeader is the part of a request's headers that goes along with its events: who asked, Knative's own, and the
// trace that the event belongs to. Nothing else does: a sender's cookies and tokens are not the subscribers' business.
func forwardedHeader(header http.Header) http.Header {
	out := traceHeader(header)
	for key, values := range header {
		if key == "X-Request-Id" || strings.HasPrefix(key, "Knative-") {
			out[key] = values
		}
	}
	return out
}

// traceHeader is the part that says which trace a request belongs to: W3C's and Zipkin's headers.
func traceHeader(header http.Header) http.Header {
	out := http.Header{}
	for key, values := range header {
		if key == "Traceparent" || key == "Tracestate" || key == "B3" || strings.HasPrefix(key, "X-B3-") {
			out[key] = values
		}
	}
	return out
}

// eventHeader is the part that makes up a CloudEvent.
func eventHeader(header http.Header) http.Header {
	out := http.Header{}
	for key, values := range header {
		if key == "Content-Type" || strings.HasPrefix(key, attributePrefix) {
			out[key] = values
		}
	}
	return out
}

func isEvent(header http.Header) bool {
	return header.Get("Ce-Specversion") != "" || strings.HasPrefix(header.Get("Content-Type"), "application/cloudevents")
}

func isBatch(header http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && mediaType == event.ApplicationCloudEventsBatchJSON
}
