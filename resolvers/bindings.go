package resolvers

import (
	"context"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

func (r queryResolver) ServiceBinding(ctx context.Context, name, namespace string) (*scv1.ServiceBinding, error) {
	return orNull(get[scv1.ServiceBinding](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r mutationResolver) CreateServiceBinding(ctx context.Context, name *string, instance, namespace string, parameters map[string]any, dryRun *bool) (*graph.CreateServiceBindingOutput, error) {
	if err := r.instanceExists(ctx, namespace, instance); err != nil {
		return nil, err
	}
	raw, err := rawJSON("parameters", parameters)
	if err != nil {
		return nil, err
	}
	binding := &scv1.ServiceBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: deref(name)},
		Spec:       scv1.ServiceBindingSpec{InstanceRef: scv1.LocalObjectReference{Name: instance}, Parameters: raw},
	}
	if binding.Name == "" {
		binding.GenerateName = instance + "-"
	}
	if err := r.writer(ctx, dryRun).Create(ctx, binding); err != nil {
		return nil, err
	}
	return &graph.CreateServiceBindingOutput{Name: binding.Name, ServiceInstanceName: instance, Namespace: namespace}, nil
}

// instanceExists refuses an instance that does not exist: a binding to it could never become ready. For who may bind but
// not look, the catalog will say so in the binding's status.
func (r *Resolver) instanceExists(ctx context.Context, namespace, name string) error {
	if name == "" {
		return apierrors.NewBadRequest("serviceInstanceName must not be empty")
	}
	_, err := get[scv1.ServiceInstance](ctx, r.Cluster.Client(ctx), namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return notFound("serviceinstances", name)
	case apierrors.IsForbidden(err):
		return nil
	default:
		return err
	}
}

func (r mutationResolver) DeleteServiceBinding(ctx context.Context, name, namespace string, dryRun *bool) (*graph.DeleteServiceBindingOutput, error) {
	binding := &scv1.ServiceBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := r.writer(ctx, dryRun).Delete(ctx, binding); err != nil {
		return nil, err
	}
	return &graph.DeleteServiceBindingOutput{Name: name, Namespace: namespace}, nil
}

func (r subscriptionResolver) ServiceBindingEvent(ctx context.Context, namespace string) (<-chan *graph.ServiceBindingEvent, error) {
	return watch(ctx, r.Resolver, &scv1.ServiceBinding{}, everything,
		func(e k8sEvent[*scv1.ServiceBinding]) *graph.ServiceBindingEvent {
			return &graph.ServiceBindingEvent{Type: e.Type, ServiceBinding: e.Object}
		}, client.InNamespace(namespace))
}

type serviceBindingResolver struct{ *Resolver }

// ServiceBinding returns the resolver of ServiceBindings.
func (r *Resolver) ServiceBinding() graph.ServiceBindingResolver { return serviceBindingResolver{r} }

func (serviceBindingResolver) ServiceInstanceName(_ context.Context, b *scv1.ServiceBinding) (string, error) {
	return b.Spec.InstanceRef.Name, nil
}

// Secret is read like any other object, so that it takes the right to get that Secret, not only its binding.
func (r serviceBindingResolver) Secret(ctx context.Context, b *scv1.ServiceBinding) (*corev1.Secret, error) {
	if b.Spec.SecretName == "" {
		return nil, nil
	}
	return orNull(get[corev1.Secret](ctx, r.Cluster.Client(ctx), b.Namespace, b.Spec.SecretName))
}

func (serviceBindingResolver) Status(_ context.Context, b *scv1.ServiceBinding) (*graph.ServiceBindingStatus, error) {
	return statusOfBinding(b), nil
}

func (serviceBindingResolver) Parameters(_ context.Context, b *scv1.ServiceBinding) (map[string]any, error) {
	return metadataOf(b.Spec.Parameters), nil
}

// statusOfBinding goes by the conditions that are true. Before any is, reason and message are those of Ready, which tells
// what the catalog is doing.
func statusOfBinding(b *scv1.ServiceBinding) *graph.ServiceBindingStatus {
	var ready, failed, other scv1.ServiceBindingCondition
	for _, c := range b.Status.Conditions {
		switch {
		case c.Type == scv1.ServiceBindingConditionReady:
			ready = c
		case c.Type == scv1.ServiceBindingConditionFailed:
			failed = c
		case c.Status == scv1.ConditionTrue:
			other = c
		}
	}
	kind, deciding := graph.ServiceBindingStatusTypePending, ready
	switch {
	case ready.Status == scv1.ConditionTrue:
		kind = graph.ServiceBindingStatusTypeReady
	case failed.Status == scv1.ConditionTrue:
		kind, deciding = graph.ServiceBindingStatusTypeFailed, failed
	case other.Status == scv1.ConditionTrue:
		kind, deciding = graph.ServiceBindingStatusTypeUnknown, other
	}
	return &graph.ServiceBindingStatus{Type: kind, Reason: deciding.Reason, Message: deciding.Message}
}

// bindingsOf are the bindings of an instance, sorted by name.
func bindingsOf(ctx context.Context, c client.Reader, i *scv1.ServiceInstance) ([]scv1.ServiceBinding, error) {
	var list scv1.ServiceBindingList
	if err := c.List(ctx, &list, client.InNamespace(i.Namespace), client.MatchingFields{indexInstance: i.Name}); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

func bindingStats(bindings []scv1.ServiceBinding) *graph.ServiceBindingsStats {
	stats := &graph.ServiceBindingsStats{}
	for i := range bindings {
		switch statusOfBinding(&bindings[i]).Type {
		case graph.ServiceBindingStatusTypeReady:
			stats.Ready++
		case graph.ServiceBindingStatusTypeFailed:
			stats.Failed++
		case graph.ServiceBindingStatusTypePending:
			stats.Pending++
		default:
			stats.Unknown++
		}
	}
	return stats
}
