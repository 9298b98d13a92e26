package resolvers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
)

const (
	defaultPort    = 80
	defaultTLSPort = 443
	// rollbackTime bounds how long taking back a failed createManyTriggers may take, which goes on when the client has
	// left.
	rollbackTime = 30 * time.Second
)

func (r queryResolver) Triggers(ctx context.Context, namespace string, serviceName *string, subscriber *graph.SubscriberInput) ([]eventingv1.Trigger, error) {
	wants := calls(serviceName, subscriber)
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

func (r subscriptionResolver) TriggerEvent(ctx context.Context, namespace string, serviceName *string, subscriber *graph.SubscriberInput) (<-chan *graph.TriggerEvent, error) {
	return watch(ctx, r.Resolver, &eventingv1.Trigger{}, calls(serviceName, subscriber),
		func(e k8sEvent[*eventingv1.Trigger]) *graph.TriggerEvent {
			return &graph.TriggerEvent{Type: e.Type, Trigger: e.Object}
		}, client.InNamespace(namespace))
}

// calls makes a filter of the arguments that queries and subscriptions of Triggers share. It does not matter whether a
// Trigger names its Service by reference or by URI, as the Console writes it.
func calls(serviceName *string, subscriber *graph.SubscriberInput) func(*eventingv1.Trigger) bool {
	return func(t *eventingv1.Trigger) bool {
		name, namespace, _ := eventmesh.ServiceOfDestination(&t.Spec.Subscriber, t.Namespace)
		if serviceName != nil && (name != *serviceName || namespace != t.Namespace) {
			return false
		}
		if subscriber == nil {
			return true
		}
		return name == subscriber.Ref.Name && namespace == subscriber.Ref.Namespace &&
			(subscriber.Port == nil || *subscriber.Port == portOf(&t.Spec.Subscriber)) &&
			(subscriber.Path == nil || absolute(*subscriber.Path) == pathOf(&t.Spec.Subscriber))
	}
}

func (r mutationResolver) CreateTrigger(ctx context.Context, namespace string, in graph.TriggerCreateInput, ownerRef []metav1.OwnerReference) (*eventingv1.Trigger, error) {
	trigger, err := newTrigger(namespace, &in, ownerRef)
	if err != nil {
		return nil, err
	}
	if err := r.Cluster.Client(ctx).Create(ctx, trigger); err != nil {
		return nil, err
	}
	return trigger, nil
}

// CreateManyTriggers lets the API server check all before it makes the first, and takes back those that it made if one
// fails nevertheless.
func (r mutationResolver) CreateManyTriggers(ctx context.Context, namespace string, in []graph.TriggerCreateInput, ownerRef []metav1.OwnerReference) ([]eventingv1.Trigger, error) {
	c := r.Cluster.Client(ctx)
	triggers := []eventingv1.Trigger{}
	names := map[string]bool{}
	for i := range in {
		trigger, err := newTrigger(namespace, &in[i], ownerRef)
		if err != nil {
			return nil, fmt.Errorf("triggers[%d]: %w", i, err)
		}
		if trigger.Name != "" && names[trigger.Name] {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("triggers[%d]: the name %q is given twice", i, trigger.Name))
		}
		names[trigger.Name] = true
		if err := c.Create(ctx, trigger.DeepCopy(), client.DryRunAll); err != nil {
			return nil, fmt.Errorf("triggers[%d]: %w", i, err)
		}
		triggers = append(triggers, *trigger)
	}
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

func (r mutationResolver) DeleteTrigger(ctx context.Context, namespace, name string) (*eventingv1.Trigger, error) {
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := remove(ctx, r.Cluster.Client(ctx), trigger); err != nil {
		return nil, err
	}
	return trigger, nil
}

// newTrigger is the Trigger that a client asks for: as the Console knows them, the subscriber is the URI of a Service in
// the same namespace. Without a name the API server chooses one that is free.
func newTrigger(namespace string, in *graph.TriggerCreateInput, owners []metav1.OwnerReference) (*eventingv1.Trigger, error) {
	ref := in.Subscriber.Ref
	if ref.Namespace != namespace {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("subscriber.ref.namespace is %q, not %q: a Trigger calls services of its own namespace",
			ref.Namespace, namespace))
	}
	if ref.Name == "" {
		return nil, apierrors.NewBadRequest("subscriber.ref.name must not be empty")
	}
	attributes, err := filterAttributes(in.FilterAttributes)
	if err != nil {
		return nil, err
	}
	trigger := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: deref(in.Name), OwnerReferences: owners},
		Spec: eventingv1.TriggerSpec{
			Broker:     in.Broker,
			Subscriber: duckv1.Destination{URI: subscriberURI(ref.Name, namespace, in.Subscriber)},
		},
	}
	if trigger.Name == "" {
		trigger.GenerateName = ref.Name + "-"
	}
	if trigger.Spec.Broker == "" {
		trigger.Spec.Broker = eventmesh.DefaultBroker
	}
	if len(attributes) > 0 {
		trigger.Spec.Filter = &eventingv1.TriggerFilter{Attributes: attributes}
	}
	return trigger, nil
}

// subscriberURI always spells out port and path: documents of the Console read both back.
func subscriberURI(service, namespace string, in *graph.SubscriberInput) *apis.URL {
	port := uint32(defaultPort)
	if in.Port != nil && *in.Port != 0 {
		port = *in.Port
	}
	uri := apis.HTTP(eventmesh.ServiceHost(service, namespace) + ":" + strconv.FormatUint(uint64(port), 10))
	uri.Path = absolute(deref(in.Path))
	return uri
}

func absolute(path string) string {
	return "/" + strings.TrimPrefix(path, "/")
}

var attributeName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// filterAttributes are the attributes of a filter: strings, as CloudEvents compares them. Numbers and booleans are
// written as JSON writes them.
func filterAttributes(in map[string]any) (eventingv1.TriggerFilterAttributes, error) {
	attributes := eventingv1.TriggerFilterAttributes{}
	for name, value := range in {
		if !attributeName.MatchString(name) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("filterAttributes: %q is not the name of an attribute: lower-case letters and digits, a letter first", name))
		}
		switch value := value.(type) {
		case string:
			attributes[name] = value
		case json.Number, bool, int, int64, float64:
			attributes[name] = fmt.Sprint(value)
		default:
			return nil, apierrors.NewBadRequest(fmt.Sprintf("filterAttributes: the value of %q must be a string", name))
		}
	}
	return attributes, nil
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
