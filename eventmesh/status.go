package eventmesh

import (
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// InstancePhase says in one word how far a ServiceInstance is, in the Console's vocabulary.
type InstancePhase string

// The phases of a ServiceInstance.
const (
	InstanceRunning        InstancePhase = "RUNNING"
	InstanceProvisioning   InstancePhase = "PROVISIONING"
	InstanceDeprovisioning InstancePhase = "DEPROVISIONING"
	InstancePending        InstancePhase = "PENDING"
	InstanceFailed         InstancePhase = "FAILED"
)

// InstanceStatus says how far a ServiceInstance is. Reason and Message are those of the condition that decided, "" when
// none did.
type InstanceStatus struct {
	Type    InstancePhase
	Reason  string
	Message string
}

// StatusOfInstance reads a ServiceInstance's conditions: Ready and Failed decide when one of them is true, else the
// reason of Ready tells what the catalog is doing.
func StatusOfInstance(instance *scv1.ServiceInstance) InstanceStatus {
	var ready, failed scv1.ServiceInstanceCondition
	for _, c := range instance.Status.Conditions {
		switch c.Type {
		case scv1.ServiceInstanceConditionReady:
			ready = c
		case scv1.ServiceInstanceConditionFailed:
			failed = c
		}
	}
	switch {
	case ready.Status == scv1.ConditionTrue:
		return InstanceStatus{InstanceRunning, ready.Reason, ready.Message}
	case failed.Status == scv1.ConditionTrue:
		return InstanceStatus{InstanceFailed, failed.Reason, failed.Message}
	default:
		return InstanceStatus{instancePhase(ready.Reason), ready.Reason, ready.Message}
	}
}

// instancePhase reads a phase out of Service Catalog's reasons, such as ProvisionRequestInFlight, Deprovisioning and
// ReferencesNonexistentServiceClass.
func instancePhase(reason string) InstancePhase {
	contains := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(reason, word) })
	}
	switch {
	case contains("Error", "Nonexistent", "Failed", "Deleted", "Invalid"):
		return InstanceFailed
	case contains("Provision", "Updat"):
		return InstanceProvisioning
	case contains("Deprovision"):
		return InstanceDeprovisioning
	default:
		return InstancePending
	}
}

// FunctionPhase says in one word how far a Function is, in the Console's vocabulary.
type FunctionPhase string

// The phases of a Function.
const (
	FunctionInitializing     FunctionPhase = "INITIALIZING"
	FunctionBuilding         FunctionPhase = "BUILDING"
	FunctionDeploying        FunctionPhase = "DEPLOYING"
	FunctionRunning          FunctionPhase = "RUNNING"
	FunctionNewRevisionError FunctionPhase = "NEW_REVISION_ERROR"
	FunctionFailed           FunctionPhase = "FAILED"
)

// FunctionPart is the part of a Function that failed.
type FunctionPart string

// The parts of a Function.
const (
	FunctionConfig  FunctionPart = "CONFIG"
	FunctionJob     FunctionPart = "JOB"
	FunctionService FunctionPart = "SERVICE"
)

// FunctionStatus says how far a Function is. Reason and Message are nil unless a part failed.
type FunctionStatus struct {
	Phase   FunctionPhase
	Reason  *FunctionPart
	Message *string
}

// StatusOfFunction reads a Function's conditions in the order in which they come true. A failure of a new revision
// while an older one still runs is FunctionNewRevisionError.
func StatusOfFunction(f *functionsv1.Function) FunctionStatus {
	parts := []struct {
		condition string
		part      FunctionPart
		waiting   FunctionPhase // the phase until the condition is true
	}{
		{functionsv1.ConditionConfigurationReady, FunctionConfig, FunctionInitializing},
		{functionsv1.ConditionBuildReady, FunctionJob, FunctionBuilding},
		{functionsv1.ConditionRunning, FunctionService, FunctionDeploying},
	}
	conditions := f.Status.Conditions
	for _, p := range parts {
		c := meta.FindStatusCondition(conditions, p.condition)
		if c == nil || c.Status != metav1.ConditionFalse {
			continue
		}
		phase := FunctionFailed
		if meta.IsStatusConditionTrue(conditions, functionsv1.ConditionRunning) {
			phase = FunctionNewRevisionError
		}
		return FunctionStatus{Phase: phase, Reason: &p.part, Message: &c.Message}
	}
	for _, p := range parts {
		if !meta.IsStatusConditionTrue(conditions, p.condition) {
			return FunctionStatus{Phase: p.waiting}
		}
	}
	return FunctionStatus{Phase: FunctionRunning}
}

// Verdict is what the conditions of a Knative object amount to.
type Verdict string

// The verdicts.
const (
	VerdictReady   Verdict = "READY"
	VerdictUnknown Verdict = "UNKNOWN"
	VerdictFailed  Verdict = "FAILED"
)

// StatusOfTrigger reads a Trigger's conditions: one that is false makes it failed, else one that is unknown makes it
// unknown; without any it is unknown too. reasons are the messages of all that are not true, nil when all are.
func StatusOfTrigger(status *eventingv1.TriggerStatus) (verdict Verdict, reasons []string) {
	if len(status.Conditions) == 0 {
		return VerdictUnknown, nil
	}
	verdict = VerdictReady
	for _, c := range status.Conditions {
		switch {
		case c.Status == corev1.ConditionTrue:
			continue
		case c.Status == corev1.ConditionFalse:
			verdict = VerdictFailed
		case verdict == VerdictReady:
			verdict = VerdictUnknown
		}
		message := c.Message
		if message == "" {
			message = c.Reason
		}
		if message != "" && !slices.Contains(reasons, message) {
			reasons = append(reasons, message)
		}
	}
	return verdict, reasons
}

// StatusOfBroker is what a Broker's condition Ready says, with its reason and message unless it is ready.
func StatusOfBroker(status *eventingv1.BrokerStatus) (verdict Verdict, reason, message string) {
	c := status.Status.GetCondition(apis.ConditionReady)
	switch {
	case c == nil:
		return VerdictUnknown, "NotReconciled", "Knative has not looked at it yet"
	case c.IsTrue():
		return VerdictReady, "", ""
	case c.IsFalse():
		return VerdictFailed, c.Reason, c.Message
	default:
		return VerdictUnknown, c.Reason, c.Message
	}
}
