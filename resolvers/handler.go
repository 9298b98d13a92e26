package resolvers

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	gqltransport "github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"
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

// parsedDocuments is how many parsed documents are kept. Clients send the same few over and over.
const parsedDocuments = 1000

// NewHandler serves the API: GraphQL over HTTP, and websockets of both sub-protocols (graphql-ws and
// graphql-transport-ws). The user must be in the context of the request.
func NewHandler(r *Resolver, o Options) http.Handler {
	limits := o.Limits.withDefaults()
	srv := handler.New(graph.NewExecutableSchema(graph.Config{Resolvers: r}))
	srv.AddTransport(gqltransport.Websocket{
		Implementation:        gorilla{upgrader: newUpgrader()},
		InitTimeout:           limits.InitTimeout,
		KeepAlivePingInterval: limits.Alive,
		PingPongInterval:      limits.Alive,
		PayloadReadLimit:      &limits.Body,
	})
	srv.AddTransport(transport.HTTP{MaxBatch: limits.Batch}) // takes what is left
	srv.SetQueryCache(lru.New[*ast.QueryDocument](parsedDocuments))
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
	return onlyWebsocketUpgrades(limitBody(newPerUser(limits.Websockets).limitWebsockets(srv), limits.Body))
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

// onlyWebsocketUpgrades hides from gqlgen, which takes any for a websocket, the offers to speak another protocol. A server
// may pass them over, and some clients (Java's, curl --http2) make one in every request.
func onlyWebsocketUpgrades(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" && !websocket.IsWebSocketUpgrade(r) {
			r = r.Clone(r.Context())
			r.Header.Del("Upgrade")
		}
		next.ServeHTTP(w, r)
	})
}

// newUpgrader accepts websockets from any page: package web has checked the origin, and knows which ones are allowed.
func newUpgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		CheckOrigin:      func(*http.Request) bool { return true },
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   1024,
		WriteBufferSize:  4096,
		WriteBufferPool:  &sync.Pool{}, // an idle connection holds no buffer
		// gqlgen writes the answer to a request that cannot be upgraded.
		Error: func(http.ResponseWriter, *http.Request, int, error) {},
	}
}
