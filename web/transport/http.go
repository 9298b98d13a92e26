// Package transport speaks GraphQL over HTTP, as transports for gqlgen, which parses and executes: POST and GET as
// https://graphql.github.io/graphql-over-http/draft/ has them, batches, and documents that a request names instead of
// carrying them (see Documents).
//
// What is not a GraphQL request is refused here, in the shape of a GraphQL answer; who the user is and what a document
// may cost is for others to check.
package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
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
	x := &exchange{w: w, r: r, exec: exec, mediaType: mediaType, maxBatch: h.MaxBatch}
	if x.maxBatch == 0 {
		x.maxBatch = DefaultMaxBatch
	}
	w.Header().Set("Content-Type", mediaType+"; charset=utf-8") // also of the 500 that gqlgen makes of a panic
	if !ok {
		x.refuse(refusal{http.StatusNotAcceptable, badRequest, "Accept must allow " + responseJSON + " or " + plainJSON})
		return
	}
	var err error
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		err = x.get()
	case http.MethodPost:
		err = x.post()
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		err = refusal{http.StatusMethodNotAllowed, badRequest, r.Method + " is not possible here"}
	}
	if err != nil {
		x.refuse(err)
	}
}

// Codes of refusals, which are those of the whole API. A document has more of them.
const (
	badRequest  = "BAD_REQUEST"
	tooLarge    = "TOO_LARGE"
	unavailable = "UNAVAILABLE"
)

// refusal is why something is not a GraphQL request that can be executed. The message is for the client.
type refusal struct {
	status  int
	code    string
	message string
}

func (r refusal) Error() string { return r.message }

// exchange is one HTTP request and its answer.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	exec      graphql.GraphExecutor
	mediaType string
	maxBatch  int
}

func (x *exchange) get() error {
	p, err := ofURL(x.r.URL)
	if err != nil {
		return err
	}
	params, err := p.raw()
	if err != nil {
		return err
	}
	return x.answer(params)
}

func (x *exchange) post() error {
	if !isUTF8JSON(x.r.Header.Get("Content-Type")) {
		return refusal{http.StatusUnsupportedMediaType, badRequest, "Content-Type must be application/json, in UTF-8"}
	}
	body, err := io.ReadAll(x.r.Body)
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return refusal{http.StatusRequestEntityTooLarge, tooLarge, "the request is larger than " + strconv.FormatInt(tooLong.Limit, 10) + " bytes"}
	} else if err != nil {
		return refusal{http.StatusBadRequest, badRequest, "the body ended too early"}
	}
	all, batch, err := ofBody(body)
	if err != nil {
		return err
	}
	if len(all) > x.maxBatch {
		return refusal{http.StatusRequestEntityTooLarge, tooLarge, "a batch may have at most " + strconv.Itoa(x.maxBatch) + " requests"}
	}
	params := make([]*graphql.RawParams, len(all))
	for i := range all {
		if params[i], err = all[i].raw(); err != nil {
			return err // for the whole batch: nothing has been executed
		}
	}
	if batch {
		return x.answerBatch(params)
	}
	return x.answer(params[0])
}

// answer executes one request.
func (x *exchange) answer(params *graphql.RawParams) error {
	response, err := x.execute(params)
	if err != nil {
		return err
	}
	parts, err := encoded(response)
	if err != nil {
		return err
	}
	x.write(x.status(response), parts)
	return nil
}

// answerBatch executes requests in their order, so that a query sees what a mutation before it did. Its status is that of
// the batch, which is well.
func (x *exchange) answerBatch(all []*graphql.RawParams) error {
	parts := [][]byte{[]byte("[")}
	for i, params := range all {
		response, err := x.execute(params)
		if err != nil {
			return err
		}
		more, err := encoded(response)
		if err != nil {
			return err
		}
		if i > 0 {
			parts = append(parts, []byte(","))
		}
		parts = append(parts, more...)
	}
	x.write(http.StatusOK, append(parts, []byte("]")))
	return nil
}

// execute lets gqlgen execute one operation, whose context ends with it.
func (x *exchange) execute(params *graphql.RawParams) (*graphql.Response, error) {
	ctx, end := context.WithCancel(x.r.Context())
	defer end()
	params.Headers = x.r.Header
	op, errs := x.exec.CreateOperationContext(ctx, params)
	if errs != nil {
		return x.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs), nil
	}
	switch kind := op.Operation.Operation; {
	case kind == ast.Subscription:
		return &graphql.Response{Errors: gqlerror.List{codedError(badRequest,
			"GraphQL subscriptions need a websocket, or a POST with Accept: text/event-stream")}}, nil
	case kind == ast.Mutation && x.r.Method != http.MethodPost:
		x.w.Header().Set("Allow", http.MethodPost)
		return nil, refusal{http.StatusMethodNotAllowed, badRequest, "mutations need a POST"}
	}
	responses, ctx := x.exec.DispatchOperation(ctx, op)
	response := responses(ctx)
	if response == nil { // the context has ended: the client has gone, or the server stops
		return nil, refusal{http.StatusServiceUnavailable, unavailable, "the request was ended before its answer"}
	}
	return response, nil
}

// statuses are those of answers without data, by the code of their first error. All others are 400.
var statuses = map[string]int{
	"UNAUTHENTICATED": http.StatusUnauthorized,
	"FORBIDDEN":       http.StatusForbidden,
	"RATE_LIMITED":    http.StatusTooManyRequests,
	"INTERNAL":        http.StatusInternalServerError,
	unavailable:       http.StatusServiceUnavailable,
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

// refuse answers what cannot be executed.
func (x *exchange) refuse(err error) {
	why, ok := errors.AsType[refusal](err)
	if !ok {
		panic(err) // of an answer that is no JSON, a fault of the program: gqlgen recovers and answers 500
	}
	text, err := json.Marshal(graphqlErrors{gqlerror.List{codedError(why.code, why.message)}})
	if err != nil {
		panic(err) // strings can always be written
	}
	x.write(why.status, [][]byte{text})
}

// write sends the answer, whose parts follow each other. Answers are about this moment and this user: nobody may store
// them.
func (x *exchange) write(status int, parts [][]byte) {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	h := x.w.Header()
	h.Set("Content-Length", strconv.Itoa(length))
	h.Set("Cache-Control", "no-store")
	x.w.WriteHeader(status)
	for _, part := range parts {
		if _, err := x.w.Write(part); err != nil {
			return // the client has gone
		}
	}
}

// graphqlErrors is an answer without data.
type graphqlErrors struct {
	Errors gqlerror.List `json:"errors"`
}

// encoded returns an answer as JSON, in parts, of which the data are those that gqlgen has written: they are not read
// again. Without data, which means that nothing was executed, there is no entry for them.
func encoded(r *graphql.Response) ([][]byte, error) {
	var parts [][]byte
	entry := func(name string, value any) error {
		text, ok := value.(json.RawMessage)
		if !ok {
			var err error
			if text, err = json.Marshal(value); err != nil {
				return err
			}
		}
		start := `,"` + name + `":`
		if parts == nil {
			start = `{"` + name + `":`
		}
		parts = append(parts, []byte(start), text)
		return nil
	}
	var errs []error
	if len(r.Errors) > 0 {
		errs = append(errs, entry("errors", r.Errors))
	}
	if r.Data != nil {
		errs = append(errs, entry("data", r.Data))
	}
	if len(r.Extensions) > 0 {
		errs = append(errs, entry("extensions", r.Extensions))
	}
	if parts == nil {
		return [][]byte{[]byte("{}")}, errors.Join(errs...)
	}
	return append(parts, []byte("}")), errors.Join(errs...)
}

func codedError(code, message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
}
