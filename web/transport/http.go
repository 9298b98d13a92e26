package transport

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// DefaultMaxBatch is how many requests a batch may have when HTTP.MaxBatch is 0: what Apollo's batching link sends at
// most by default.
const DefaultMaxBatch = 10

// HTTP is a gqlgen transport for POST, and for GET of queries. It takes every request that is no websocket, if only to
// say what is wrong with it, so it comes last.
type HTTP struct {
	// MaxBatch is how many requests one POST may carry as a JSON array; they are answered by an array, in order, and are
	// executed one after the other. 0 means DefaultMaxBatch.
	MaxBatch int
}

var _ graphql.Transport = HTTP{}

// Supports reports whether the request is none for a websocket.
func (HTTP) Supports(r *http.Request) bool { return !websocket.IsWebSocketUpgrade(r) }

// Do answers the request.
func (h HTTP) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	mediaType, ok := negotiate(r.Header.Values("Accept"))
	w.Header().Set("Content-Type", mediaType+"; charset=utf-8") // also of the 500 that gqlgen makes of a panic
	x := &exchange{w: w, r: r, exec: exec, mediaType: mediaType}
	if !ok {
		refuse(w, mediaType, refusal{http.StatusNotAcceptable, codeBadRequest, "Accept must allow " + responseJSON + " or " + plainJSON})
		return
	}
	all, batch, err := readRequest(r)
	if most := cmp.Or(h.MaxBatch, DefaultMaxBatch); err == nil && len(all) > most {
		err = refusal{http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("a batch may have at most %d requests", most)}
	}
	if err == nil {
		err = x.answer(all, batch)
	}
	if err == nil {
		return
	}
	why := asRefusal(err)
	if why.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allowed(r.Method))
	}
	refuse(w, mediaType, why)
}

// allowed are the methods that might do where method did not: GET does for queries only.
func allowed(method string) string {
	if method == http.MethodGet || method == http.MethodHead {
		return http.MethodPost
	}
	return "GET, HEAD, POST"
}

// exchange is one HTTP request and its answer.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	exec      graphql.GraphExecutor
	mediaType string
}

// answer executes what was asked for. Requests of a batch are executed in their order, so that a query sees what a mutation
// before it did; the status is that of the batch, which is well.
func (x *exchange) answer(all []*graphql.RawParams, batch bool) error {
	var out [][]byte
	status := http.StatusOK
	for i, params := range all {
		response, err := x.execute(params)
		if err != nil {
			return err
		}
		if i > 0 {
			out = append(out, []byte(","))
		}
		out = append(out, parts(response)...)
		if !batch {
			status = x.status(response)
		}
	}
	if batch {
		out = slices.Concat([][]byte{[]byte("[")}, out, [][]byte{[]byte("]")})
	}
	answer(x.w, x.mediaType, status, out)
	return nil
}

// execute lets gqlgen execute one operation, whose context ends with it.
func (x *exchange) execute(params *graphql.RawParams) (*graphql.Response, error) {
	ctx, end := context.WithCancel(x.r.Context())
	defer end()
	op, errs := x.exec.CreateOperationContext(ctx, params)
	if errs != nil {
		return x.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs), nil
	}
	switch kind := op.Operation.Operation; {
	case kind == ast.Subscription:
		return &graphql.Response{Errors: gqlerror.List{coded(codeBadRequest,
			"GraphQL subscriptions need a websocket, or a POST with Accept: text/event-stream")}}, nil
	case kind == ast.Mutation && x.r.Method != http.MethodPost:
		return nil, refusal{http.StatusMethodNotAllowed, codeBadRequest, "mutations need a POST"}
	}
	responses, ctx := x.exec.DispatchOperation(ctx, op)
	response := responses(ctx)
	if response == nil { // the context has ended: the client has gone, or the server stops
		return nil, refusal{http.StatusServiceUnavailable, codeUnavailable, "the request was ended before its answer"}
	}
	return response, nil
}

// statuses are those of answers without data, by the code of their first error. All others are 400.
var statuses = map[string]int{
	codeUnauthenticated: http.StatusUnauthorized,
	"FORBIDDEN":         http.StatusForbidden,
	codeRateLimited:     http.StatusTooManyRequests,
	"INTERNAL":          http.StatusInternalServerError,
	codeUnavailable:     http.StatusServiceUnavailable,
}

// status is the HTTP status of an answer to a well-formed request. Clients that ask for application/json may only trust
// 200 to come from here and not from a proxy on the way, so they get no other.
func (x *exchange) status(response *graphql.Response) int {
	if response.Data != nil || x.mediaType == plainJSON {
		return http.StatusOK
	}
	if len(response.Errors) > 0 {
		code, _ := response.Errors[0].Extensions["code"].(string)
		if status, ok := statuses[code]; ok {
			return status
		}
	}
	return http.StatusBadRequest
}

// answer sends an answer, whose parts follow each other. Answers are about this moment and this user: nobody may store them.
func answer(w http.ResponseWriter, mediaType string, status int, parts [][]byte) {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	h := w.Header()
	h.Set("Content-Type", mediaType+"; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(length))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return // the client has gone
		}
	}
}
