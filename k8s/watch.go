package k8s

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// reviewInterval is how often the right to watch is reviewed while a watch lasts.
	reviewInterval = 30 * time.Second
	// maxPending is how many objects may wait for one reader.
	maxPending = 10_000
)

// errSlow ends the watch of a reader for whom more than maxPending objects wait. It is of the kind that clients know.
var errSlow = apierrors.NewTooManyRequestsError(fmt.Sprintf("the reader is too slow, more than %d changed objects wait for it", maxPending))

// EventType says what happened to an object. The values are those of the Console's SubscriptionEventType.
type EventType string

// What can happen to an object.
const (
	Added   EventType = "ADD"
	Updated EventType = "UPDATE"
	Deleted EventType = "DELETE"
)

// Event is one change of an object.
type Event[T client.Object] struct {
	Type EventType
	// Object is the state after the change, the last known one for a deletion. It is the receiver's own copy.
	Object T
	// Err is set in the last event of a watch that ended by itself: the right to watch was withdrawn, or the reader was
	// too slow. Type and Object are then empty.
	Err error
}

// Watch streams the changes of objects of obj's kind, from now on, to the user in ctx. opts choose the namespace and
// labels. Objects that exist already are not replayed, so that a fresh query and a following watch miss nothing and
// repeat nothing.
//
// The right to watch is reviewed now and every half minute. All watches of a kind share one informer. Publishing never
// waits for a reader: while one is busy, a newer state of an object replaces an older one that waits, and deletions are
// kept. The channel is closed when ctx ends, or after an event with Err.
func Watch[T client.Object](ctx context.Context, c *Cluster, obj T, opts ...client.ListOption) (<-chan Event[T], error) {
	var o client.ListOptions
	o.ApplyOptions(opts)
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewUnauthorized("no user")
	}
	review := func() error { return c.review(ctx, u, "watch", obj, o.Namespace, "") }
	if err := review(); err != nil {
		return nil, err
	}
	h, err := c.hubFor(ctx, obj)
	if err != nil {
		return nil, err
	}
	q := h.join(func(obj client.Object) bool {
		return (o.Namespace == "" || o.Namespace == obj.GetNamespace()) &&
			(o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(obj.GetLabels())))
	})
	out := make(chan Event[T])
	go func() {
		defer close(out)
		defer h.leave(q)
		tick := time.NewTicker(reviewInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := review(); err != nil {
					send(ctx, out, Event[T]{Err: err})
					return
				}
			case <-q.wake:
				changes, err := q.take()
				for _, ch := range changes {
					if !send(ctx, out, Event[T]{Type: ch.kind, Object: ch.object.DeepCopyObject().(T)}) {
						return
					}
				}
				if err != nil {
					send(ctx, out, Event[T]{Err: err})
					return
				}
			}
		}
	}()
	return out, nil
}

func send[T any](ctx context.Context, out chan<- T, v T) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

// hubFor returns the hub of obj's kind, made and joined to the kind's informer when it is the first.
func (c *Cluster) hubFor(ctx context.Context, obj client.Object) (*hub, error) {
	gvk, err := c.kindOf(obj)
	if err != nil {
		return nil, err
	}
	informer, err := c.manager.GetCache().GetInformer(ctx, obj)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", gvk.Kind, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.hubs[gvk]; ok {
		return h, nil
	}
	h := &hub{queues: map[*queue]struct{}{}}
	if _, err := informer.AddEventHandler(h.handler()); err != nil {
		return nil, fmt.Errorf("watching %s: %w", gvk.Kind, err)
	}
	c.hubs[gvk] = h
	return h, nil
}

// hub hands the changes of one kind to all who watch it.
type hub struct {
	mu     sync.Mutex
	queues map[*queue]struct{}
}

func (h *hub) join(wants func(client.Object) bool) *queue {
	q := &queue{wants: wants, pending: map[types.NamespacedName]*pending{}, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queues[q] = struct{}{}
	return q
}

func (h *hub) leave(q *queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.queues, q)
}

func (h *hub) publish(kind EventType, obj client.Object) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for q := range h.queues {
		if q.wants(obj) {
			q.put(kind, obj)
		}
	}
}

// handler publishes what an informer sees, except what is no change: the objects that were there before, and the
// repetition of known states.
func (h *hub) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) {
			if o, ok := obj.(client.Object); ok && !initial {
				h.publish(Added, o)
			}
		},
		UpdateFunc: func(before, after any) {
			b, ok1 := before.(client.Object)
			a, ok2 := after.(client.Object)
			if ok1 && ok2 && !same(b, a) {
				h.publish(Updated, a)
			}
		},
		DeleteFunc: func(obj any) {
			if t, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if o, ok := obj.(client.Object); ok {
				h.publish(Deleted, o)
			}
		},
	}
}

// same reports whether two states differ in nothing but their version.
func same(before, after client.Object) bool {
	if before.GetResourceVersion() == after.GetResourceVersion() {
		return true
	}
	b := before.DeepCopyObject().(client.Object)
	b.SetResourceVersion(after.GetResourceVersion())
	b.SetManagedFields(after.GetManagedFields())
	return equality.Semantic.DeepEqual(b, after)
}

// queue holds what one reader has yet to read: for each object at most one deletion and the state after it.
type queue struct {
	wants func(client.Object) bool
	wake  chan struct{} // holds a token while something waits

	mu      sync.Mutex
	pending map[types.NamespacedName]*pending
	order   []types.NamespacedName // of the first change that waits
	err     error
}

type pending struct{ deleted, latest *change }

type change struct {
	kind   EventType
	object client.Object
}

// put adds a change. It never blocks.
func (q *queue) put(kind EventType, obj client.Object) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	p, ok := q.pending[key]
	switch {
	case q.err != nil:
		return
	case !ok && len(q.pending) == maxPending:
		q.err = errSlow
	case !ok:
		p = &pending{}
		q.pending[key] = p
		q.order = append(q.order, key)
		fallthrough
	default:
		p.add(change{kind, obj})
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (p *pending) add(c change) {
	switch {
	case c.kind == Deleted:
		p.deleted, p.latest = &c, nil
	case p.latest != nil:
		p.latest.object = c.object // an unread addition stays an addition
	default:
		p.latest = &c
	}
}

// take returns all that waits, and why nothing will follow, if so.
func (q *queue) take() ([]change, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var changes []change
	for _, key := range q.order {
		p := q.pending[key]
		for _, c := range []*change{p.deleted, p.latest} {
			if c != nil {
				changes = append(changes, *c)
			}
		}
	}
	clear(q.pending)
	q.order = slices.Delete(q.order, 0, len(q.order))
	return changes, q.err
}
