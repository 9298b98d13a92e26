package resolvers

import (
	"context"
	"encoding/json"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

func (r queryResolver) ServiceClass(ctx context.Context, namespace, name string) (*scv1.ServiceClass, error) {
	return orNull(get[scv1.ServiceClass](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r queryResolver) ServiceClasses(ctx context.Context, namespace string, first, offset *int) ([]scv1.ServiceClass, error) {
	var list scv1.ServiceClassList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return page(byName(list.Items), first, offset)
}

// metadata is what a broker says about a class or plan beside the fields of the Open Service Broker API: JSON of any
// shape. Anything that is not an object counts as nothing said.
type metadata map[string]any

func metadataOf(raw *runtime.RawExtension) metadata {
	var m metadata
	if raw != nil && json.Unmarshal(raw.Raw, &m) != nil {
		return nil
	}
	return m
}

// text is the string under key: "" if there is none, nil if it is no string.
func (m metadata) text(key string) *string {
	value, ok := m[key]
	if !ok {
		return new(string)
	}
	if s, ok := value.(string); ok {
		return &s
	}
	return nil
}

// labels are the strings under "labels"; other values there are passed over.
func (m metadata) labels() map[string]string {
	labels := map[string]string{}
	object, _ := m["labels"].(map[string]any)
	for key, value := range object {
		if s, ok := value.(string); ok {
			labels[key] = s
		}
	}
	return labels
}

// classFields answers the fields that classes of both scopes have alike.
type classFields[T any] struct {
	spec func(*T) *scv1.CommonServiceClassSpec
}

func (f classFields[T]) ExternalName(_ context.Context, c *T) (string, error) {
	return f.spec(c).ExternalName, nil
}

func (f classFields[T]) Description(_ context.Context, c *T) (string, error) {
	return f.spec(c).Description, nil
}

func (f classFields[T]) Tags(_ context.Context, c *T) ([]string, error) {
	return f.spec(c).Tags, nil
}

func (f classFields[T]) DisplayName(_ context.Context, c *T) (*string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).text("displayName"), nil
}

func (f classFields[T]) LongDescription(_ context.Context, c *T) (*string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).text("longDescription"), nil
}

func (f classFields[T]) ImageURL(_ context.Context, c *T) (*string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).text("imageUrl"), nil
}

func (f classFields[T]) DocumentationURL(_ context.Context, c *T) (*string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).text("documentationUrl"), nil
}

func (f classFields[T]) SupportURL(_ context.Context, c *T) (*string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).text("supportUrl"), nil
}

func (f classFields[T]) ProviderDisplayName(_ context.Context, c *T) (*string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).text("providerDisplayName"), nil
}

func (f classFields[T]) Labels(_ context.Context, c *T) (map[string]string, error) {
	return metadataOf(f.spec(c).ExternalMetadata).labels(), nil
}

type serviceClassResolver struct {
	*Resolver
	classFields[scv1.ServiceClass]
}

// ServiceClass returns the resolver of ServiceClasses.
func (r *Resolver) ServiceClass() graph.ServiceClassResolver {
	spec := func(c *scv1.ServiceClass) *scv1.CommonServiceClassSpec { return &c.Spec.CommonServiceClassSpec }
	return serviceClassResolver{r, classFields[scv1.ServiceClass]{spec}}
}

func (r serviceClassResolver) Plans(ctx context.Context, c *scv1.ServiceClass) ([]scv1.ServicePlan, error) {
	return plansOf(ctx, r.Cluster.Client(ctx), c)
}

func (r serviceClassResolver) Activated(ctx context.Context, c *scv1.ServiceClass) (bool, error) {
	instances, err := instancesOf(ctx, r.Cluster.Client(ctx), c.Namespace, classKeys(c), client.Limit(1))
	return len(instances) > 0, err
}

func (r serviceClassResolver) Instances(ctx context.Context, c *scv1.ServiceClass) ([]scv1.ServiceInstance, error) {
	return instancesOf(ctx, r.Cluster.Client(ctx), c.Namespace, classKeys(c))
}

func (r serviceClassResolver) ClusterAssetGroup(ctx context.Context, c *scv1.ServiceClass) (*rafterv1.ClusterAssetGroup, error) {
	return r.clusterAssetGroup(ctx, c.Name)
}

func (r serviceClassResolver) AssetGroup(ctx context.Context, c *scv1.ServiceClass) (*rafterv1.AssetGroup, error) {
	return r.assetGroup(ctx, c.Namespace, c.Name)
}

// classByExternal finds the class of a namespace that its broker calls so, one that is still offered before one that is
// not. None is a NotFound error.
func classByExternal(ctx context.Context, c client.Reader, namespace, name string) (*scv1.ServiceClass, error) {
	var list scv1.ServiceClassList
	err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{indexExternalName: name})
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, notFound("serviceclasses", name)
	}
	classes := byName(list.Items)
	offered := slices.IndexFunc(classes, func(c scv1.ServiceClass) bool { return !c.Status.RemovedFromBrokerCatalog })
	return &classes[max(offered, 0)], nil
}
