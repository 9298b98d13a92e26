// Package v1alpha1 holds JetStreamChannel, the durable channel behind Knative's Channels where the mesh runs in this
// process, group messaging.kyma-project.io.
//
// +kubebuilder:object:generate=true
// +groupName=messaging.kyma-project.io
package v1alpha1
