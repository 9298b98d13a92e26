package jetstream

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// patience is how long a test waits for what must happen. Only a failing test takes so long.
const patience = 20 * time.Second

var orders = types.NamespacedName{Namespace: "kyma-integration", Name: "orders"}

// mesh is a server with its channels, and the HTTP server in front of them.
type mesh struct {
	*Channels
	t      testing.TB
	server *Server
	http   *httptest.Server
	log    *syncBuffer
	once   sync.Once
}

// startMesh starts a mesh on a store. It is stopped with the test, unless that stops it earlier.
func startMesh(t testing.TB, o Options) *mesh {
	t.Helper()
	return newMesh(t, o, func(s *Server, o Options) (*Channels, error) { return newChannels(t.Context(), s, o) })
}

// newMesh is startMesh with another way to make the channels.
func newMesh(t testing.TB, o Options, channels func(*Server, Options) (*Channels, error)) *mesh {
	t.Helper()
	m := &mesh{t: t, log: &syncBuffer{}}
	o.Log = slog.New(slog.NewJSONHandler(m.log, nil))
	o.ServerLog = slog.New(slog.DiscardHandler)
	var err error
	if m.server, err = Start(o); err != nil {
		t.Fatal(err)
	}
	if m.Channels, err = channels(m.server, o); err != nil {
		m.server.Close()
		t.Fatal(err)
	}
	m.http = httptest.NewServer(m.Channels)
	t.Cleanup(m.stop)
	return m
}

func (m *mesh) stop() {
	m.once.Do(func() {
		m.http.Close()
		m.close()
		m.server.Close()
	})
}

// subscribe applies the subscribers to the channel orders.
func (m *mesh) subscribe(subscribers ...eventingduckv1.SubscriberSpec) {
	m.t.Helper()
	failed, err := m.apply(m.t.Context(), orders, "uid", subscribers, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	for uid, err := range failed {
		m.t.Fatalf("subscriber %s: %v", uid, err)
	}
}

// post sends an event of the given id to the channel orders and returns the status.
func (m *mesh) post(id string, edit ...func(*http.Request)) int {
	m.t.Helper()
	status, err := post(m.t.Context(), m.http.URL, id, edit...)
	if err != nil {
		m.t.Fatal(err)
	}
	return status
}

func post(ctx context.Context, url, id string, edit ...func(*http.Request)) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"order":"`+id+`"}`))
	if err != nil {
		return 0, err
	}
	req.Host = Host(orders.Name, orders.Namespace)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Type": "order.created", "Ce-Source": "shop", "Ce-Id": id,
	} {
		req.Header.Set(name, value)
	}
	for _, f := range edit {
		f(req)
	}
	resp, err := senders.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// senders keeps enough connections for all senders of a test.
var senders = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

// accept posts events and requires that they are stored.
func (m *mesh) accept(ids ...string) {
	m.t.Helper()
	for _, id := range ids {
		if status := m.post(id); status != http.StatusAccepted {
			m.t.Fatalf("event %s: status %d", id, status)
		}
	}
}

// request is what a subscriber got.
type request struct {
	id     string
	header http.Header
	body   string
}

// subscriber is an HTTP server that notes what it gets.
type subscriber struct {
	t    testing.TB
	http *httptest.Server
	got  chan request
}

// newSubscriber starts a subscriber that answers as answer does, or 202 when it is nil. Requests are noted first.
func newSubscriber(t testing.TB, answer http.HandlerFunc) *subscriber {
	t.Helper()
	s := &subscriber{t: t, got: make(chan request, 10_000)}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.got <- request{id: r.Header.Get("Ce-Id"), header: r.Header.Clone(), body: string(body)}
		if answer == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.http.Close)
	return s
}

func (s *subscriber) url() *apis.URL {
	u, err := apis.ParseURL(s.http.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// spec is the subscriber's entry in a channel.
func (s *subscriber) spec(uid types.UID, delivery *eventingduckv1.DeliverySpec) eventingduckv1.SubscriberSpec {
	return eventingduckv1.SubscriberSpec{UID: uid, Generation: 1, SubscriberURI: s.url(), Delivery: delivery}
}

// next waits for the next request.
func (s *subscriber) next() request {
	s.t.Helper()
	select {
	case r := <-s.got:
		return r
	case <-time.After(patience):
		s.t.Fatal("no request came")
		return request{}
	}
}

// collect waits until n different events have come, and returns how often each did.
func (s *subscriber) collect(n int) map[string]int {
	s.t.Helper()
	counts := map[string]int{}
	for len(counts) < n {
		counts[s.next().id]++
	}
	return counts
}

// none requires that nothing has come that was not asked for.
func (s *subscriber) none() {
	s.t.Helper()
	select {
	case r := <-s.got:
		s.t.Fatalf("unexpected request: %+v", r)
	default:
	}
}

// drained waits until the store holds no event of the channel orders any more.
func (m *mesh) drained() {
	m.t.Helper()
	m.eventually("the store is empty", func() bool { return m.stored() == 0 })
}

// stored is how many events of the channel orders are in the store.
func (m *mesh) stored() uint64 {
	m.t.Helper()
	stream, err := m.server.deliver.Stream(m.t.Context(), streamName(orders))
	if err != nil {
		m.t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func (m *mesh) eventually(what string, cond func() bool) {
	m.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			m.t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// retries is a delivery specification with n quick retries, and a dead letter sink unless that is nil.
func retries(n int32, deadLetter *subscriber) *eventingduckv1.DeliverySpec {
	policy, delay := eventingduckv1.BackoffPolicyLinear, "PT0.01S"
	d := &eventingduckv1.DeliverySpec{Retry: &n, BackoffPolicy: &policy, BackoffDelay: &delay}
	if deadLetter != nil {
		d.DeadLetterSink = &duckv1.Destination{URI: deadLetter.url()}
	}
	return d
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
