package catalog

import (
	"context"
	"fmt"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// style is one of the ways in which a spec names a class and its plan: both of one scope, and by the same kind of
// name.
type style struct {
	// cluster is whether class and plan belong to the cluster rather than to the instance's namespace.
	cluster bool
	// by is the kind of name: byExternalName, byExternalID or byName.
	by string
	// class and plan point at the fields.
	class, plan *string
}

const (
	byExternalName = "ExternalName"
	byExternalID   = "ExternalID"
	byName         = "Name"
)

func styles(ref *scv1.PlanReference) []style {
	return []style{
		{false, byExternalName, &ref.ServiceClassExternalName, &ref.ServicePlanExternalName},
		{false, byExternalID, &ref.ServiceClassExternalID, &ref.ServicePlanExternalID},
		{false, byName, &ref.ServiceClassName, &ref.ServicePlanName},
		{true, byExternalName, &ref.ClusterServiceClassExternalName, &ref.ClusterServicePlanExternalName},
		{true, byExternalID, &ref.ClusterServiceClassExternalID, &ref.ClusterServicePlanExternalID},
		{true, byName, &ref.ClusterServiceClassName, &ref.ClusterServicePlanName},
	}
}

// classField is the name of the field class in JSON.
func (s style) classField() string { return s.field("Class") }

// planField is the name of the field plan in JSON.
func (s style) planField() string { return s.field("Plan") }

func (s style) field(noun string) string {
	if s.cluster {
		return "clusterService" + noun + s.by
	}
	return "service" + noun + s.by
}

// planChanged reports whether old and ref name different plans of one scope.
func planChanged(old, ref *scv1.PlanReference, cluster bool) bool {
	was := styles(old)
	for i, s := range styles(ref) {
		if s.cluster == cluster && *s.plan != *was[i].plan {
			return true
		}
	}
	return false
}

// defaultPlan completes a reference to a class without a plan by the plan of that class, which must have exactly one.
// Its errors tell the user what to do.
func defaultPlan(ctx context.Context, client dynamic.Interface, namespace string, ref *scv1.PlanReference) error {
	s, ok := lacksPlan(ref)
	if !ok {
		return nil
	}
	class, err := findClass(ctx, client, namespace, s)
	if err != nil {
		return err
	}
	field, plans := scv1.FilterSpecServiceClassRefName, client.Resource(resource("serviceplans")).Namespace(namespace)
	if s.cluster {
		field, plans = scv1.FilterSpecClusterServiceClassRefName, client.Resource(resource("clusterserviceplans"))
	}
	list, err := plans.List(ctx, selector(field, class.GetName()))
	if err != nil {
		return err
	}
	return setOnlyPlan(s, class, list.Items)
}

// lacksPlan is the style of a reference to a class without a plan; ok is false for any other reference. One that makes
// no sense is left to validation.
func lacksPlan(ref *scv1.PlanReference) (found style, ok bool) {
	for _, s := range styles(ref) {
		if *s.plan != "" {
			return style{}, false
		}
		if *s.class != "" && !ok {
			found, ok = s, true
		}
	}
	return found, ok
}

// setOnlyPlan sets the plan of s to the one among plans, those of class. Plans that the broker offers no more do not
// count.
func setOnlyPlan(s style, class *unstructured.Unstructured, plans []unstructured.Unstructured) error {
	plans = slices.DeleteFunc(plans, func(p unstructured.Unstructured) bool {
		removed, _, _ := unstructured.NestedBool(p.Object, "status", "removedFromBrokerCatalog")
		return removed
	})
	kind := "Service"
	if s.cluster {
		kind = "ClusterService"
	}
	switch len(plans) {
	case 0:
		return fmt.Errorf("no %sPlans found at all for %sClass %q", kind, kind, *s.class)
	case 1:
	default:
		return fmt.Errorf("%sClass (K8S: %s ExternalName: %s) has more than one plan, plan must be specified",
			kind, class.GetName(), specString(class, "externalName"))
	}
	switch s.by {
	case byExternalName:
		*s.plan = specString(&plans[0], "externalName")
	case byExternalID:
		*s.plan = specString(&plans[0], "externalID")
	default:
		*s.plan = plans[0].GetName()
	}
	return nil
}

// findClass is the one class that s names.
func findClass(ctx context.Context, client dynamic.Interface, namespace string, s style) (*unstructured.Unstructured, error) {
	kind, classes := "ServiceClass", client.Resource(resource("serviceclasses")).Namespace(namespace)
	if s.cluster {
		kind, classes = "ClusterServiceClass", client.Resource(resource("clusterserviceclasses"))
	}
	absent := fmt.Errorf("%s %q does not exist, can not figure out the default plan", kind, *s.class)
	if s.by == byName {
		class, err := classes.Get(ctx, *s.class, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, absent
		}
		return class, err
	}
	field := scv1.FilterSpecExternalName
	if s.by == byExternalID {
		field = scv1.FilterSpecExternalID
	}
	list, err := classes.List(ctx, selector(field, *s.class))
	if err != nil {
		return nil, err
	}
	switch len(list.Items) {
	case 0:
		return nil, absent
	case 1:
		return &list.Items[0], nil
	}
	return nil, fmt.Errorf("%d %ss have the %s %q, can not figure out the default plan", len(list.Items), kind, field, *s.class)
}

func selector(field, value string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: label(field) + "=" + hash(value)}
}

func specString(obj *unstructured.Unstructured, field string) string {
	value, _, _ := unstructured.NestedString(obj.Object, "spec", field)
	return value
}

func resource(plural string) schema.GroupVersionResource {
	return scv1.SchemeGroupVersion.WithResource(plural)
}
