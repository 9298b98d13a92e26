package k8s

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func object(name, version string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}, Data: map[string]string{"v": version}}
}

func objectIn(namespace, name, version string) *corev1.ConfigMap {
	o := object(name, version)
	o.Namespace = namespace
	return o
}

func all(client.Object) bool { return true }

// joined is the queue of a new reader who sees and wants everything.
func joined(h *hub) *queue {
	q := newQueue(sight{everything: true}, all)
	h.join(q)
	return q
}

// take reads all that waits.
func take(q *queue) (changes []change, err error) {
	for {
		c, err := q.next()
		if c == nil {
			return changes, err
		}
		changes = append(changes, *c)
	}
}

// taken is what take reads, for comparison.
func taken(t *testing.T, q *queue) (got []string) {
	t.Helper()
	changes, err := take(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		got = append(got, fmt.Sprint(c.kind, " ", c.object.GetName(), " ", c.object.GetResourceVersion()))
	}
	return got
}

// TestQueue holds what a reader gets that was busy while things happened: for each object at most a deletion and the
// state after it.
func TestQueue(t *testing.T) {
	type event struct {
		kind    EventType
		name    string
		version string
	}
	for _, tt := range []struct {
		name string
		put  []event
		want []string
	}{
		{"nothing", nil, nil},
		{"a newer state replaces an older one", []event{{Updated, "a", "1"}, {Updated, "a", "2"}}, []string{"UPDATE a 2"}},
		{"an unread addition stays one", []event{{Added, "a", "1"}, {Updated, "a", "2"}}, []string{"ADD a 1", "UPDATE a 2"}},
		{"a deletion replaces what came before", []event{{Added, "a", "1"}, {Updated, "a", "2"}, {Deleted, "a", "3"}}, []string{"DELETE a 3"}},
		{"a deletion is kept when the object comes back", []event{{Deleted, "a", "1"}, {Added, "a", "2"}, {Updated, "a", "3"}}, []string{"DELETE a 1", "ADD a 2", "UPDATE a 3"}},
		{"of two deletions the last counts", []event{{Deleted, "a", "1"}, {Added, "a", "2"}, {Deleted, "a", "3"}}, []string{"DELETE a 3"}},
		{"objects come in the order of their first change", []event{{Added, "b", "1"}, {Added, "a", "2"}, {Updated, "b", "3"}}, []string{"ADD b 1", "UPDATE b 3", "ADD a 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := joined(newHub())
			for _, e := range tt.put {
				q.put(e.kind, object(e.name, e.version))
			}
			if diff := cmp.Diff(tt.want, taken(t, q)); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

// TestQueueOverflow tells a reader that cannot hold even one state of each object.
func TestQueueOverflow(t *testing.T) {
	q := joined(newHub())
	for i := range maxPending + 2 {
		q.put(Added, object(fmt.Sprint(i), "1"))
	}
	changes, err := take(q)
	if err == nil || len(changes) != maxPending {
		t.Errorf("after %d objects: %d taken, error %v; want %d and an error", maxPending+2, len(changes), err, maxPending)
	}
}

// TestHandler publishes changes and nothing else, and counts whatever a reader of the cache could notice.
func TestHandler(t *testing.T) {
	labelled := object("a", "2")
	labelled.Data = object("a", "1").Data
	for _, tt := range []struct {
		name       string
		do         func(toolscache.ResourceEventHandler)
		published  int
		generation uint64
	}{
		{"an object that was there before", func(h toolscache.ResourceEventHandler) { h.OnAdd(object("a", "1"), true) }, 0, 1},
		{"a new object", func(h toolscache.ResourceEventHandler) { h.OnAdd(object("a", "1"), false) }, 1, 1},
		{"a resync", func(h toolscache.ResourceEventHandler) { h.OnUpdate(object("a", "1"), object("a", "1")) }, 0, 0},
		{"a new version of the same state", func(h toolscache.ResourceEventHandler) { h.OnUpdate(object("a", "1"), labelled) }, 0, 1},
		{"a change", func(h toolscache.ResourceEventHandler) { h.OnUpdate(object("a", "1"), object("a", "2")) }, 1, 1},
		{"a deletion", func(h toolscache.ResourceEventHandler) { h.OnDelete(object("a", "1")) }, 1, 1},
		{"a deletion that was missed", func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "a", Obj: object("a", "1")})
		}, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub()
			q := joined(h)
			tt.do(h.handler())
			if got := taken(t, q); len(got) != tt.published {
				t.Errorf("published %q, want %d changes", got, tt.published)
			}
			if got := h.generation.Load(); got != tt.generation {
				t.Errorf("generation %d, want %d", got, tt.generation)
			}
		})
	}
}

// TestSight holds that granting is addition and revoking deletion for who watches, whatever happens meanwhile.
func TestSight(t *testing.T) {
	in := func(namespaces ...string) sight { return sight{namespaces: sets.New(namespaces...)} }
	// The hub looks at different objects in no order.
	anyOrder := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	for _, tt := range []struct {
		name  string
		do    func(*hub, *queue)
		want  []string
		order cmp.Option
	}{
		{"what is elsewhere", func(h *hub, _ *queue) { h.see(Updated, objectIn("b", "b1", "9"), true) }, nil, nil},
		{"granted", func(h *hub, q *queue) { h.look(q, in("a", "b")) }, []string{"ADD b1 2"}, nil},
		{"granted everything", func(h *hub, q *queue) { h.look(q, sight{everything: true}) }, []string{"ADD b1 2"}, nil},
		{"revoked", func(h *hub, q *queue) { h.look(q, in("b")) }, []string{"ADD b1 2", "DELETE a1 1"}, anyOrder},
		{"revoked after a change that was not read", func(h *hub, q *queue) {
			h.see(Updated, objectIn("a", "a1", "9"), true)
			h.look(q, in())
		}, []string{"DELETE a1 9"}, nil},
		{"revoked and granted again", func(h *hub, q *queue) { h.look(q, in()); h.look(q, in("a")) }, []string{"DELETE a1 1", "ADD a1 1"}, nil},
		{"changed after it was granted", func(h *hub, q *queue) {
			h.look(q, in("a", "b"))
			h.see(Updated, objectIn("b", "b1", "9"), true)
		}, []string{"ADD b1 2", "UPDATE b1 9"}, nil},
		{"deleted before it is revoked", func(h *hub, q *queue) {
			h.see(Deleted, objectIn("a", "a1", "9"), true)
			h.look(q, in())
		}, []string{"DELETE a1 9"}, nil},
		{"deleted after it is revoked", func(h *hub, q *queue) {
			h.look(q, in())
			h.see(Deleted, objectIn("a", "a1", "9"), true)
		}, []string{"DELETE a1 1"}, nil},
		{"not wanted", func(h *hub, q *queue) {
			q.wants = func(o client.Object) bool { return o.GetName() == "none" }
			h.look(q, in("b"))
		}, nil, nil},
		{"by name", func(h *hub, q *queue) { h.look(q, sight{names: sets.New("b1")}) }, []string{"ADD b1 2", "DELETE a1 1"}, anyOrder},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub()
			h.see(Added, objectIn("a", "a1", "1"), false)
			h.see(Added, objectIn("b", "b1", "2"), false)
			q := newQueue(in("a"), all)
			h.join(q)
			tt.do(h, q)
			if diff := cmp.Diff(tt.want, taken(t, q), tt.order); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAwait holds when a write counts as shown.
func TestAwait(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shown func(*hub) bool
		do    func(*hub)
		want  bool
	}{
		{"it is there", written(object("a", "5")), func(*hub) {}, true},
		{"a later version is there", written(object("a", "4")), func(*hub) {}, true},
		{"an earlier version is there", written(object("a", "6")), func(*hub) {}, false},
		{"as numbers, not as texts", written(object("a", "10")), func(*hub) {}, false},
		{"it comes", written(object("a", "6")), func(h *hub) { h.see(Updated, object("a", "6"), true) }, true},
		{"another one comes", written(object("a", "6")), func(h *hub) { h.see(Updated, object("b", "7"), true) }, false},
		{"it came and went", written(object("b", "6")), func(h *hub) { h.see(Added, object("b", "6"), true); h.see(Deleted, object("b", "7"), true) }, true},
		{"it was new and is not there yet", written(object("b", "6")), func(*hub) {}, false},
		{"the server does not say", written(object("a", "")), func(*hub) {}, true},
		{"deleted, and it is there", deleted(object("a", "")), func(*hub) {}, false},
		{"deleted, and it goes", deleted(object("a", "")), func(h *hub) { h.see(Deleted, object("a", "6"), true) }, true},
		{"deleted, and it will go", deleted(object("a", "")), func(h *hub) {
			o := object("a", "6")
			o.DeletionTimestamp = &metav1.Time{}
			h.see(Updated, o, true)
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				h.see(Added, object("a", "5"), false)
				ctx, cancel := context.WithTimeout(t.Context(), settleTime)
				defer cancel()
				go tt.do(h)
				h.await(ctx, tt.shown)
				if got := ctx.Err() == nil; got != tt.want {
					t.Errorf("shown %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// The load that TestHubUnderLoad publishes: change n is of object n%loadObjects, and every fifth round is of deletions.
const loadObjects, loadChanges = 20, 1500

func isDeletion(n int) bool { return n/loadObjects%5 == 4 }

// reader is somebody who knows which change of each object it has seen last.
type reader struct {
	queue *queue
	last  map[string]int
}

func newReader(h *hub) *reader { return &reader{joined(h), map[string]int{}} }

// read reads all that waits, and wants no older state after a newer one and no deletion left out.
func (r *reader) read(t *testing.T) {
	changes, err := take(r.queue)
	if err != nil {
		t.Error(err)
	}
	for _, c := range changes {
		name := c.object.GetName()
		n, err := strconv.Atoi(c.object.GetResourceVersion())
		if err != nil {
			t.Error(err)
		}
		last, known := r.last[name]
		if known && n <= last {
			t.Errorf("object %s: change %d after %d", name, n, last)
		}
		for lost := last + loadObjects; known && c.kind != Deleted && lost < n; lost += loadObjects {
			if isDeletion(lost) {
				t.Errorf("object %s: deletion %d is lost between %d and %d", name, lost, last, n)
			}
		}
		r.last[name] = n
	}
}

// TestHubUnderLoad has hundreds of readers join, leave and stall while a thousand changes a second are published. Nobody
// waits for anybody, no deletion is lost, who stays gets the last state of every object, and nothing is left behind.
func TestHubUnderLoad(t *testing.T) {
	const readers = 300
	before := runtime.NumGoroutine()
	h := newHub()
	ended := make(chan struct{})
	var reading sync.WaitGroup
	for i := range readers {
		switch i % 3 {
		case 0: // stalls
			r := newReader(h)
			reading.Go(func() { <-ended; r.toTheEnd(t, h) })
		case 1: // stays
			r := newReader(h)
			reading.Go(func() {
				for r.awake(ended) {
					r.read(t)
				}
				r.toTheEnd(t, h)
			})
		default: // comes and goes
			reading.Go(func() {
				for open := true; open; {
					r := newReader(h)
					open = r.awake(ended)
					r.read(t)
					h.leave(r.queue)
				}
			})
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 1; n <= loadChanges; n++ {
		<-tick.C
		kind := Updated
		if isDeletion(n) {
			kind = Deleted
		}
		h.see(kind, object(fmt.Sprint(n%loadObjects), fmt.Sprint(n)), true)
	}
	close(ended)
	reading.Wait()
	if len(h.listeners) != 0 {
		t.Errorf("%d readers are still known", len(h.listeners))
	}
	// A goroutine that has told that it is done takes a moment to be gone.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// awake waits until there is something to read, and is false when nothing more will be published.
func (r *reader) awake(ended <-chan struct{}) bool {
	select {
	case <-r.queue.wake:
		return true
	case <-ended:
		return false
	}
}

// toTheEnd reads what is left, wants to know the last change of every object then, and leaves.
func (r *reader) toTheEnd(t *testing.T, h *hub) {
	defer h.leave(r.queue)
	r.read(t)
	for n := loadChanges - loadObjects + 1; n <= loadChanges; n++ {
		if name := fmt.Sprint(n % loadObjects); r.last[name] != n {
			t.Errorf("object %s: last change seen is %d, want %d", name, r.last[name], n)
		}
	}
}
