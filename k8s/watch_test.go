package k8s

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func object(name, version string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}, Data: map[string]string{"v": version}}
}

func all(client.Object) bool { return true }

func newHub() *hub { return &hub{queues: map[*queue]struct{}{}} }

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
		{"an unread addition stays one", []event{{Added, "a", "1"}, {Updated, "a", "2"}}, []string{"ADD a 2"}},
		{"a deletion replaces what came before", []event{{Added, "a", "1"}, {Updated, "a", "2"}, {Deleted, "a", "3"}}, []string{"DELETE a 3"}},
		{"a deletion is kept when the object comes back", []event{{Deleted, "a", "1"}, {Added, "a", "2"}, {Updated, "a", "3"}}, []string{"DELETE a 1", "ADD a 3"}},
		{"of two deletions the last counts", []event{{Deleted, "a", "1"}, {Added, "a", "2"}, {Deleted, "a", "3"}}, []string{"DELETE a 3"}},
		{"objects come in the order of their first change", []event{{Added, "b", "1"}, {Added, "a", "2"}, {Updated, "b", "3"}}, []string{"ADD b 3", "ADD a 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newHub().join(all)
			for _, e := range tt.put {
				q.put(e.kind, object(e.name, e.version))
			}
			changes, err := q.take()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				got = append(got, fmt.Sprint(c.kind, " ", c.object.GetName(), " ", c.object.GetResourceVersion()))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
}

// TestQueueOverflow tells a reader that cannot hold even one state of each object.
func TestQueueOverflow(t *testing.T) {
	q := newHub().join(all)
	for i := range maxPending + 2 {
		q.put(Added, object(fmt.Sprint(i), "1"))
	}
	changes, err := q.take()
	if err == nil || len(changes) != maxPending {
		t.Errorf("after %d objects: %d taken, error %v; want %d and an error", maxPending+2, len(changes), err, maxPending)
	}
}

// TestHandler publishes changes and nothing else.
func TestHandler(t *testing.T) {
	labelled := object("a", "2")
	labelled.Data = object("a", "1").Data
	for _, tt := range []struct {
		name string
		do   func(toolscache.ResourceEventHandler)
		want int
	}{
		{"an object that was there before", func(h toolscache.ResourceEventHandler) { h.OnAdd(object("a", "1"), true) }, 0},
		{"a new object", func(h toolscache.ResourceEventHandler) { h.OnAdd(object("a", "1"), false) }, 1},
		{"a resync", func(h toolscache.ResourceEventHandler) { h.OnUpdate(object("a", "1"), object("a", "1")) }, 0},
		{"a new version of the same state", func(h toolscache.ResourceEventHandler) { h.OnUpdate(object("a", "1"), labelled) }, 0},
		{"a change", func(h toolscache.ResourceEventHandler) { h.OnUpdate(object("a", "1"), object("a", "2")) }, 1},
		{"a deletion", func(h toolscache.ResourceEventHandler) { h.OnDelete(object("a", "1")) }, 1},
		{"a deletion that was missed", func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "a", Obj: object("a", "1")})
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub()
			q := h.join(all)
			tt.do(h.handler())
			if changes, _ := q.take(); len(changes) != tt.want {
				t.Errorf("published %d changes, want %d", len(changes), tt.want)
			}
		})
	}
}

// TestHubUnderLoad has hundreds of readers come and go while changes are published, and one that never reads. Nobody waits
// for anybody, and who stays gets the last state of every object.
func TestHubUnderLoad(t *testing.T) {
	const objects, rounds, readers = 20, 200, 300
	h := newHub()
	never, always := h.join(all), h.join(all)

	var publishing, leaving sync.WaitGroup
	publishing.Go(func() {
		for round := range rounds {
			for o := range objects {
				h.publish(Updated, object(fmt.Sprint(o), fmt.Sprint(round)))
			}
		}
	})
	for range readers {
		leaving.Go(func() {
			q := h.join(all)
			<-q.wake
			if _, err := q.take(); err != nil {
				t.Error(err)
			}
			h.leave(q)
		})
	}
	publishing.Wait()
	// Who joined after the last change still has to be woken.
	done := make(chan struct{})
	go func() { leaving.Wait(); close(done) }()
	for stop := false; !stop; {
		select {
		case <-done:
			stop = true
		default:
			h.publish(Updated, object("0", fmt.Sprint(rounds)))
		}
	}

	for name, q := range map[string]*queue{"the reader that never read": never, "the reader that reads now": always} {
		changes, err := q.take()
		if err != nil || len(changes) != objects {
			t.Errorf("%s: %d changes, error %v; want one for each of %d objects", name, len(changes), err, objects)
		}
		for _, c := range changes {
			if v := c.object.GetResourceVersion(); v != fmt.Sprint(rounds-1) && v != fmt.Sprint(rounds) {
				t.Errorf("%s: object %s at %s, want the last state", name, c.object.GetName(), v)
			}
		}
	}
	if len(h.queues) != 2 {
		t.Errorf("%d readers are still known, want 2", len(h.queues))
	}
}
