// Package v1alpha1 holds the kinds by which applications outside the cluster are offered to namespaces, group
// applicationconnector.kyma-project.io:
//
//   - Application (cluster scoped): an outside system and the services it offers. A service with an Events entry sends
//     events, one with an API entry answers calls.
//   - ApplicationMapping (namespaced, of the Application's name): which of those services the namespace may use.
//   - EventActivation (namespaced, named by the service's id): that a service of the Application is provisioned in the
//     namespace, so that its events must reach the namespace's default Broker.
//
// The fields follow Kyma's Application Connector, so that manifests and scripts written for it apply unchanged. Status
// is a subresource on every kind that has one.
//
// +kubebuilder:object:generate=true
// +groupName=applicationconnector.kyma-project.io
package v1alpha1
