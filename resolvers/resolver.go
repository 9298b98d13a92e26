// Package resolvers answers the fields of the GraphQL API in schema.graphqls. There is one file for each noun, and none
// of them converts: gqlgen reads most fields straight off Kubernetes' own types, and what is here are the fields that
// those types do not have.
//
// A query reads through r.Cluster.Client(ctx), a mutation writes one object through it, and a subscription (of GraphQL)
// streams k8s.Watch; all three act for the user in ctx, so no field needs to think of access. Errors are Kubernetes' API
// errors, returned as they come; errors.go has the one table that makes them answers. A helper never returns a nil
// object without an error: the field that may be null turns NotFound into null with orNull.
//
// What a method that answers a field means is said by the field's description in the schema, and only there.
package resolvers

//go:generate go tool gqlgen generate

import (
	"log/slog"
	"time"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// Resolver answers the root fields, and makes the resolvers of all types. Its fields are set once, before use.
type Resolver struct {
	// Cluster is where everything is read and written.
	Cluster *k8s.Cluster
	// FunctionLogs returns the last lines that a Function wrote, oldest first. Nil where no Functions run in this
	// process; the field functionLogs is then MODULE_DISABLED.
	FunctionLogs func(namespace, name string) []eventmesh.LogLine
	// CatalogTime is how long connectApplication waits for the catalog to show services that it has enabled. Zero means
	// half a minute.
	CatalogTime time.Duration
	// ConnectorService is the URL of Kyma's Connector Service, for the field connectorService; that is MODULE_DISABLED when
	// it is empty.
	ConnectorService string
	// Log takes what must not be sent to a client. Nil means slog.Default.
	Log *slog.Logger

	documents documents
}

// The compiler lists here what a new field of the schema still lacks.
var _ graph.ResolverRoot = (*Resolver)(nil)

type (
	queryResolver        struct{ *Resolver }
	mutationResolver     struct{ *Resolver }
	subscriptionResolver struct{ *Resolver }
)

// Query returns the resolver of queries.
func (r *Resolver) Query() graph.QueryResolver { return queryResolver{r} }

// Mutation returns the resolver of mutations.
func (r *Resolver) Mutation() graph.MutationResolver { return mutationResolver{r} }

// Subscription returns the resolver of GraphQL subscriptions.
func (r *Resolver) Subscription() graph.SubscriptionResolver { return subscriptionResolver{r} }

func (r *Resolver) log() *slog.Logger {
	if r.Log == nil {
		return slog.Default()
	}
	return r.Log
}
