package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// ActivationFinalizer holds an EventActivation back until its Subscription is gone or needed by another one.
const ActivationFinalizer = "applicationconnector.kyma-project.io/subscription"

// Reasons of an EventActivation's conditions that appv1 does not name.
const (
	reasonChannelDeleting      = "ChannelDeleting"
	reasonSubscriptionDeleting = "SubscriptionDeleting"
	reasonBrokerDeleting       = "BrokerDeleting"
	reasonDeleting             = "Deleting"
)

// activationReconciler gives every namespace one Subscription for each Application of which it has EventActivations,
// however many. Its requests name such a pair: Namespace is the namespace, Name the application. All activations of a
// pair are looked at together, so they count themselves: the Subscription goes with the last one.
type activationReconciler struct {
	writer
	live client.Reader // past the cache
}

func (r *activationReconciler) setup(mgr ctrl.Manager) error {
	// Maps both sides of an update: an activation that is moved to another application leaves its old pair.
	toPath := handler.EnqueueRequestsFromMapFunc
	return newController(mgr, "eventactivation").
		Watches(&appv1.EventActivation{}, toPath(func(_ context.Context, obj client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: activationPath(obj.(*appv1.EventActivation))}}
		})).
		Watches(&messagingv1.Subscription{}, toPath(func(_ context.Context, obj client.Object) []reconcile.Request {
			if p, ok := pathOf(obj); ok {
				return []reconcile.Request{{NamespacedName: p}}
			}
			return nil
		})).
		Watches(&appv1.Application{}, toPath(r.ofApplication)).
		Watches(&sourcesv1.HTTPSource{}, toPath(r.ofIntegrated)).
		Watches(&messagingv1.Channel{}, toPath(r.ofIntegrated)).
		Watches(&eventingv1.Broker{}, toPath(r.ofBroker)).
		Watches(&corev1.Namespace{}, toPath(r.ofNamespace)).
		Complete(quiet(r))
}

// activationPath is the pair that an activation belongs to.
func activationPath(a *appv1.EventActivation) client.ObjectKey {
	return client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.SourceID}
}

// paths lists the pairs of the activations that opts select.
func (r *activationReconciler) paths(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	var list appv1.EventActivationList
	if err := r.List(ctx, &list, opts...); err != nil {
		return nil // the cache has stopped: the process ends
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: activationPath(&list.Items[i])})
	}
	return requests // the queue drops repetitions
}

func (r *activationReconciler) ofApplication(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.paths(ctx, client.MatchingFields{activationsByApplication: obj.GetName()})
}

// ofIntegrated finds the pairs of an object in the integration namespace that has the application's name.
func (r *activationReconciler) ofIntegrated(ctx context.Context, obj client.Object) []reconcile.Request {
	if obj.GetNamespace() != eventmesh.IntegrationNamespace {
		return nil
	}
	return r.ofApplication(ctx, obj)
}

func (r *activationReconciler) ofBroker(ctx context.Context, obj client.Object) []reconcile.Request {
	if obj.GetName() != eventmesh.DefaultBroker {
		return nil
	}
	return r.paths(ctx, client.InNamespace(obj.GetNamespace()))
}

// ofNamespace finds all pairs when the integration namespace has been deleted and comes back.
func (r *activationReconciler) ofNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	if !isNamespace(obj, eventmesh.IntegrationNamespace) {
		return nil
	}
	return r.paths(ctx)
}

// Reconcile makes one pass over one pair of namespace and application.
func (r *activationReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	o, err := r.observe(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.act(ctx, o, decidePath(o))
}

// pathObserved is all that bears on one pair. What is missing is nil.
type pathObserved struct {
	path        client.ObjectKey
	activations []appv1.EventActivation

	application *appv1.Application
	source      *sourcesv1.HTTPSource
	channel     *messagingv1.Channel
	broker      *eventingv1.Broker

	// subscription has the name that the pair's Subscription has; it may be another's.
	subscription *messagingv1.Subscription
	// surplus are Subscriptions made by this package for the pair under any other name.
	surplus []messagingv1.Subscription
}

func (o *pathObserved) wanted() bool {
	for i := range o.activations {
		if !terminating(&o.activations[i]) {
			return true
		}
	}
	return false
}

func (r *activationReconciler) observe(ctx context.Context, path client.ObjectKey) (o pathObserved, err error) {
	o.path = path
	var activations appv1.EventActivationList
	if err = r.List(ctx, &activations, client.InNamespace(path.Namespace),
		client.MatchingFields{activationsByApplication: path.Name}); err != nil {
		return o, fmt.Errorf("listing the activations of %s: %w", path, err)
	}
	o.activations = activations.Items
	if err = r.observeSubscriptions(ctx, &o); err != nil || len(o.activations) == 0 {
		return o, err
	}
	const ns = eventmesh.IntegrationNamespace
	if o.application, err = find[appv1.Application](ctx, r, "", path.Name); err != nil {
		return o, err
	}
	if o.source, err = find[sourcesv1.HTTPSource](ctx, r, ns, path.Name); err != nil {
		return o, err
	}
	if o.channel, err = find[messagingv1.Channel](ctx, r, ns, path.Name); err != nil {
		return o, err
	}
	o.broker, err = find[eventingv1.Broker](ctx, r, path.Namespace, eventmesh.DefaultBroker)
	return o, err
}

func (r *activationReconciler) observeSubscriptions(ctx context.Context, o *pathObserved) (err error) {
	name := SubscriptionName(o.path.Name, o.path.Namespace)
	if o.subscription, err = find[messagingv1.Subscription](ctx, r, eventmesh.IntegrationNamespace, name); err != nil {
		return err
	}
	if o.subscription == nil && !o.wanted() && len(o.activations) > 0 {
		// An activation is about to be let go: its Subscription must be gone, not merely too new for the cache.
		o.subscription, err = find[messagingv1.Subscription](ctx, r.live, eventmesh.IntegrationNamespace, name)
		if err != nil {
			return err
		}
	}
	var ours messagingv1.SubscriptionList
	if err := r.List(ctx, &ours, client.InNamespace(eventmesh.IntegrationNamespace),
		client.MatchingFields{subscriptionsByPath: o.path.String()}); err != nil {
		return fmt.Errorf("listing the subscriptions of %s: %w", o.path, err)
	}
	for i := range ours.Items {
		if ours.Items[i].Name != name {
			o.surplus = append(o.surplus, ours.Items[i])
		}
	}
	return nil
}

// SubscriptionName is the name of the one Subscription from an application's Channel to a namespace's default Broker.
func SubscriptionName(application, namespace string) string {
	sum := sha256.Sum256([]byte(application + "/" + namespace)) // neither can have a slash
	return "brokersub-" + hex.EncodeToString(sum[:10])
}

// pathPlan is what to do about one pair.
type pathPlan struct {
	hold   []*appv1.EventActivation // to give the finalizer
	letGo  []*appv1.EventActivation // to take the finalizer from
	apply  *manifest
	remove []*messagingv1.Subscription

	channel, subscription, broker state
}

func decidePath(o pathObserved) pathPlan {
	var p pathPlan
	want := subscriptionManifest(o.path)
	wanted := o.wanted()
	for i := range o.surplus {
		if !terminating(&o.surplus[i]) {
			p.remove = append(p.remove, &o.surplus[i])
		}
	}
	own := o.subscription != nil && subset(o.subscription.Labels, want.labels)
	switch s := o.subscription; {
	case s == nil && wanted:
		p.apply = want
	case s == nil, terminating(s): // comes again, if wanted, when it is gone
	case !wanted && own:
		p.remove = append(p.remove, s)
	case !wanted: // another's
	case own && !feedsFrom(s, o.path.Name):
		p.remove = append(p.remove, s) // its channel cannot be changed
	case !want.holds(s):
		p.apply = want
	}
	gone := len(o.surplus) == 0 && !own
	for i := range o.activations {
		a := &o.activations[i]
		held := controllerutil.ContainsFinalizer(a, ActivationFinalizer)
		switch {
		case !terminating(a) && !held:
			p.hold = append(p.hold, a)
		case terminating(a) && held && (wanted || gone):
			p.letGo = append(p.letGo, a)
		}
	}
	p.channel = channelState(o)
	p.subscription = subscriptionState(o)
	p.broker = brokerState(o)
	return p
}

// feedsFrom reports whether the Subscription takes from the application's Channel.
func feedsFrom(s *messagingv1.Subscription, application string) bool {
	return s.Spec.Channel.Kind == "Channel" && s.Spec.Channel.Name == application
}

// subscriptionManifest is the Subscription that a pair wants. It names the Broker by reference rather than by URL, as
// Kyma did, so that it is only ready when there is one, and follows its address.
func subscriptionManifest(path client.ObjectKey) *manifest {
	return &manifest{
		kind:      messagingv1.SchemeGroupVersion.WithKind("Subscription"),
		namespace: eventmesh.IntegrationNamespace,
		name:      SubscriptionName(path.Name, path.Namespace),
		labels: map[string]string{
			ManagedByLabel:                 ManagedBy,
			eventmesh.ApplicationNameLabel: path.Name,
			eventmesh.BrokerNamespaceLabel: path.Namespace,
		},
		spec: map[string]any{
			"channel": map[string]any{
				"apiVersion": messagingv1.SchemeGroupVersion.String(),
				"kind":       "Channel",
				"name":       path.Name,
			},
			"subscriber": map[string]any{"ref": map[string]any{
				"apiVersion": eventingv1.SchemeGroupVersion.String(),
				"kind":       "Broker",
				"name":       eventmesh.DefaultBroker,
				"namespace":  path.Namespace,
			}},
		},
	}
}

// channelState is how ready the side of the Application is. The Channel's own words come before the HTTPSource's, which
// only waits for it.
func channelState(o pathObserved) state {
	if o.application == nil {
		return failed(appv1.ReasonApplicationNotFound, fmt.Sprintf("Application %q does not exist", o.path.Name))
	}
	source := ready() // a skipped installation has none, but somebody may have made the Channel
	if o.source != nil || !o.application.Spec.SkipInstallation {
		source = sourceState(o.source)
	}
	if o.channel == nil {
		if o.source == nil && !source.ok() {
			return source
		}
		message := fmt.Sprintf("Channel %q does not exist in %s", o.path.Name, eventmesh.IntegrationNamespace)
		if o.application.Spec.SkipInstallation {
			message += ": the Application has skipInstallation set"
		}
		return failed(appv1.ReasonChannelNotFound, message)
	}
	channel := knativeState(o.channel.GetStatus(), o.channel.Generation)
	if terminating(o.channel) {
		channel = failed(reasonChannelDeleting, "It is being deleted")
	}
	return all(channel.of("Channel "+o.channel.Name, appv1.ReasonChannelNotReady), source)
}

// subscriptionState is how ready the pair's Subscription is.
func subscriptionState(o pathObserved) state {
	s := o.subscription
	switch {
	case s == nil:
		return unknown(appv1.ReasonSubscriptionNotFound, "The Subscription is being made")
	case terminating(s):
		return failed(reasonSubscriptionDeleting, "Subscription "+s.Name+" is being deleted")
	default:
		return knativeState(s.GetStatus(), s.Generation).of("Subscription "+s.Name, appv1.ReasonSubscriptionNotReady)
	}
}

// brokerState is how ready the namespace's default Broker is.
func brokerState(o pathObserved) state {
	b := o.broker
	switch {
	case b == nil:
		return failed(appv1.ReasonBrokerNotFound, fmt.Sprintf(
			"Waiting for Knative to install the default Broker, for which namespace %q has the label %s=%s",
			o.path.Namespace, eventmesh.BrokerInjectionLabel, eventmesh.BrokerInjectionEnabled))
	case terminating(b):
		return failed(reasonBrokerDeleting, "Broker "+b.Name+" is being deleted")
	default:
		return knativeState(b.GetStatus(), b.Generation).of("Broker "+b.Name, appv1.ReasonBrokerNotReady)
	}
}

// act carries out a plan: first the finalizers, so that nothing is made that would be forgotten, and last what lets
// activations go.
func (r *activationReconciler) act(ctx context.Context, o pathObserved, p pathPlan) error {
	for _, a := range p.hold {
		if err := r.addFinalizer(ctx, a, ActivationFinalizer); err != nil {
			return err
		}
	}
	var failure error
	if p.apply != nil {
		failure = r.apply(ctx, firstWanted(o.activations), p.apply, o.subscription != nil)
		if failure != nil && !apierrors.IsConflict(failure) {
			p.subscription = failed(appv1.ReasonReconcileFailed, failure.Error())
		}
	}
	errs := []error{failure}
	for _, s := range p.remove {
		errs = append(errs, r.remove(ctx, s))
	}
	for i := range o.activations {
		before := o.activations[i].DeepCopy()
		after := before.DeepCopy()
		after.Status = activationStatus(after, p)
		errs = append(errs, r.patchStatus(ctx, before, after))
	}
	for _, a := range p.letGo {
		errs = append(errs, r.removeFinalizer(ctx, a.DeepCopy(), ActivationFinalizer))
	}
	return join(errs...)
}

// firstWanted is the activation on whose behalf a Subscription is made; a plan that makes one has found it wanted.
func firstWanted(activations []appv1.EventActivation) *appv1.EventActivation {
	for i := range activations {
		if !terminating(&activations[i]) {
			return &activations[i]
		}
	}
	return nil
}

// activationStatus is what to report of one activation. All activations of a pair have the same path; one that is being
// deleted says only that, and what it waits for.
func activationStatus(a *appv1.EventActivation, p pathPlan) appv1.EventActivationStatus {
	status := *a.Status.DeepCopy()
	if terminating(a) {
		if controllerutil.ContainsFinalizer(a, ActivationFinalizer) {
			failed(reasonDeleting, "Waiting for the Subscription to be removed").
				set(&status.Conditions, appv1.ConditionReady, a.Generation)
		}
		return status
	}
	status.ObservedGeneration = a.Generation
	p.channel.set(&status.Conditions, appv1.ConditionChannelReady, a.Generation)
	p.subscription.set(&status.Conditions, appv1.ConditionSubscriptionReady, a.Generation)
	p.broker.set(&status.Conditions, appv1.ConditionBrokerReady, a.Generation)
	// The Subscription waits for the Broker's address, so the Broker is asked for the reason first.
	all(p.channel, p.broker, p.subscription).set(&status.Conditions, appv1.ConditionReady, a.Generation)
	return status
}
