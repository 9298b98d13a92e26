package resolvers

import (
	"context"
	"regexp"
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	usagesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/servicecatalog/v1alpha1"
)

// tagsAnnotation holds the Console's labels of a ServiceInstance, separated by commas.
const tagsAnnotation = "tags"

func (r queryResolver) ServiceInstance(ctx context.Context, name, namespace string) (*scv1.ServiceInstance, error) {
	return orNull(get[scv1.ServiceInstance](ctx, r.Cluster.Client(ctx), namespace, name))
}

func (r queryResolver) ServiceInstances(ctx context.Context, namespace string, first, offset *int, status *eventmesh.InstancePhase) ([]scv1.ServiceInstance, error) {
	var list scv1.ServiceInstanceList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	instances := byName(list.Items)
	if status != nil {
		instances = slices.DeleteFunc(instances, func(i scv1.ServiceInstance) bool {
			return eventmesh.StatusOfInstance(&i).Type != *status
		})
	}
	return page(instances, first, offset)
}

// instancesOf are the instances of the class that keys stand for in indexClass, sorted. They are of one namespace or,
// for "", of all in which the user may list them.
func instancesOf(ctx context.Context, c client.Reader, namespace string, keys []string, opts ...client.ListOption) ([]scv1.ServiceInstance, error) {
	var instances []scv1.ServiceInstance
	for _, key := range keys {
		var list scv1.ServiceInstanceList
		err := c.List(ctx, &list, append(opts, client.InNamespace(namespace), client.MatchingFields{indexClass: key})...)
		if err != nil {
			return nil, err
		}
		instances = append(instances, list.Items...)
	}
	return byName(instances), nil // an instance is indexed under one of the keys only
}

func (r mutationResolver) CreateServiceInstance(ctx context.Context, namespace string, params graph.ServiceInstanceCreateInput, dryRun *bool) (*scv1.ServiceInstance, error) {
	plan, err := resolvePlan(ctx, r.Cluster.Client(ctx), namespace, params.ClassRef, params.PlanRef)
	if err != nil {
		return nil, err
	}
	parameters, err := rawJSON("parameterSchema", params.ParameterSchema)
	if err != nil {
		return nil, err
	}
	instance := &scv1.ServiceInstance{
		ObjectMeta: metav1.ObjectMeta{Name: params.Name, Namespace: namespace},
		Spec:       scv1.ServiceInstanceSpec{PlanReference: plan.PlanReference, Parameters: parameters},
	}
	if tags := cleanTags(params.Labels); len(tags) > 0 {
		instance.Annotations = map[string]string{tagsAnnotation: strings.Join(tags, ",")}
	}
	if err := r.writer(ctx, dryRun).Create(ctx, instance); err != nil {
		return nil, err
	}
	// The catalog will find the same class and plan in a moment; the reply names them already.
	instance.Spec.ServiceClassRef, instance.Spec.ServicePlanRef = plan.ServiceClassRef, plan.ServicePlanRef
	instance.Spec.ClusterServiceClassRef, instance.Spec.ClusterServicePlanRef = plan.ClusterServiceClassRef, plan.ClusterServicePlanRef
	return instance, nil
}

// resolvePlan finds the class and the plan that a client names, and returns the part of a ServiceInstance's
// specification that names them. Either missing is a NotFound error: an instance of it could never become ready.
func resolvePlan(ctx context.Context, c client.Reader, namespace string, classRef, planRef *graph.ServiceInstanceCreateInputResourceRef) (scv1.ServiceInstanceSpec, error) {
	switch {
	case classRef.ClusterWide != planRef.ClusterWide:
		return scv1.ServiceInstanceSpec{}, apierrors.NewBadRequest("classRef and planRef must both be cluster-wide, or neither")
	case classRef.ClusterWide:
		return resolveClusterPlan(ctx, c, classRef.ExternalName, planRef.ExternalName)
	}
	class, err := classByExternal(ctx, c, namespace, classRef.ExternalName)
	if err != nil {
		return scv1.ServiceInstanceSpec{}, err
	}
	plans, err := plansOf(ctx, c, class)
	if err != nil {
		return scv1.ServiceInstanceSpec{}, err
	}
	i := slices.IndexFunc(plans, func(p scv1.ServicePlan) bool { return p.Spec.ExternalName == planRef.ExternalName })
	if i < 0 {
		return scv1.ServiceInstanceSpec{}, notFound("serviceplans", planRef.ExternalName)
	}
	return scv1.ServiceInstanceSpec{
		PlanReference: scv1.PlanReference{
			ServiceClassExternalName: classRef.ExternalName,
			ServicePlanExternalName:  planRef.ExternalName,
		},
		ServiceClassRef: &scv1.LocalObjectReference{Name: class.Name},
		ServicePlanRef:  &scv1.LocalObjectReference{Name: plans[i].Name},
	}, nil
}

// resolveClusterPlan is resolvePlan for cluster-wide classes.
func resolveClusterPlan(ctx context.Context, c client.Reader, className, planName string) (scv1.ServiceInstanceSpec, error) {
	class, err := clusterClassByExternal(ctx, c, className)
	if err != nil {
		return scv1.ServiceInstanceSpec{}, err
	}
	plans, err := clusterPlansOf(ctx, c, class)
	if err != nil {
		return scv1.ServiceInstanceSpec{}, err
	}
	i := slices.IndexFunc(plans, func(p scv1.ClusterServicePlan) bool { return p.Spec.ExternalName == planName })
	if i < 0 {
		return scv1.ServiceInstanceSpec{}, notFound("clusterserviceplans", planName)
	}
	return scv1.ServiceInstanceSpec{
		PlanReference: scv1.PlanReference{
			ClusterServiceClassExternalName: className,
			ClusterServicePlanExternalName:  planName,
		},
		ClusterServiceClassRef: &scv1.ClusterObjectReference{Name: class.Name},
		ClusterServicePlanRef:  &scv1.ClusterObjectReference{Name: plans[i].Name},
	}, nil
}

func notFound(resource, name string) error {
	return apierrors.NewNotFound(scv1.SchemeGroupVersion.WithResource(resource).GroupResource(), name)
}

var notInTag = regexp.MustCompile(`[^a-zA-Z0-9 _-]`)

// cleanTags strips what tags may not contain, above all the comma that separates them, and drops empty ones.
func cleanTags(labels []string) []string {
	var tags []string
	for _, label := range labels {
		if tag := strings.TrimSpace(notInTag.ReplaceAllString(label, "")); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

func (r mutationResolver) DeleteServiceInstance(ctx context.Context, name, namespace string, dryRun *bool) (*scv1.ServiceInstance, error) {
	instance := &scv1.ServiceInstance{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := remove(ctx, r.writer(ctx, dryRun), instance); err != nil {
		return nil, err
	}
	return instance, nil
}

func (r subscriptionResolver) ServiceInstanceEvent(ctx context.Context, namespace string) (<-chan *graph.ServiceInstanceEvent, error) {
	return watch(ctx, r.Resolver, &scv1.ServiceInstance{}, everything,
		func(e k8sEvent[*scv1.ServiceInstance]) *graph.ServiceInstanceEvent {
			return &graph.ServiceInstanceEvent{Type: e.Type, ServiceInstance: e.Object}
		}, client.InNamespace(namespace))
}

type serviceInstanceResolver struct{ *Resolver }

// ServiceInstance returns the resolver of ServiceInstances.
func (r *Resolver) ServiceInstance() graph.ServiceInstanceResolver { return serviceInstanceResolver{r} }

func (serviceInstanceResolver) PlanSpec(_ context.Context, i *scv1.ServiceInstance) (map[string]any, error) {
	return metadataOf(i.Spec.Parameters), nil
}

func (serviceInstanceResolver) Labels(_ context.Context, i *scv1.ServiceInstance) ([]string, error) {
	if i.Annotations[tagsAnnotation] == "" {
		return []string{}, nil
	}
	return strings.Split(i.Annotations[tagsAnnotation], ","), nil
}

func (serviceInstanceResolver) Status(_ context.Context, i *scv1.ServiceInstance) (*eventmesh.InstanceStatus, error) {
	status := eventmesh.StatusOfInstance(i)
	return &status, nil
}

func (serviceInstanceResolver) ClassReference(_ context.Context, i *scv1.ServiceInstance) (*graph.ServiceInstanceResourceRef, error) {
	switch {
	case i.Spec.ServiceClassRef != nil:
		return &graph.ServiceInstanceResourceRef{Name: i.Spec.ServiceClassRef.Name, DisplayName: i.Spec.ServiceClassExternalName}, nil
	case i.Spec.ClusterServiceClassRef != nil:
		return &graph.ServiceInstanceResourceRef{
			Name: i.Spec.ClusterServiceClassRef.Name, DisplayName: i.Spec.ClusterServiceClassExternalName, ClusterWide: true,
		}, nil
	default:
		return nil, nil
	}
}

func (serviceInstanceResolver) PlanReference(_ context.Context, i *scv1.ServiceInstance) (*graph.ServiceInstanceResourceRef, error) {
	switch {
	case i.Spec.ServicePlanRef != nil:
		return &graph.ServiceInstanceResourceRef{Name: i.Spec.ServicePlanRef.Name, DisplayName: i.Spec.ServicePlanExternalName}, nil
	case i.Spec.ClusterServicePlanRef != nil:
		return &graph.ServiceInstanceResourceRef{
			Name: i.Spec.ClusterServicePlanRef.Name, DisplayName: i.Spec.ClusterServicePlanExternalName, ClusterWide: true,
		}, nil
	default:
		return nil, nil
	}
}

func (r serviceInstanceResolver) ServiceClass(ctx context.Context, i *scv1.ServiceInstance) (*scv1.ServiceClass, error) {
	if i.Spec.ServiceClassRef == nil {
		return nil, nil
	}
	return orNull(get[scv1.ServiceClass](ctx, r.Cluster.Client(ctx), i.Namespace, i.Spec.ServiceClassRef.Name))
}

func (r serviceInstanceResolver) ServicePlan(ctx context.Context, i *scv1.ServiceInstance) (*scv1.ServicePlan, error) {
	if i.Spec.ServicePlanRef == nil {
		return nil, nil
	}
	return orNull(get[scv1.ServicePlan](ctx, r.Cluster.Client(ctx), i.Namespace, i.Spec.ServicePlanRef.Name))
}

func (r serviceInstanceResolver) ClusterServiceClass(ctx context.Context, i *scv1.ServiceInstance) (*scv1.ClusterServiceClass, error) {
	if i.Spec.ClusterServiceClassRef == nil {
		return nil, nil
	}
	return orNull(get[scv1.ClusterServiceClass](ctx, r.Cluster.Client(ctx), "", i.Spec.ClusterServiceClassRef.Name))
}

func (r serviceInstanceResolver) ClusterServicePlan(ctx context.Context, i *scv1.ServiceInstance) (*scv1.ClusterServicePlan, error) {
	if i.Spec.ClusterServicePlanRef == nil {
		return nil, nil
	}
	return orNull(get[scv1.ClusterServicePlan](ctx, r.Cluster.Client(ctx), "", i.Spec.ClusterServicePlanRef.Name))
}

func (r serviceInstanceResolver) ServiceBindings(ctx context.Context, i *scv1.ServiceInstance) (*graph.ServiceBindings, error) {
	bindings, err := bindingsOf(ctx, r.Cluster.Client(ctx), i)
	if err != nil {
		return nil, err
	}
	return &graph.ServiceBindings{Items: bindings, Stats: bindingStats(bindings)}, nil
}

func (r serviceInstanceResolver) ServiceBindingUsages(ctx context.Context, i *scv1.ServiceInstance) ([]usagesv1.ServiceBindingUsage, error) {
	return ifInstalled(r.usagesOf(ctx, i))
}

// Bindable is what the plan says or, when it says nothing, its class; false when either cannot be found.
func (r serviceInstanceResolver) Bindable(ctx context.Context, i *scv1.ServiceInstance) (bool, error) {
	c := r.Cluster.Client(ctx)
	var class *scv1.CommonServiceClassSpec
	var plan *scv1.CommonServicePlanSpec
	var err error
	switch {
	case i.Spec.ServiceClassRef != nil && i.Spec.ServicePlanRef != nil:
		class, plan, err = namespacedSpecs(ctx, c, i)
	case i.Spec.ClusterServiceClassRef != nil && i.Spec.ClusterServicePlanRef != nil:
		class, plan, err = clusterSpecs(ctx, c, i)
	default:
		return false, nil
	}
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	case plan.Bindable != nil:
		return *plan.Bindable, nil
	default:
		return class.Bindable, nil
	}
}

func namespacedSpecs(ctx context.Context, c client.Reader, i *scv1.ServiceInstance) (*scv1.CommonServiceClassSpec, *scv1.CommonServicePlanSpec, error) {
	class, err := get[scv1.ServiceClass](ctx, c, i.Namespace, i.Spec.ServiceClassRef.Name)
	if err != nil {
		return nil, nil, err
	}
	plan, err := get[scv1.ServicePlan](ctx, c, i.Namespace, i.Spec.ServicePlanRef.Name)
	if err != nil {
		return nil, nil, err
	}
	return &class.Spec.CommonServiceClassSpec, &plan.Spec.CommonServicePlanSpec, nil
}

func clusterSpecs(ctx context.Context, c client.Reader, i *scv1.ServiceInstance) (*scv1.CommonServiceClassSpec, *scv1.CommonServicePlanSpec, error) {
	class, err := get[scv1.ClusterServiceClass](ctx, c, "", i.Spec.ClusterServiceClassRef.Name)
	if err != nil {
		return nil, nil, err
	}
	plan, err := get[scv1.ClusterServicePlan](ctx, c, "", i.Spec.ClusterServicePlanRef.Name)
	if err != nil {
		return nil, nil, err
	}
	return &class.Spec.CommonServiceClassSpec, &plan.Spec.CommonServicePlanSpec, nil
}
