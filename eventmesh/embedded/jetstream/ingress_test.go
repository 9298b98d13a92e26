package jetstream

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
)

func TestServeHTTP(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir(), MaxEventBytes: 2000})
	s := newSubscriber(t, nil)
	m.subscribe(s.spec("a", nil))
	body := func(contentType, body string) func(*http.Request) {
		return func(r *http.Request) {
			for name := range r.Header {
				if strings.HasPrefix(name, "Ce-") {
					r.Header.Del(name)
				}
			}
			r.Header.Set("Content-Type", contentType)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		}
	}
	const structured = `{"specversion":"1.0","id":"1","type":"t","source":"s","data":{"a":1}}`
	for _, tc := range []struct {
		name string
		edit func(*http.Request)
		want int
	}{
		{"binary", func(*http.Request) {}, 202},
		{"structured", body("application/cloudevents+json", structured), 202},
		{"structured with a charset", body("application/cloudevents+json; charset=utf-8", structured), 202},
		{"with a port", func(r *http.Request) { r.Host += ":80" }, 202},
		{"without the domain", func(r *http.Request) { r.Host = "orders-kn-jetstream.kyma-integration" }, 202},
		{"version 0.3", func(r *http.Request) { r.Header.Set("Ce-Specversion", "0.3") }, 202},
		{"no data", func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, 202},
		{"OPTIONS", func(r *http.Request) { r.Method = http.MethodOptions }, 200},
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405},
		{"unknown channel", func(r *http.Request) { r.Host = Host("nobody", "kyma-integration") }, 404},
		{"other namespace", func(r *http.Request) { r.Host = Host("orders", "default") }, 404},
		{"not a channel", func(r *http.Request) { r.Host = "orders-kn-channel.kyma-integration.svc.cluster.local" }, 404},
		{"other path", func(r *http.Request) { r.URL.Path = "/x" }, 404},
		{"no type", func(r *http.Request) { r.Header.Del("Ce-Type") }, 400},
		{"no id", func(r *http.Request) { r.Header.Del("Ce-Id") }, 400},
		{"no source", func(r *http.Request) { r.Header.Del("Ce-Source") }, 400},
		{"bad time", func(r *http.Request) { r.Header.Set("Ce-Time", "yesterday") }, 400},
		{"bad content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain; =") }, 400},
		{"an attribute called data", func(r *http.Request) { r.Header.Set("Ce-Data", "x") }, 400},
		{"an attribute without a name", func(r *http.Request) { r.Header.Set("Ce-", "x") }, 400},
		{"no event", body("application/json", `{}`), 400},
		{"structured without a type", body("application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"s"}`), 400},
		{"not JSON", body("application/cloudevents+json", `{`), 400},
		{"a batch", body("application/cloudevents-batch+json", "["+structured+"]"), 400},
		{"as long as may be", body("application/cloudevents+json", structured+strings.Repeat(" ", 2000-len(structured))), 202},
		{"too long", body("application/cloudevents+json", structured+strings.Repeat(" ", 2001-len(structured))), 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := m.post("1", tc.edit); got != tc.want {
				t.Fatalf("status %d, want %d", got, tc.want)
			}
			if tc.want == http.StatusAccepted {
				s.next()
			}
		})
	}
	s.none()
}

// A full channel refuses, and keeps what it has accepted.
func TestFullChannel(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir(), MaxChannelBytes: 5000})
	failing, s := newSubscriber(t, status(http.StatusInternalServerError)), newSubscriber(t, nil)
	m.subscribe(failing.spec("a", nil))
	accepted := 0
	code := http.StatusAccepted
	for ; code == http.StatusAccepted; accepted++ {
		code = m.post(strings.Repeat("x", accepted+1))
	}
	accepted--
	if code != http.StatusServiceUnavailable || accepted < 5 {
		t.Fatalf("status %d after %d events", code, accepted)
	}
	m.subscribe(s.spec("a", nil))
	s.collect(accepted)
	m.drained()
	m.accept("again")
	s.next()
}

// A channel takes no events before the consumers of its subscribers exist, who would miss them; and one whose consumer
// cannot be made is the channel's failure, to be tried again, but does not keep the others from theirs.
func TestConsumerFails(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	stream, err := m.server.deliver.CreateStream(t.Context(), m.streamConfig(orders, "uid"))
	if err != nil {
		t.Fatal(err)
	}
	other := m.consumerConfig("a")
	other.AckPolicy = jetstream.AckAllPolicy // which cannot be changed
	if _, err := stream.CreateConsumer(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	a, b := newSubscriber(t, nil), newSubscriber(t, nil)
	specs := []eventingduckv1.SubscriberSpec{a.spec("a", nil), b.spec("b", nil)}
	if failed, err := m.apply(t.Context(), orders, "uid", specs, nil); err == nil {
		t.Fatalf("no error; of subscribers: %v", failed)
	}
	if got := m.post("1"); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	if err := stream.DeleteConsumer(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	m.subscribe(specs...)
	m.accept("2")
	for _, s := range []*subscriber{a, b} {
		if got := s.next(); got.id != "2" {
			t.Errorf("got %q", got.id)
		}
	}
}

func TestClosed(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	m.subscribe()
	m.close()
	if got := m.post("1"); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	if _, err := m.apply(t.Context(), orders, "uid", []eventingduckv1.SubscriberSpec{}, nil); err == nil {
		t.Error("a closed channel takes subscribers")
	}
}
