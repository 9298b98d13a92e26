package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// MicroFrontend adds pages to the Console's navigation of its namespace.
//
// +kubebuilder:object:root=true
type MicroFrontend struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// MicroFrontendSpec, "spec" on the wire, is embedded so that the GraphQL type, which is flat, reads off it.
	MicroFrontendSpec `json:"spec"`
}

// ClusterMicroFrontend adds pages to the Console's navigation of all namespaces, or of the cluster.
//
// +kubebuilder:object:root=true
type ClusterMicroFrontend struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// ClusterMicroFrontendSpec, "spec" on the wire, is embedded like MicroFrontendSpec.
	ClusterMicroFrontendSpec `json:"spec"`
}

// MicroFrontendSpec is where the pages are, and how to reach them.
type MicroFrontendSpec struct {
	// Version is the version of the micro frontend, maybe empty.
	Version string `json:"version,omitempty"`
	// Category is the heading under which the pages appear, "" for none.
	Category string `json:"category,omitempty"`
	// ViewBaseURL is where the pages are served: a URL, or the name of a service of the Console's domain.
	ViewBaseURL string `json:"viewBaseUrl,omitempty"`
	// NavigationNodes are the pages.
	NavigationNodes []NavigationNode `json:"navigationNodes,omitempty"`
}

// ClusterMicroFrontendSpec is where the pages are, how to reach them, and in which navigation.
type ClusterMicroFrontendSpec struct {
	MicroFrontendSpec `json:",inline"`

	// Placement is the navigation that the pages are added to: cluster, namespace or, of old, environment.
	Placement string `json:"placement,omitempty"`
	// PreloadURL is a page to load in advance, "" for none.
	PreloadURL string `json:"preloadUrl,omitempty"`
}

// NavigationNode is a page of a micro frontend.
type NavigationNode struct {
	// Label is the page's name in the navigation.
	Label string `json:"label,omitempty"`
	// NavigationPath is the page's path in the Console, maybe with parameters such as :id.
	NavigationPath string `json:"navigationPath,omitempty"`
	// ViewURL is the page's URL, relative to ViewBaseURL.
	ViewURL string `json:"viewUrl,omitempty"`
	// ShowInNavigation tells whether the navigation shows the page; nil means that it does.
	ShowInNavigation *bool `json:"showInNavigation,omitempty"`
	// Order sorts the pages of a navigation, lowest first.
	Order int `json:"order,omitempty"`
	// Settings is an object that the page gets as it is.
	Settings *runtime.RawExtension `json:"settings,omitempty"`
	// ExternalLink is a URL to open in another tab instead of a page, nil for none.
	ExternalLink *string `json:"externalLink,omitempty"`
	// RequiredPermissions are what somebody must be allowed for the page to be shown to them.
	RequiredPermissions []RequiredPermission `json:"requiredPermissions,omitempty"`
}

// RequiredPermission is something that somebody must be allowed to do.
type RequiredPermission struct {
	// Verbs are what to do, all of them.
	Verbs []string `json:"verbs,omitempty"`
	// APIGroup is the group of the resource, "" for Kubernetes' core.
	APIGroup string `json:"apiGroup,omitempty"`
	// Resource is the resource in the plural.
	Resource string `json:"resource,omitempty"`
}

// MicroFrontendList is a list of MicroFrontends.
//
// +kubebuilder:object:root=true
type MicroFrontendList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MicroFrontend `json:"items"`
}

// ClusterMicroFrontendList is a list of ClusterMicroFrontends.
//
// +kubebuilder:object:root=true
type ClusterMicroFrontendList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterMicroFrontend `json:"items"`
}
