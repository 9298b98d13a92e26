// Package v1alpha1 holds the kinds by which others extend the Console's navigation, group ui.kyma-project.io:
// ClusterMicroFrontend and MicroFrontend. They are only read here, and their definitions come with whoever brings them:
// no CustomResourceDefinition is made of this package.
//
// +kubebuilder:object:generate=true
// +kubebuilder:skip
// +groupName=ui.kyma-project.io
package v1alpha1
