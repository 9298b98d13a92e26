package resolvers

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
)

func (r queryResolver) Brokers(ctx context.Context, namespace string) ([]eventingv1.Broker, error) {
	var list eventingv1.BrokerList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

func (r queryResolver) Broker(ctx context.Context, name, namespace string) (*eventingv1.Broker, error) {
	return orNull(get[eventingv1.Broker](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r subscriptionResolver) BrokerEvent(ctx context.Context, namespace string) (<-chan *graph.BrokerEvent, error) {
	return watch(ctx, r.Resolver, &eventingv1.Broker{}, everything,
		func(e k8sEvent[*eventingv1.Broker]) *graph.BrokerEvent {
			return &graph.BrokerEvent{Type: e.Type, Broker: e.Object}
		}, client.InNamespace(namespace))
}

type brokerResolver struct{ *Resolver }

// Broker returns the resolver of Brokers.
func (r *Resolver) Broker() graph.BrokerResolver { return brokerResolver{r} }

func (brokerResolver) Labels(_ context.Context, b *eventingv1.Broker) (map[string]string, error) {
	return notNil(b.Labels), nil
}

func (brokerResolver) URL(_ context.Context, b *eventingv1.Broker) (*string, error) {
	if b.Status.Address == nil || b.Status.Address.URL == nil {
		return nil, nil
	}
	return optional(b.Status.Address.URL.String()), nil
}

func (brokerResolver) Ready(_ context.Context, b *eventingv1.Broker) (bool, error) {
	verdict, _, _ := eventmesh.StatusOfBroker(&b.Status)
	return verdict == eventmesh.VerdictReady, nil
}

func (brokerResolver) Reason(_ context.Context, b *eventingv1.Broker) (string, error) {
	_, reason, _ := eventmesh.StatusOfBroker(&b.Status)
	return reason, nil
}

func (brokerResolver) Message(_ context.Context, b *eventingv1.Broker) (string, error) {
	_, _, message := eventmesh.StatusOfBroker(&b.Status)
	return message, nil
}

func (brokerResolver) Status(_ context.Context, b *eventingv1.Broker) (eventmesh.Verdict, error) {
	verdict, _, _ := eventmesh.StatusOfBroker(&b.Status)
	return verdict, nil
}

func (brokerResolver) Conditions(_ context.Context, b *eventingv1.Broker) ([]apis.Condition, error) {
	return b.Status.Conditions, nil
}

func (r brokerResolver) Triggers(ctx context.Context, b *eventingv1.Broker) ([]eventingv1.Trigger, error) {
	triggers, err := r.triggers(ctx, b.Namespace)
	return slices.DeleteFunc(triggers, func(t eventingv1.Trigger) bool { return t.Spec.Broker != b.Name }), err
}

func (brokerResolver) Delivery(_ context.Context, b *eventingv1.Broker) (*eventingduckv1.DeliverySpec, error) {
	return b.Spec.Delivery, nil
}

type conditionResolver struct{}

// Condition returns the resolver of Knative's conditions.
func (r *Resolver) Condition() graph.ConditionResolver { return conditionResolver{} }

func (conditionResolver) Type(_ context.Context, c *apis.Condition) (string, error) {
	return string(c.Type), nil
}

func (conditionResolver) Status(_ context.Context, c *apis.Condition) (string, error) {
	return string(c.Status), nil
}

func (conditionResolver) LastTransitionTime(_ context.Context, c *apis.Condition) (*metav1.Time, error) {
	return &c.LastTransitionTime.Inner, nil
}
