package resolvers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

func (r queryResolver) ResourceQuotas(ctx context.Context, namespace string) ([]corev1.ResourceQuota, error) {
	var list corev1.ResourceQuotaList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

func (r queryResolver) LimitRanges(ctx context.Context, namespace string) ([]corev1.LimitRange, error) {
	var list corev1.LimitRangeList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

type resourceQuotaResolver struct{ *Resolver }

// ResourceQuota returns the resolver of ResourceQuotas.
func (r *Resolver) ResourceQuota() graph.ResourceQuotaResolver { return resourceQuotaResolver{r} }

func (r resourceQuotaResolver) JSON(_ context.Context, q *corev1.ResourceQuota) (map[string]any, error) {
	return r.jsonOf(q)
}

type resourceQuotaSpecResolver struct{}

// ResourceQuotaSpec returns the resolver of what ResourceQuotas allow.
func (r *Resolver) ResourceQuotaSpec() graph.ResourceQuotaSpecResolver {
	return resourceQuotaSpecResolver{}
}

func (resourceQuotaSpecResolver) Hard(_ context.Context, s *corev1.ResourceQuotaSpec) (*graph.ResourceQuotaHard, error) {
	hard := &graph.ResourceQuotaHard{
		Limits: amounts(s.Hard, corev1.ResourceLimitsMemory, corev1.ResourceLimitsCPU),
		// Kubernetes takes memory and requests.memory for the same.
		Requests: amounts(s.Hard, corev1.ResourceMemory, corev1.ResourceCPU),
	}
	requests := amounts(s.Hard, corev1.ResourceRequestsMemory, corev1.ResourceRequestsCPU)
	if requests.Memory != nil {
		hard.Requests.Memory = requests.Memory
	}
	if requests.CPU != nil {
		hard.Requests.CPU = requests.CPU
	}
	if pods, ok := s.Hard[corev1.ResourcePods]; ok {
		hard.Pods = pods.String()
	}
	return hard, nil
}

// amounts are those of a list that are under the names for memory and for CPU.
func amounts(list corev1.ResourceList, memory, cpu corev1.ResourceName) *graph.ResourceLimits {
	return &graph.ResourceLimits{Memory: amount(list, memory), CPU: amount(list, cpu)}
}

// amount is nil for what is not in the list.
func amount(list corev1.ResourceList, name corev1.ResourceName) *string {
	q, ok := list[name]
	if !ok {
		return nil
	}
	return optional(q.String())
}

type limitRangeResolver struct{ *Resolver }

// LimitRange returns the resolver of LimitRanges.
func (r *Resolver) LimitRange() graph.LimitRangeResolver { return limitRangeResolver{r} }

func (r limitRangeResolver) JSON(_ context.Context, l *corev1.LimitRange) (map[string]any, error) {
	return r.jsonOf(l)
}

type limitRangeSpecResolver struct{}

// LimitRangeSpec returns the resolver of what LimitRanges allow.
func (r *Resolver) LimitRangeSpec() graph.LimitRangeSpecResolver { return limitRangeSpecResolver{} }

func (limitRangeSpecResolver) Limits(_ context.Context, s *corev1.LimitRangeSpec) ([]corev1.LimitRangeItem, error) {
	items := []corev1.LimitRangeItem{}
	for _, item := range s.Limits {
		switch item.Type {
		case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
			items = append(items, item)
		}
	}
	return items, nil
}

type limitRangeItemResolver struct{}

// LimitRangeItem returns the resolver of limits for objects of one type.
func (r *Resolver) LimitRangeItem() graph.LimitRangeItemResolver { return limitRangeItemResolver{} }

func (limitRangeItemResolver) Max(_ context.Context, l *corev1.LimitRangeItem) (*graph.ResourceLimits, error) {
	return amounts(l.Max, corev1.ResourceMemory, corev1.ResourceCPU), nil
}

func (limitRangeItemResolver) Default(_ context.Context, l *corev1.LimitRangeItem) (*graph.ResourceLimits, error) {
	return amounts(l.Default, corev1.ResourceMemory, corev1.ResourceCPU), nil
}

func (limitRangeItemResolver) DefaultRequest(_ context.Context, l *corev1.LimitRangeItem) (*graph.ResourceLimits, error) {
	return amounts(l.DefaultRequest, corev1.ResourceMemory, corev1.ResourceCPU), nil
}
