// Package v1alpha1 holds Function, the code that events of the mesh end in, group serverless.kyma-project.io.
//
// +kubebuilder:object:generate=true
// +groupName=serverless.kyma-project.io
package v1alpha1
