package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// Every JetStreamChannel carries this annotation: it tells Knative which version of the Subscribable duck type the
// channel has, and Knative takes a channel without it for one of the first versions.
const (
	SubscribableAnnotation = "messaging.knative.dev/subscribable"
	SubscribableVersion    = "v1"
)

// Types of the conditions of a JetStreamChannel. ConditionReady is true exactly when the others are.
const (
	// ConditionStreamReady: the stream that keeps the events exists.
	ConditionStreamReady apis.ConditionType = "StreamReady"
	// ConditionAddressable: status.address is set, and takes events.
	ConditionAddressable apis.ConditionType = "Addressable"
	// ConditionReady: an event that is sent to the address and answered with 2xx is stored.
	ConditionReady = apis.ConditionReady
)

// ReasonEmptyHostname is the reason of ConditionAddressable when there is no address. Knative's own word.
const ReasonEmptyHostname = "EmptyHostname"

// JetStreamChannel is a channel that stores events in a JetStream stream before it answers, and delivers them to every
// subscriber in spec.subscribers. Knative's Subscription controller writes that list and reads the answers in
// status.subscribers: the spec and status are Knative's duck type Channelable, field by field.
//
// Its Service is called <name>-kn-jetstream, so that 50 of the 63 characters of a DNS label are left for the name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=jetstreamchannels,singular=jetstreamchannel,shortName=jsch,categories={all,knative,messaging,channel}
// +kubebuilder:metadata:labels={"messaging.knative.dev/subscribable=true","duck.knative.dev/addressable=true"}
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name of a JetStreamChannel must be at most 50 lower-case letters, digits and '-', start with a letter and not end with '-': a Service carries it"
type JetStreamChannel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec has the subscribers, written by Knative, and the delivery that each has by default.
	// +optional
	Spec JetStreamChannelSpec `json:"spec,omitzero"`
	// Status has the address, the conditions and what became of each subscriber.
	// +optional
	Status JetStreamChannelStatus `json:"status,omitzero"`
}

// JetStreamChannelSpec is Knative's ChannelableSpec.
type JetStreamChannelSpec struct {
	eventingduckv1.ChannelableSpec `json:",inline"`
}

// JetStreamChannelStatus is Knative's ChannelableStatus.
type JetStreamChannelStatus struct {
	eventingduckv1.ChannelableStatus `json:",inline"`
}

// GetGroupVersionKind returns the group, version and kind of JetStreamChannels.
func (*JetStreamChannel) GetGroupVersionKind() schema.GroupVersionKind {
	return GroupVersion.WithKind("JetStreamChannel")
}

// GetConditionSet returns the conditions that make up Ready, as Knative's controllers ask for them.
func (*JetStreamChannel) GetConditionSet() apis.ConditionSet {
	return apis.NewLivingConditionSet(ConditionStreamReady, ConditionAddressable)
}

// GetStatus returns the part of the status that every Knative kind has. It points into c.
func (c *JetStreamChannel) GetStatus() *duckv1.Status {
	return &c.Status.Status
}

// IsReady reports whether the channel takes events as its latest spec says.
func (c *JetStreamChannel) IsReady() bool {
	return c.Status.ObservedGeneration == c.Generation && c.conditions().IsHappy()
}

// InitializeConditions sets every condition that is missing to Unknown.
func (c *JetStreamChannel) InitializeConditions() {
	c.conditions().InitializeConditions()
}

// MarkStreamReady says that the stream exists.
func (c *JetStreamChannel) MarkStreamReady() {
	c.conditions().MarkTrue(ConditionStreamReady)
}

// MarkStreamNotReady says that the stream does not exist, and why: a reason in one word and a message for people.
func (c *JetStreamChannel) MarkStreamNotReady(reason, format string, args ...any) {
	c.conditions().MarkFalse(ConditionStreamReady, reason, format, args...)
}

// SetAddress says where the channel takes events, nil for nowhere. It keeps url.
func (c *JetStreamChannel) SetAddress(url *apis.URL) {
	if url == nil {
		c.Status.Address = nil
		c.conditions().MarkFalse(ConditionAddressable, ReasonEmptyHostname, "The channel has no address")
		return
	}
	scheme := url.Scheme
	c.Status.Address = &duckv1.Addressable{Name: &scheme, URL: url}
	c.conditions().MarkTrue(ConditionAddressable)
}

func (c *JetStreamChannel) conditions() apis.ConditionManager {
	return c.GetConditionSet().Manage(&c.Status)
}

// JetStreamChannelList is a list of JetStreamChannels.
//
// +kubebuilder:object:root=true
type JetStreamChannelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []JetStreamChannel `json:"items"`
}
