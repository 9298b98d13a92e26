package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/nats-io/nats.go"
	"k8s.io/apimachinery/pkg/types"
)

// storeTimeout bounds how long a sender waits for its event to be stored.
const storeTimeout = 10 * time.Second

// ServeHTTP takes an event for the channel that the request's Host names, at its root path. The answers:
//
//	202  the event is stored
//	400  it is not one valid CloudEvent, binary or structured
//	404  there is no such channel or path
//	405  the method is not POST (OPTIONS is answered as Knative's channels do)
//	413  the body is longer than Options.MaxEventBytes
//	503  it could not be stored: the channel is being made or full, or the store fails or has been closed; to be tried again
func (c *Channels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions: // the abuse protection of CloudEvents' webhooks: anybody, at any rate
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.Header().Set("WebHook-Allowed-Rate", "*")
		return
	default:
		http.Error(w, "events are sent with POST", http.StatusMethodNotAllowed)
		return
	}
	key, ok := parseHost(r.Host)
	if !ok || (r.URL.Path != "/" && r.URL.Path != "") {
		http.Error(w, "no channel at "+r.Host+r.URL.Path, http.StatusNotFound)
		return
	}
	ch := c.get(key)
	switch {
	case ch == nil && c.isClosed():
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	case ch == nil:
		http.Error(w, "no channel "+key.String(), http.StatusNotFound)
		return
	case !ch.open.Load():
		http.Error(w, "the channel "+key.String()+" is being made", http.StatusServiceUnavailable)
		return
	}
	e, status, err := c.readEvent(w, r)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	if status, err := c.store(r.Context(), ch, e, r.Header); err != nil {
		c.refused(key, err)
		http.Error(w, "the event could not be stored: "+err.Error(), status)
		return
	}
	c.metrics.count(key, resultAccepted)
	w.WriteHeader(http.StatusAccepted)
}

func (c *Channels) isClosed() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.closed
}

// refused counts an event that could not be stored. It is logged once a second: a full channel refuses many.
func (c *Channels) refused(key types.NamespacedName, err error) {
	c.metrics.count(key, resultRefused)
	now, last := time.Now().Unix(), c.lastRefusal.Load()
	if now != last && c.lastRefusal.CompareAndSwap(last, now) {
		c.opts.Log.Warn("events are refused", "channel", key.String(), "err", err)
	}
}

// readEvent reads the event of a request. With an error goes the status to answer.
func (c *Channels) readEvent(w http.ResponseWriter, r *http.Request) (*event.Event, int, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, c.opts.MaxEventBytes))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, http.StatusRequestEntityTooLarge, err
		}
		return nil, http.StatusBadRequest, err
	}
	// No names of attributes; the SDK would take the one for the event's data, and panic at the other.
	for _, name := range []string{"Ce-Data", "Ce-"} {
		if _, given := r.Header[name]; given {
			return nil, http.StatusBadRequest, fmt.Errorf("the header %s is no attribute of a CloudEvent", name)
		}
	}
	e, err := binding.ToEvent(r.Context(), cehttp.NewMessage(r.Header, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	if err := e.Validate(); err != nil {
		return nil, http.StatusBadRequest, err
	}
	return e, 0, nil
}

// store puts an event into the stream of a channel and returns when it is there. With an error goes the status to
// answer.
func (c *Channels) store(ctx context.Context, ch *channel, e *event.Event, h http.Header) (int, error) {
	msg, err := encode(subjectOf(ch.stream), e, h)
	if err != nil {
		return http.StatusBadRequest, err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	// No message id: a sender that uses an event's id twice must not lose the second.
	_, err = c.server.publish.PublishMsg(ctx, msg)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return http.StatusRequestEntityTooLarge, err
	case err != nil:
		return http.StatusServiceUnavailable, err
	}
	return http.StatusAccepted, nil
}
