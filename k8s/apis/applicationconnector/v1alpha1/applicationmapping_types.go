package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ApplicationMapping says which services of the Application of the same name its namespace may use. Without one, none.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=applicationmappings,singular=applicationmapping,shortName=am
type ApplicationMapping struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec names the services.
	// +optional
	Spec ApplicationMappingSpec `json:"spec,omitzero"`
}

// AllServices reports whether the mapping names no services, and so enables every service that the Application has, now
// and later. False for a nil mapping.
func (m *ApplicationMapping) AllServices() bool {
	return m != nil && m.Spec.Services == nil
}

// Enables reports whether the namespace may use the service, be it offered now or not. A nil mapping, meaning that the
// namespace has none, enables nothing.
func (m *ApplicationMapping) Enables(serviceID string) bool {
	if m == nil {
		return false
	}
	return m.AllServices() ||
		slices.ContainsFunc(m.Spec.Services, func(s ApplicationMappingService) bool { return s.ID == serviceID })
}

// ApplicationMappingSpec names the services that a namespace may use.
type ApplicationMappingSpec struct {
	// Services enables exactly the services listed. Absent (nil) enables every service, now and later; the empty list
	// enables none.
	//
	// The difference is one of permission, so nothing on the way may blur it. Hence omitzero, which leaves out nil but
	// writes []; and hence an atomic list: server-side apply, when it merges a list by key down to no items, drops the
	// list, and would turn "none" into "all".
	// +optional
	// +listType=atomic
	Services []ApplicationMappingService `json:"services,omitzero"`
}

// ApplicationMappingService names one service of an Application.
type ApplicationMappingService struct {
	// ID is the service's id in the Application, which need not have it yet.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id"`
}

// ApplicationMappingList is a list of ApplicationMappings.
//
// +kubebuilder:object:root=true
type ApplicationMappingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ApplicationMapping `json:"items"`
}
