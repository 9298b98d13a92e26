package resolvers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

func TestStatusOfBinding(t *testing.T) {
	condition := func(kind scv1.ServiceBindingConditionType, status scv1.ConditionStatus) scv1.ServiceBindingCondition {
		return scv1.ServiceBindingCondition{Type: kind, Status: status, Reason: string(kind) + string(status), Message: "because"}
	}
	for _, tt := range []struct {
		name       string
		conditions []scv1.ServiceBindingCondition
		want       graph.ServiceBindingStatus
	}{
		{"new", nil, graph.ServiceBindingStatus{Type: "PENDING"}},
		{
			"ready",
			[]scv1.ServiceBindingCondition{condition("Failed", "False"), condition("Ready", "True")},
			graph.ServiceBindingStatus{Type: "READY", Reason: "ReadyTrue", Message: "because"},
		},
		{
			"failed",
			[]scv1.ServiceBindingCondition{condition("Ready", "False"), condition("Failed", "True")},
			graph.ServiceBindingStatus{Type: "FAILED", Reason: "FailedTrue", Message: "because"},
		},
		{
			"ready wins",
			[]scv1.ServiceBindingCondition{condition("Failed", "True"), condition("Ready", "True")},
			graph.ServiceBindingStatus{Type: "READY", Reason: "ReadyTrue", Message: "because"},
		},
		{
			"at work",
			[]scv1.ServiceBindingCondition{condition("Ready", "False")},
			graph.ServiceBindingStatus{Type: "PENDING", Reason: "ReadyFalse", Message: "because"},
		},
		{
			"something else",
			[]scv1.ServiceBindingCondition{condition("Ready", "False"), condition("Odd", "True")},
			graph.ServiceBindingStatus{Type: "UNKNOWN", Reason: "OddTrue", Message: "because"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := statusOfBinding(&scv1.ServiceBinding{Status: scv1.ServiceBindingStatus{Conditions: tt.conditions}})
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestStatusOfUsage(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: status, Reason: "R", Message: "M"}}
	}
	for _, tt := range []struct {
		name       string
		conditions []metav1.Condition
		want       graph.ServiceBindingUsageStatus
	}{
		{"new", nil, graph.ServiceBindingUsageStatus{Type: "PENDING"}},
		{"ready", condition("Ready", "True"), graph.ServiceBindingUsageStatus{Type: "READY", Reason: "R", Message: "M"}},
		{"failed", condition("Ready", "False"), graph.ServiceBindingUsageStatus{Type: "FAILED", Reason: "R", Message: "M"}},
		{"undecided", condition("Ready", "Unknown"), graph.ServiceBindingUsageStatus{Type: "UNKNOWN", Reason: "R", Message: "M"}},
		{"something else", condition("Odd", "True"), graph.ServiceBindingUsageStatus{Type: "UNKNOWN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(&tt.want, statusOfUsage(tt.conditions)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestInstanceClasses(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec scv1.ServiceInstanceSpec
		want string
	}{
		{"by name", scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{ServiceClassName: "c"}}, "name:c"},
		{"by external name", scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{ServiceClassExternalName: "c"}}, "external:c"},
		{"cluster-wide, by name", scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{ClusterServiceClassName: "c"}}, "cluster-name:c"},
		{"cluster-wide, by external name", scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{ClusterServiceClassExternalName: "c"}}, "cluster-external:c"},
		{
			"what the catalog found counts",
			scv1.ServiceInstanceSpec{
				PlanReference:   scv1.PlanReference{ServiceClassExternalName: "e"},
				ServiceClassRef: &scv1.LocalObjectReference{Name: "c"},
			},
			"name:c",
		},
		{
			"what the catalog found counts, cluster-wide",
			scv1.ServiceInstanceSpec{
				PlanReference:          scv1.PlanReference{ClusterServiceClassExternalName: "e"},
				ClusterServiceClassRef: &scv1.ClusterObjectReference{Name: "c"},
			},
			"cluster-name:c",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff([]string{tt.want}, instanceClasses(&scv1.ServiceInstance{Spec: tt.spec})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	if got := instanceClasses(&scv1.ServiceInstance{}); got != nil {
		t.Errorf("an instance that names no class: got %v", got)
	}
}
