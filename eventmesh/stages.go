package eventmesh

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// walk looks at the stages of one path.
type walk struct {
	*Snapshot
	pair
	triggers []*eventingv1.Trigger
}

// fault is why an object is not ready; its zero value is that it is.
type fault struct{ reason, message string }

func (f fault) ready() bool { return f == fault{} }

// stage makes a stage of the objects of one kind: it is not ready with the first fault found.
type stage struct{ Stage }

func newStage(name StageName) stage {
	return stage{Stage{Name: name, Ready: true, Objects: []StageObject{}}}
}

// add adds an object, and its fault with a sentence that begins by naming the object.
func (s *stage) add(kind string, object metav1.Object, f fault) {
	o := StageObject{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), Ready: f.ready()}
	s.Objects = append(s.Objects, o)
	if !f.ready() {
		s.fail(f.reason, "%s %q in namespace %q is not ready: %s.", o.Kind, o.Name, o.Namespace, because(f))
	}
}

// fail makes the stage not ready, unless it is so already: the first reason stands.
func (s *stage) fail(reason, format string, args ...any) {
	if s.Ready {
		s.Ready, s.Reason, s.Message = false, reason, fmt.Sprintf(format, args...)
	}
}

// because puts a fault in words that end without a full stop.
func because(f fault) string {
	if f.message == "" {
		return f.reason
	}
	return strings.TrimRight(f.message, ". \n")
}

func (w walk) source() Stage {
	st := newStage(StageSource)
	source := find(w.Sources, func(o *sourcesv1.HTTPSource) bool {
		return o.Name == w.application && o.Namespace == IntegrationNamespace
	})
	app := w.app()
	switch {
	case source != nil:
		st.add("HTTPSource", source, ourFault(source, source.Status.Conditions, sourcesv1.ConditionReady))
	case app == nil:
		st.fail(ReasonApplicationNotFound, "There is no Application %q: create it with createApplication.", w.application)
	case app.Spec.SkipInstallation:
		st.fail(ReasonInstallationSkipped, "Application %q has no HTTPSource because its spec.skipInstallation is true.", w.application)
	default:
		st.fail(ReasonSourceNotFound, "Application %q has no HTTPSource yet; its controller makes it.", w.application)
	}
	return st.Stage
}

func (w walk) channel() Stage {
	st := newStage(StageChannel)
	for i := range w.Channels {
		channel := &w.Channels[i]
		if channel.Namespace == IntegrationNamespace && channel.Labels[ApplicationNameLabel] == w.application {
			st.add("Channel", channel, knativeFault(channel, &channel.Status.Status))
		}
	}
	if len(st.Objects) == 0 {
		st.fail(ReasonChannelNotFound, "Application %q has no Channel in namespace %q yet; the controller of its HTTPSource makes it.",
			w.application, IntegrationNamespace)
	}
	return st.Stage
}

func (w walk) subscription() Stage {
	st := newStage(StageSubscription)
	for i := range w.Subscriptions {
		sub := &w.Subscriptions[i]
		if p, ok := pairOfSubscription(sub); ok && p == w.pair {
			st.add("Subscription", sub, knativeFault(sub, &sub.Status.Status))
		}
	}
	if len(st.Objects) == 0 {
		f := w.unprovisioned()
		st.fail(f.reason, "%s.", f.message)
	}
	return st.Stage
}

// unprovisioned tells why there is no Subscription: the first thing that a person has not done yet, or what went wrong
// after it.
func (w walk) unprovisioned() fault {
	mapping := find(w.Mappings, func(o *appv1.ApplicationMapping) bool {
		return o.Name == w.application && o.Namespace == w.namespace
	})
	activation := find(w.Activations, func(o *appv1.EventActivation) bool {
		return o.Spec.SourceID == w.application && o.Namespace == w.namespace
	})
	offered := w.eventServices(func(appv1.Service) bool { return true })
	switch {
	case activation != nil:
		f := ourFault(activation, activation.Status.Conditions, appv1.ConditionReady)
		return fault{ReasonSubscriptionNotFound, fmt.Sprintf("The Subscription of Application %q to namespace %q is missing; EventActivation %q says: %s",
			w.application, w.namespace, activation.Name, because(f))}
	case mapping == nil:
		return fault{ReasonNotEnabled, fmt.Sprintf("Application %q is not enabled in namespace %q: enable it with enableApplication",
			w.application, w.namespace)}
	case len(offered) == 0:
		return fault{ReasonNoEventService, fmt.Sprintf("Application %q offers no event service: register one with registerApplicationService",
			w.application)}
	}
	enabled := w.eventServices(func(s appv1.Service) bool { return mapping.Enables(s.ID) })
	if len(enabled) == 0 {
		return fault{ReasonNotEnabled, fmt.Sprintf("None of the event services of Application %q is enabled in namespace %q: enable one (%s)",
			w.application, w.namespace, names(offered))}
	}
	if f, found := w.instanceFault(offered); found {
		return f
	}
	return fault{ReasonNotProvisioned, fmt.Sprintf("No event service of Application %q is provisioned in namespace %q: create an instance of %s with createServiceInstance",
		w.application, w.namespace, names(enabled))}
}

// instanceFault tells how the ServiceInstances of services stand: one that failed before one that is under way.
// found is false if there is none.
func (w walk) instanceFault(services []appv1.Service) (f fault, found bool) {
	for i := range w.Instances {
		instance := &w.Instances[i]
		if instance.Namespace != w.namespace || !slices.ContainsFunc(services, func(s appv1.Service) bool {
			return (instance.Spec.ServiceClassRef != nil && instance.Spec.ServiceClassRef.Name == s.ID) ||
				instance.Spec.ServiceClassName == s.ID || instance.Spec.ServiceClassExternalID == s.ID ||
				(instance.Spec.ServiceClassExternalName != "" && instance.Spec.ServiceClassExternalName == s.Name)
		}) {
			continue
		}
		status := StatusOfInstance(instance)
		why := because(fault{string(status.Type), status.Message})
		if status.Type == InstanceFailed {
			return fault{ReasonInstanceFailed, fmt.Sprintf("ServiceInstance %q in namespace %q failed: %s", instance.Name, w.namespace, why)}, true
		}
		if !found {
			f, found = fault{ReasonInstanceNotReady, fmt.Sprintf("ServiceInstance %q in namespace %q is not ready: %s", instance.Name, w.namespace, why)}, true
		}
	}
	return f, found
}

func (w walk) broker() Stage {
	st := newStage(StageBroker)
	broker := find(w.Brokers, func(o *eventingv1.Broker) bool { return o.Name == DefaultBroker && o.Namespace == w.namespace })
	if broker == nil {
		st.fail(ReasonBrokerNotFound, "Namespace %q has no Broker %q: Knative makes it when the namespace is labelled %s=%s, which provisioning an event service does.",
			w.namespace, DefaultBroker, BrokerInjectionLabel, BrokerInjectionEnabled)
		return st.Stage
	}
	st.add("Broker", broker, knativeFault(broker, &broker.Status.Status))
	return st.Stage
}

func (w walk) triggerStage() Stage {
	st := newStage(StageTriggers)
	for _, t := range w.triggers {
		st.add("Trigger", t, w.triggerFault(t))
	}
	if len(w.triggers) == 0 {
		st.fail(ReasonNoTriggers, "No Trigger in namespace %q takes events of Application %q: create one with createTrigger.", w.namespace, w.application)
	}
	return st.Stage
}

// triggerFault also finds what Knative does not look for: a subscriber given by URI whose Service does not exist. When a
// Function of that name is not running yet, that is the matter of the last stage.
func (w walk) triggerFault(t *eventingv1.Trigger) fault {
	name, namespace, ok := subscriberService(t)
	if ok && t.Spec.Subscriber.Ref == nil && namespace == w.namespace {
		service := find(w.Services, func(o *corev1.Service) bool { return o.Name == name && o.Namespace == namespace })
		function := w.function(name, namespace)
		if service == nil && (function == nil || StatusOfFunction(function).Phase == FunctionRunning) {
			return fault{ReasonSubscriberNotFound, fmt.Sprintf("its subscriber, the Service %q in namespace %q, does not exist", name, namespace)}
		}
	}
	return knativeFault(t, &t.Status.Status)
}

func (w walk) lambdas() Stage {
	st := newStage(StageLambdas)
	seen := map[string]bool{}
	for _, t := range w.triggers {
		name, namespace, ok := subscriberService(t)
		f := w.function(name, namespace)
		if !ok || f == nil || seen[name] {
			continue
		}
		seen[name] = true
		st.add("Function", f, functionFault(f))
	}
	switch {
	case len(w.triggers) == 0:
		st.fail(ReasonNoTriggers, "No Function in namespace %q is called with events of Application %q, for want of a Trigger.", w.namespace, w.application)
	case len(st.Objects) == 0:
		st.Reason, st.Message = ReasonNoFunctions, "The Triggers call something else than Functions."
	}
	return st.Stage
}

func (w walk) app() *appv1.Application {
	return find(w.Applications, func(o *appv1.Application) bool { return o.Name == w.application })
}

func (w walk) function(name, namespace string) *functionsv1.Function {
	return find(w.Functions, func(o *functionsv1.Function) bool { return o.Name == name && o.Namespace == namespace })
}

// eventServices are the services of the application that send events and satisfy ok.
func (w walk) eventServices(ok func(appv1.Service) bool) []appv1.Service {
	var services []appv1.Service
	if app := w.app(); app != nil {
		for _, s := range app.Spec.Services {
			if s.HasEvents() && ok(s) {
				services = append(services, s)
			}
		}
	}
	return services
}

// names lists services for a message.
func names(services []appv1.Service) string {
	var out []string
	for _, s := range services {
		out = append(out, fmt.Sprintf("%q", s.Name))
	}
	return strings.Join(out, ", ")
}

// triggersFor are the Triggers that take events of the path's Application from the default Broker of its namespace:
// those that filter on it as source, and those that do not filter on the source at all.
func triggersFor(triggers []eventingv1.Trigger, p pair) []*eventingv1.Trigger {
	var out []*eventingv1.Trigger
	for i := range triggers {
		t := &triggers[i]
		if t.Namespace == p.namespace && (t.Spec.Broker == DefaultBroker || t.Spec.Broker == "") && takes(&t.Spec, p.application) {
			out = append(out, t)
		}
	}
	return out
}

// takes says whether the filter of a Trigger lets events through whose source is the application. Where Filters is set
// Knative ignores Filter. Dialects other than exact and all are taken to let them through.
func takes(spec *eventingv1.TriggerSpec, application string) bool {
	if len(spec.Filters) > 0 {
		return !slices.ContainsFunc(spec.Filters, func(f eventingv1.SubscriptionsAPIFilter) bool { return excludes(f, application) })
	}
	if spec.Filter == nil {
		return true
	}
	source := spec.Filter.Attributes["source"]
	return source == "" || source == application
}

func excludes(f eventingv1.SubscriptionsAPIFilter, application string) bool {
	if source, ok := f.Exact["source"]; ok && source != application {
		return true
	}
	return slices.ContainsFunc(f.All, func(f eventingv1.SubscriptionsAPIFilter) bool { return excludes(f, application) })
}

// subscriberService is the Service that a Trigger calls, by reference or by URI; ok is false if it calls something else.
func subscriberService(t *eventingv1.Trigger) (name, namespace string, ok bool) {
	return ServiceOfDestination(&t.Spec.Subscriber, t.Namespace)
}

// ServiceOfDestination is the Service that d leads to: that of its reference (a Service or a Function, in the given
// namespace if the reference names none), else that of its URI's host. ok is false if it leads elsewhere.
func ServiceOfDestination(d *duckv1.Destination, namespace string) (name, ns string, ok bool) {
	if ref := d.Ref; ref != nil {
		if ref.Namespace != "" {
			namespace = ref.Namespace
		}
		return ref.Name, namespace, ref.Kind == "Service" || ref.Kind == "Function"
	}
	if d.URI == nil {
		return "", "", false
	}
	return ParseServiceHost(d.URI.Host)
}

// functionFault tells why a Function cannot be called.
func functionFault(f *functionsv1.Function) fault {
	status := StatusOfFunction(f)
	switch {
	case f.DeletionTimestamp != nil:
		return fault{ReasonBeingDeleted, "it is being deleted"}
	case status.Phase == FunctionRunning:
		return fault{}
	case status.Message != nil:
		return fault{ReasonFunctionFailed, *status.Message}
	default:
		return fault{ReasonFunctionNotReady, "it is " + strings.ToLower(string(status.Phase))}
	}
}

// ourFault tells why an object with Kubernetes' conditions is not ready.
func ourFault(o metav1.Object, conditions []metav1.Condition, ready string) fault {
	c := meta.FindStatusCondition(conditions, ready)
	if c == nil {
		return conditionFault(o, false, "", "")
	}
	return conditionFault(o, c.Status == metav1.ConditionTrue, c.Reason, c.Message)
}

// knativeFault tells why an object with Knative's conditions is not ready.
func knativeFault(o metav1.Object, status *duckv1.Status) fault {
	c := status.GetCondition(apis.ConditionReady)
	if c == nil {
		return conditionFault(o, false, "", "")
	}
	return conditionFault(o, c.IsTrue(), c.Reason, c.Message)
}

func conditionFault(o metav1.Object, ready bool, reason, message string) fault {
	switch {
	case o.GetDeletionTimestamp() != nil:
		return fault{ReasonBeingDeleted, "it is being deleted"}
	case ready:
		return fault{}
	case reason == "" && message == "":
		return fault{ReasonNotReconciled, "its controller has not looked at it yet"}
	case reason == "":
		return fault{ReasonNotReconciled, message}
	default:
		return fault{reason, message}
	}
}

// find returns the first element that satisfies ok, nil if none does.
func find[T any](list []T, ok func(*T) bool) *T {
	for i := range list {
		if ok(&list[i]) {
			return &list[i]
		}
	}
	return nil
}
