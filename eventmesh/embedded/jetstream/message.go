package jetstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"knative.dev/eventing/pkg/utils"
)

const (
	// wrappedHeader marks a message whose data is in base64 in the store only.
	wrappedHeader = "Kyma-Wrapped"
	// headerPrefix sets the headers of a request apart from those that mean something to the NATS server. It would,
	// for one, take a Traceparent as its own and rewrite it.
	headerPrefix = "Http-"
)

// encode makes the message of an event: the event as a JSON document, whatever form it came in, and beside it the
// headers of its request that are passed on. Data comes out of decode byte for byte as it went in here.
func encode(subject string, e *event.Event, h http.Header) (*nats.Msg, error) {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}}
	for name, values := range passedOn(h) {
		msg.Header[headerPrefix+name] = values
	}
	stored := *e // the caller's event keeps its form
	if stored.SpecVersion() != event.CloudEventsVersionV1 {
		stored.Context = stored.Context.AsV1()
	}
	if len(stored.DataEncoded) == 0 {
		stored.DataEncoded = nil // the SDK writes a member without a value otherwise
	}
	if !stored.DataBase64 && !embeddable(&stored) {
		stored.DataBase64 = true
		msg.Header.Set(wrappedHeader, "true")
	}
	var doc bytes.Buffer
	// Not json.Marshal, which would compact the data.
	if err := event.WriteJson(&stored, &doc); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	msg.Data = doc.Bytes()
	return msg, nil
}

// embeddable reports whether the data of an event can stand in a JSON document and be read back unchanged: what a
// sender calls JSON or text need not be, and the white space around it may be part of what the sender has signed.
func embeddable(e *event.Event) bool {
	if e.DataEncoded == nil {
		return true
	}
	switch e.DataMediaType() {
	case "", event.ApplicationJSON, event.TextJSON, event.ApplicationCloudEventsJSON, event.ApplicationCloudEventsBatchJSON:
		return json.Valid(e.DataEncoded) && len(bytes.TrimSpace(e.DataEncoded)) == len(e.DataEncoded)
	}
	return utf8.Valid(e.DataEncoded)
}

// decode is the inverse of encode. The header is the caller's.
func decode(header nats.Header, data []byte) (*event.Event, http.Header, error) {
	e := &event.Event{}
	if err := event.ReadJson(e, bytes.NewReader(data)); err != nil {
		return nil, nil, fmt.Errorf("decode event: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, nil, fmt.Errorf("decode event: %w", err)
	}
	if header.Get(wrappedHeader) != "" {
		e.DataBase64 = false
	}
	h := http.Header{}
	for name, values := range header {
		if name, ok := strings.CutPrefix(name, headerPrefix); ok {
			h[name] = values
		}
	}
	return e, h, nil
}

// traceHeaders are passed on beside Knative's own (x-request-id, knative-*, x-b3-*), whose list has only one of the
// forms of trace context.
var traceHeaders = [...]string{"Traceparent", "Tracestate", "B3"}

// passedOn returns the headers that go from the sender of an event to its receivers.
func passedOn(h http.Header) http.Header {
	out := utils.PassThroughHeaders(h)
	out.Del("Retry-After") // which is for answers
	for _, name := range traceHeaders {
		if values := h.Values(name); len(values) > 0 {
			out[name] = values
		}
	}
	return out
}
