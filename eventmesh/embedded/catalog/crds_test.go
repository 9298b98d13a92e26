package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestCRDs(t *testing.T) {
	crds, err := CRDs()
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string][]string{}
	for _, crd := range crds {
		if crd.Annotations["api-approved.kubernetes.io"] == "" {
			t.Errorf("%s: without the annotation api-approved.kubernetes.io the API server refuses it", crd.Name)
		}
		if len(crd.Spec.Versions) != 1 {
			t.Fatalf("%s has %d versions, want 1", crd.Name, len(crd.Spec.Versions))
		}
		v := crd.Spec.Versions[0]
		if !v.Served || !v.Storage || v.Name != "v1beta1" {
			t.Errorf("%s: version %s is not the served and stored v1beta1", crd.Name, v.Name)
		}
		if v.Subresources == nil || v.Subresources.Status == nil {
			t.Errorf("%s has no status subresource", crd.Name)
		}
		if want := []string{"all", "svcat"}; !cmp.Equal(crd.Spec.Names.Categories, want) {
			t.Errorf("%s has categories %v, want %v", crd.Name, crd.Spec.Names.Categories, want)
		}
		scope := apiextensionsv1.NamespaceScoped
		if crd.Spec.Names.Kind[:7] == "Cluster" {
			scope = apiextensionsv1.ClusterScoped
		}
		if crd.Spec.Scope != scope {
			t.Errorf("%s is %s", crd.Name, crd.Spec.Scope)
		}
		for _, c := range v.AdditionalPrinterColumns {
			if c.JSONPath == "" {
				t.Errorf("%s: column %s has no path", crd.Name, c.Name)
			}
			columns[crd.Spec.Names.Kind] = append(columns[crd.Spec.Names.Kind], c.Name)
		}
	}
	want := map[string][]string{
		"ServiceBroker":        {"URL", "Status", "Age"},
		"ClusterServiceBroker": {"URL", "Status", "Age"},
		"ServiceClass":         {"External-Name", "Broker", "Age"},
		"ClusterServiceClass":  {"External-Name", "Broker", "Age"},
		"ServicePlan":          {"External-Name", "Broker", "Class", "Age"},
		"ClusterServicePlan":   {"External-Name", "Broker", "Class", "Age"},
		"ServiceInstance":      {"Class", "Plan", "Status", "Age"},
		"ServiceBinding":       {"Service-Instance", "Secret-Name", "Status", "Age"},
	}
	if diff := cmp.Diff(want, columns, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("printer columns (-want +got):\n%s", diff)
	}
}
