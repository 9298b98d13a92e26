package controllers

import (
	"context"
	"fmt"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// stranded finds the ServiceInstances that would keep a namespace from going for ever. When a namespace is deleted, its
// ServiceClasses go before its ServiceInstances, by their names, and without the class Service Catalog cannot ask the
// broker to deprovision. For the Application Broker that is no loss: all that it provisioned is an EventActivation in
// the same namespace, which goes too.
func (r *mappingReconciler) stranded(ctx context.Context, namespace string) ([]scv1.ServiceInstance, error) {
	var list scv1.ServiceInstanceList
	if err := r.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the instances of %s: %w", namespace, err)
	}
	var found []scv1.ServiceInstance
	for i := range list.Items {
		if !strandable(&list.Items[i]) {
			continue
		}
		class, err := find[scv1.ServiceClass](ctx, r, namespace, classOf(&list.Items[i]))
		if err != nil {
			return nil, err
		}
		if class == nil {
			found = append(found, list.Items[i])
		}
	}
	return found, nil
}

// strandable reports whether an instance waits for its deprovisioning and, as far as can be told when its class is gone,
// is the Application Broker's, whose plans are called after their class.
func strandable(instance *scv1.ServiceInstance) bool {
	class, plan := classOf(instance), instance.Spec.ServicePlanRef
	return terminating(instance) && controllerutil.ContainsFinalizer(instance, scv1.FinalizerServiceCatalog) &&
		class != "" && plan != nil && plan.Name == class+"-plan"
}
