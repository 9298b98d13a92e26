package catalog

import (
	"fmt"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// writeBack carries the differences between before and after in spec, labels and finalizers over to raw, field by
// field of spec. The rest of raw stays as the client sent it: fields that the Go types do not know, and the absence
// of those that they would write as empty.
func writeBack(raw *unstructured.Unstructured, before, after metav1.Object) error {
	was, err := toMap(specOf(before))
	if err != nil {
		return err
	}
	is, err := toMap(specOf(after))
	if err != nil {
		return err
	}
	spec, _, err := unstructured.NestedMap(raw.Object, "spec")
	if err != nil {
		return err
	}
	if spec == nil {
		spec = map[string]any{}
	}
	changed := false
	for name, value := range is {
		if old, ok := was[name]; !ok || !equality.Semantic.DeepEqual(old, value) {
			spec[name], changed = value, true
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			delete(spec, name)
			changed = true
		}
	}
	if changed {
		raw.Object["spec"] = spec
	}
	if !equality.Semantic.DeepEqual(before.GetLabels(), after.GetLabels()) {
		raw.SetLabels(after.GetLabels())
	}
	if !equality.Semantic.DeepEqual(before.GetFinalizers(), after.GetFinalizers()) {
		raw.SetFinalizers(after.GetFinalizers())
	}
	return nil
}

func toMap(spec any) (map[string]any, error) {
	return runtime.DefaultUnstructuredConverter.ToUnstructured(spec)
}

// specOf is a pointer to the spec of one of Service Catalog's objects.
func specOf(obj metav1.Object) any {
	switch o := obj.(type) {
	case *scv1.ServiceBroker:
		return &o.Spec
	case *scv1.ClusterServiceBroker:
		return &o.Spec
	case *scv1.ServiceClass:
		return &o.Spec
	case *scv1.ClusterServiceClass:
		return &o.Spec
	case *scv1.ServicePlan:
		return &o.Spec
	case *scv1.ClusterServicePlan:
		return &o.Spec
	case *scv1.ServiceInstance:
		return &o.Spec
	case *scv1.ServiceBinding:
		return &o.Spec
	}
	panic(fmt.Sprintf("catalog: no spec in %T", obj))
}
