package eventmesh

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

func TestStatusOfInstance(t *testing.T) {
	condition := func(kind scv1.ServiceInstanceConditionType, status scv1.ConditionStatus, reason string) scv1.ServiceInstanceCondition {
		return scv1.ServiceInstanceCondition{Type: kind, Status: status, Reason: reason, Message: "said " + reason}
	}
	ready, failed := scv1.ServiceInstanceConditionReady, scv1.ServiceInstanceConditionFailed
	for _, tt := range []struct {
		name       string
		conditions []scv1.ServiceInstanceCondition
		want       InstanceStatus
	}{
		{"no conditions", nil, InstanceStatus{InstancePending, "", ""}},
		{
			"ready",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionTrue, "ProvisionedSuccessfully")},
			InstanceStatus{InstanceRunning, "ProvisionedSuccessfully", "said ProvisionedSuccessfully"},
		},
		{"failed", []scv1.ServiceInstanceCondition{
			condition(ready, scv1.ConditionFalse, "Provisioning"), condition(failed, scv1.ConditionTrue, "ClusterServiceBrokerReturnedFailure"),
		}, InstanceStatus{InstanceFailed, "ClusterServiceBrokerReturnedFailure", "said ClusterServiceBrokerReturnedFailure"}},
		{
			"provisioning",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionFalse, "Provisioning")},
			InstanceStatus{InstanceProvisioning, "Provisioning", "said Provisioning"},
		},
		{
			"updating",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionFalse, "UpdatingInstance")},
			InstanceStatus{InstanceProvisioning, "UpdatingInstance", "said UpdatingInstance"},
		},
		{
			"deprovisioning",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionFalse, "Deprovisioning")},
			InstanceStatus{InstanceDeprovisioning, "Deprovisioning", "said Deprovisioning"},
		},
		{
			"class missing",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionFalse, "ReferencesNonexistentServiceClass")},
			InstanceStatus{InstanceFailed, "ReferencesNonexistentServiceClass", "said ReferencesNonexistentServiceClass"},
		},
		{
			"an error while provisioning is a failure first",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionFalse, "ErrorProvision")},
			InstanceStatus{InstanceFailed, "ErrorProvision", "said ErrorProvision"},
		},
		{
			"anything else",
			[]scv1.ServiceInstanceCondition{condition(ready, scv1.ConditionUnknown, "Thinking")},
			InstanceStatus{InstancePending, "Thinking", "said Thinking"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := StatusOfInstance(&scv1.ServiceInstance{Status: scv1.ServiceInstanceStatus{Conditions: tt.conditions}})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestStatusOfFunction(t *testing.T) {
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	status := func(phase FunctionPhase, part FunctionPart, message string) FunctionStatus {
		return FunctionStatus{phase, &part, &message}
	}
	for _, tt := range []struct {
		name                   string
		config, build, running metav1.ConditionStatus // "" leaves the condition out
		want                   FunctionStatus
	}{
		{"new", "", "", "", FunctionStatus{Phase: FunctionInitializing}},
		{"source taken", yes, "", "", FunctionStatus{Phase: FunctionBuilding}},
		{"being built", yes, unknown, "", FunctionStatus{Phase: FunctionBuilding}},
		{"built", yes, yes, "", FunctionStatus{Phase: FunctionDeploying}},
		{"starting", yes, yes, unknown, FunctionStatus{Phase: FunctionDeploying}},
		{"running", yes, yes, yes, FunctionStatus{Phase: FunctionRunning}},
		{"bad settings", no, "", "", status(FunctionFailed, FunctionConfig, "ConfigurationReady is bad")},
		{"bad source", yes, no, "", status(FunctionFailed, FunctionJob, "BuildReady is bad")},
		{"does not start", yes, yes, no, status(FunctionFailed, FunctionService, "Running is bad")},
		{"the first failure counts", no, no, no, status(FunctionFailed, FunctionConfig, "ConfigurationReady is bad")},
		{"the old revision runs", yes, no, yes, status(FunctionNewRevisionError, FunctionJob, "BuildReady is bad")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := StatusOfFunction(functionWith(tt.config, tt.build, tt.running))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// functionWith makes a Function with its three conditions; "" leaves one out.
func functionWith(config, build, running metav1.ConditionStatus) *functionsv1.Function {
	f := &functionsv1.Function{}
	for _, c := range []metav1.Condition{
		{Type: functionsv1.ConditionConfigurationReady, Status: config},
		{Type: functionsv1.ConditionBuildReady, Status: build},
		{Type: functionsv1.ConditionRunning, Status: running},
	} {
		if c.Status != "" {
			c.Message = c.Type + " is bad"
			f.Status.Conditions = append(f.Status.Conditions, c)
		}
	}
	return f
}

func TestStatusOfTrigger(t *testing.T) {
	condition := func(kind apis.ConditionType, status corev1.ConditionStatus, message string) apis.Condition {
		return apis.Condition{Type: kind, Status: status, Reason: "Reason", Message: message}
	}
	for _, tt := range []struct {
		name       string
		conditions []apis.Condition
		verdict    Verdict
		reasons    []string
	}{
		{"a new one is not ready", nil, VerdictUnknown, nil},
		{"ready", []apis.Condition{condition("Ready", corev1.ConditionTrue, "")}, VerdictReady, nil},
		{
			"unknown",
			[]apis.Condition{condition("Ready", corev1.ConditionTrue, ""), condition("Subscribed", corev1.ConditionUnknown, "waiting")},
			VerdictUnknown,
			[]string{"waiting"},
		},
		{
			"failure outweighs unknown, before it",
			[]apis.Condition{condition("A", corev1.ConditionFalse, "bad"), condition("B", corev1.ConditionUnknown, "waiting")},
			VerdictFailed,
			[]string{"bad", "waiting"},
		},
		{
			"failure outweighs unknown, after it",
			[]apis.Condition{condition("A", corev1.ConditionUnknown, "waiting"), condition("B", corev1.ConditionFalse, "bad")},
			VerdictFailed,
			[]string{"waiting", "bad"},
		},
		{
			"what is said twice is shown once",
			[]apis.Condition{condition("A", corev1.ConditionFalse, "bad"), condition("Ready", corev1.ConditionFalse, "bad")},
			VerdictFailed,
			[]string{"bad"},
		},
		{"the reason stands in for the message", []apis.Condition{condition("A", corev1.ConditionFalse, "")}, VerdictFailed, []string{"Reason"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status := &eventingv1.TriggerStatus{}
			status.Conditions = tt.conditions
			verdict, reasons := StatusOfTrigger(status)
			if verdict != tt.verdict {
				t.Errorf("verdict: got %s, want %s", verdict, tt.verdict)
			}
			if diff := cmp.Diff(tt.reasons, reasons); diff != "" {
				t.Errorf("reasons: -want +got\n%s", diff)
			}
		})
	}
}
