package resolvers

import (
	"context"
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	usagesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/servicecatalog/v1alpha1"
)

func (r queryResolver) ServiceBindingUsage(ctx context.Context, name, namespace string) (*usagesv1.ServiceBindingUsage, error) {
	return orNull(get[usagesv1.ServiceBindingUsage](ctx, r.Cluster.Client(ctx), namespace, name))
}

// ServiceBindingUsages compares kinds as Kyma does, which writes "deployment" and "Deployment".
func (r queryResolver) ServiceBindingUsages(ctx context.Context, namespace string, kind, name *string) ([]usagesv1.ServiceBindingUsage, error) {
	var list usagesv1.ServiceBindingUsageList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	other := func(u usagesv1.ServiceBindingUsage) bool {
		return deref(kind) != "" && !strings.EqualFold(*kind, u.Spec.UsedBy.Kind) ||
			deref(name) != "" && *name != u.Spec.UsedBy.Name
	}
	return byName(slices.DeleteFunc(list.Items, other)), nil
}

// usagesOf are the usages of all bindings of an instance, sorted by name and never nil. A cluster without usages is a
// NoMatch error.
func (r *Resolver) usagesOf(ctx context.Context, i *scv1.ServiceInstance) ([]usagesv1.ServiceBindingUsage, error) {
	err := r.Cluster.Index(ctx, &usagesv1.ServiceBindingUsage{}, indexBinding, func(o client.Object) []string {
		return []string{o.(*usagesv1.ServiceBindingUsage).Spec.ServiceBindingRef.Name}
	})
	if err != nil {
		return nil, err
	}
	c := r.Cluster.Client(ctx)
	bindings, err := bindingsOf(ctx, c, i)
	if err != nil {
		return nil, err
	}
	usages := []usagesv1.ServiceBindingUsage{}
	for _, b := range bindings {
		var list usagesv1.ServiceBindingUsageList
		if err := c.List(ctx, &list, client.InNamespace(b.Namespace), client.MatchingFields{indexBinding: b.Name}); err != nil {
			return nil, err
		}
		usages = append(usages, list.Items...)
	}
	return byName(usages), nil
}

type serviceBindingUsageResolver struct{ *Resolver }

// ServiceBindingUsage returns the resolver of ServiceBindingUsages.
func (r *Resolver) ServiceBindingUsage() graph.ServiceBindingUsageResolver {
	return serviceBindingUsageResolver{r}
}

func (r serviceBindingUsageResolver) ServiceBinding(ctx context.Context, u *usagesv1.ServiceBindingUsage) (*scv1.ServiceBinding, error) {
	return orNull(get[scv1.ServiceBinding](ctx, r.Cluster.Client(ctx), u.Namespace, u.Spec.ServiceBindingRef.Name))
}

func (serviceBindingUsageResolver) UsedBy(_ context.Context, u *usagesv1.ServiceBindingUsage) (*usagesv1.LocalReferenceByKindAndName, error) {
	return &u.Spec.UsedBy, nil
}

func (serviceBindingUsageResolver) Parameters(_ context.Context, u *usagesv1.ServiceBindingUsage) (*usagesv1.Parameters, error) {
	return u.Spec.Parameters, nil
}

func (serviceBindingUsageResolver) Status(_ context.Context, u *usagesv1.ServiceBindingUsage) (*graph.ServiceBindingUsageStatus, error) {
	return statusOfUsage(u.Status.Conditions), nil
}

// statusOfUsage is what the condition Ready says. Conditions without it are none that we know.
func statusOfUsage(conditions []metav1.Condition) *graph.ServiceBindingUsageStatus {
	c := meta.FindStatusCondition(conditions, usagesv1.ConditionReady)
	switch {
	case len(conditions) == 0:
		return &graph.ServiceBindingUsageStatus{Type: graph.ServiceBindingUsageStatusTypePending}
	case c == nil:
		return &graph.ServiceBindingUsageStatus{Type: graph.ServiceBindingUsageStatusTypeUnknown}
	}
	kind := map[metav1.ConditionStatus]graph.ServiceBindingUsageStatusType{
		metav1.ConditionTrue:    graph.ServiceBindingUsageStatusTypeReady,
		metav1.ConditionFalse:   graph.ServiceBindingUsageStatusTypeFailed,
		metav1.ConditionUnknown: graph.ServiceBindingUsageStatusTypeUnknown,
	}
	return &graph.ServiceBindingUsageStatus{Type: kind[c.Status], Reason: c.Reason, Message: c.Message}
}
