package resolvers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/kyma-eventmesh/kyma-console/graph"
	streams "github.com/kyma-eventmesh/kyma-console/web/transport"
)

// Limits bound what one request may cost. The zero value of each field means its default.
type Limits struct {
	// Body is the largest request or websocket message, in bytes. Default 1 MiB: Functions carry their source.
	Body int64
	// Complexity is how many fields a document may select, fragments expanded. Default 2000.
	Complexity int
	// Depth is how many levels of fields a document may nest, introspection aside. Default 15.
	Depth int
	// Tokens is how many tokens a document may have. Default 15000.
	Tokens int
	// Operations is how many operations may run at once on one websocket. Default 100; the Console runs a handful.
	Operations int
	// InitTimeout is how long a websocket may take to send connection_init. Default 10 s.
	InitTimeout time.Duration
	// Alive is how often a websocket is sent a sign of life. A graphql-transport-ws client that does not answer one
	// before the next but one is due is cut off. Default 10 s, as the Console expects it.
	Alive time.Duration
	// Answers is how many bytes of answers are remembered to be repeated while they hold. Default 64 MiB, negative none.
	Answers int
}

func (l *Limits) setDefaults() {
	l.Body = cmp.Or(l.Body, 1<<20)
	l.Complexity = cmp.Or(l.Complexity, 2000)
	l.Depth = cmp.Or(l.Depth, 15)
	l.Tokens = cmp.Or(l.Tokens, 15000)
	l.Operations = cmp.Or(l.Operations, 100)
	l.InitTimeout = cmp.Or(l.InitTimeout, 10*time.Second)
	l.Alive = cmp.Or(l.Alive, 10*time.Second)
	l.Answers = cmp.Or(l.Answers, 64<<20)
}

// parsedDocuments is how many parsed documents are kept. Clients send the same few over and over.
const parsedDocuments = 1000

// NewHandler serves the API: POST, GET for queries, and websockets of both sub-protocols (graphql-ws and
// graphql-transport-ws) for everything. The user must be in the context of the request.
func NewHandler(r *Resolver, limits Limits) http.Handler {
	limits.setDefaults()
	srv := handler.New(graph.NewExecutableSchema(graph.Config{Resolvers: r, Complexity: complexity()}))
	fanout := &streams.Fanout{}
	srv.AddTransport(&streams.Websocket{
		Fanout: fanout, MaxMessage: limits.Body, MaxOperations: limits.Operations, InitTimeout: limits.InitTimeout, Alive: limits.Alive,
	})
	srv.AddTransport(&streams.SSE{Fanout: fanout, Alive: limits.Alive})
	srv.AddTransport(transport.Options{})
	srv.AddTransport(transport.GET{})
	srv.AddTransport(transport.POST{})
	srv.SetQueryCache(lru.New[*ast.QueryDocument](parsedDocuments))
	srv.SetParserTokenLimit(limits.Tokens)
	srv.SetErrorPresenter(r.present)
	srv.SetRecoverFunc(recovered)
	srv.Use(extension.Introspection{})
	srv.Use(extension.FixedComplexityLimit(limits.Complexity))
	srv.Use(depthLimit(limits.Depth))
	srv.AroundOperations(refuseStreams)
	if limits.Answers > 0 {
		srv.AroundOperations(newAnswers(limits.Answers).intercept)
	}
	return onlyWebsocketUpgrades(limitBody(srv, limits.Body))
}

// complexity makes a field count for more than one where a document can go round in circles: each round multiplies the
// answer by the instances of a class.
func complexity() (c graph.ComplexityRoot) {
	const instances = 10 // of a class, roughly
	c.ServiceClass.Instances = func(child int) int { return 1 + instances*child }
	c.ClusterServiceClass.Instances = func(child int, _ *string) int { return 1 + instances*child }
	return c
}

// limitBody refuses a body that says it is too long, and cuts off one that does not say.
func limitBody(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			refuseBody(w, limit)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		if r.ContentLength < 0 { // gqlgen answers 200 to a body that is cut off
			body, err := io.ReadAll(r.Body)
			if errors.As(err, new(*http.MaxBytesError)) {
				refuseBody(w, limit)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body)) // incomplete when the client has left
		}
		next.ServeHTTP(w, r)
	})
}

func refuseBody(w http.ResponseWriter, limit int64) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	_, _ = fmt.Fprintf(w, `{"errors":[{"message":"the request is larger than %d bytes","extensions":{"code":%q}}],"data":null}`,
		limit, codeTooLarge)
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

// refuseStreams refuses GraphQL subscriptions by POST, which could answer only once.
func refuseStreams(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription && !streams.InStream(ctx) {
		return refuse(codeInvalid, "GraphQL subscriptions need a websocket or server-sent events (Accept: text/event-stream)")
	}
	return next(ctx)
}

func refuse(code, format string, args ...any) graphql.ResponseHandler {
	err := gqlerror.Errorf(format, args...)
	err.Extensions = map[string]any{"code": code}
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{err}})
}

// depthLimit refuses documents that nest fields deeper than it says.
type depthLimit int

// ExtensionName names the extension for gqlgen.
func (depthLimit) ExtensionName() string { return "DepthLimit" }

// Validate has nothing to check.
func (depthLimit) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses the operation when it is too deep.
func (d depthLimit) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if depth := depthOf(op.Operation.SelectionSet); depth > int(d) {
		err := gqlerror.Errorf("operation has depth %d, which exceeds the limit of %d", depth, int(d))
		err.Extensions = map[string]any{"code": "DEPTH_LIMIT_EXCEEDED"}
		return err
	}
	return nil
}

// depthOf counts the levels of fields. The document has been validated, so that fragments do not run in circles.
// Introspection is not counted: it is deep by nature, and answered from memory.
func depthOf(set ast.SelectionSet) int {
	depth := 0
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if !strings.HasPrefix(s.Name, "__") {
				depth = max(depth, 1+depthOf(s.SelectionSet))
			}
		case *ast.InlineFragment:
			depth = max(depth, depthOf(s.SelectionSet))
		case *ast.FragmentSpread:
			depth = max(depth, depthOf(s.Definition.SelectionSet))
		}
	}
	return depth
}
