package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionReady is the one condition of a ServiceBindingUsage: the workload has the credentials.
const ConditionReady = "Ready"

// ServiceBindingUsage gives the credentials of a ServiceBinding to a workload of its namespace.
//
// +kubebuilder:object:root=true
type ServiceBindingUsage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServiceBindingUsageSpec   `json:"spec,omitzero"`
	Status ServiceBindingUsageStatus `json:"status,omitzero"`
}

// ServiceBindingUsageSpec says who gets which credentials, and how.
type ServiceBindingUsageSpec struct {
	// ServiceBindingRef names the ServiceBinding.
	ServiceBindingRef LocalReferenceByName `json:"serviceBindingRef"`
	// UsedBy names the workload.
	UsedBy LocalReferenceByKindAndName `json:"usedBy"`
	// Parameters say how it gets them, nil when nothing is said.
	Parameters *Parameters `json:"parameters,omitempty"`
}

// LocalReferenceByName names an object of the same namespace.
type LocalReferenceByName struct {
	Name string `json:"name"`
}

// LocalReferenceByKindAndName names a workload of the same namespace. Its kind is the name of a UsageKind, such as
// deployment or function, which tells how workloads of a kind are given credentials.
type LocalReferenceByKindAndName struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Parameters say how a workload gets credentials.
type Parameters struct {
	// EnvPrefix is put before the names of the environment variables, nil when nothing is.
	EnvPrefix *EnvPrefix `json:"envPrefix,omitempty"`
}

// EnvPrefix is put before the names of environment variables.
type EnvPrefix struct {
	Name string `json:"name"`
}

// ServiceBindingUsageStatus says whether the workload has the credentials.
type ServiceBindingUsageStatus struct {
	// Conditions are none before the controller has looked, then [ConditionReady].
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ServiceBindingUsageList is a list of ServiceBindingUsages.
//
// +kubebuilder:object:root=true
type ServiceBindingUsageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceBindingUsage `json:"items"`
}
