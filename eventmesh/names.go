// Package eventmesh knows what the Kyma event mesh is, apart from how it is run: the names and labels by which its
// parts find each other, what an application offers (its services and their AsyncAPI documents), and how ready the
// path from an Application to the functions of a namespace is, with the root cause when it is not.
//
// The path, with the object that stands for each part:
//
//	Application ─▶ HTTPSource ─▶ Channel ─▶ Subscription ─▶ Broker "default" ─▶ Trigger ─▶ Function
//	(cluster)      └───────────── kyma-integration ────────┘  └────────── user's namespace ──────────┘
//
// Nothing here starts anything: reconcilers are in controllers, HTTP is in connector and broker, and everything that
// makes a laptop a cluster is in embedded.
package eventmesh

import (
	"net"
	"strings"
	"time"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// Names that the mesh gives its parts. They are Kyma's and Knative's own, so that runbooks and scripts written for
// them keep working.
const (
	// IntegrationNamespace holds the source side of the mesh: HTTPSources, Channels, Subscriptions and the AsyncAPI
	// documents of the applications' services.
	IntegrationNamespace = appv1.DocumentNamespace
	// SystemNamespace is where Kyma itself lives.
	SystemNamespace = "kyma-system"

	// BrokerInjectionLabel on a Namespace, set to BrokerInjectionEnabled, makes Knative install the default Broker.
	BrokerInjectionLabel   = "knative-eventing-injection"
	BrokerInjectionEnabled = "enabled"
	// DefaultBroker is the name of the Broker that the label installs.
	DefaultBroker = "default"

	// ApplicationNameLabel names the Application on its Channel and Subscriptions.
	ApplicationNameLabel = "application-name"
	// BrokerNamespaceLabel names, on a Subscription, the namespace whose default Broker it feeds.
	BrokerNamespaceLabel = "broker-namespace"
	// ServiceIDLabel names the application service that an AsyncAPI document describes.
	ServiceIDLabel = appv1.ServiceIDLabel

	// ServiceBrokerName is the name of the ServiceBroker in each namespace that has an ApplicationMapping.
	ServiceBrokerName = "application-broker"
	// NamespacedBrokerLabel, set to "true", marks those ServiceBrokers.
	NamespacedBrokerLabel = "namespaced-application-broker"
	// BrokerAuthSecret is the Secret, beside each ServiceBroker, with the keys username and password that Service
	// Catalog presents to the Application Broker for that namespace.
	BrokerAuthSecret = "application-broker-auth"
	// InstanceIDLabel holds, on an EventActivation, the Open Service Broker instance id that asked for it.
	InstanceIDLabel = "applicationconnector.kyma-project.io/instance-id"
)

// clusterDomain is the DNS suffix of in-cluster names.
const clusterDomain = "cluster.local"

// ServiceHost is the DNS name of the Service name in namespace.
func ServiceHost(name, namespace string) string {
	return name + "." + namespace + ".svc." + clusterDomain
}

// ParseServiceHost splits the DNS name of a Service into its name and namespace. It takes every form that resolves
// inside a cluster, with or without a port: "svc.ns", "svc.ns.svc" and "svc.ns.svc.cluster.local". ok is false for any
// other host.
func ParseServiceHost(host string) (name, namespace string, ok bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, "."), ".svc."+clusterDomain)
	host = strings.TrimSuffix(host, ".svc")
	name, namespace, ok = strings.Cut(host, ".")
	if !ok || name == "" || namespace == "" || strings.Contains(namespace, ".") {
		return "", "", false
	}
	return name, namespace, true
}

// LogLine is one line that a function wrote.
type LogLine struct {
	// Time is when it was written.
	Time time.Time
	// Message is the line, without its newline.
	Message string
	// EventID is the CloudEvents id of the event being handled, "" outside a call.
	EventID string
}
