package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestSetOnlyPlan(t *testing.T) {
	offer := func(name string, removed bool) unstructured.Unstructured {
		return unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": name},
			"spec":     map[string]any{"externalName": name + "-name", "externalID": name + "-id"},
			"status":   map[string]any{"removedFromBrokerCatalog": removed},
		}}
	}
	for _, tc := range []struct {
		name    string
		ref     scv1.PlanReference
		plans   []unstructured.Unstructured
		want    scv1.PlanReference
		wantErr string
	}{
		{
			name:  "by external name",
			ref:   scv1.PlanReference{ServiceClassExternalName: "c"},
			plans: []unstructured.Unstructured{offer("p", false)},
			want:  scv1.PlanReference{ServiceClassExternalName: "c", ServicePlanExternalName: "p-name"},
		},
		{
			name:  "by external id",
			ref:   scv1.PlanReference{ServiceClassExternalID: "c"},
			plans: []unstructured.Unstructured{offer("p", false)},
			want:  scv1.PlanReference{ServiceClassExternalID: "c", ServicePlanExternalID: "p-id"},
		},
		{
			name:  "by name",
			ref:   scv1.PlanReference{ServiceClassName: "c"},
			plans: []unstructured.Unstructured{offer("p", false)},
			want:  scv1.PlanReference{ServiceClassName: "c", ServicePlanName: "p"},
		},
		{
			name:  "cluster by external name",
			ref:   scv1.PlanReference{ClusterServiceClassExternalName: "c"},
			plans: []unstructured.Unstructured{offer("p", false)},
			want:  scv1.PlanReference{ClusterServiceClassExternalName: "c", ClusterServicePlanExternalName: "p-name"},
		},
		{
			name:  "plans no longer offered do not count",
			ref:   scv1.PlanReference{ServiceClassName: "c"},
			plans: []unstructured.Unstructured{offer("old", true), offer("p", false)},
			want:  scv1.PlanReference{ServiceClassName: "c", ServicePlanName: "p"},
		},
		{
			name:    "no plan",
			ref:     scv1.PlanReference{ServiceClassName: "c"},
			want:    scv1.PlanReference{ServiceClassName: "c"},
			wantErr: `no ServicePlans found at all for ServiceClass "c"`,
		},
		{
			name:    "two plans",
			ref:     scv1.PlanReference{ClusterServiceClassExternalName: "c"},
			plans:   []unstructured.Unstructured{offer("p", false), offer("q", false)},
			want:    scv1.PlanReference{ClusterServiceClassExternalName: "c"},
			wantErr: "ClusterServiceClass (K8S: class ExternalName: class-name) has more than one plan, plan must be specified",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ref := tc.ref
			s, ok := lacksPlan(&ref)
			if !ok {
				t.Fatal("the reference lacks no plan")
			}
			class := offer("class", false)
			if got := message(setOnlyPlan(s, &class, tc.plans)); got != tc.wantErr {
				t.Errorf("error %q, want %q", got, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, ref); diff != "" {
				t.Errorf("reference (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLacksPlan(t *testing.T) {
	for name, ref := range map[string]scv1.PlanReference{
		"plan given":            {ServiceClassName: "c", ServicePlanName: "p"},
		"cluster plan given":    {ClusterServiceClassName: "c", ClusterServicePlanName: "p"},
		"plan of another style": {ServiceClassName: "c", ServicePlanExternalName: "p"},
		"no class":              {},
	} {
		if s, ok := lacksPlan(&ref); ok {
			t.Errorf("%s: lacks a plan for %s", name, s.classField())
		}
	}
}

func TestStyleFields(t *testing.T) {
	ref := scv1.PlanReference{}
	var got []string
	for _, s := range styles(&ref) {
		got = append(got, s.classField(), s.planField())
	}
	want := []string{
		"serviceClassExternalName", "servicePlanExternalName",
		"serviceClassExternalID", "servicePlanExternalID",
		"serviceClassName", "servicePlanName",
		"clusterServiceClassExternalName", "clusterServicePlanExternalName",
		"clusterServiceClassExternalID", "clusterServicePlanExternalID",
		"clusterServiceClassName", "clusterServicePlanName",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
