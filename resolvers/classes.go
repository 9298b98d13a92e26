package resolvers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
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

type serviceClassResolver struct{ *Resolver }

// ServiceClass returns the resolver of ServiceClasses.
func (r *Resolver) ServiceClass() graph.ServiceClassResolver { return serviceClassResolver{r} }

func (serviceClassResolver) ExternalName(_ context.Context, c *scv1.ServiceClass) (string, error) {
	return c.Spec.ExternalName, nil
}

func (serviceClassResolver) Description(_ context.Context, c *scv1.ServiceClass) (string, error) {
	return c.Spec.Description, nil
}

func (serviceClassResolver) Tags(_ context.Context, c *scv1.ServiceClass) ([]string, error) {
	return c.Spec.Tags, nil
}

func (serviceClassResolver) DisplayName(_ context.Context, c *scv1.ServiceClass) (*string, error) {
	return metadataOf(c.Spec.ExternalMetadata).text("displayName"), nil
}

func (serviceClassResolver) LongDescription(_ context.Context, c *scv1.ServiceClass) (*string, error) {
	return metadataOf(c.Spec.ExternalMetadata).text("longDescription"), nil
}

func (serviceClassResolver) ImageURL(_ context.Context, c *scv1.ServiceClass) (*string, error) {
	return metadataOf(c.Spec.ExternalMetadata).text("imageUrl"), nil
}

func (serviceClassResolver) DocumentationURL(_ context.Context, c *scv1.ServiceClass) (*string, error) {
	return metadataOf(c.Spec.ExternalMetadata).text("documentationUrl"), nil
}

func (serviceClassResolver) SupportURL(_ context.Context, c *scv1.ServiceClass) (*string, error) {
	return metadataOf(c.Spec.ExternalMetadata).text("supportUrl"), nil
}

func (serviceClassResolver) ProviderDisplayName(_ context.Context, c *scv1.ServiceClass) (*string, error) {
	return metadataOf(c.Spec.ExternalMetadata).text("providerDisplayName"), nil
}

func (serviceClassResolver) Labels(_ context.Context, c *scv1.ServiceClass) (map[string]string, error) {
	return metadataOf(c.Spec.ExternalMetadata).labels(), nil
}

func (r serviceClassResolver) Plans(ctx context.Context, c *scv1.ServiceClass) ([]scv1.ServicePlan, error) {
	return plansOf(ctx, r.Cluster.Client(ctx), c)
}

func (r serviceClassResolver) Activated(ctx context.Context, c *scv1.ServiceClass) (bool, error) {
	instances, err := r.Instances(ctx, c)
	return len(instances) > 0, err
}

// Instances are those that name the class, by its Kubernetes name or by its external name.
func (r serviceClassResolver) Instances(ctx context.Context, c *scv1.ServiceClass) ([]scv1.ServiceInstance, error) {
	var instances []scv1.ServiceInstance
	for _, key := range []string{classByName(c.Name), classByExternalName(c.Spec.ExternalName)} {
		var list scv1.ServiceInstanceList
		err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(c.Namespace), client.MatchingFields{indexClass: key})
		if err != nil {
			return nil, err
		}
		instances = append(instances, list.Items...)
	}
	return byName(instances), nil // an instance is indexed under one of the keys only
}

// plansOf are the plans of a class, sorted by name.
func plansOf(ctx context.Context, c client.Reader, class *scv1.ServiceClass) ([]scv1.ServicePlan, error) {
	var list scv1.ServicePlanList
	err := c.List(ctx, &list, client.InNamespace(class.Namespace), client.MatchingFields{indexClass: class.Name})
	return byName(list.Items), err
}

type servicePlanResolver struct{}

// ServicePlan returns the resolver of ServicePlans.
func (r *Resolver) ServicePlan() graph.ServicePlanResolver { return servicePlanResolver{} }

func (servicePlanResolver) DisplayName(_ context.Context, p *scv1.ServicePlan) (*string, error) {
	return metadataOf(p.Spec.ExternalMetadata).text("displayName"), nil
}

func (servicePlanResolver) ExternalName(_ context.Context, p *scv1.ServicePlan) (string, error) {
	return p.Spec.ExternalName, nil
}

func (servicePlanResolver) Description(_ context.Context, p *scv1.ServicePlan) (string, error) {
	return p.Spec.Description, nil
}

func (servicePlanResolver) RelatedServiceClassName(_ context.Context, p *scv1.ServicePlan) (string, error) {
	return p.Spec.ServiceClassRef.Name, nil
}

func (servicePlanResolver) InstanceCreateParameterSchema(_ context.Context, p *scv1.ServicePlan) (map[string]any, error) {
	return jsonSchema(p.Spec.InstanceCreateParameterSchema), nil
}

func (servicePlanResolver) BindingCreateParameterSchema(_ context.Context, p *scv1.ServicePlan) (map[string]any, error) {
	return jsonSchema(p.Spec.ServiceBindingCreateParameterSchema), nil
}

// jsonSchema reads a schema that is a JSON object, plain or in base64 as some brokers send it; nil if there is none.
func jsonSchema(raw *runtime.RawExtension) map[string]any {
	if raw == nil {
		return nil
	}
	var schema map[string]any
	if json.Unmarshal(raw.Raw, &schema) == nil {
		return schema
	}
	var encoded string
	if json.Unmarshal(raw.Raw, &encoded) != nil {
		encoded = string(raw.Raw)
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(decoded, &schema) != nil {
		return nil
	}
	return schema
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
