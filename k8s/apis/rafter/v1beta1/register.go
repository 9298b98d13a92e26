package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "rafter.kyma-project.io", Version: "v1beta1"}

// AddToScheme teaches a scheme the kinds in this package.
func AddToScheme(s *runtime.Scheme) error {
	builder := runtime.NewSchemeBuilder(addKnownTypes)
	return builder.AddToScheme(s)
}

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Asset{}, &AssetList{},
		&AssetGroup{}, &AssetGroupList{},
		&ClusterAsset{}, &ClusterAssetList{},
		&ClusterAssetGroup{}, &ClusterAssetGroupList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
