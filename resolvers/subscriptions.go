package resolvers

import (
	"context"

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
