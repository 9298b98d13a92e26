// Package env sets the environment variables that Knative's packages read while they initialise.
//
// It is a package of its own, and imports nothing but os, for the sake of order: Go initialises the packages that are
// ready in the order of their import paths, so this one, whose path sorts before knative.dev, comes first. A variable
// set in main would come too late: knative.dev/eventing/pkg/apis/messaging/v1 computes the service account that may
// change subscribers in a package variable, from SYSTEM_NAMESPACE, which a package it imports sets to a value for tests
// when it is empty.
package env

import "os"

// SystemNamespace is the namespace of Knative Eventing's own objects.
const SystemNamespace = "knative-eventing"

func init() {
	for name, value := range map[string]string{
		"SYSTEM_NAMESPACE": SystemNamespace,
		"CLUSTER_DOMAIN":   "cluster.local", // else it would be read from the machine's /etc/resolv.conf
		"DISPATCHER_IMAGE": "in-process",    // required by the in-memory channel's controller, used for nothing
	} {
		// Setting a variable fails only for a malformed name.
		_ = os.Setenv(name, value)
	}
}
