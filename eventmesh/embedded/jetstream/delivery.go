package jetstream

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	eventingapis "knative.dev/eventing/pkg/apis"
	knbroker "knative.dev/eventing/pkg/broker"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/eventing/pkg/kncloudevents"
	"knative.dev/eventing/pkg/kncloudevents/attributes"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// brokerFilterHost is Knative's broker filter, which answers failures with the destination it really tried.
const brokerFilterHost = "broker-filter.knative-eventing"

// sender makes single attempts to deliver events. What follows from them is decided elsewhere.
type sender struct {
	dispatcher *kncloudevents.Dispatcher
	now        func() time.Time
}

// newSender must be called after http.DefaultTransport has been given its final form: kncloudevents clones it for each
// new URL and keeps the clones for the life of the process.
func newSender() *sender {
	return &sender{
		dispatcher: kncloudevents.NewDispatcher(eventingtls.ClientConfig{}, nil,
			kncloudevents.WithTraceProvider(tracenoop.NewTracerProvider()),
			kncloudevents.WithMeterProvider(metricnoop.NewMeterProvider())),
		now: time.Now,
	}
}

// failure is what a dead letter sink is told of a delivery that failed.
type failure struct {
	url    *apis.URL // of the request that failed: the subscriber's or the reply's
	status int
	body   []byte
	tries  uint64 // how often the dead letter sink itself has failed
}

// deliver sends an event to t's subscriber and its answer, if it is an event, on to t's reply.
func (s *sender) deliver(ctx context.Context, t *target, namespace string, e *event.Event, h http.Header) (result, failure) {
	destination, reply := t.destination, copyOf(t.reply)
	options := []kncloudevents.SendOption{
		kncloudevents.WithHeader(withNamespace(h, namespace)),
		kncloudevents.WithReply(reply),
		kncloudevents.WithRetryConfig(once(t.policy.timeout)),
		kncloudevents.WithEventFormat(t.format),
	}
	info, err := s.dispatcher.SendEvent(ctx, *e, destination, options...)
	if err == nil {
		return result{}, failure{}
	}
	if info == nil {
		info = &kncloudevents.DispatchInfo{ResponseCode: kncloudevents.NoResponse}
	}
	f := failure{url: destination.URL, status: info.ResponseCode, body: info.ResponseBody}
	// The dispatcher tells the two requests apart only in its message.
	if reply != nil && strings.HasPrefix(err.Error(), "failed to forward reply") {
		f.url = reply.URL
	}
	return result{err: err, status: info.ResponseCode, retryAfter: parseRetryAfter(info.ResponseHeader, s.now())}, f
}

// deadLetter sends an event to t's dead letter sink, with what is known of its failure.
func (s *sender) deadLetter(ctx context.Context, t *target, namespace string, e *event.Event, h http.Header, f failure) error {
	_, err := s.dispatcher.SendEvent(ctx, *e, *t.deadLetter,
		kncloudevents.WithHeader(withNamespace(h, namespace)),
		kncloudevents.WithRetryConfig(once(t.policy.timeout)),
		kncloudevents.WithEventFormat(t.format),
		kncloudevents.WithTransformers(f.extensions()...))
	return err
}

// extensions are Knative's knativeerror… extensions for f.
func (f failure) extensions() binding.Transformers {
	url, body := f.url, f.body
	if url == nil {
		url = &apis.URL{}
	}
	if isBrokerFilter(url.Host) {
		var behind knbroker.ErrExtensionInfo
		if err := json.Unmarshal(body, &behind); err == nil && behind.ErrDestination != nil {
			url, body = behind.ErrDestination, behind.ErrResponseBody
		}
	}
	return attributes.KnativeErrorTransformers(*url.URL(), f.status, base64.StdEncoding.EncodeToString(body))
}

func isBrokerFilter(host string) bool {
	name, namespace, ok := eventmesh.ParseServiceHost(host)
	return ok && name+"."+namespace == brokerFilterHost
}

// once makes a single attempt: the store counts and spaces the others. (A nil configuration would also make a single
// one, but without a timeout.)
func once(timeout time.Duration) *kncloudevents.RetryConfig {
	c := kncloudevents.NoRetries()
	c.RequestTimeout = timeout
	return &c
}

// copyOf protects an address that several deliveries share: the dispatcher writes to it.
func copyOf(a *duckv1.Addressable) *duckv1.Addressable {
	if a == nil {
		return nil
	}
	c := *a
	return &c
}

// withNamespace adds the header by which Knative tells a receiver the namespace of the sender.
func withNamespace(h http.Header, namespace string) http.Header {
	h = h.Clone()
	h.Set(eventingapis.KnNamespaceHeader, namespace)
	return h
}
