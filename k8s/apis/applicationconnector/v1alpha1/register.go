package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "applicationconnector.kyma-project.io", Version: "v1alpha1"}

// AddToScheme teaches a scheme the kinds in this package.
func AddToScheme(s *runtime.Scheme) error {
	builder := runtime.NewSchemeBuilder(addKnownTypes)
	return builder.AddToScheme(s)
}

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Application{}, &ApplicationList{},
		&ApplicationMapping{}, &ApplicationMappingList{},
		&EventActivation{}, &EventActivationList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Where the AsyncAPI documents of Applications' services are: in ConfigMaps of DocumentNamespace, labelled with
// ServiceIDLabel, whose value is the id of the service.
const (
	DocumentNamespace = "kyma-integration"
	ServiceIDLabel    = "application-service-id"
)
