package resolvers

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// isSystemNamespace tells the namespaces in which Kubernetes and Kyma themselves live.
func isSystemNamespace(name string) bool {
	switch name {
	case "istio-system", "knative-eventing", "knative-serving", "kube-public", "kube-system", "kyma-installer",
		"kyma-integration", "kyma-system", "natss", "compass-system", "kube-node-lease", "kubernetes-dashboard":
		return true
	default:
		return false
	}
}

func (r queryResolver) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return orNull(get[corev1.Namespace](ctx, r.Cluster.Client(ctx), "", name))
}

func (r queryResolver) Namespaces(ctx context.Context, withSystemNamespaces, withInactiveStatus *bool) ([]corev1.Namespace, error) {
	var list corev1.NamespaceList
	if err := r.Cluster.Client(ctx).List(ctx, &list); err != nil {
		return nil, err
	}
	return byName(slices.DeleteFunc(list.Items, func(n corev1.Namespace) bool {
		return (isSystemNamespace(n.Name) && !deref(withSystemNamespaces)) ||
			(n.Status.Phase != corev1.NamespaceActive && !deref(withInactiveStatus))
	})), nil
}

func (r mutationResolver) CreateNamespace(ctx context.Context, name string, labels map[string]string, dryRun *bool) (*corev1.Namespace, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if err := r.writer(ctx, dryRun).Create(ctx, namespace); err != nil {
		return nil, err
	}
	return namespace, nil
}

func (r mutationResolver) UpdateNamespace(ctx context.Context, name string, labels map[string]string, dryRun *bool) (*corev1.Namespace, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := replace(ctx, r.writer(ctx, dryRun), namespace, map[string]any{"/metadata/labels": notNil(labels)}); err != nil {
		return nil, err
	}
	return namespace, nil
}

func (r mutationResolver) DeleteNamespace(ctx context.Context, name string, dryRun *bool) (*corev1.Namespace, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := remove(ctx, r.writer(ctx, dryRun), namespace); err != nil {
		return nil, err
	}
	return namespace, nil
}

func (r subscriptionResolver) NamespaceEvent(ctx context.Context, withSystemNamespaces *bool) (<-chan *graph.NamespaceEvent, error) {
	return watchParts(ctx, r.Resolver, &corev1.Namespace{},
		func(n *corev1.Namespace) bool { return deref(withSystemNamespaces) || !isSystemNamespace(n.Name) },
		func(e k8sEvent[*corev1.Namespace]) *graph.NamespaceEvent {
			return &graph.NamespaceEvent{Type: e.Type, Namespace: e.Object}
		},
		part(r.Resolver, &corev1.Pod{}, ofNamespace),
		part(r.Resolver, &appv1.ApplicationMapping{}, ofNamespace),
		part(r.Resolver, &appv1.Application{}, r.mappedIn))
}

// mappedIn are the namespaces that begin or cease to count an Application: those in which it is enabled, when it is made
// and when it is gone.
func (r *Resolver) mappedIn(ctx context.Context, e k8sEvent[*appv1.Application]) ([]string, error) {
	if e.Type == k8s.Updated {
		return nil, nil
	}
	var mappings appv1.ApplicationMappingList
	if err := r.Cluster.Client(ctx).List(ctx, &mappings, client.MatchingFields{indexName: e.Object.Name}); err != nil {
		return nil, err
	}
	namespaces := []string{}
	for _, m := range mappings.Items {
		namespaces = append(namespaces, m.Namespace)
	}
	return namespaces, nil
}

// namespaceResolver answers for a namespace both in detail and in a list: the GraphQL types differ, the object does not.
type namespaceResolver struct{ *Resolver }

// Namespace returns the resolver of namespaces in detail.
func (r *Resolver) Namespace() graph.NamespaceResolver { return namespaceResolver{r} }

// NamespaceMutationOutput returns the resolver of namespaces that were written.
func (r *Resolver) NamespaceMutationOutput() graph.NamespaceMutationOutputResolver {
	return namespaceResolver{r}
}

// NamespaceListItem returns the resolver of namespaces in a list.
func (r *Resolver) NamespaceListItem() graph.NamespaceListItemResolver { return namespaceResolver{r} }

func (namespaceResolver) Labels(_ context.Context, n *corev1.Namespace) (map[string]string, error) {
	return notNil(n.Labels), nil
}

func (namespaceResolver) Status(_ context.Context, n *corev1.Namespace) (string, error) {
	return string(n.Status.Phase), nil
}

func (namespaceResolver) IsSystemNamespace(_ context.Context, n *corev1.Namespace) (bool, error) {
	return isSystemNamespace(n.Name), nil
}

func (r namespaceResolver) Applications(ctx context.Context, n *corev1.Namespace) ([]string, error) {
	return ifInstalled(r.applications(ctx, n))
}

// applications are the names of the Applications that exist and are enabled in the namespace, sorted.
func (r namespaceResolver) applications(ctx context.Context, n *corev1.Namespace) ([]string, error) {
	c := r.Cluster.Client(ctx)
	var mappings appv1.ApplicationMappingList
	if err := c.List(ctx, &mappings, client.InNamespace(n.Name)); err != nil {
		return nil, err
	}
	names := []string{}
	for _, m := range byName(mappings.Items) {
		// By its name, but as a list: that needs one right for all, and is answered with nothing where there is none.
		var apps appv1.ApplicationList
		if err := c.List(ctx, &apps, client.MatchingFields{indexName: m.Name}); err != nil {
			return nil, err
		}
		if len(apps.Items) > 0 {
			names = append(names, m.Name)
		}
	}
	return names, nil
}

func (r namespaceResolver) ApplicationsCount(ctx context.Context, n *corev1.Namespace) (*int, error) {
	names, err := r.applications(ctx, n)
	count := len(names)
	return ifInstalled(&count, err)
}
