package resolvers

import (
	"context"
	"encoding/base64"
	"encoding/json"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

// plansOf are the plans of a class, sorted by name.
func plansOf(ctx context.Context, c client.Reader, class *scv1.ServiceClass) ([]scv1.ServicePlan, error) {
	var list scv1.ServicePlanList
	err := c.List(ctx, &list, client.InNamespace(class.Namespace), client.MatchingFields{indexClass: class.Name})
	return byName(list.Items), err
}

// clusterPlansOf are the plans of a cluster-wide class, sorted by name.
func clusterPlansOf(ctx context.Context, c client.Reader, class *scv1.ClusterServiceClass) ([]scv1.ClusterServicePlan, error) {
	var list scv1.ClusterServicePlanList
	err := c.List(ctx, &list, client.MatchingFields{indexClass: class.Name})
	return byName(list.Items), err
}

// planFields answers the fields that plans of both scopes have alike.
type planFields[T any] struct {
	spec func(*T) *scv1.CommonServicePlanSpec
}

func (f planFields[T]) DisplayName(_ context.Context, p *T) (*string, error) {
	return metadataOf(f.spec(p).ExternalMetadata).text("displayName"), nil
}

func (f planFields[T]) ExternalName(_ context.Context, p *T) (string, error) {
	return f.spec(p).ExternalName, nil
}

func (f planFields[T]) Description(_ context.Context, p *T) (string, error) {
	return f.spec(p).Description, nil
}

func (f planFields[T]) InstanceCreateParameterSchema(_ context.Context, p *T) (map[string]any, error) {
	return jsonSchema(f.spec(p).InstanceCreateParameterSchema), nil
}

func (f planFields[T]) BindingCreateParameterSchema(_ context.Context, p *T) (map[string]any, error) {
	return jsonSchema(f.spec(p).ServiceBindingCreateParameterSchema), nil
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

type servicePlanResolver struct {
	*Resolver
	planFields[scv1.ServicePlan]
}

// ServicePlan returns the resolver of ServicePlans.
func (r *Resolver) ServicePlan() graph.ServicePlanResolver {
	spec := func(p *scv1.ServicePlan) *scv1.CommonServicePlanSpec { return &p.Spec.CommonServicePlanSpec }
	return servicePlanResolver{r, planFields[scv1.ServicePlan]{spec}}
}

func (servicePlanResolver) RelatedServiceClassName(_ context.Context, p *scv1.ServicePlan) (string, error) {
	return p.Spec.ServiceClassRef.Name, nil
}

func (r servicePlanResolver) ClusterAssetGroup(ctx context.Context, p *scv1.ServicePlan) (*rafterv1.ClusterAssetGroup, error) {
	return r.clusterAssetGroup(ctx, p.Name)
}

func (r servicePlanResolver) AssetGroup(ctx context.Context, p *scv1.ServicePlan) (*rafterv1.AssetGroup, error) {
	return r.assetGroup(ctx, p.Namespace, p.Name)
}

type clusterServicePlanResolver struct {
	*Resolver
	planFields[scv1.ClusterServicePlan]
}

// ClusterServicePlan returns the resolver of ClusterServicePlans.
func (r *Resolver) ClusterServicePlan() graph.ClusterServicePlanResolver {
	spec := func(p *scv1.ClusterServicePlan) *scv1.CommonServicePlanSpec { return &p.Spec.CommonServicePlanSpec }
	return clusterServicePlanResolver{r, planFields[scv1.ClusterServicePlan]{spec}}
}

func (clusterServicePlanResolver) RelatedClusterServiceClassName(_ context.Context, p *scv1.ClusterServicePlan) (string, error) {
	return p.Spec.ClusterServiceClassRef.Name, nil
}

func (r clusterServicePlanResolver) ClusterAssetGroup(ctx context.Context, p *scv1.ClusterServicePlan) (*rafterv1.ClusterAssetGroup, error) {
	return r.clusterAssetGroup(ctx, p.Name)
}
