package resolvers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// ownerTime is how long an owner that was made an instant ago may take to get into the cache.
const ownerTime = time.Second

// newTriggers are the Triggers that a client asks for, of which no two have the same name.
func newTriggers(ctx context.Context, namespace string, in []graph.TriggerCreateInput, owners []metav1.OwnerReference) ([]eventingv1.Trigger, error) {
	triggers := []eventingv1.Trigger{}
	names := map[string]bool{}
	for i := range in {
		trigger, err := newTrigger(ctx, namespace, &in[i], owners)
		if err != nil {
			return nil, fmt.Errorf("triggers[%d]: %w", i, err)
		}
		if trigger.Name != "" && names[trigger.Name] {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("triggers[%d]: the name %q is given twice", i, trigger.Name))
		}
		names[trigger.Name] = true
		triggers = append(triggers, *trigger)
	}
	return triggers, nil
}

// newTrigger is the Trigger that a client asks for: as the Console knows them, a service to call is written as the URI of a
// Service in the same namespace. Without a name the API server chooses one that is free.
func newTrigger(ctx context.Context, namespace string, in *graph.TriggerCreateInput, owners []metav1.OwnerReference) (*eventingv1.Trigger, error) {
	if in.Namespace != nil && *in.Namespace != namespace {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("namespace is %q, not %q, the namespace of the mutation", *in.Namespace, namespace))
	}
	subscriber, err := newDestination("subscriber", namespace, in.Subscriber)
	if err != nil {
		return nil, err
	}
	attributes, err := filterAttributes(in.FilterAttributes)
	if err != nil {
		return nil, err
	}
	if len(attributes) > 0 && len(in.Filters) > 0 {
		return nil, apierrors.NewBadRequest("filterAttributes and filters cannot be combined: write the attributes as {exact: …} among the filters")
	}
	delivery, err := newDelivery(namespace, in.Delivery)
	if err != nil {
		return nil, err
	}
	trigger := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: deref(in.Name), OwnerReferences: owners},
		Spec: eventingv1.TriggerSpec{
			Broker:     cmp.Or(in.Broker, eventmesh.DefaultBroker),
			Filters:    in.Filters,
			Subscriber: subscriber,
			Delivery:   delivery,
		},
	}
	if trigger.Name == "" {
		trigger.GenerateName = "trigger-"
		if in.Subscriber.Ref != nil {
			trigger.GenerateName = in.Subscriber.Ref.Name + "-"
		}
	}
	if len(attributes) > 0 {
		trigger.Spec.Filter = &eventingv1.TriggerFilter{Attributes: attributes}
	}
	return trigger, validate(ctx, trigger)
}

// newDestination is who gets events: the URI of a Service of the namespace, or a URI as it is given. what names the
// argument, for messages.
func newDestination(what, namespace string, in *graph.SubscriberInput) (duckv1.Destination, error) {
	invalid := func(format string, args ...any) (duckv1.Destination, error) {
		return duckv1.Destination{}, apierrors.NewBadRequest(what + fmt.Sprintf(format, args...))
	}
	var uri *apis.URL
	if in.URI != nil {
		var err error
		if uri, err = parseURI(what+".uri", *in.URI); err != nil {
			return duckv1.Destination{}, err
		}
	}
	ref := in.Ref
	switch {
	case ref == nil && uri == nil:
		return invalid(": ref or uri must be given")
	case ref == nil && (in.Port != nil || in.Path != nil):
		return invalid(": port and path go with ref, not with uri")
	case ref == nil && ((uri.Scheme != "http" && uri.Scheme != "https") || uri.Host == ""):
		return invalid(".uri must be an absolute http or https URI, since there is no ref")
	case ref == nil && outside(uri, namespace):
		return invalid(".uri is of a service outside of namespace %q: a Trigger calls services of its own namespace", namespace)
	case ref == nil:
		return duckv1.Destination{URI: uri}, nil
	case ref.Namespace != namespace:
		return invalid(".ref.namespace is %q, not %q: a Trigger calls services of its own namespace", ref.Namespace, namespace)
	case ref.Name == "":
		return invalid(".ref.name must not be empty")
	case uri != nil && (uri.Scheme != "" || uri.Host != ""):
		return invalid(".uri must be relative beside ref")
	case uri != nil && in.Path != nil:
		return invalid(": uri beside ref is the path: give one of the two")
	}
	return duckv1.Destination{URI: serviceURI(ref.Name, namespace, in, uri)}, nil
}

// serviceURI always spells out port and path: documents of the Console read both back. relative is nil when the path is
// given as such.
func serviceURI(service, namespace string, in *graph.SubscriberInput, relative *apis.URL) *apis.URL {
	port := cmp.Or(deref(in.Port), defaultPort)
	uri := apis.HTTP(eventmesh.ServiceHost(service, namespace) + ":" + strconv.FormatUint(uint64(port), 10))
	uri.Path = absolute(deref(in.Path))
	if relative != nil {
		return (*apis.URL)(uri.URL().ResolveReference(relative.URL()))
	}
	return uri
}

// outside says whether a URI names a Service of another namespace by a name that can be nothing else.
func outside(uri *apis.URL, namespace string) bool {
	host := strings.ToLower(uri.URL().Hostname())
	_, of, ok := eventmesh.ParseServiceHost(host)
	return ok && of != namespace && strings.Contains(strings.TrimSuffix(host, ".")+".", ".svc.")
}

func parseURI(what, s string) (*apis.URL, error) {
	uri, err := apis.ParseURL(s)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s is not a URI: %v", what, err))
	}
	if uri == nil {
		return nil, apierrors.NewBadRequest(what + " must not be empty")
	}
	return uri, nil
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
			text, err := json.Marshal(value)
			if err != nil {
				return nil, fmt.Errorf("encoding the value of %q: %w", name, err)
			}
			attributes[name] = string(text)
		default:
			return nil, apierrors.NewBadRequest(fmt.Sprintf("filterAttributes: the value of %q must be a string", name))
		}
	}
	return attributes, nil
}

// newDelivery is how events are to be delivered; Knative checks it with the Trigger.
func newDelivery(namespace string, in *graph.DeliveryInput) (*eventingduckv1.DeliverySpec, error) {
	if in == nil {
		return nil, nil
	}
	delivery := &eventingduckv1.DeliverySpec{BackoffPolicy: in.BackoffPolicy, BackoffDelay: in.BackoffDelay, Timeout: in.Timeout}
	if in.Retry != nil {
		if *in.Retry < math.MinInt32 || *in.Retry > math.MaxInt32 {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("delivery.retry must not be more than %d", math.MaxInt32))
		}
		retry := int32(*in.Retry)
		delivery.Retry = &retry
	}
	if in.DeadLetterSink != nil {
		sink, err := newDestination("delivery.deadLetterSink", namespace, in.DeadLetterSink)
		if err != nil {
			return nil, err
		}
		delivery.DeadLetterSink = &sink
	}
	return delivery, nil
}

// validate has Knative's own code check a Trigger, whether or not the cluster has Knative's webhook. The error is Invalid,
// with the fields.
func validate(ctx context.Context, t *eventingv1.Trigger) error {
	flags, err := feature.NewFlagsConfigFromMap(nil) // Knative's defaults, without which it refuses delivery.timeout
	if err != nil {
		return fmt.Errorf("reading Knative's features: %w", err)
	}
	ctx = feature.ToContext(ctx, flags)
	spec := t.Spec
	spec.Filters = nil
	errs := spec.Validate(ctx)
	for i := range t.Spec.Filters {
		errs = errs.Also(filterErrors(ctx, &t.Spec.Filters[i]).ViaFieldIndex("filters", i))
	}
	if errs == nil {
		return nil
	}
	var fields field.ErrorList
	for _, e := range errs.ViaField("spec").WrappedErrors() {
		detail := strings.TrimPrefix(e.Message, "invalid value: ") // which the type of the error says already
		if e.Details != "" {
			detail += ": " + e.Details
		}
		for _, path := range e.Paths {
			fields = append(fields, &field.Error{Type: field.ErrorTypeInvalid, Field: path, BadValue: field.OmitValueType{}, Detail: detail})
		}
	}
	slices.SortFunc(fields, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) })
	return apierrors.NewInvalid(eventingv1.Kind("Trigger"), cmp.Or(t.Name, t.GenerateName), fields)
}

// filterErrors is what Knative says of a filter. It walks through nested filters itself, since Knative's walk over a list
// adds the index of each to the errors of those before it.
func filterErrors(ctx context.Context, f *eventingv1.SubscriptionsAPIFilter) *apis.FieldError {
	if errs := eventingv1.ValidateOneOf(f); errs != nil {
		errs.Paths = []string{apis.CurrentField} // Knative does not say where
		return errs
	}
	leaf := *f
	leaf.All, leaf.Any, leaf.Not = nil, nil, nil
	errs := eventingv1.ValidateSubscriptionAPIFilter(ctx, &leaf)
	for i := range f.All {
		errs = errs.Also(filterErrors(ctx, &f.All[i]).ViaFieldIndex("all", i))
	}
	for i := range f.Any {
		errs = errs.Also(filterErrors(ctx, &f.Any[i]).ViaFieldIndex("any", i))
	}
	if f.Not != nil {
		errs = errs.Also(filterErrors(ctx, f.Not).ViaField("not"))
	}
	return errs
}

// verifyOwners refuses owners that are not there, or that the user may not see: the garbage collector would take a
// dependent of theirs for an orphan, or tie it to an object of somebody else's.
func verifyOwners(ctx context.Context, c client.Client, namespace string, owners []metav1.OwnerReference) error {
	for i := range owners {
		if err := verifyOwner(ctx, c, namespace, &owners[i]); err != nil {
			return fmt.Errorf("ownerRef[%d]: %w", i, err)
		}
	}
	return nil
}

func verifyOwner(ctx context.Context, c client.Client, namespace string, ref *metav1.OwnerReference) error {
	missing := apierrors.NewBadRequest(fmt.Sprintf("there is no %s %s %q with the UID %q in namespace %q that you may read",
		ref.APIVersion, ref.Kind, ref.Name, ref.UID, namespace))
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || ref.Name == "" {
		return missing
	}
	owner := emptyOf(c, gv.WithKind(ref.Kind))
	key := client.ObjectKey{Name: ref.Name}
	namespaced, err := c.IsObjectNamespaced(owner)
	switch {
	case meta.IsNoMatchError(err):
		return missing
	case err != nil:
		return err
	case namespaced:
		key.Namespace = namespace
	}
	err = wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, ownerTime, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, key, owner)
		return err == nil && owner.GetUID() == ref.UID, client.IgnoreNotFound(err)
	})
	if k8s.Denied(err) || (wait.Interrupted(err) && ctx.Err() == nil) {
		return missing
	}
	return err
}

// emptyOf is an empty object of a kind: of its Go type if there is one, so that it is read from the cache that the other
// fields read from, else one that takes only the metadata.
func emptyOf(c client.Client, gvk schema.GroupVersionKind) client.Object {
	if typed, err := c.Scheme().New(gvk); err == nil {
		if o, ok := typed.(client.Object); ok {
			return o
		}
	}
	partial := &metav1.PartialObjectMetadata{}
	partial.SetGroupVersionKind(gvk)
	return partial
}
