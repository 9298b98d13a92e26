// Package transport speaks GraphQL over HTTP, websockets and event streams: POST, GET and batches as
// https://graphql.github.io/graphql-over-http/draft/ has them, both sub-protocols that GraphQL clients have for websockets,
// graphql-transport-ws and the older one of subscriptions-transport-ws, and the distinct connections mode of GraphQL over
// server-sent events.
//
// They are transports for gqlgen, which parses and executes; what gqlgen's own lack is here: HTTP's status codes, close
// codes, one execution for all who subscribe to the same (see Fanout), readers that cannot hold up one another, sign-in by
// the first message of a websocket, and documents that a request names instead of carrying them (see Documents).
//
// What is not a GraphQL request is refused here, in the shape of a GraphQL answer; what a document may cost is for others
// to check.
//
// The user travels in a context as k8s.io/apiserver/pkg/endpoints/request.WithUser puts it there.
package transport

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/99designs/gqlgen/graphql"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// ErrSignedOut is the cause (context.Cause) with which the context of a stream's request ends when its sign-in no longer
// holds: its token has expired or was withdrawn.
var ErrSignedOut = errors.New("the sign-in has expired or was withdrawn")

// SignIn signs in the user of a websocket by a token that came in its first message. The context that it returns carries
// the user, and ends when the sign-in does; ok is false for a token that is not valid. done must be called at the end.
type SignIn func(ctx context.Context, token string) (signedIn context.Context, done context.CancelFunc, ok bool)

type signInKey struct{}

// WithSignIn lets the websocket of a request be signed in by its first message. Without it, only the request can.
func WithSignIn(ctx context.Context, f SignIn) context.Context {
	return context.WithValue(ctx, signInKey{}, f)
}

// streamKey identifies a GraphQL subscription and the rights with which it runs: what may be shared has the same key.
func streamKey(ctx context.Context, p *graphql.RawParams) (string, error) {
	type identity struct {
		Name, UID        string
		Groups           []string
		Extra            map[string][]string
		Query, Operation string
		Variables        map[string]any
	}
	id := identity{Query: p.Query, Operation: p.OperationName, Variables: p.Variables}
	if u, ok := request.UserFrom(ctx); ok {
		id.Name, id.UID, id.Groups, id.Extra = u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()
	}
	key, err := json.Marshal(id)
	return string(key), err
}
