// Package controllers keeps the mesh as the users' objects want it:
//
//	Application        ─▶ HTTPSource in kyma-integration
//	HTTPSource         ─▶ Channel, Service, receive adapter
//	ApplicationMapping ─▶ ServiceBroker and its Secret, one for each namespace
//	EventActivation    ─▶ Subscription, one for each namespace and application;
//	                      label and default Broker of the namespace
//
// Every reconciler works in three steps. It observes: reads, from the caches, all that bears on one key. It decides: a
// pure function turns what was observed into a plan, and is what the tests of this package are about. It acts: carries
// the plan out, and reports in status conditions. Nothing is remembered between two passes, so a crash at any line is
// mended by the next pass, and every object that a decision depends on is watched, so nothing is ever polled.
//
// What is made carries the label app.kubernetes.io/managed-by=kyma-console. It is undone by finalizers where an owner
// reference cannot: across namespaces.
package controllers
