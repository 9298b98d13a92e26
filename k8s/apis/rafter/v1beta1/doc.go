// Package v1beta1 is what the API reads of Rafter's kinds, group rafter.kyma-project.io: documentation and
// specifications that go with service classes. Rafter is another program with definitions of its own, so none are made
// here (kubebuilder:skip), and the types leave out what nobody here reads: objects of them must never be written.
//
// +kubebuilder:object:generate=true
// +kubebuilder:skip
package v1beta1
