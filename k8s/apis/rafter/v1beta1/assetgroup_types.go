package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GroupNameLabel of a group names the chapter of the documentation that it stands in.
const GroupNameLabel = "rafter.kyma-project.io/group-name"

// AssetGroup is a set of Assets about one thing. The group of a service class or plan has the name of that.
//
// +kubebuilder:object:root=true
type AssetGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AssetGroupSpec   `json:"spec,omitzero"`
	Status AssetGroupStatus `json:"status,omitzero"`
}

// ClusterAssetGroup is an AssetGroup of ClusterAssets, without a namespace.
//
// +kubebuilder:object:root=true
type ClusterAssetGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AssetGroupSpec   `json:"spec,omitzero"`
	Status AssetGroupStatus `json:"status,omitzero"`
}

// AssetGroupSpec says what a group is about.
type AssetGroupSpec struct {
	// DisplayName is the name for people, may be empty.
	DisplayName string `json:"displayName,omitempty"`
	// Description is for people, may be empty.
	Description string `json:"description,omitempty"`
}

// AssetGroupStatus says how far the assets of a group are.
type AssetGroupStatus struct {
	Phase Phase `json:"phase,omitempty"`
	// Reason is why, in one word, and Message for people; both may be empty.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// AssetGroupList is a list of AssetGroups.
//
// +kubebuilder:object:root=true
type AssetGroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AssetGroup `json:"items"`
}

// ClusterAssetGroupList is a list of ClusterAssetGroups.
//
// +kubebuilder:object:root=true
type ClusterAssetGroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterAssetGroup `json:"items"`
}
