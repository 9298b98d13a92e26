package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// InjectionAnnotation, on a Namespace, records that the label which asks Knative for the default Broker was set by this
// package. Its value is the value that the label had before, "" when it had none.
const InjectionAnnotation = "kyma-console.kyma-project.io/broker-injection"

// injectedLabel marks the Brokers that Knative made because of the label: knative.dev/eventing
// pkg/reconciler/sugar/resources.
const injectedLabel = "eventing.knative.dev/injected"

// injectionReconciler gives the namespaces that have EventActivations the label by which Knative installs the default
// Broker. It takes back what it gave, the label and the Broker that came of it, once nothing in the mesh uses them.
type injectionReconciler struct {
	writer
}

func (r *injectionReconciler) setup(mgr ctrl.Manager) error {
	return newController(mgr, "brokerinjection").
		For(&corev1.Namespace{}).
		Watches(&appv1.EventActivation{}, handler.EnqueueRequestsFromMapFunc(toNamespace)).
		Watches(&eventingv1.Trigger{}, handler.EnqueueRequestsFromMapFunc(toNamespace), onlyDeletions()).
		Watches(&eventingv1.Broker{}, handler.EnqueueRequestsFromMapFunc(toNamespace), onlyDeletions()).
		Watches(&messagingv1.Subscription{}, handler.EnqueueRequestsFromMapFunc(
			func(_ context.Context, obj client.Object) []reconcile.Request {
				if ns, ok := fedNamespace(obj.(*messagingv1.Subscription)); ok {
					return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: ns}}}
				}
				return nil
			}), onlyDeletions()).
		Complete(quiet(r))
}

// toNamespace finds the namespace of an object.
func toNamespace(_ context.Context, obj client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: obj.GetNamespace()}}}
}

// Reconcile makes one pass over one namespace.
func (r *injectionReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	o, err := r.observe(ctx, req.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	p := decideInjection(o)
	if p.namespace != nil {
		err := r.Patch(ctx, p.namespace, client.MergeFrom(o.namespace), FieldOwner)
		if client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, fmt.Errorf("labelling namespace %s: %w", req.Name, err)
		}
	}
	if p.deleteBroker {
		return reconcile.Result{}, r.remove(ctx, o.broker)
	}
	return reconcile.Result{}, nil
}

// injectionObserved is all that bears on the default Broker of one namespace. What is missing is nil.
type injectionObserved struct {
	namespace *corev1.Namespace
	broker    *eventingv1.Broker
	// wanted: there is an EventActivation that is not being deleted.
	wanted bool
	// used: something in the mesh still goes through the Broker. Only looked for when it matters.
	used bool
}

func (r *injectionReconciler) observe(ctx context.Context, name string) (o injectionObserved, err error) {
	if o.namespace, err = find[corev1.Namespace](ctx, r, "", name); err != nil || o.namespace == nil {
		return o, err
	}
	var activations appv1.EventActivationList
	if err = r.List(ctx, &activations, client.InNamespace(name)); err != nil {
		return o, fmt.Errorf("listing the activations of %s: %w", name, err)
	}
	o.used = len(activations.Items) > 0
	for i := range activations.Items {
		o.wanted = o.wanted || !terminating(&activations.Items[i])
	}
	if _, ours := o.namespace.Annotations[InjectionAnnotation]; !ours || o.used {
		return o, nil
	}
	if o.broker, err = find[eventingv1.Broker](ctx, r, name, eventmesh.DefaultBroker); err != nil {
		return o, err
	}
	var triggers eventingv1.TriggerList
	if err = r.List(ctx, &triggers, client.InNamespace(name), client.Limit(1),
		client.MatchingFields{triggersByBroker: eventmesh.DefaultBroker}); err != nil {
		return o, fmt.Errorf("listing the triggers of %s: %w", name, err)
	}
	var subscriptions messagingv1.SubscriptionList
	if err = r.List(ctx, &subscriptions, client.Limit(1), client.MatchingFields{subscriptionsByBroker: name}); err != nil {
		return o, fmt.Errorf("listing the subscriptions to %s: %w", name, err)
	}
	o.used = len(triggers.Items) > 0 || len(subscriptions.Items) > 0
	return o, nil
}

// injectionPlan is what to do about one namespace.
type injectionPlan struct {
	namespace    *corev1.Namespace // as it shall be; nil leaves it
	deleteBroker bool
}

// decideInjection takes the label back first and the Broker in a later pass, when the label is seen gone: Knative would
// otherwise install the Broker again. The annotation goes last, so that a crash in between is taken up again.
func decideInjection(o injectionObserved) injectionPlan {
	if o.namespace == nil || terminating(o.namespace) {
		return injectionPlan{}
	}
	label, labelled := o.namespace.Labels[eventmesh.BrokerInjectionLabel]
	before, ours := o.namespace.Annotations[InjectionAnnotation]
	enabled := labelled && label == eventmesh.BrokerInjectionEnabled
	ns := o.namespace.DeepCopy()
	switch {
	case o.wanted && enabled:
		return injectionPlan{}
	case o.wanted:
		setKey(&ns.Labels, eventmesh.BrokerInjectionLabel, eventmesh.BrokerInjectionEnabled)
		if !ours {
			setKey(&ns.Annotations, InjectionAnnotation, label)
		}
		return injectionPlan{namespace: ns}
	case !ours || o.used:
		return injectionPlan{}
	case enabled && before != "":
		ns.Labels[eventmesh.BrokerInjectionLabel] = before
		return injectionPlan{namespace: ns}
	case enabled:
		delete(ns.Labels, eventmesh.BrokerInjectionLabel)
		return injectionPlan{namespace: ns}
	case o.broker != nil && o.broker.Labels[injectedLabel] == "true":
		return injectionPlan{deleteBroker: !terminating(o.broker)}
	default:
		delete(ns.Annotations, InjectionAnnotation)
		return injectionPlan{namespace: ns}
	}
}

func setKey(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}
