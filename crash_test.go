package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"knative.dev/pkg/apis"
)

// The program is killed at random moments while one tenant is provisioned and another is removed. Each start has to
// finish both, and then there must be exactly what there should be; it is also the stage of the next kill.
func TestCrashWhileProvisioning(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	random := crashRandom(t)
	dir, sink := crashDir(t), newCrashSink(t)
	c := startConsole(t, dir)

	tenants := []*tenant{newTenant(0, sink)}
	began := time.Now()
	c.finish(t, tenants[0].provision)
	took := time.Since(began)
	t.Logf("a provisioning run takes %v when nothing disturbs it", took)

	// Spread over the run: a random moment in each of as many parts, in random order.
	for n, part := range random.Perm(kills) {
		moment := time.Duration((float64(part) + random.Float64()) * float64(took) / float64(kills))
		last, next := tenants[n], newTenant(n+1, sink)
		tenants = append(tenants, next)
		c.killDuring(t, moment, next.provision, last.remove)
		t.Logf("kill %d after %v: provisioning at %q, removal at %q", n+1, moment, next.provision, last.remove)
		if n%7 == 3 { // and while it recovers
			c = launchConsole(t, dir)
			c.killAfter(t, time.Duration(random.Int64N(int64(4*time.Second))))
		}
		c = startConsole(t, dir)
		c.finish(t, next.provision, last.remove)
		next.works(t, c, fmt.Sprintf("after-%d", n+1))
		c.onlyHas(t, tenants[:n+1], next)
	}

	// Kubernetes removes a namespace some seconds after it was told to, and starts anew after a crash.
	c.finish(t, tenants[kills].remove)
	c.killAfter(t, 5*time.Second+time.Duration(random.Int64N(int64(4*time.Second))))
	c = startConsole(t, dir)
	c.onlyHas(t, nil)
}

// crashSenders is how many clients send at a time.
const crashSenders = 8

// What the connector has answered with 2xx arrives, though the program is killed while events come and go.
func TestCrashUnderLoad(t *testing.T) {
	const enough = 5000
	dir, sink, random := crashDir(t), newCrashSink(t), crashRandom(t)
	shop := newTenant(0, sink)
	c := startConsole(t, dir)
	c.finish(t, shop.provision)

	events := newCrashLoad(shop)
	killAt := 2000 + random.IntN(2000)
	events.sendUntil(t, c, killAt, func() { c.kill(t) })
	t.Logf("killed with %d events accepted, %d of them delivered", events.count(), sink.unique(events.ids()))

	c = startConsole(t, dir)
	events.sendUntil(t, c, enough, nil)
	events.requireAll(t, sink)
}

// What the connector has answered with 2xx arrives, though the subscriber was down when the program was killed.
func TestCrashWhileSubscriberIsDown(t *testing.T) {
	const enough = 2000
	dir, sink := crashDir(t), newCrashSink(t)
	shop := newTenant(0, sink)
	c := startConsole(t, dir)
	c.finish(t, shop.provision)

	events := newCrashLoad(shop)
	sink.down.Store(true)
	events.sendUntil(t, c, enough, nil)
	if n := sink.unique(events.ids()); n > 0 {
		t.Fatalf("%d events were delivered to a subscriber that was down", n)
	}
	t.Logf("killed with %d events accepted and %d attempts to deliver one", events.count(), sink.refused.Load())
	c.kill(t)

	startConsole(t, dir)
	sink.down.Store(false)
	events.requireAll(t, sink)
}

// crashLoad is many events of one tenant.
type crashLoad struct {
	of   *tenant
	next atomic.Int64

	mu       sync.Mutex
	accepted []string      // ids of the events that were answered with 2xx
	reached  chan struct{} // closed when there are as many as were waited for
	limit    int
}

func newCrashLoad(of *tenant) *crashLoad { return &crashLoad{of: of} }

// sendUntil sends from several clients until limit events have been accepted in all. With kill they do not stop there,
// but when the program no longer answers, which kill sees to.
func (l *crashLoad) sendUntil(t *testing.T, c *console, limit int, kill func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l.mu.Lock()
	l.limit, l.reached = limit, make(chan struct{})
	reached := l.reached
	l.mu.Unlock()
	var clients sync.WaitGroup
	for range crashSenders {
		clients.Go(func() {
			for kill != nil || l.count() < limit {
				id := fmt.Sprintf("load-%d", l.next.Add(1))
				if err := l.of.send(ctx, c.program, id); err != nil {
					if !c.killed.Load() {
						t.Errorf("event %s was not accepted: %v", id, err)
					}
					return // an event without an answer does not count
				}
				l.accept(l.of.name + "-" + id)
			}
		})
	}
	if kill != nil {
		select {
		case <-reached:
		case <-ctx.Done():
			t.Errorf("only %d events were accepted in %v", l.count(), patience)
		}
		kill()
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func (l *crashLoad) accept(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, id)
	if len(l.accepted) == l.limit {
		close(l.reached)
	}
}

func (l *crashLoad) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

func (l *crashLoad) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted[:len(l.accepted):len(l.accepted)]
}

// requireAll waits until every accepted event has arrived, as long as any do.
func (l *crashLoad) requireAll(t *testing.T, sink *crashSink) {
	t.Helper()
	began, ids := time.Now(), l.ids()
	silence := time.NewTimer(patience)
	defer silence.Stop()
	for {
		missing := sink.missing(ids)
		if len(missing) == 0 {
			break
		}
		select {
		case <-sink.news:
			silence.Reset(patience)
		case <-silence.C:
			t.Fatalf("%d of %d accepted events are lost: nothing has come for %v. The first: %v",
				len(missing), len(ids), patience, missing[:min(len(missing), 20)])
		}
	}
	t.Logf("%d accepted, 0 lost, %d duplicates, complete after another %v; %d arrived that had no answer",
		len(ids), sink.duplicates(), time.Since(began).Round(time.Millisecond), sink.total()-len(ids))
}

// crashSink is a subscriber outside of the mesh that notes what it gets.
type crashSink struct {
	url     *apis.URL
	down    atomic.Bool
	refused atomic.Int64
	news    chan struct{} // gets something when an event arrives

	mu  sync.Mutex
	got map[string]int // deliveries by event id
}

func newCrashSink(t *testing.T) *crashSink {
	t.Helper()
	s := &crashSink{got: map[string]int{}, news: make(chan struct{}, 1)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	var err error
	if s.url, err = apis.ParseURL(server.URL); err != nil {
		t.Fatal(err)
	}
	return s
}

// ServeHTTP takes an event. While it is down, half of them find nobody, the others a proxy that says so.
func (s *crashSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.down.Load() {
		if s.refused.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler) // closes the connection
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.mu.Lock()
	s.got[r.Header.Get("Ce-Id")]++
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *crashSink) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[id]
}

func (s *crashSink) missing(ids []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []string
	for _, id := range ids {
		if s.got[id] == 0 {
			missing = append(missing, id)
		}
	}
	return missing
}

// unique is how many of the events have arrived.
func (s *crashSink) unique(ids []string) int { return len(ids) - len(s.missing(ids)) }

// total is how many different events have arrived, those of the tenant's provisioning aside.
func (s *crashSink) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got) - 1
}

// duplicates is how many deliveries were repetitions.
func (s *crashSink) duplicates() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, times := range s.got {
		n += times - 1
	}
	return n
}
