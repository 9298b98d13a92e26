package resolvers

import (
	"context"
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	usagesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/servicecatalog/v1alpha1"
)

func (r namespaceResolver) Deployments(ctx context.Context, n *corev1.Namespace, excludeFunctions *bool) ([]appsv1.Deployment, error) {
	var list appsv1.DeploymentList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(n.Name)); err != nil {
		return nil, err
	}
	return byName(slices.DeleteFunc(list.Items, func(d appsv1.Deployment) bool {
		return deref(excludeFunctions) && functionOf(&d) != ""
	})), nil
}

// functionOf is the name of the Function that a Deployment runs, "" if it runs none.
func functionOf(d *appsv1.Deployment) string {
	if name, ok := d.Labels["function"]; ok { // of old
		return name
	}
	return d.Labels[functionsv1.LabelFunctionName]
}

type deploymentResolver struct{ *Resolver }

// Deployment returns the resolver of Deployments.
func (r *Resolver) Deployment() graph.DeploymentResolver { return deploymentResolver{r} }

func (deploymentResolver) Labels(_ context.Context, d *appsv1.Deployment) (map[string]string, error) {
	return notNil(d.Labels), nil
}

func (deploymentResolver) Containers(_ context.Context, d *appsv1.Deployment) ([]corev1.Container, error) {
	return d.Spec.Template.Spec.Containers, nil
}

func (r deploymentResolver) BoundServiceInstanceNames(ctx context.Context, d *appsv1.Deployment) ([]string, error) {
	return ifInstalled(r.boundInstances(ctx, d))
}

// boundInstances goes from the Deployment's usages by their bindings to the instances. A binding that is gone binds
// nothing.
func (r deploymentResolver) boundInstances(ctx context.Context, d *appsv1.Deployment) ([]string, error) {
	c := r.Cluster.Client(ctx)
	var usages usagesv1.ServiceBindingUsageList
	if err := c.List(ctx, &usages, client.InNamespace(d.Namespace)); err != nil {
		return nil, err
	}
	names := []string{}
	for i := range usages.Items {
		if !uses(d, &usages.Items[i]) {
			continue
		}
		binding, err := get[scv1.ServiceBinding](ctx, c, d.Namespace, usages.Items[i].Spec.ServiceBindingRef.Name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		names = append(names, binding.Spec.InstanceRef.Name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// uses reports whether a usage is the Deployment's, or that of the Function that it runs.
func uses(d *appsv1.Deployment, u *usagesv1.ServiceBindingUsage) bool {
	if f := functionOf(d); f != "" && usedByFunction(u, f) {
		return true
	}
	return strings.EqualFold(u.Spec.UsedBy.Kind, "deployment") && u.Spec.UsedBy.Name == d.Name
}

type deploymentConditionResolver struct{}

// DeploymentCondition returns the resolver of what Kubernetes reports about Deployments.
func (r *Resolver) DeploymentCondition() graph.DeploymentConditionResolver {
	return deploymentConditionResolver{}
}

func (deploymentConditionResolver) Status(_ context.Context, c *appsv1.DeploymentCondition) (string, error) {
	return string(c.Status), nil
}

func (deploymentConditionResolver) Type(_ context.Context, c *appsv1.DeploymentCondition) (string, error) {
	return string(c.Type), nil
}
