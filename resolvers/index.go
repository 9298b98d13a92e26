package resolvers

import (
	"context"
	"fmt"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// Keys of the indexes through which the resolvers find objects in the caches. The prefix keeps them apart from those of
// the reconcilers, which share the caches.
const (
	indexName         = "resolvers.name"         // by metadata.name, across namespaces
	indexClass        = "resolvers.class"        // plans and ServiceInstances by their class; see instanceClasses
	indexExternalName = "resolvers.externalName" // ServiceClasses and ClusterServiceClasses by spec.externalName
	indexInstance     = "resolvers.instance"     // ServiceBindings by their instance
	indexBinding      = "resolvers.binding"      // ServiceBindingUsages by their binding
	indexAssetGroup   = "resolvers.assetGroup"   // Assets and ClusterAssets by their group
)

// SetupIndexes prepares the caches for the resolvers. It must be called before the caches start. Kinds that the cluster
// does not have are passed over: their fields will say MODULE_DISABLED. Kinds of other programs, which may come
// later, are not here but indexed at their first use, by k8s.Cluster.Index.
func SetupIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	name := func(o client.Object) []string { return []string{o.GetName()} }
	for _, i := range []struct {
		object  client.Object
		key     string
		extract client.IndexerFunc
	}{
		{&appv1.Application{}, indexName, name},
		{&appv1.ApplicationMapping{}, indexName, name},
		{&sourcesv1.HTTPSource{}, indexName, name},
		{&scv1.ServiceClass{}, indexExternalName, func(o client.Object) []string {
			return []string{o.(*scv1.ServiceClass).Spec.ExternalName}
		}},
		{&scv1.ServicePlan{}, indexClass, func(o client.Object) []string {
			return []string{o.(*scv1.ServicePlan).Spec.ServiceClassRef.Name}
		}},
		{&scv1.ClusterServiceClass{}, indexExternalName, func(o client.Object) []string {
			return []string{o.(*scv1.ClusterServiceClass).Spec.ExternalName}
		}},
		{&scv1.ClusterServicePlan{}, indexClass, func(o client.Object) []string {
			return []string{o.(*scv1.ClusterServicePlan).Spec.ClusterServiceClassRef.Name}
		}},
		{&scv1.ServiceBinding{}, indexInstance, func(o client.Object) []string {
			return []string{o.(*scv1.ServiceBinding).Spec.InstanceRef.Name}
		}},
		{&scv1.ServiceInstance{}, indexClass, func(o client.Object) []string {
			return instanceClasses(o.(*scv1.ServiceInstance))
		}},
	} {
		if err := indexer.IndexField(ctx, i.object, i.key, i.extract); err != nil && !meta.IsNoMatchError(err) {
			return fmt.Errorf("indexing %T by %s: %w", i.object, i.key, err)
		}
	}
	return nil
}

// instanceClasses is the class that an instance is of: the one that the catalog has found or, before that, the one that
// the instance names.
func instanceClasses(i *scv1.ServiceInstance) []string {
	for _, class := range []struct{ prefix, name string }{
		{byClassName, deref(i.Spec.ServiceClassRef).Name},
		{byClusterClassName, deref(i.Spec.ClusterServiceClassRef).Name},
		{byClassName, i.Spec.ServiceClassName},
		{byClassExternalName, i.Spec.ServiceClassExternalName},
		{byClusterClassName, i.Spec.ClusterServiceClassName},
		{byClusterClassExternalName, i.Spec.ClusterServiceClassExternalName},
	} {
		if class.name != "" {
			return []string{class.prefix + class.name}
		}
	}
	return nil
}

// Prefixes that keep apart what a ServiceInstance may name a class by.
const (
	byClassName                = "name:"
	byClassExternalName        = "external:"
	byClusterClassName         = "cluster-name:"
	byClusterClassExternalName = "cluster-external:"
)

// classKeys are all keys of indexClass under which instances of a class are.
func classKeys(c *scv1.ServiceClass) []string {
	return []string{byClassName + c.Name, byClassExternalName + c.Spec.ExternalName}
}

// clusterClassKeys is classKeys for a cluster-wide class.
func clusterClassKeys(c *scv1.ClusterServiceClass) []string {
	return []string{byClusterClassName + c.Name, byClusterClassExternalName + c.Spec.ExternalName}
}
