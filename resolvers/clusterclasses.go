package resolvers

import (
	"context"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

func (r queryResolver) ClusterServiceClass(ctx context.Context, name string) (*scv1.ClusterServiceClass, error) {
	return orNull(get[scv1.ClusterServiceClass](ctx, r.Cluster.Client(ctx), "", name))
}

func (r queryResolver) ClusterServiceClasses(ctx context.Context, first, offset *int) ([]scv1.ClusterServiceClass, error) {
	var list scv1.ClusterServiceClassList
	if err := r.Cluster.Client(ctx).List(ctx, &list); err != nil {
		return nil, err
	}
	return page(byName(list.Items), first, offset)
}

type clusterServiceClassResolver struct {
	*Resolver
	classFields[scv1.ClusterServiceClass]
}

// ClusterServiceClass returns the resolver of ClusterServiceClasses.
func (r *Resolver) ClusterServiceClass() graph.ClusterServiceClassResolver {
	spec := func(c *scv1.ClusterServiceClass) *scv1.CommonServiceClassSpec { return &c.Spec.CommonServiceClassSpec }
	return clusterServiceClassResolver{r, classFields[scv1.ClusterServiceClass]{spec}}
}

func (r clusterServiceClassResolver) Plans(ctx context.Context, c *scv1.ClusterServiceClass) ([]scv1.ClusterServicePlan, error) {
	return clusterPlansOf(ctx, r.Cluster.Client(ctx), c)
}

func (r clusterServiceClassResolver) Activated(ctx context.Context, c *scv1.ClusterServiceClass, namespace *string) (bool, error) {
	instances, err := instancesOf(ctx, r.Cluster.Client(ctx), deref(namespace), clusterClassKeys(c), client.Limit(1))
	return len(instances) > 0, err
}

func (r clusterServiceClassResolver) Instances(ctx context.Context, c *scv1.ClusterServiceClass, namespace *string) ([]scv1.ServiceInstance, error) {
	return instancesOf(ctx, r.Cluster.Client(ctx), deref(namespace), clusterClassKeys(c))
}

func (r clusterServiceClassResolver) ClusterAssetGroup(ctx context.Context, c *scv1.ClusterServiceClass) (*rafterv1.ClusterAssetGroup, error) {
	return r.clusterAssetGroup(ctx, c.Name)
}

// clusterClassByExternal is classByExternal for cluster-wide classes.
func clusterClassByExternal(ctx context.Context, c client.Reader, name string) (*scv1.ClusterServiceClass, error) {
	var list scv1.ClusterServiceClassList
	if err := c.List(ctx, &list, client.MatchingFields{indexExternalName: name}); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, notFound("clusterserviceclasses", name)
	}
	classes := byName(list.Items)
	offered := slices.IndexFunc(classes, func(c scv1.ClusterServiceClass) bool { return !c.Status.RemovedFromBrokerCatalog })
	return &classes[max(offered, 0)], nil
}
