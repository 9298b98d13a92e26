package resolvers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
)

const (
	defaultPort    = 80
	defaultTLSPort = 443
	// manyTime bounds how long it may take to make the Triggers of createManyTriggers, once all are checked.
	manyTime = time.Minute
	// rollbackTime bounds how long taking back a failed createManyTriggers may take, which goes on when the client has
	// left.
	rollbackTime = 30 * time.Second
)

func (r queryResolver) Triggers(ctx context.Context, namespace string, serviceName *string, subscriber *graph.SubscriberInput) ([]eventingv1.Trigger, error) {
	wants, err := calls(serviceName, subscriber)
	if err != nil {
		return nil, err
	}
	triggers, err := r.triggers(ctx, namespace)
	return slices.DeleteFunc(triggers, func(t eventingv1.Trigger) bool { return !wants(&t) }), err
}

// triggers are the Triggers of a namespace, sorted.
func (r *Resolver) triggers(ctx context.Context, namespace string) ([]eventingv1.Trigger, error) {
	var list eventingv1.TriggerList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

// TriggerEvent remembers which Triggers satisfy the arguments, since a change may take a Trigger in or out. The watch begins
// before the Triggers are listed, and ends with ctx, which gqlgen ends with the operation.
func (r subscriptionResolver) TriggerEvent(ctx context.Context, namespace string, serviceName *string, subscriber *graph.SubscriberInput) (<-chan *graph.TriggerEvent, error) {
	event := func(e k8sEvent[*eventingv1.Trigger]) *graph.TriggerEvent {
		return &graph.TriggerEvent{Type: e.Type, Trigger: e.Object}
	}
	if serviceName == nil && subscriber == nil {
		return watch(ctx, r.Resolver, &eventingv1.Trigger{}, everything, event, client.InNamespace(namespace))
	}
	wants, err := calls(serviceName, subscriber)
	if err != nil {
		return nil, err
	}
	changes, err := k8s.Watch(ctx, r.Cluster, &eventingv1.Trigger{}, client.InNamespace(namespace))
	if err != nil {
		return nil, err
	}
	triggers, err := r.triggers(ctx, namespace)
	if err != nil {
		return nil, err
	}
	s := selection[*eventingv1.Trigger]{wants: wants, known: map[client.ObjectKey]bool{}}
	for i := range triggers {
		if t := &triggers[i]; wants(t) {
			s.known[client.ObjectKeyFromObject(t)] = true
		}
	}
	return pump(ctx, r.Resolver, changes, s.see, event), nil
}

// calls makes a filter of the arguments that queries and subscriptions of Triggers share. It does not matter whether a
// Trigger names its Service by reference or by URI, as the Console writes it.
func calls(serviceName *string, subscriber *graph.SubscriberInput) (func(*eventingv1.Trigger) bool, error) {
	callsSubscriber := everything[*eventingv1.Trigger]
	if subscriber != nil {
		var err error
		if callsSubscriber, err = callsTo(subscriber); err != nil {
			return nil, err
		}
	}
	return func(t *eventingv1.Trigger) bool {
		name, namespace, _ := eventmesh.ServiceOfDestination(&t.Spec.Subscriber, t.Namespace)
		return (serviceName == nil || (name == *serviceName && namespace == t.Namespace)) && callsSubscriber(t)
	}, nil
}

// callsTo makes a filter of a subscriber that is looked for.
func callsTo(subscriber *graph.SubscriberInput) (func(*eventingv1.Trigger) bool, error) {
	if subscriber.Ref == nil && subscriber.URI == nil {
		return nil, apierrors.NewBadRequest("subscriber: ref or uri must be given")
	}
	var uri *apis.URL
	if subscriber.URI != nil {
		var err error
		if uri, err = parseURI("subscriber.uri", *subscriber.URI); err != nil {
			return nil, err
		}
	}
	return func(t *eventingv1.Trigger) bool {
		d := &t.Spec.Subscriber
		name, namespace, _ := eventmesh.ServiceOfDestination(d, t.Namespace)
		return (subscriber.Ref == nil || (name == subscriber.Ref.Name && namespace == subscriber.Ref.Namespace)) &&
			(uri == nil || isAt(d, t.Namespace, uri)) &&
			(subscriber.Port == nil || *subscriber.Port == portOf(d)) &&
			(subscriber.Path == nil || absolute(*subscriber.Path) == pathOf(d))
	}, nil
}

func (r mutationResolver) CreateTrigger(ctx context.Context, namespace string, in graph.TriggerCreateInput, ownerRef []metav1.OwnerReference, dryRun *bool) (*eventingv1.Trigger, error) {
	trigger, err := newTrigger(ctx, namespace, &in, ownerRef)
	if err != nil {
		return nil, err
	}
	if err := verifyOwners(ctx, r.Cluster.Client(ctx), namespace, ownerRef); err != nil {
		return nil, err
	}
	if err := r.writer(ctx, dryRun).Create(ctx, trigger); err != nil {
		return nil, err
	}
	return trigger, nil
}

// CreateManyTriggers lets the API server check all before it makes the first, and takes back those that it made if one
// fails nevertheless. Once it makes them it does not stop halfway because the client leaves.
func (r mutationResolver) CreateManyTriggers(ctx context.Context, namespace string, in []graph.TriggerCreateInput, ownerRef []metav1.OwnerReference, dryRun *bool) ([]eventingv1.Trigger, error) {
	c := r.Cluster.Client(ctx)
	triggers, err := newTriggers(ctx, namespace, in, ownerRef)
	if err != nil {
		return nil, err
	}
	if err := verifyOwners(ctx, c, namespace, ownerRef); err != nil {
		return nil, err
	}
	checked := make([]eventingv1.Trigger, len(triggers))
	for i := range triggers {
		triggers[i].DeepCopyInto(&checked[i])
		if err := c.Create(ctx, &checked[i], client.DryRunAll); err != nil {
			return nil, fmt.Errorf("triggers[%d]: %w", i, err)
		}
	}
	if deref(dryRun) {
		return checked, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), manyTime)
	defer cancel()
	for i := range triggers {
		if err := c.Create(ctx, &triggers[i]); err != nil {
			return nil, errors.Join(fmt.Errorf("triggers[%d]: %w", i, err), takeBack(ctx, c, triggers[:i]))
		}
	}
	return triggers, nil
}

// takeBack deletes exactly the triggers that were made, not others that have got their names meanwhile.
func takeBack(ctx context.Context, c client.Client, triggers []eventingv1.Trigger) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	var errs []error
	for i := range triggers {
		t := &triggers[i]
		if err := c.Delete(ctx, t, client.Preconditions{UID: &t.UID}); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("taking back %q: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r mutationResolver) DeleteTrigger(ctx context.Context, namespace, name string, dryRun *bool) (*eventingv1.Trigger, error) {
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := remove(ctx, r.writer(ctx, dryRun), trigger); err != nil {
		return nil, err
	}
	return trigger, nil
}

// DeleteManyTriggers lets the API server check all before it deletes the first. A deletion that fails nevertheless is
// reported by itself, with the name, and does not hold up the others.
func (r mutationResolver) DeleteManyTriggers(ctx context.Context, namespace string, names []string, dryRun *bool) ([]eventingv1.Trigger, error) {
	c := r.Cluster.Client(ctx)
	triggers := []eventingv1.Trigger{}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("triggerNames[%d]: the name %q is given twice", i, name))
		}
		trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
		if err := remove(ctx, client.NewDryRunClient(c), trigger); err != nil {
			return nil, fmt.Errorf("triggerNames[%d]: %w", i, err)
		}
		triggers = append(triggers, *trigger)
	}
	if deref(dryRun) {
		return triggers, nil
	}
	return slices.DeleteFunc(triggers, func(t eventingv1.Trigger) bool {
		err := c.Delete(ctx, &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: t.Name, Namespace: namespace}})
		if err != nil {
			r.reportItem(ctx, t.Name, err)
		}
		return err != nil
	}), nil
}

// reportItem adds to the answer an error that concerns only one of several objects.
func (r *Resolver) reportItem(ctx context.Context, name string, err error) {
	presented := r.present(ctx, err)
	presented.Extensions["item"] = name
	graphql.AddError(ctx, presented)
}

type triggerResolver struct{}

// Trigger returns the resolver of what the Console's first version asked of Triggers.
func (r *Resolver) Trigger() graph.TriggerResolver { return triggerResolver{} }

func (triggerResolver) Broker(_ context.Context, t *eventingv1.Trigger) (string, error) {
	return t.Spec.Broker, nil
}

func (triggerResolver) FilterAttributes(ctx context.Context, t *eventingv1.Trigger) (map[string]any, error) {
	filter, err := triggerSpecResolver{}.Filter(ctx, &t.Spec)
	if filter == nil {
		filter = map[string]any{}
	}
	return filter, err
}

func (triggerResolver) Subscriber(_ context.Context, t *eventingv1.Trigger) (*duckv1.Destination, error) {
	return &t.Spec.Subscriber, nil
}

type triggerSpecResolver struct{}

// TriggerSpec returns the resolver of what Triggers are to do.
func (r *Resolver) TriggerSpec() graph.TriggerSpecResolver { return triggerSpecResolver{} }

func (triggerSpecResolver) Filter(_ context.Context, s *eventingv1.TriggerSpec) (map[string]any, error) {
	if s.Filter == nil || len(s.Filter.Attributes) == 0 {
		return nil, nil
	}
	filter := map[string]any{}
	for name, value := range s.Filter.Attributes {
		filter[name] = value
	}
	return filter, nil
}

// Filters are written as they are in the object itself.
func (triggerSpecResolver) Filters(_ context.Context, s *eventingv1.TriggerSpec) ([]map[string]any, error) {
	var filters []map[string]any
	for i := range s.Filters {
		filter, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s.Filters[i])
		if err != nil {
			return nil, fmt.Errorf("filters[%d]: %w", i, err)
		}
		filters = append(filters, filter)
	}
	return filters, nil
}

func (triggerSpecResolver) Port(_ context.Context, s *eventingv1.TriggerSpec) (uint32, error) {
	return portOf(&s.Subscriber), nil
}

func (triggerSpecResolver) Path(_ context.Context, s *eventingv1.TriggerSpec) (string, error) {
	return pathOf(&s.Subscriber), nil
}

// portOf is the port at which a subscriber is called. It has an answer for everything that kubectl can make: a
// reference, a URI relative to one, a URI without a port.
func portOf(d *duckv1.Destination) uint32 {
	if d.URI == nil {
		return defaultPort
	}
	if port, err := strconv.ParseUint(d.URI.URL().Port(), 10, 16); err == nil {
		return uint32(port)
	}
	if d.URI.Scheme == "https" {
		return defaultTLSPort
	}
	return defaultPort
}

// pathOf is the path at which a subscriber is called, always absolute.
func pathOf(d *duckv1.Destination) string {
	if d.URI == nil {
		return "/"
	}
	return absolute(d.URI.Path)
}

// isAt says whether a subscriber is called at uri: anywhere on the same path if uri is relative. However a Service is
// written, by reference or as one of its host names, it is the same.
func isAt(d *duckv1.Destination, namespace string, uri *apis.URL) bool {
	if !uri.URL().IsAbs() {
		return pathOf(d) == absolute(uri.Path)
	}
	at := d.URI
	if d.Ref != nil {
		name, namespace, ok := eventmesh.ServiceOfDestination(d, namespace)
		if !ok {
			return false
		}
		at = apis.HTTP(eventmesh.ServiceHost(name, namespace))
		at.Path = pathOf(d)
	}
	return at != nil && canonical(at) == canonical(uri)
}

// canonical spells out what a URI of a subscriber may leave out.
func canonical(uri *apis.URL) string {
	host := strings.ToLower(uri.URL().Hostname())
	if name, namespace, ok := eventmesh.ParseServiceHost(host); ok {
		host = eventmesh.ServiceHost(name, namespace)
	}
	d := duckv1.Destination{URI: uri}
	return fmt.Sprintf("%s://%s:%d%s?%s", uri.Scheme, host, portOf(&d), pathOf(&d), uri.RawQuery)
}

type triggerStatusResolver struct{}

// TriggerStatus returns the resolver of whether Triggers work.
func (r *Resolver) TriggerStatus() graph.TriggerStatusResolver { return triggerStatusResolver{} }

func (triggerStatusResolver) Reason(_ context.Context, s *eventingv1.TriggerStatus) ([]string, error) {
	_, reasons := eventmesh.StatusOfTrigger(s)
	return reasons, nil
}

func (triggerStatusResolver) Status(_ context.Context, s *eventingv1.TriggerStatus) (eventmesh.Verdict, error) {
	verdict, _ := eventmesh.StatusOfTrigger(s)
	return verdict, nil
}

type subscriberResolver struct{}

// Subscriber returns the resolver of subscribers.
func (r *Resolver) Subscriber() graph.SubscriberResolver { return subscriberResolver{} }

func (subscriberResolver) URI(_ context.Context, d *duckv1.Destination) (*string, error) {
	if d.URI == nil {
		return nil, nil
	}
	uri := d.URI.String()
	return &uri, nil
}
