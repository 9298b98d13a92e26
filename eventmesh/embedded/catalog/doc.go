// Package catalog runs the real Service Catalog controller (github.com/kubernetes-sigs/service-catalog) in this
// process: what turns a ServiceBroker into ServiceClasses and ServicePlans, and a ServiceInstance into calls of the
// Open Service Broker API.
//
// Upstream is three parts; here they are
//
//   - its eight custom resource definitions: [CRDs], converted from the module by gen.go;
//   - its webhooks, without which its controller does not find classes and forgets to call brokers on deletion:
//     [NewPlugin], an admission plugin for the API server in this process;
//   - its controller: [Run], unchanged, behind a transport that mends what would cost time or a class.
//
// The plugin does what upstream's webhooks do, with these differences: fields that a client sends and the Go types do
// not know are kept; finalizers are added to the list, not put in its place; an update that leaves spec alone is never
// refused, so that what is stored can always be labelled and let go; spec.userInfo names who asked for a change, not
// the controller that resolved it, and cannot be set by a client; a changed namespaced plan clears
// spec.servicePlanRef, which upstream forgets and then refuses the change for.
package catalog
