package jetstream

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

func TestDeliver(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	a, b := newSubscriber(t, nil), newSubscriber(t, nil)
	m.subscribe(a.spec("a", nil), b.spec("b", nil))

	status := m.post("1", func(r *http.Request) {
		r.Header.Set("Ce-Eventtypeversion", "v1")
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("X-B3-Traceid", "0af7651916cd43dd8448eb211c80319c")
		r.Header.Set("X-Request-Id", "r1")
		r.Header.Set("Knative-Test", "k")
		r.Header.Set("Authorization", "Bearer secret")
	})
	if status != http.StatusAccepted {
		t.Fatalf("status %d", status)
	}
	for _, s := range []*subscriber{a, b} {
		got := s.next()
		if got.body != `{"order":"1"}` {
			t.Errorf("body %q", got.body)
		}
		want := map[string]string{
			"Ce-Id": "1", "Ce-Type": "order.created", "Ce-Source": "shop", "Ce-Specversion": "1.0", "Ce-Eventtypeversion": "v1",
			"Content-Type": "application/json", "Prefer": "reply", "Kn-Namespace": "kyma-integration",
			"Traceparent":  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			"X-B3-Traceid": "0af7651916cd43dd8448eb211c80319c", "X-Request-Id": "r1", "Knative-Test": "k",
			"Authorization": "", // not for the subscriber
		}
		for name, value := range want {
			if got.header.Get(name) != value {
				t.Errorf("%s: got %q, want %q", name, got.header.Get(name), value)
			}
		}
	}
	m.drained()
}

func TestSameIDTwice(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	s := newSubscriber(t, nil)
	m.subscribe(s.spec("a", nil))
	m.accept("1", "1")
	if first, second := s.next(), s.next(); first.id != "1" || second.id != "1" {
		t.Errorf("got %q and %q", first.id, second.id)
	}
	m.drained()
}

// A subscriber gets what is sent after it has subscribed, and not what another one still waits for.
func TestLateSubscriber(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	failing, late := newSubscriber(t, status(http.StatusInternalServerError)), newSubscriber(t, nil)
	m.subscribe()
	m.accept("nobody listens")
	if n := m.stored(); n != 0 {
		t.Errorf("%d events stored for nobody", n)
	}
	m.subscribe(failing.spec("failing", nil))
	m.accept("early")
	failing.next()
	m.subscribe(failing.spec("failing", nil), late.spec("late", nil))
	m.accept("1")
	if got := late.next(); got.id != "1" {
		t.Errorf("got %q", got.id)
	}
}

func TestRetryUntilDelivered(t *testing.T) {
	for _, tc := range []struct {
		name     string
		delivery *eventingduckv1.DeliverySpec
		code     int
	}{
		{"no delivery specification", nil, http.StatusInternalServerError},
		{"empty delivery specification", &eventingduckv1.DeliverySpec{}, http.StatusServiceUnavailable},
		{"not retried by Knative, but nothing says when to give up", nil, http.StatusBadRequest},
		{"with retries", retries(5, nil), http.StatusBadGateway},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startMesh(t, Options{Dir: t.TempDir()})
			var failures atomic.Int32
			s := newSubscriber(t, func(w http.ResponseWriter, _ *http.Request) {
				if failures.Add(1) <= 2 {
					w.WriteHeader(tc.code)
				}
			})
			m.subscribe(s.spec("a", tc.delivery))
			m.accept("1")
			for range 3 {
				s.next()
			}
			m.drained()
			s.none()
		})
	}
}

func TestDeadLetter(t *testing.T) {
	for _, tc := range []struct {
		name     string
		retry    *int32
		code     int
		attempts int
	}{
		{"retries exhausted", new(int32(2)), http.StatusInternalServerError, 3},
		{"not to be retried", new(int32(5)), http.StatusBadRequest, 1},
		{"no retries", new(int32(0)), http.StatusInternalServerError, 1},
		{"retry not set", nil, http.StatusInternalServerError, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startMesh(t, Options{Dir: t.TempDir()})
			sink := newSubscriber(t, nil)
			s := newSubscriber(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.code)
				_, _ = w.Write([]byte("broken"))
			})
			delivery := retries(0, sink)
			delivery.Retry = tc.retry
			m.subscribe(s.spec("a", delivery))
			m.accept("1")
			got := sink.next()
			m.drained()
			if len(s.got) != tc.attempts {
				t.Errorf("%d attempts, want %d", len(s.got), tc.attempts)
			}
			want := map[string]string{
				"Ce-Id": "1", "Ce-Knativeerrordest": s.http.URL, "Ce-Knativeerrorcode": strconv.Itoa(tc.code),
				"Ce-Knativeerrordata": base64.StdEncoding.EncodeToString([]byte("broken")),
			}
			for name, value := range want {
				if got.header.Get(name) != value {
					t.Errorf("%s: got %q, want %q", name, got.header.Get(name), value)
				}
			}
			sink.none()
		})
	}
}

// A dead letter sink that fails is tried again, without the subscriber being bothered once more.
func TestDeadLetterSinkFails(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	var failures atomic.Int32
	sink := newSubscriber(t, func(w http.ResponseWriter, _ *http.Request) {
		if failures.Add(1) <= 2 {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	s := newSubscriber(t, status(http.StatusBadRequest))
	m.subscribe(s.spec("a", retries(0, sink)))
	m.accept("1")
	for range 3 {
		if got := sink.next(); got.header.Get("Ce-Knativeerrorcode") != "400" {
			t.Errorf("knativeerrorcode %q", got.header.Get("Ce-Knativeerrorcode"))
		}
	}
	m.drained()
	s.next()
	s.none()
	if strings.Contains(m.log.String(), "event dropped") {
		t.Errorf("logged as dropped: %s", m.log)
	}
}

func TestDrop(t *testing.T) {
	for _, tc := range []struct {
		name     string
		code     int
		attempts int
		reason   string
	}{
		{"retries exhausted", http.StatusInternalServerError, 3, "failed after 2 retries"},
		{"not to be retried", http.StatusBadRequest, 1, "status 400 is not retried"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startMesh(t, Options{Dir: t.TempDir()})
			s := newSubscriber(t, status(tc.code))
			spec := s.spec("a-uid", retries(2, nil))
			spec.Name = new("a-subscription")
			m.subscribe(spec)
			m.accept("1")
			m.drained()
			if len(s.got) != tc.attempts {
				t.Errorf("%d attempts, want %d", len(s.got), tc.attempts)
			}
			record := m.log.String()
			if strings.Count(record, "\n") != 1 {
				t.Errorf("not one record: %s", record)
			}
			for _, want := range []string{
				"event dropped", `"id":"1"`, `"type":"order.created"`, `"source":"shop"`,
				"kyma-integration/orders", "a-uid", "a-subscription", tc.reason,
			} {
				if !strings.Contains(record, want) {
					t.Errorf("no %s in %s", want, record)
				}
			}
		})
	}
}

func TestDropWhenTooOld(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir(), MaxAge: time.Second})
	s := newSubscriber(t, status(http.StatusInternalServerError))
	m.subscribe(s.spec("a", nil))
	m.accept("1")
	m.eventually("the event is dropped", func() bool { return strings.Contains(m.log.String(), "event dropped") })
	if !strings.Contains(m.log.String(), "still failing at the age of") {
		t.Errorf("log: %s", m.log)
	}
	m.drained()
}

func TestReply(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	var failures atomic.Int32
	reply := newSubscriber(t, func(w http.ResponseWriter, _ *http.Request) {
		if failures.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s := newSubscriber(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Ce-Specversion", "Ce-Source", "Content-Type"} {
			w.Header().Set(name, r.Header.Get(name))
		}
		w.Header().Set("Ce-Id", "reply-"+r.Header.Get("Ce-Id"))
		w.Header().Set("Ce-Type", "order.confirmed")
		_, _ = w.Write([]byte(`{"ok":true}`))
	})
	spec := s.spec("a", retries(3, nil))
	spec.ReplyURI = reply.url()
	m.subscribe(spec)
	m.accept("1")
	for range 2 { // the first failed, and failed the delivery
		got := reply.next()
		if diff := cmp.Diff([]string{"reply-1", "order.confirmed", `{"ok":true}`}, []string{got.id, got.header.Get("Ce-Type"), got.body}); diff != "" {
			t.Error(diff)
		}
		s.next()
	}
	m.drained()
	s.none()
}

// The dead letter sink learns that it was the reply that failed.
func TestReplyDeadLetter(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	sink, reply := newSubscriber(t, nil), newSubscriber(t, status(http.StatusBadRequest))
	s := newSubscriber(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Ce-Specversion", "Ce-Source", "Ce-Id", "Ce-Type"} {
			w.Header().Set(name, r.Header.Get(name))
		}
	})
	spec := s.spec("a", retries(3, sink))
	spec.ReplyURI = reply.url()
	m.subscribe(spec)
	m.accept("1")
	if got := sink.next(); got.header.Get("Ce-Knativeerrordest") != reply.http.URL || got.id != "1" {
		t.Errorf("got %+v", got)
	}
	m.drained()
}

func TestReplyOnly(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	s := newSubscriber(t, nil)
	spec := s.spec("a", nil)
	spec.SubscriberURI, spec.ReplyURI = nil, spec.SubscriberURI
	m.subscribe(spec)
	m.accept("1")
	s.next()
	m.drained()
}

// A subscriber that hangs on every event, with all its slots taken, delays nobody else.
func TestSlowSubscriber(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir(), Concurrency: 4})
	release := make(chan struct{})
	slow := newSubscriber(t, func(http.ResponseWriter, *http.Request) { <-release })
	dead, fast := newSubscriber(t, status(http.StatusInternalServerError)), newSubscriber(t, nil)
	dead.http.Close()
	m.subscribe(slow.spec("slow", nil), dead.spec("dead", nil), fast.spec("fast", nil))

	const n = 50
	for i := range n {
		m.accept(string(rune('A' + i)))
	}
	fast.collect(n)
	for range 4 { // as many as it may have
		slow.next()
	}
	slow.none()
	close(release)
	slow.collect(n - 4)
}

// An event that waits for its next attempt takes no slot from others.
func TestBackedOffEventsDontStarve(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir(), Concurrency: 2})
	s := newSubscriber(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Ce-Id"), "bad") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	exponential, hour := eventingduckv1.BackoffPolicyExponential, "PT1H"
	m.subscribe(s.spec("a", &eventingduckv1.DeliverySpec{Retry: new(int32(9)), BackoffPolicy: &exponential, BackoffDelay: &hour}))
	m.accept("bad1", "bad2", "bad3", "bad4", "good")
	if counts := s.collect(5); counts["good"] != 1 {
		t.Errorf("got %v", counts)
	}
	m.eventually("only the bad ones are left", func() bool { return m.stored() == 4 })
}

// Deliveries that last longer than the store waits for an acknowledgement are not repeated.
func TestLongDelivery(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir(), ackWait: 300 * time.Millisecond})
	release := make(chan struct{})
	s := newSubscriber(t, func(http.ResponseWriter, *http.Request) { <-release })
	m.subscribe(s.spec("a", nil))
	m.accept("1")
	s.next()
	select {
	case <-s.got:
		t.Error("delivered twice at the same time")
	case <-time.After(1500 * time.Millisecond): // five times as long as the store waits
	}
	close(release)
	m.drained()
	s.none()
}

func TestTimeout(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	var calls atomic.Int32
	s := newSubscriber(t, func(_ http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			<-r.Context().Done() // until the channel hangs up
		}
	})
	delivery := retries(1, nil)
	delivery.Timeout = new("PT0.1S")
	m.subscribe(s.spec("a", delivery))
	m.accept("1")
	s.next()
	s.next()
	m.drained()
}

func TestChangeSubscriber(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	before, after := newSubscriber(t, status(http.StatusInternalServerError)), newSubscriber(t, nil)
	m.subscribe(before.spec("a", nil))
	m.accept("1")
	before.next()
	m.subscribe(after.spec("a", nil))
	after.next() // what is pending goes to the new address
	m.drained()
}

func TestRemoveSubscriber(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	a, b := newSubscriber(t, status(http.StatusInternalServerError)), newSubscriber(t, nil)
	m.subscribe(a.spec("a", nil), b.spec("b", nil))
	m.accept("1")
	a.next()
	b.next()
	m.subscribe(b.spec("b", nil))
	m.drained() // its events are gone with it
	stored, err := m.subscribersInStore(t.Context(), orders)
	if err != nil || !cmp.Equal(stored, []types.UID{"b"}) {
		t.Errorf("consumers %v, %v", stored, err)
	}
	m.accept("2")
	if got := b.next(); got.id != "2" {
		t.Errorf("got %q", got.id)
	}
}

// A subscriber that drops out of the list, but is to be kept, finds its events when it is back.
func TestKeepSubscriber(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	s := newSubscriber(t, nil)
	m.subscribe(s.spec("a", nil))
	if _, err := m.apply(t.Context(), orders, "uid", nil, []types.UID{"a"}); err != nil {
		t.Fatal(err)
	}
	m.accept("1")
	s.none()
	m.subscribe(s.spec("a", nil))
	s.next()
	m.drained()
}

// A subscriber whose specification can't be read is not served, and its events wait for a better one.
func TestBrokenSubscriber(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	s := newSubscriber(t, nil)
	for name, broken := range map[string]eventingduckv1.SubscriberSpec{
		"no address":  {UID: "a"},
		"bad delay":   s.spec("a", &eventingduckv1.DeliverySpec{BackoffDelay: new("5 seconds")}),
		"bad timeout": s.spec("a", &eventingduckv1.DeliverySpec{Timeout: new("5 seconds")}),
		"unresolved dead letter sink": s.spec("a", &eventingduckv1.DeliverySpec{
			DeadLetterSink: &duckv1.Destination{Ref: &duckv1.KReference{Kind: "Service", Name: "x"}},
		}),
	} {
		t.Run(name, func(t *testing.T) {
			failed, err := m.apply(t.Context(), orders, "uid", []eventingduckv1.SubscriberSpec{broken}, nil)
			if err != nil || failed["a"] == nil {
				t.Fatalf("got %v, %v", failed, err)
			}
			m.accept(name)
			s.none()
			m.subscribe(s.spec("a", nil))
			if got := s.next(); got.id != name {
				t.Errorf("got %q", got.id)
			}
			m.drained() // a delivery that is cut short by the next case would be repeated
		})
	}
}

// A channel that was deleted and made again has none of the events of the first.
func TestRecreatedChannel(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	failing, s := newSubscriber(t, status(http.StatusInternalServerError)), newSubscriber(t, nil)
	m.subscribe(failing.spec("a", nil))
	m.accept("1")
	failing.next()
	if _, err := m.apply(t.Context(), orders, "another uid", []eventingduckv1.SubscriberSpec{s.spec("a", nil)}, nil); err != nil {
		t.Fatal(err)
	}
	m.accept("2")
	if got := s.next(); got.id != "2" {
		t.Errorf("got %q", got.id)
	}
	m.drained()
	s.none()
}
