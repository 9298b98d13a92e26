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
	indexClass        = "resolvers.class"        // ServicePlans and ServiceInstances by their class; see instanceClasses
	indexExternalName = "resolvers.externalName" // ServiceClasses by spec.externalName
)

// SetupIndexes prepares the caches for the resolvers. It must be called before the caches start. Kinds that the cluster
// does not have are passed over: their fields will say MODULE_DISABLED.
func SetupIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	name := func(o client.Object) []string { return []string{o.GetName()} }
	for _, i := range []struct {
		object  client.Object
		key     string
		extract client.IndexerFunc
	}{
		{&appv1.ApplicationMapping{}, indexName, name},
		{&sourcesv1.HTTPSource{}, indexName, name},
		{&scv1.ServiceClass{}, indexExternalName, func(o client.Object) []string {
			return []string{o.(*scv1.ServiceClass).Spec.ExternalName}
		}},
		{&scv1.ServicePlan{}, indexClass, func(o client.Object) []string {
			return []string{o.(*scv1.ServicePlan).Spec.ServiceClassRef.Name}
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

// instanceClasses are the namespaced classes that an instance may be of: the one that the catalog has found or, before
// that, the one that the instance names. Kubernetes names and external names are kept apart by a prefix.
func instanceClasses(i *scv1.ServiceInstance) []string {
	switch {
	case i.Spec.ServiceClassRef != nil:
		return []string{classByName(i.Spec.ServiceClassRef.Name)}
	case i.Spec.ServiceClassName != "":
		return []string{classByName(i.Spec.ServiceClassName)}
	case i.Spec.ServiceClassExternalName != "":
		return []string{classByExternalName(i.Spec.ServiceClassExternalName)}
	default:
		return nil
	}
}

func classByName(name string) string         { return "name:" + name }
func classByExternalName(name string) string { return "external:" + name }
