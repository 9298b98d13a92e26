package transport

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// The values of extensions.code that transports give by themselves; docs/errors.md has them all.
const (
	codeBadRequest      = "BAD_REQUEST"
	codeInvalid         = "INVALID"
	codeRateLimited     = "RATE_LIMITED"
	codeTooLarge        = "TOO_LARGE"
	codeUnauthenticated = "UNAUTHENTICATED"
	codeUnavailable     = "UNAVAILABLE"
	// Apollo's clients know this one, and send the document then.
	codeNotPersisted = "PERSISTED_QUERY_NOT_FOUND"
	codeNotStored    = "DOCUMENT_NOT_STORED"
)

// refusal is why something is not a GraphQL request that can be executed. The message is for the client.
type refusal struct {
	status  int
	code    string
	message string
}

func (r refusal) Error() string { return r.message }

// malformed is the refusal of what is no GraphQL request.
func malformed(message string) refusal {
	return refusal{http.StatusBadRequest, codeBadRequest, message}
}

func coded(code, message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
}

// errSlow ends the stream of a reader that has not taken more messages than may wait for it.
func errSlow() *gqlerror.Error {
	return coded(codeRateLimited, "the reader is too slow, more than "+strconv.Itoa(maxWaiting)+" changed objects wait for it")
}

// panicked is what the client is told about a panic, which is logged as every internal error is.
func panicked(ctx context.Context, exec graphql.GraphExecutor, cause any) gqlerror.List {
	err := fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
	return exec.DispatchError(ctx, gqlerror.List{gqlerror.WrapIfUnwrapped(err)}).Errors
}

// refuse answers a request that is not executed, in the shape of a GraphQL answer.
func refuse(w http.ResponseWriter, mediaType string, why refusal) {
	answer(w, mediaType, why.status, parts(&graphql.Response{Errors: gqlerror.List{coded(why.code, why.message)}}))
}

// Refuse answers a request that gets no further, in the shape of a GraphQL answer with one error of that code.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	refuse(w, plainJSON, refusal{status, code, message})
}
