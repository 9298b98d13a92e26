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
	codeUnauthenticated = "UNAUTHENTICATED"
)

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
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(&graphql.Response{Errors: gqlerror.List{coded(code, message)}})) // the client may have left
}
