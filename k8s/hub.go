package k8s

import (
	"context"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// hub is what this process has seen of one kind: it hands the changes to all who watch it, and tells how far it is. Each
// informer has one from its beginning.
type hub struct {
	generation atomic.Uint64 // of all objects of the kind together: grows with every change

	mu        sync.Mutex
	objects   map[types.NamespacedName]client.Object
	version   string // the newest seen
	listeners map[listener]struct{}
	moved     chan struct{} // closed with the next change; nil while nobody waits for it
}

// listener is told about changes, in their order, while the hub is locked: it must not wait for anything.
type listener interface {
	put(kind EventType, obj client.Object)
}

func newHub() *hub {
	return &hub{objects: map[types.NamespacedName]client.Object{}, listeners: map[listener]struct{}{}}
}

// hub returns the hub of a kind, nil when there is no informer of it.
func (c *Cluster) hub(k cached) *hub {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.hubs[k]
}

// synced returns the hub of k once the cache has all objects of the kind. It starts the informer if nobody has.
func (c *Cluster) synced(ctx context.Context, k kind) (*hub, error) {
	example, err := k.example(c.manager.GetScheme())
	if err != nil {
		return nil, err
	}
	if _, err := c.manager.GetCache().GetInformer(ctx, example); err != nil {
		return nil, err
	}
	return c.hub(k.cached), nil
}

// addHub gives an informer that has not started, of obj's kind, its hub.
func (c *Cluster) addHub(scheme *runtime.Scheme, informer toolscache.SharedIndexInformer, obj runtime.Object) {
	gvk, err := apiutil.GVKForObject(obj, scheme)
	utilruntime.Must(err) // the caches have found it by the same scheme
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cached{gvk, formOf(obj)}
	h := c.hubs[k]
	if h == nil { // else the informer is made for the second time: the kind was not there at the first
		h = newHub()
		c.hubs[k] = h
	}
	_, err = informer.AddEventHandler(h.handler())
	utilruntime.Must(err) // fails for informers that have stopped
}

// handler takes what an informer sees. It is news except what is no change: the objects that were there before, and the
// repetition of known states.
func (h *hub) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) {
			if o, ok := obj.(client.Object); ok {
				h.see(Added, o, !initial)
			}
		},
		UpdateFunc: func(before, after any) {
			b, ok1 := before.(client.Object)
			a, ok2 := after.(client.Object)
			if ok1 && ok2 && b.GetResourceVersion() != a.GetResourceVersion() {
				h.see(Updated, a, !same(b, a))
			}
		},
		DeleteFunc: func(obj any) {
			if t, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if o, ok := obj.(client.Object); ok {
				h.see(Deleted, o, true)
			}
		},
	}
}

// same reports whether two states differ in nothing but their version.
func same(before, after client.Object) bool {
	b := before.DeepCopyObject().(client.Object)
	b.SetResourceVersion(after.GetResourceVersion())
	b.SetManagedFields(after.GetManagedFields())
	return equality.Semantic.DeepEqual(b, after)
}

// see takes note of a change, and publishes it if it is news. The generation comes first, so that whoever acts on the
// change finds that what was read before is no longer current.
func (h *hub) see(kind EventType, obj client.Object, news bool) {
	h.generation.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	if kind == Deleted {
		delete(h.objects, key)
	} else {
		h.objects[key] = obj
	}
	if newer(obj.GetResourceVersion(), h.version) {
		h.version = obj.GetResourceVersion()
	}
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
	if !news {
		return
	}
	for l := range h.listeners {
		l.put(kind, obj)
	}
}

// newer reports whether version a of an object is later than b. What is no version is not.
func newer(a, b string) bool {
	if b == "" {
		return a != ""
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// await returns when reached, which is asked after each change while the hub is locked, or when ctx ends.
func (h *hub) await(ctx context.Context, reached func(*hub) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !reached(h) {
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		h.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		h.mu.Lock()
		if ctx.Err() != nil {
			return
		}
	}
}

func (h *hub) join(l listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[l] = struct{}{}
}

func (h *hub) leave(l listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
}

// look changes what q sees of the hub. What comes into sight is an addition for it, and what goes out of it a deletion.
func (h *hub) look(q *queue, s sight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, obj := range h.objects {
		switch before, after := q.sight.sees(obj), s.sees(obj); {
		case before == after || !q.wants(obj):
		case after:
			q.add(Added, obj)
		default:
			q.add(Deleted, obj)
		}
	}
	q.sight = s
}

// poke is a listener that wants to know no more than that objects have come or gone. It holds a token when they have.
type poke chan struct{}

func (p poke) put(kind EventType, _ client.Object) {
	if kind == Updated {
		return
	}
	select {
	case p <- struct{}{}:
	default:
	}
}
