package resolvers

import (
	"context"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

func (r queryResolver) ServiceBroker(ctx context.Context, name, namespace string) (*scv1.ServiceBroker, error) {
	return orNull(get[scv1.ServiceBroker](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r queryResolver) ServiceBrokers(ctx context.Context, namespace string, first, offset *int) ([]scv1.ServiceBroker, error) {
	var list scv1.ServiceBrokerList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return page(byName(list.Items), first, offset)
}

func (r queryResolver) ClusterServiceBroker(ctx context.Context, name string) (*scv1.ClusterServiceBroker, error) {
	return orNull(get[scv1.ClusterServiceBroker](ctx, r.Cluster.Client(ctx), "", name))
}

func (r queryResolver) ClusterServiceBrokers(ctx context.Context, first, offset *int) ([]scv1.ClusterServiceBroker, error) {
	var list scv1.ClusterServiceBrokerList
	if err := r.Cluster.Client(ctx).List(ctx, &list); err != nil {
		return nil, err
	}
	return page(byName(list.Items), first, offset)
}

func (r subscriptionResolver) ServiceBrokerEvent(ctx context.Context, namespace string) (<-chan *graph.ServiceBrokerEvent, error) {
	return watch(ctx, r.Resolver, &scv1.ServiceBroker{}, everything,
		func(e k8sEvent[*scv1.ServiceBroker]) *graph.ServiceBrokerEvent {
			return &graph.ServiceBrokerEvent{Type: e.Type, ServiceBroker: e.Object}
		}, client.InNamespace(namespace))
}

func (r subscriptionResolver) ClusterServiceBrokerEvent(ctx context.Context) (<-chan *graph.ClusterServiceBrokerEvent, error) {
	return watch(ctx, r.Resolver, &scv1.ClusterServiceBroker{}, everything,
		func(e k8sEvent[*scv1.ClusterServiceBroker]) *graph.ClusterServiceBrokerEvent {
			return &graph.ClusterServiceBrokerEvent{Type: e.Type, ClusterServiceBroker: e.Object}
		})
}

type serviceBrokerResolver struct{}

// ServiceBroker returns the resolver of ServiceBrokers.
func (r *Resolver) ServiceBroker() graph.ServiceBrokerResolver { return serviceBrokerResolver{} }

func (serviceBrokerResolver) Status(_ context.Context, b *scv1.ServiceBroker) (*graph.ServiceBrokerStatus, error) {
	return statusOfServiceBroker(b.Status.Conditions), nil
}

func (serviceBrokerResolver) URL(_ context.Context, b *scv1.ServiceBroker) (string, error) {
	return b.Spec.URL, nil
}

func (serviceBrokerResolver) Labels(_ context.Context, b *scv1.ServiceBroker) (map[string]string, error) {
	return notNil(b.Labels), nil
}

type clusterServiceBrokerResolver struct{}

// ClusterServiceBroker returns the resolver of ClusterServiceBrokers.
func (r *Resolver) ClusterServiceBroker() graph.ClusterServiceBrokerResolver {
	return clusterServiceBrokerResolver{}
}

func (clusterServiceBrokerResolver) Status(_ context.Context, b *scv1.ClusterServiceBroker) (*graph.ServiceBrokerStatus, error) {
	return statusOfServiceBroker(b.Status.Conditions), nil
}

func (clusterServiceBrokerResolver) URL(_ context.Context, b *scv1.ClusterServiceBroker) (string, error) {
	return b.Spec.URL, nil
}

func (clusterServiceBrokerResolver) Labels(_ context.Context, b *scv1.ClusterServiceBroker) (map[string]string, error) {
	return notNil(b.Labels), nil
}

// statusOfServiceBroker is what the condition Ready says. A broker without it is not ready, for the reason that its first
// condition gives.
func statusOfServiceBroker(conditions []scv1.ServiceBrokerCondition) *graph.ServiceBrokerStatus {
	if len(conditions) == 0 {
		return &graph.ServiceBrokerStatus{}
	}
	i := slices.IndexFunc(conditions, func(c scv1.ServiceBrokerCondition) bool { return c.Type == scv1.ServiceBrokerConditionReady })
	c := conditions[max(i, 0)]
	return &graph.ServiceBrokerStatus{Ready: i >= 0 && c.Status == scv1.ConditionTrue, Reason: c.Reason, Message: c.Message}
}
