package k8s

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
	// Object is the state after the change, the last known one for a deletion. It is shared with the cache and all other
	// receivers and must not be changed.
	Object T
	// At is when the change became known here: a read that begins later shows it.
	At time.Time
	// Err is set in the last event of a watch that ended by itself: the right to watch was withdrawn, or the reader was
	// too slow. The rest is then empty.
	Err error
}

// Watch streams the changes of objects of obj's kind, from now on, to the user in ctx. opts choose the namespace and
// labels. Objects that exist already are not replayed, so that a fresh query and a following watch miss nothing and
// repeat nothing.
//
// Who may not watch all namespaces gets the changes in those in which that user may, by the rules of Client's List. The
// rights are reviewed now, every Options.ReviewInterval, and when what they depend on comes or goes. For the receiver, an
// object that comes into sight is added and one that goes out of sight is deleted; when nothing is left to see, the watch
// ends.
//
// All watches of a kind share one informer. Publishing never waits for a reader: while one is busy, a newer state of an
// object replaces an older one that waits, and deletions are kept. The channel is closed when ctx ends, or after an event
// with Err.
func Watch[T client.Object](ctx context.Context, c *Cluster, obj T, opts ...client.ListOption) (<-chan Event[T], error) {
	w, err := c.newWatcher(ctx, obj, opts...)
	if err != nil {
		return nil, err
	}
	out := make(chan Event[T])
	go func() {
		defer close(out)
		defer w.stop()
		tick := time.NewTicker(c.reviewInterval)
		defer tick.Stop()
		var next *change // what the reader is offered
		for {
			var event Event[T]
			var ready chan<- Event[T]
			wake := w.queue.wake
			if next != nil {
				event, ready, wake = Event[T]{Type: next.kind, Object: next.object.(T), At: next.at}, out, nil
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				err = w.review(ctx)
			case <-w.moved:
				err = w.review(ctx)
			case <-wake:
				next, err = w.queue.next()
			case ready <- event:
				next, err = w.queue.next()
			}
			if err == nil && next != nil && next.kind != Deleted && !w.queue.sight.sees(next.object) {
				next, err = w.queue.next() // out of sight since it was offered
			}
			if err != nil {
				send(ctx, out, Event[T]{Err: err})
				return
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

// watcher is one user's watch of one kind.
type watcher struct {
	cluster   *Cluster
	user      user.Info
	kind      kind
	namespace string
	hub       *hub
	queue     *queue
	moved     poke   // holds a token when what the rights depend on has come or gone
	follows   []*hub // of what the rights depend on; nil while there is a right in all namespaces
}

// newWatcher reviews the right to watch and begins.
func (c *Cluster) newWatcher(ctx context.Context, obj client.Object, opts ...client.ListOption) (*watcher, error) {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewUnauthorized("no user")
	}
	k, err := c.kindOf(obj)
	if err != nil {
		return nil, err
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	w := &watcher{cluster: c, user: u, kind: k, namespace: o.Namespace, moved: make(poke, 1)}
	s, err := w.sight(ctx)
	if err != nil {
		w.stop()
		return nil, err
	}
	if w.hub, err = c.synced(ctx, k); err != nil {
		w.stop()
		return nil, fmt.Errorf("watching %s: %w", k.Kind, err)
	}
	w.queue = newQueue(s, func(obj client.Object) bool {
		return (o.Namespace == "" || o.Namespace == obj.GetNamespace()) &&
			(o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(obj.GetLabels())))
	})
	w.hub.join(w.queue)
	return w, nil
}

// sight is what the user may watch now. If that is not everything, what it depends on is followed from here on.
func (w *watcher) sight(ctx context.Context) (sight, error) {
	s, err := w.cluster.sightOf(ctx, w.user, "watch", w.kind, w.namespace)
	if err != nil || s.everything || w.follows != nil {
		return s, err
	}
	if err := w.follow(ctx); err != nil {
		return s, err
	}
	return w.cluster.sightOf(ctx, w.user, "watch", w.kind, w.namespace) // what has changed meanwhile
}

// follow pokes the watcher when Namespaces come or go, and objects through which others are seen.
func (w *watcher) follow(ctx context.Context) error {
	of := []runtime.Object{&corev1.Namespace{}}
	if through := seenThrough[w.kind.GroupKind()]; through != nil {
		of = append(of, through())
	}
	for _, obj := range of {
		k, err := w.cluster.kindOf(obj)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return err
		}
		h, err := w.cluster.synced(ctx, k)
		if err != nil {
			return err
		}
		h.join(w.moved)
		w.follows = append(w.follows, h)
	}
	return nil
}

// review changes what the watcher sees to what the user may watch now. Nothing at all is an error.
func (w *watcher) review(ctx context.Context) error {
	s, err := w.sight(ctx)
	if err == nil && !s.equal(w.queue.sight) {
		w.hub.look(w.queue, s)
	}
	return err
}

func (w *watcher) stop() {
	if w.queue != nil {
		w.hub.leave(w.queue)
	}
	for _, h := range w.follows {
		h.leave(w.moved)
	}
}
