package resolvers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	uiv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/ui/v1alpha1"
)

func (r queryResolver) ClusterMicroFrontends(ctx context.Context) ([]uiv1.ClusterMicroFrontend, error) {
	var list uiv1.ClusterMicroFrontendList
	err := r.listSeen(ctx, "ClusterMicroFrontend", &list)
	return byName(list.Items), err
}

func (r queryResolver) MicroFrontends(ctx context.Context, namespace string) ([]uiv1.MicroFrontend, error) {
	var list uiv1.MicroFrontendList
	err := r.listSeen(ctx, "MicroFrontend", &list, client.InNamespace(namespace))
	return byName(list.Items), err
}

// listSeen lists what there is of a kind of micro frontends and what the user may see: nothing, where that is so.
func (r *Resolver) listSeen(ctx context.Context, kind string, list client.ObjectList, opts ...client.ListOption) error {
	if err := signedIn(ctx); err != nil {
		return err
	}
	if ok, err := r.Cluster.Serves(uiv1.GroupVersion.WithKind(kind).GroupKind()); !ok {
		return err
	}
	return unseen(r.Cluster.Client(ctx).List(ctx, list, opts...))
}

type navigationNodeResolver struct{}

// NavigationNode returns the resolver of the pages of micro frontends.
func (r *Resolver) NavigationNode() graph.NavigationNodeResolver { return navigationNodeResolver{} }

func (navigationNodeResolver) ShowInNavigation(_ context.Context, n *uiv1.NavigationNode) (bool, error) {
	return n.ShowInNavigation == nil || *n.ShowInNavigation, nil
}

func (navigationNodeResolver) Settings(_ context.Context, n *uiv1.NavigationNode) (map[string]any, error) {
	if settings := metadataOf(n.Settings); settings != nil {
		return settings, nil
	}
	return map[string]any{}, nil
}
