package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Types of the conditions of an EventActivation, in the order in which the path is built. ConditionReady is true exactly
// when all others are. An Application has ConditionReady too.
const (
	// ConditionChannelReady: the Application has its Channel, and the Channel stores events.
	ConditionChannelReady = "ChannelReady"
	// ConditionSubscriptionReady: the Channel sends the Application's events to the namespace's default Broker.
	ConditionSubscriptionReady = "SubscriptionReady"
	// ConditionBrokerReady: the namespace has its default Broker, and the Broker takes events.
	ConditionBrokerReady = "BrokerReady"
	// ConditionReady: events of the Application reach the namespace's triggers.
	ConditionReady = "Ready"
)

// Reasons of the conditions of an EventActivation.
const (
	// ReasonReady: the part is there and ready. With status True.
	ReasonReady = "Ready"
	// ReasonApplicationNotFound: no Application has the name in spec.sourceId.
	ReasonApplicationNotFound = "ApplicationNotFound"
	// ReasonChannelNotFound: the Application has no Channel in the integration namespace.
	ReasonChannelNotFound = "ChannelNotFound"
	// ReasonChannelNotReady: the Channel says that it is not ready; the message repeats what it says.
	ReasonChannelNotReady = "ChannelNotReady"
	// ReasonSubscriptionNotFound: the Subscription is not there yet.
	ReasonSubscriptionNotFound = "SubscriptionNotFound"
	// ReasonSubscriptionNotReady: the Subscription says that it is not ready; the message repeats what it says.
	ReasonSubscriptionNotReady = "SubscriptionNotReady"
	// ReasonBrokerNotFound: the namespace has no Broker "default" yet.
	ReasonBrokerNotFound = "BrokerNotFound"
	// ReasonBrokerNotReady: the Broker says that it is not ready; the message repeats what it says.
	ReasonBrokerNotReady = "BrokerNotReady"
	// ReasonReconcileFailed: the API server refused or failed a step; the message has its error.
	ReasonReconcileFailed = "ReconcileFailed"
)

// EventActivation records that a service of an Application is provisioned in the namespace, so that the Application's
// events must reach the namespace's default Broker. Its name is the service's id.
//
// The Application Broker writes it; its status answers the question whether provisioning is done.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=eventactivations,singular=eventactivation,shortName=ea
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventActivation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec names the Application.
	Spec EventActivationSpec `json:"spec"`
	// Status is how far the path is built.
	// +optional
	Status EventActivationStatus `json:"status,omitzero"`
}

// EventActivationSpec names the Application whose events are wanted.
type EventActivationSpec struct {
	// DisplayName is the service's name as people see it.
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// SourceID is the name of the Application, and the source attribute of its events.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*$`
	SourceID string `json:"sourceId"`
}

// EventActivationStatus is how far the path from the Application to the namespace is built.
type EventActivationStatus struct {
	// ObservedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are one for each part of the path, and Ready; see [ConditionReady] and the constants beside it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// EventActivationList is a list of EventActivations.
//
// +kubebuilder:object:root=true
type EventActivationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventActivation `json:"items"`
}
