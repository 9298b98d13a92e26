package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "ui.kyma-project.io", Version: "v1alpha1"}

// AddToScheme teaches a scheme the kinds in this package.
func AddToScheme(s *runtime.Scheme) error {
	builder := runtime.NewSchemeBuilder(addKnownTypes)
	return builder.AddToScheme(s)
}

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&MicroFrontend{}, &MicroFrontendList{},
		&ClusterMicroFrontend{}, &ClusterMicroFrontendList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
