// Package v1alpha1 is what the API reads of ServiceBindingUsage, group servicecatalog.kyma-project.io, which gives the
// credentials of a ServiceBinding to a workload. The kind is another program's with a definition of its own, so none is
// made here (kubebuilder:skip), and the types leave out what nobody here reads: objects of them must never be written.
//
// +kubebuilder:object:generate=true
// +kubebuilder:skip
package v1alpha1
