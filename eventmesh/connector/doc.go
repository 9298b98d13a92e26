// Package connector is the Application Connector: the HTTP doors through which an external application sends events
// into the mesh and says what it offers.
//
//	POST      /{application}/events                        CloudEvents 1.0: binary, structured, batched
//	POST      /{application}/v1/events                     Kyma's older JSON format
//	POST      /{application}/v2/events                     moved to /{application}/events
//	GET       /{application}/v1/events/subscribed          event types that Triggers wait for
//	GET, POST /{application}/v1/metadata/services          what the application offers
//	GET, PUT, DELETE /{application}/v1/metadata/services/{id}
//	GET       /healthz, /v1/health
//
// Every event leaves as a CloudEvent in binary mode for the sink of the application's HTTPSource, with the source
// attribute set to the application, whatever the sender wrote. The answer is given when the sink has answered: 200 means
// that the Channel has the event. There is no queue and no retry here, so that there is nothing to lose.
//
// [Adapter] is the part that takes CloudEvents, for one source: what Kyma runs as one Deployment for each application.
// [Connector] is all of the above for every application, and the adapters for senders inside the cluster.
package connector
