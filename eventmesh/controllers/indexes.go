package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// Field indexes of the caches. Their names say what they are keyed by, and are this package's own, so that another
// package can index the same kind.
const (
	// mappingsByApplication: ApplicationMappings by the name of their Application.
	mappingsByApplication = "controllers.application"
	// activationsByApplication: EventActivations by spec.sourceId.
	activationsByApplication = "controllers.sourceId"
	// subscriptionsByPath: the Subscriptions that this package made, by namespace/application.
	subscriptionsByPath = "controllers.path"
	// subscriptionsByBroker: all Subscriptions that feed a default Broker, by the namespace of the Broker.
	subscriptionsByBroker = "controllers.broker"
	// triggersByBroker: Triggers by spec.broker.
	triggersByBroker = "controllers.broker"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		kind  client.Object
		name  string
		value func(client.Object) []string
	}{
		{&appv1.ApplicationMapping{}, mappingsByApplication, func(o client.Object) []string {
			return []string{o.GetName()}
		}},
		{&appv1.EventActivation{}, activationsByApplication, func(o client.Object) []string {
			return []string{o.(*appv1.EventActivation).Spec.SourceID}
		}},
		{&messagingv1.Subscription{}, subscriptionsByPath, func(o client.Object) []string {
			if p, ok := pathOf(o); ok && o.GetLabels()[ManagedByLabel] == ManagedBy {
				return []string{p.String()}
			}
			return nil
		}},
		{&messagingv1.Subscription{}, subscriptionsByBroker, func(o client.Object) []string {
			if ns, ok := fedNamespace(o.(*messagingv1.Subscription)); ok {
				return []string{ns}
			}
			return nil
		}},
		{&eventingv1.Trigger{}, triggersByBroker, func(o client.Object) []string {
			return []string{o.(*eventingv1.Trigger).Spec.Broker}
		}},
	} {
		if err := indexer.IndexField(ctx, index.kind, index.name, index.value); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", index.kind, index.name, err)
		}
	}
	return nil
}

// pathOf reads off the labels of a Subscription which way of events it is part of: from the application Name to the
// namespace Namespace.
func pathOf(subscription client.Object) (client.ObjectKey, bool) {
	labels := subscription.GetLabels()
	p := client.ObjectKey{
		Namespace: labels[eventmesh.BrokerNamespaceLabel],
		Name:      labels[eventmesh.ApplicationNameLabel],
	}
	return p, p.Namespace != "" && p.Name != "" && subscription.GetNamespace() == eventmesh.IntegrationNamespace
}

// fedNamespace is the namespace whose default Broker the Subscription feeds: the one it refers to or, for Subscriptions
// of Kyma, which name the Broker by URL, the one it is labelled with.
func fedNamespace(s *messagingv1.Subscription) (string, bool) {
	if s.Spec.Subscriber != nil && s.Spec.Subscriber.Ref != nil {
		ref := s.Spec.Subscriber.Ref
		if ref.Kind != "Broker" || ref.Name != eventmesh.DefaultBroker {
			return "", false
		}
		if ref.Namespace == "" {
			return s.Namespace, true
		}
		return ref.Namespace, true
	}
	ns := s.Labels[eventmesh.BrokerNamespaceLabel]
	return ns, ns != ""
}

// isNamespace reports whether obj is the Namespace name.
func isNamespace(obj client.Object, name string) bool {
	ns, ok := obj.(*corev1.Namespace)
	return ok && ns.Name == name
}
