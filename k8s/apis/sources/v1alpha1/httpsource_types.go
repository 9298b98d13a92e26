package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Types of the conditions of an HTTPSource. ConditionReady is true exactly when all others are.
const (
	// ConditionSinkProvided: the source's Channel exists and has an address.
	ConditionSinkProvided = "SinkProvided"
	// ConditionDeployed: the adapter that takes the events runs.
	ConditionDeployed = "Deployed"
	// ConditionServiceCreated: the Service by which the adapter is reached exists.
	ConditionServiceCreated = "ServiceCreated"
	// ConditionReady: events posted to the source reach the Channel.
	ConditionReady = "Ready"
)

// Reasons of the conditions, and the messages that go with them. Kyma's own words.
const (
	// ReasonReady: nothing is missing. With status True.
	ReasonReady = "Ready"

	// ReasonEmptySinkURI: the sink has not been looked at. With ConditionSinkProvided Unknown.
	ReasonEmptySinkURI = "EmptySinkURI"
	// MessageEmptySinkURI goes with ReasonEmptySinkURI.
	MessageEmptySinkURI = "The sink has no URI"
	// ReasonSinkNotFound: there is no Channel, or it has no address. With ConditionSinkProvided False; SinkURI is then
	// empty, and the other conditions are left as they are.
	ReasonSinkNotFound = "SinkNotFound"
	// MessageSinkNotFound goes with ReasonSinkNotFound.
	MessageSinkNotFound = "The sink does not exist or its URL is not set"

	// ReasonServiceNotReady: no adapter is available. With ConditionDeployed False.
	ReasonServiceNotReady = "ServiceNotReady"
	// MessageServiceNotReady goes with ReasonServiceNotReady.
	MessageServiceNotReady = "The adapter Service is not yet ready"

	// ReasonServiceNotCreated: the Service does not exist. With ConditionServiceCreated Unknown.
	ReasonServiceNotCreated = "ServiceNotCreated"
	// MessageServiceNotCreated goes with ReasonServiceNotCreated.
	MessageServiceNotCreated = "The Service is not created"
)

// HTTPSource takes an application's events over HTTP and hands them to the Channel of the same name. A Service carries
// the source's name, so it must be a DNS label that starts with a letter.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=httpsources,singular=httpsource,categories={all,knative,eventing,sources,kyma-eventing}
// +kubebuilder:metadata:labels={"eventing.knative.dev/source=true","kyma-project.io/crd-install=true"}
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name of an HTTPSource must be at most 63 lower-case letters, digits and '-', start with a letter and not end with '-': a Service carries it"
type HTTPSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says whose events it takes.
	Spec HTTPSourceSpec `json:"spec"`
	// Status says whether it takes them.
	// +optional
	Status HTTPSourceStatus `json:"status,omitzero"`
}

// HTTPSourceSpec says whose events an HTTPSource takes.
type HTTPSourceSpec struct {
	// Source is the CloudEvents attribute source that every event gets, whatever its sender wrote: the application's name.
	// +kubebuilder:validation:MinLength=1
	Source string `json:"source"`
}

// HTTPSourceStatus says whether an HTTPSource takes events.
type HTTPSourceStatus struct {
	// ObservedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are one for each thing needed, and Ready; see [ConditionReady] and the constants beside it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// SinkURI is the URL of the Channel, "" while it has none. Kyma's own JSON name, capital and all.
	// +optional
	SinkURI string `json:"SinkURI,omitempty"`
}

// HTTPSourceList is a list of HTTPSources.
//
// +kubebuilder:object:root=true
type HTTPSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HTTPSource `json:"items"`
}
