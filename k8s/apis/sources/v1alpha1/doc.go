// Package v1alpha1 holds HTTPSource, the place where an application's events enter the mesh, group
// sources.kyma-project.io.
//
// +kubebuilder:object:generate=true
// +groupName=sources.kyma-project.io
package v1alpha1
