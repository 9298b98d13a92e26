package resolvers

import (
	"context"
	"reflect"
	"time"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// settle is how long a change is held back to see whether more belong to it: one mutation makes a dozen objects change.
const settle = 20 * time.Millisecond

func (r queryResolver) MeshStatus(ctx context.Context, namespace, application *string) ([]eventmesh.Path, error) {
	return r.paths(ctx, deref(namespace), deref(application))
}

// paths observes the mesh as the user may see it.
func (r *Resolver) paths(ctx context.Context, namespace, application string) ([]eventmesh.Path, error) {
	s, err := snapshot(ctx, r.Cluster.Client(ctx), namespace)
	if err != nil {
		return nil, err
	}
	return eventmesh.Paths(s, application, namespace), nil
}

// snapshot reads all objects that matter for paths into namespace, "" for all. A kind that the cluster does not have
// counts as having no objects: the path then says what is missing.
func snapshot(ctx context.Context, c client.Reader, namespace string) (s eventmesh.Snapshot, err error) {
	list := func(l client.ObjectList, namespace string) {
		if err == nil {
			err = c.List(ctx, l, client.InNamespace(namespace))
		}
		if meta.IsNoMatchError(err) {
			err = nil
		}
	}
	var (
		apps          appv1.ApplicationList
		mappings      appv1.ApplicationMappingList
		activations   appv1.EventActivationList
		instances     scv1.ServiceInstanceList
		sources       sourcesv1.HTTPSourceList
		channels      messagingv1.ChannelList
		subscriptions messagingv1.SubscriptionList
		brokers       eventingv1.BrokerList
		triggers      eventingv1.TriggerList
		functions     functionsv1.FunctionList
		services      corev1.ServiceList
	)
	list(&apps, "")
	list(&sources, eventmesh.IntegrationNamespace)
	list(&channels, eventmesh.IntegrationNamespace)
	list(&subscriptions, eventmesh.IntegrationNamespace)
	list(&mappings, namespace)
	list(&activations, namespace)
	list(&instances, namespace)
	list(&brokers, namespace)
	list(&triggers, namespace)
	list(&functions, namespace)
	list(&services, namespace)
	// Caches list in no order. Where a path names the first of several objects, it must be the same one every time.
	return eventmesh.Snapshot{
		Applications: apps.Items, Mappings: mappings.Items, Sources: sources.Items, Brokers: brokers.Items,
		Activations: byName(activations.Items), Instances: byName(instances.Items), Channels: byName(channels.Items),
		Subscriptions: byName(subscriptions.Items), Triggers: byName(triggers.Items),
		Functions: functions.Items, Services: services.Items,
	}, err
}

// MeshStatusEvent looks at the mesh again whenever an object changes that matters, and sends the paths that differ.
func (r subscriptionResolver) MeshStatusEvent(ctx context.Context, namespace, application *string) (<-chan *graph.MeshStatusEvent, error) {
	ns, app := deref(namespace), deref(application)
	ctx, cancel := context.WithCancel(ctx)
	changed, failed, err := r.meshChanges(ctx, ns)
	if err != nil {
		cancel()
		return nil, err
	}
	// Watching has begun, so whatever changes from this look on will be noticed.
	before, err := r.paths(ctx, ns, app)
	if err != nil {
		cancel()
		return nil, err
	}
	out := make(chan *graph.MeshStatusEvent)
	go func() {
		defer close(out)
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case err := <-failed:
				r.endStream(ctx, err)
				return
			case <-changed:
			}
			if !pause(ctx, settle) {
				return
			}
			after, err := r.paths(ctx, ns, app)
			if err != nil {
				r.endStream(ctx, err)
				return
			}
			for _, e := range differences(before, after) {
				transport.Announce(ctx, transport.Label{Key: e.Path.Namespace + "/" + e.Path.Application, Kind: labelKinds[e.Type]})
				if !send(ctx, out, e) {
					return
				}
			}
			before = after
		}
	}()
	return out, nil
}

// meshChanges watches all kinds of which paths are made. changed holds a token while something has changed that has not
// been looked at; failed has the reason when a watch ends. Both are for one reader, until ctx ends.
func (r *Resolver) meshChanges(ctx context.Context, namespace string) (changed <-chan struct{}, failed <-chan error, err error) {
	tokens, errs := make(chan struct{}, 1), make(chan error, 1)
	here, source := client.InNamespace(namespace), client.InNamespace(eventmesh.IntegrationNamespace)
	for _, start := range []func() error{
		func() error { return notify(ctx, r, &appv1.Application{}, tokens, errs) },
		func() error { return notify(ctx, r, &sourcesv1.HTTPSource{}, tokens, errs, source) },
		func() error { return notify(ctx, r, &messagingv1.Channel{}, tokens, errs, source) },
		func() error { return notify(ctx, r, &messagingv1.Subscription{}, tokens, errs, source) },
		func() error { return notify(ctx, r, &appv1.ApplicationMapping{}, tokens, errs, here) },
		func() error { return notify(ctx, r, &appv1.EventActivation{}, tokens, errs, here) },
		func() error { return notify(ctx, r, &scv1.ServiceInstance{}, tokens, errs, here) },
		func() error { return notify(ctx, r, &eventingv1.Broker{}, tokens, errs, here) },
		func() error { return notify(ctx, r, &eventingv1.Trigger{}, tokens, errs, here) },
		func() error { return notify(ctx, r, &functionsv1.Function{}, tokens, errs, here) },
		func() error { return notify(ctx, r, &corev1.Service{}, tokens, errs, here) },
	} {
		if err := start(); err != nil && !meta.IsNoMatchError(err) {
			return nil, nil, err
		}
	}
	return tokens, errs, nil
}

// notify puts a token into changed for each change of an object of obj's kind, and why the watch ended into failed.
func notify[T client.Object](ctx context.Context, r *Resolver, obj T, changed chan<- struct{}, failed chan<- error, opts ...client.ListOption) error {
	changes, err := k8s.Watch(ctx, r.Cluster, obj, opts...)
	if err != nil {
		return err
	}
	go func() {
		for change := range changes {
			if change.Err != nil {
				select {
				case failed <- change.Err:
				default: // another kind's watch was first
				}
				return
			}
			select {
			case changed <- struct{}{}:
			default: // there is a token already
			}
		}
	}()
	return nil
}

// pause waits, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// differences are the events that lead from one state of the mesh to the next: deletions first.
func differences(before, after []eventmesh.Path) []*graph.MeshStatusEvent {
	type key struct{ namespace, application string }
	old, kept := map[key]*eventmesh.Path{}, map[key]bool{}
	for i := range before {
		old[key{before[i].Namespace, before[i].Application}] = &before[i]
	}
	var changes []*graph.MeshStatusEvent
	for i := range after {
		path := &after[i]
		k := key{path.Namespace, path.Application}
		kept[k] = true
		switch was := old[k]; {
		case was == nil:
			changes = append(changes, &graph.MeshStatusEvent{Type: k8s.Added, Path: path})
		case !reflect.DeepEqual(was, path):
			changes = append(changes, &graph.MeshStatusEvent{Type: k8s.Updated, Path: path})
		}
	}
	var gone []*graph.MeshStatusEvent
	for i := range before {
		if path := &before[i]; !kept[key{path.Namespace, path.Application}] {
			gone = append(gone, &graph.MeshStatusEvent{Type: k8s.Deleted, Path: path})
		}
	}
	return append(gone, changes...)
}

type meshPathResolver struct{}

// MeshPath returns the resolver of paths.
func (r *Resolver) MeshPath() graph.MeshPathResolver { return meshPathResolver{} }

func (meshPathResolver) RootCause(_ context.Context, p *eventmesh.Path) (*string, error) {
	return optional(p.RootCause), nil
}
