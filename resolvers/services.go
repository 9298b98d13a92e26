package resolvers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

func (r queryResolver) Service(ctx context.Context, name, namespace string) (*corev1.Service, error) {
	return orNull(get[corev1.Service](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r queryResolver) Services(ctx context.Context, namespace string, excludedLabels []string, first, offset *int) ([]corev1.Service, error) {
	var list corev1.ServiceList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	services := slices.DeleteFunc(list.Items, func(s corev1.Service) bool { return hasAny(s.Labels, excludedLabels) })
	return page(byName(services), first, offset)
}

// hasAny reports whether there is one of the wanted among labels, each given as key or as key=value.
func hasAny(labels map[string]string, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool {
		key, want, withValue := strings.Cut(w, "=")
		value, ok := labels[key]
		return ok && (!withValue || value == want)
	})
}

// UpdateService leaves it to the API server to say what is wrong with the Service, fields that it does not know included. It
// is a patch of the whole, because an update of a Service that does not exist would create it.
func (r mutationResolver) UpdateService(ctx context.Context, name, namespace string, service map[string]any, dryRun *bool) (*corev1.Service, error) {
	obj, err := unstructuredOf("service", service)
	if err != nil {
		return nil, err
	}
	if err := sameService(obj, namespace, name); err != nil {
		return nil, err
	}
	if err := patch(ctx, strict(r.writer(ctx, dryRun)), obj, operation{"replace", "", obj.Object}); err != nil {
		return nil, err
	}
	updated := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, updated); err != nil {
		return nil, fmt.Errorf("decoding the updated Service: %w", err)
	}
	return updated, nil
}

// sameService refuses an object that is not the Service of that name: who may change one is not to change another.
func sameService(obj *unstructured.Unstructured, namespace, name string) error {
	for _, f := range []struct{ field, is, want string }{
		{"apiVersion", obj.GetAPIVersion(), "v1"},
		{"kind", obj.GetKind(), "Service"},
		{"metadata.name", obj.GetName(), name},
		{"metadata.namespace", obj.GetNamespace(), namespace},
	} {
		if f.is != f.want {
			return apierrors.NewBadRequest(fmt.Sprintf("service: %s is %q, not %q", f.field, f.is, f.want))
		}
	}
	return nil
}

func (r mutationResolver) DeleteService(ctx context.Context, name, namespace string, dryRun *bool) (*corev1.Service, error) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := remove(ctx, r.writer(ctx, dryRun), service); err != nil {
		return nil, err
	}
	return service, nil
}

func (r subscriptionResolver) ServiceEvent(ctx context.Context, namespace string) (<-chan *graph.ServiceEvent, error) {
	return watch(ctx, r.Resolver, &corev1.Service{}, everything,
		func(e k8sEvent[*corev1.Service]) *graph.ServiceEvent {
			return &graph.ServiceEvent{Type: e.Type, Service: e.Object}
		}, client.InNamespace(namespace))
}

type serviceResolver struct{ *Resolver }

// Service returns the resolver of Services.
func (r *Resolver) Service() graph.ServiceResolver { return serviceResolver{r} }

func (serviceResolver) ClusterIP(_ context.Context, s *corev1.Service) (string, error) {
	return s.Spec.ClusterIP, nil
}

func (serviceResolver) Labels(_ context.Context, s *corev1.Service) (map[string]string, error) {
	return notNil(s.Labels), nil
}

func (serviceResolver) Ports(_ context.Context, s *corev1.Service) ([]corev1.ServicePort, error) {
	return s.Spec.Ports, nil
}

func (r serviceResolver) JSON(_ context.Context, s *corev1.Service) (map[string]any, error) {
	return r.jsonOf(s)
}

func (serviceResolver) UID(_ context.Context, s *corev1.Service) (string, error) {
	return string(s.UID), nil
}

type servicePortResolver struct{}

// ServicePort returns the resolver of the ports of Services.
func (r *Resolver) ServicePort() graph.ServicePortResolver { return servicePortResolver{} }

func (servicePortResolver) ServiceProtocol(_ context.Context, p *corev1.ServicePort) (graph.ServiceProtocol, error) {
	switch p.Protocol {
	case corev1.ProtocolTCP:
		return graph.ServiceProtocolTCP, nil
	case corev1.ProtocolUDP:
		return graph.ServiceProtocolUDP, nil
	default:
		return graph.ServiceProtocolUnknown, nil
	}
}

func (servicePortResolver) TargetPort(_ context.Context, p *corev1.ServicePort) (int, error) {
	return int(p.TargetPort.IntVal), nil // 0 for a name
}
