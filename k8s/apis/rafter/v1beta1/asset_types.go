package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Labels of an asset.
const (
	// AssetGroupLabel names the group that an asset belongs to: an AssetGroup of its namespace or, for a ClusterAsset, a
	// ClusterAssetGroup.
	AssetGroupLabel = "rafter.kyma-project.io/asset-group"
	// TypeLabel is the type of an asset, such as openapi or asyncapi.
	TypeLabel = "rafter.kyma-project.io/type"
)

// Phase says in one word how far an asset or a group is.
type Phase string

// The phases. An object that Rafter has not looked at has none.
const (
	// PhasePending: being fetched, checked or stored.
	PhasePending Phase = "Pending"
	// PhaseReady: the files can be had.
	PhaseReady Phase = "Ready"
	// PhaseFailed: something is wrong that reason and message tell.
	PhaseFailed Phase = "Failed"
)

// Asset is a set of files that Rafter has fetched and serves.
//
// +kubebuilder:object:root=true
type Asset struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AssetSpec   `json:"spec,omitzero"`
	Status AssetStatus `json:"status,omitzero"`
}

// ClusterAsset is an Asset without a namespace.
//
// +kubebuilder:object:root=true
type ClusterAsset struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AssetSpec   `json:"spec,omitzero"`
	Status AssetStatus `json:"status,omitzero"`
}

// AssetSpec says what an asset is. Where its files come from is Rafter's business.
type AssetSpec struct {
	// DisplayName is the name for people, "" when there is none.
	DisplayName string `json:"displayName,omitempty"`
	// Parameters are for whoever shows the files: a JSON object.
	Parameters *runtime.RawExtension `json:"parameters,omitempty"`
}

// AssetStatus says how far an asset is, and where its files are.
type AssetStatus struct {
	Phase Phase `json:"phase,omitempty"`
	// Reason is why, in one word, and Message for people; both may be empty.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// AssetRef is where the files are, empty before they are stored.
	AssetRef AssetStatusRef `json:"assetRef,omitzero"`
}

// AssetStatusRef is where the files of an asset are.
type AssetStatusRef struct {
	// BaseURL is what the names of the files are relative to.
	BaseURL string      `json:"baseUrl,omitempty"`
	Files   []AssetFile `json:"files,omitempty"`
}

// AssetFile is one file of an asset.
type AssetFile struct {
	// Name is a path relative to the base URL.
	Name string `json:"name"`
	// Metadata is what was read out of the file, such as its front matter: a JSON object.
	Metadata *runtime.RawExtension `json:"metadata,omitempty"`
}

// AssetList is a list of Assets.
//
// +kubebuilder:object:root=true
type AssetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Asset `json:"items"`
}

// ClusterAssetList is a list of ClusterAssets.
//
// +kubebuilder:object:root=true
type ClusterAssetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterAsset `json:"items"`
}
