package resolvers

import (
	"cmp"
	"context"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// Options are what NewHandler can be told; the zero value is fine.
type Options struct {
	Limits Limits
	// Documents are those that a request may name instead of carrying one. Nil has none stored, and allows all.
	Documents *transport.Documents
	// NoIntrospection hides the schema: __schema and __type are refused, and errors suggest no names.
	NoIntrospection bool
}

const (
	// parsedDocuments is how many parsed documents are kept. Clients send the same few over and over.
	parsedDocuments = 1000
	// longestParsed is the longest of them, in bytes: several times what people write. Parsed, a document is some fifty
	// times as large, so that 1000 of the longest that are accepted would be gigabytes.
	longestParsed = 16 << 10
)

// shortDocuments keeps those documents that are not too long.
type shortDocuments struct {
	graphql.Cache[*ast.QueryDocument]
}

// Add keeps a parsed document by its text.
func (s shortDocuments) Add(ctx context.Context, text string, parsed *ast.QueryDocument) {
	if len(text) <= longestParsed {
		s.Cache.Add(ctx, text, parsed)
	}
}

// NewHandler serves the API: GraphQL over HTTP, server-sent events, and websockets of both sub-protocols (graphql-ws and
// graphql-transport-ws). The user must be in the context of the request.
func NewHandler(r *Resolver, o Options) http.Handler {
	limits := o.Limits.withDefaults()
	srv := handler.New(graph.NewExecutableSchema(graph.Config{Resolvers: r}))
	fanout, streams := &transport.Fanout{}, newPerUser(limits.Websockets)
	srv.AddTransport(&transport.Websocket{
		Fanout: fanout, MaxMessage: limits.Body, MaxOperations: limits.Operations, InitTimeout: limits.InitTimeout, Alive: limits.Alive,
		Admit: streams.admitStream,
	})
	srv.AddTransport(&transport.SSE{Fanout: fanout, Alive: limits.Alive})
	srv.AddTransport(transport.HTTP{MaxBatch: limits.Batch}) // takes what is left
	srv.SetQueryCache(shortDocuments{lru.New[*ast.QueryDocument](parsedDocuments)})
	srv.SetParserTokenLimit(limits.Tokens)
	srv.SetErrorPresenter(r.present)
	srv.SetRecoverFunc(recovered)
	srv.SetDisableSuggestion(o.NoIntrospection)
	if !o.NoIntrospection {
		srv.Use(extension.Introspection{})
	}
	srv.Use(cmp.Or(o.Documents, transport.NewDocuments(nil, false)))
	srv.Use(documentLimits{limits, o.NoIntrospection})
	srv.AroundOperations(newPerUser(limits.Operations).admit)
	if limits.Answers > 0 {
		srv.AroundOperations(newAnswers(limits.Answers).intercept)
	}
	return limitBody(streams.limitStreams(srv), limits.Body)
}

// LoadDocuments reads stored documents (see transport.LoadDocuments), which must fit the schema. With only, every other
// document is refused.
func LoadDocuments(path string, only bool) (*transport.Documents, error) {
	stored, err := transport.LoadDocuments(path, graph.NewExecutableSchema(graph.Config{}).Schema())
	if err != nil {
		return nil, err
	}
	return transport.NewDocuments(stored, only), nil
}

// limitBody cuts off a body that is too long. The transport answers what it has not read.
func limitBody(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}
