package resolvers

import (
	"context"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// k8sEvent is what package k8s tells about a change. Its Type is the schema's SubscriptionEventType as it is.
type k8sEvent[T client.Object] = k8s.Event[T]

// everything wants every object of a kind.
func everything[T any](T) bool { return true }

// watch answers a GraphQL subscription with the changes of those objects of obj's kind that opts select and wants wants.
// The channel closes when ctx ends; when it is the watch that ends, the client is told why.
func watch[T client.Object, E any](ctx context.Context, r *Resolver, obj T, wants func(T) bool, event func(k8sEvent[T]) E,
	opts ...client.ListOption,
) (<-chan E, error) {
	changes, err := k8s.Watch(ctx, r.Cluster, obj, opts...)
	if err != nil {
		return nil, err
	}
	pick := func(change k8sEvent[T]) (k8sEvent[T], bool) { return change, wants(change.Object) }
	return pump(ctx, r, changes, pick, event), nil
}

// pump sends on what pick makes of changes, until they end.
func pump[T client.Object, E any](ctx context.Context, r *Resolver, changes <-chan k8sEvent[T], pick func(k8sEvent[T]) (k8sEvent[T], bool), event func(k8sEvent[T]) E) <-chan E {
	out := make(chan E)
	go func() {
		defer close(out)
		for change := range changes {
			if change.Err != nil {
				r.endStream(ctx, change.Err)
				return
			}
			picked, ok := pick(change)
			if !ok {
				continue
			}
			transport.Announce(ctx, labelOf(picked))
			if !send(ctx, out, event(picked)) {
				return
			}
		}
	}()
	return out
}

// selection is what somebody sees who asked for only some of the objects of a kind: what comes to satisfy wants appears, what
// ceases to disappears.
type selection[T client.Object] struct {
	wants func(T) bool
	known map[client.ObjectKey]bool
}

// see is the change as it looks in the selection; ok is false when nothing changes there.
func (s selection[T]) see(change k8sEvent[T]) (seen k8sEvent[T], ok bool) {
	key := client.ObjectKeyFromObject(change.Object)
	was, is := s.known[key], change.Type != k8s.Deleted && s.wants(change.Object)
	switch {
	case is && !was:
		s.known[key] = true
		change.Type = k8s.Added
	case was && !is:
		delete(s.known, key)
		change.Type = k8s.Deleted
	}
	return change, was || is
}

// labelOf says what a change is about, so that readers who are slow are sent the latest state of each object.
func labelOf[T client.Object](change k8sEvent[T]) transport.Label {
	return transport.Label{Key: client.ObjectKeyFromObject(change.Object).String(), Kind: labelKinds[change.Type], At: change.At}
}

var labelKinds = map[k8s.EventType]transport.LabelKind{
	k8s.Added: transport.Added, k8s.Updated: transport.Updated, k8s.Deleted: transport.Deleted,
}

// endStream tells the client of a GraphQL subscription why there will be no more events. The caller then closes the
// channel.
func (r *Resolver) endStream(ctx context.Context, err error) {
	if ctx.Err() == nil {
		transport.EndStream(ctx, r.present(ctx, err))
	}
}

// send hands over v unless ctx ends first.
func send[T any](ctx context.Context, out chan<- T, v T) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

// related begins to watch what objects are partly made of. It sends their names into changed when that changes, and why
// the watch ended into failed, until ctx ends.
type related func(ctx context.Context, changed chan<- string, failed chan<- error) error

// part is the changes of those objects of obj's kind that opts select; of names the objects that each change concerns. Who
// may not watch them is not told of them, and is spared the error: the objects themselves are watched nevertheless.
func part[T client.Object](r *Resolver, obj T, of func(context.Context, k8sEvent[T]) ([]string, error), opts ...client.ListOption) related {
	return func(ctx context.Context, changed chan<- string, failed chan<- error) error {
		changes, err := k8s.Watch(ctx, r.Cluster, obj, opts...)
		if err != nil {
			return unseen(err)
		}
		go func() {
			for change := range changes {
				names, err := []string(nil), change.Err
				if err == nil {
					names, err = of(ctx, change)
				}
				if err != nil {
					if err := unseen(err); err != nil {
						send(ctx, failed, err)
					}
					return
				}
				for _, name := range names {
					send(ctx, changed, name)
				}
			}
		}()
		return nil
	}
}

// ofName says that a change of a part concerns the object of the same name.
func ofName[T client.Object](_ context.Context, e k8sEvent[T]) ([]string, error) {
	return []string{e.Object.GetName()}, nil
}

// ofNamespace says that a change of a part concerns its namespace.
func ofNamespace[T client.Object](_ context.Context, e k8sEvent[T]) ([]string, error) {
	return []string{e.Object.GetNamespace()}, nil
}

// unseen is nil for errors that say that a kind is not there or not for this user.
func unseen(err error) error {
	if k8s.Denied(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return err
}

// watchParts is watch for objects without a namespace whose fields are partly made of other objects. An object is also
// sent as updated when one of those changes. Several changes within the time settle are one update.
func watchParts[T client.Object, E any](ctx context.Context, r *Resolver, obj T, wants func(T) bool, event func(k8sEvent[T]) E, parts ...related) (<-chan E, error) {
	ctx, cancel := context.WithCancel(ctx)
	changes, err := k8s.Watch(ctx, r.Cluster, obj)
	if err != nil {
		cancel()
		return nil, err
	}
	changed, failed := make(chan string), make(chan error)
	for _, watchPart := range parts {
		if err := watchPart(ctx, changed, failed); err != nil {
			cancel()
			return nil, err
		}
	}
	out := make(chan E)
	go func() {
		defer close(out)
		defer cancel()
		s := parted[T, E]{Resolver: r, obj: obj, wants: wants, event: event, out: out}
		if err := s.run(ctx, changes, changed, failed); err != nil {
			r.endStream(ctx, err)
		}
	}()
	return out, nil
}

// parted is the stream of watchParts.
type parted[T client.Object, E any] struct {
	*Resolver
	obj   T
	wants func(T) bool
	event func(k8sEvent[T]) E
	out   chan<- E
}

// run returns nil when ctx has ended, else why the stream cannot go on.
func (s *parted[T, E]) run(ctx context.Context, changes <-chan k8sEvent[T], changed <-chan string, failed <-chan error) error {
	stale := map[string]bool{} // names of objects of which parts have changed
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case name := <-changed:
			stale[name] = true
			if settled == nil {
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			for _, name := range slices.Sorted(maps.Keys(stale)) {
				if err := s.update(ctx, name); err != nil {
					return err
				}
			}
			clear(stale)
		case change, ok := <-changes:
			if !ok || change.Err != nil {
				return change.Err
			}
			delete(stale, change.Object.GetName()) // this event shows the parts as they are now
			if s.wants(change.Object) {
				transport.Announce(ctx, labelOf(change))
				send(ctx, s.out, s.event(change))
			}
		}
	}
}

// update sends an object as updated, if there is one of that name that the user may see.
func (s *parted[T, E]) update(ctx context.Context, name string) error {
	obj := s.obj.DeepCopyObject().(T)
	err := s.Cluster.Client(ctx).Get(ctx, client.ObjectKey{Name: name}, obj)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return unseen(err)
	case s.wants(obj):
		change := k8sEvent[T]{Type: k8s.Updated, Object: obj}
		transport.Announce(ctx, labelOf(change))
		send(ctx, s.out, s.event(change))
	}
	return nil
}
