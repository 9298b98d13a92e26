package resolvers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// The values of extensions.code. Errors in a document itself have gqlgen's codes, GRAPHQL_PARSE_FAILED and
// GRAPHQL_VALIDATION_FAILED, and those of documentLimits; web/transport has some about how a document is sent.
const (
	codeBadRequest      = "BAD_REQUEST"
	codeUnauthenticated = "UNAUTHENTICATED"
	codeForbidden       = "FORBIDDEN"
	codeNotFound        = "NOT_FOUND"
	codeAlreadyExists   = "ALREADY_EXISTS"
	codeConflict        = "CONFLICT"
	codeInvalid         = "INVALID"
	codeModuleDisabled  = "MODULE_DISABLED"
	codeTooLarge        = "TOO_LARGE"
	codeRateLimited     = "RATE_LIMITED"
	codeTimeout         = "TIMEOUT"
	codeUnavailable     = "UNAVAILABLE"
	codeCanceled        = "CANCELED"
	codeInternal        = "INTERNAL"
)

// The codes of documents that ask for too much, or for what is not shown.
const (
	codeDepthLimit            = "DEPTH_LIMIT_EXCEEDED"
	codeAliasLimit            = "ALIAS_LIMIT_EXCEEDED"
	codeCostLimit             = "COMPLEXITY_LIMIT_EXCEEDED"
	codeIntrospectionDisabled = "INTROSPECTION_DISABLED"
)

// accessDenied is the text that the Console compares with when it decides that somebody may not use it at all.
const accessDenied = "access denied"

// moduleDisabled is the error of a field whose part of the system is not there.
type moduleDisabled string

func (m moduleDisabled) Error() string {
	return fmt.Sprintf("MODULE_DISABLED: The %s module is disabled.", string(m))
}

// unavailable is the error of a field whose answer is another service's to give, which does not.
type unavailable string

func (u unavailable) Error() string { return string(u) + " does not answer" }

// table maps the kinds of errors to what clients see, first match wins. An empty message means the error's own text.
var table = []struct {
	is      func(error) bool
	code    string
	message string
}{
	{is: isNamespaceTerminating, code: codeConflict},
	{is: k8s.Denied, code: codeForbidden, message: accessDenied},
	{is: apierrors.IsForbidden, code: codeForbidden}, // by admission, such as an exceeded quota: that explains itself
	{is: apierrors.IsUnauthorized, code: codeUnauthenticated, message: "unauthorized"},
	{is: apierrors.IsNotFound, code: codeNotFound},
	{is: apierrors.IsAlreadyExists, code: codeAlreadyExists},
	{is: apierrors.IsConflict, code: codeConflict},
	{is: apierrors.IsInvalid, code: codeInvalid},
	{is: apierrors.IsBadRequest, code: codeInvalid},
	{is: isNumberError, code: codeInvalid},
	{is: apierrors.IsRequestEntityTooLargeError, code: codeTooLarge},
	{is: apierrors.IsTooManyRequests, code: codeRateLimited},
	{is: func(err error) bool { return errors.As(err, new(moduleDisabled)) }, code: codeModuleDisabled},
	{is: meta.IsNoMatchError, code: codeModuleDisabled, message: "MODULE_DISABLED: This part is not installed in the cluster."},
	{is: func(err error) bool { return errors.As(err, new(stillWaiting)) }, code: codeTimeout},
	{is: func(err error) bool { return errors.As(err, new(unavailable)) }, code: codeUnavailable},
	{is: isTimeout, code: codeTimeout, message: "the cluster did not answer in time"},
	{is: isUnavailable, code: codeUnavailable, message: "the cluster cannot be reached"},
	{is: func(err error) bool { return errors.Is(err, context.Canceled) }, code: codeCanceled, message: "the request was cancelled"},
}

// lookup finds what the table says about err; ok is false for errors that are nobody's business but the log's, and for
// nil.
func lookup(err error) (code, message string, ok bool) {
	if err == nil {
		return "", "", false
	}
	for _, row := range table {
		if row.is(err) {
			if row.message == "" {
				row.message = err.Error()
			}
			return row.code, row.message, true
		}
	}
	return "", "", false
}

// present makes the error that a client sees. Errors of gqlgen about the document pass as they are; errors that the
// table knows get their code; all others are logged once under an id, and the client gets the id.
func (r *Resolver) present(ctx context.Context, err error) *gqlerror.Error {
	out := *graphql.DefaultErrorPresenter(ctx, err)
	cause := out.Err
	if cause == nil {
		return ofGqlgen(&out)
	}
	code, message, ok := lookup(cause)
	if !ok {
		id := uuid.NewString()
		r.log().LogAttrs(ctx, slog.LevelError, "internal error in GraphQL", slog.String("id", id),
			slog.String("path", out.Path.String()), slog.Any("error", cause), slog.String("stack", stackOf(cause)))
		code, message = codeInternal, "internal error"
		out.Extensions = map[string]any{"id": id}
	} else {
		out.Extensions = nil
	}
	out.Err = nil // so that it is never presented twice
	out.Message = message
	if out.Extensions == nil {
		out.Extensions = map[string]any{}
	}
	out.Extensions["code"] = code
	if fields := fieldsOf(cause); len(fields) > 0 {
		out.Extensions["fields"] = fields
	}
	return &out
}

// ofGqlgen is an error of gqlgen itself, or one that has been presented before. Those without a code are about a message
// that is no request.
func ofGqlgen(err *gqlerror.Error) *gqlerror.Error {
	if err.Extensions["code"] == nil {
		err.Extensions = map[string]any{"code": codeBadRequest}
	}
	return ofVariable(err)
}

// ofVariable makes an error about the value of a variable what bad input is elsewhere: INVALID, with the place in the
// value. gqlgen has neither a code for it nor a path that a client could follow: it begins with "variable", while paths
// of errors are those of the answer.
func ofVariable(err *gqlerror.Error) *gqlerror.Error {
	if len(err.Path) < 2 || err.Path[0] != ast.PathName("variable") || err.Extensions["code"] != errcode.ValidationFailed {
		return err
	}
	field := "$" + err.Path[1:].String()
	return &gqlerror.Error{
		Message:    "variable " + field + ": " + err.Message,
		Locations:  err.Locations,
		Extensions: map[string]any{"code": codeInvalid, "fields": []map[string]string{{"field": field, "message": err.Message}}},
	}
}

// panicked is a panic in a resolver. It is presented like any internal error.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func stackOf(err error) string {
	var p *panicked
	if errors.As(err, &p) {
		return p.stack
	}
	return ""
}

func recovered(_ context.Context, value any) error {
	return &panicked{value: value, stack: string(debug.Stack())}
}

// fieldsOf are the fields that the API server found wrong, in the object's own terms.
func fieldsOf(err error) []map[string]string {
	details := detailsOf(err)
	if details == nil || !apierrors.IsInvalid(err) {
		return nil
	}
	var fields []map[string]string
	for _, cause := range details.Causes {
		name := cause.Field
		if name == "<nil>" {
			name = "" // how the API server names the object as a whole
		}
		field := map[string]string{"field": name, "message": cause.Message}
		// The API server may find the same twice.
		if !slices.ContainsFunc(fields, func(f map[string]string) bool { return maps.Equal(f, field) }) {
			fields = append(fields, field)
		}
	}
	return fields
}

func detailsOf(err error) *metav1.StatusDetails {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return nil
	}
	return status.Status().Details
}

// isNamespaceTerminating finds one of the refusals that have nothing to do with who asks.
func isNamespaceTerminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

func isNumberError(err error) bool {
	var overflow *graphql.NumberOverflowError
	return errors.As(err, &overflow)
}

func isTimeout(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || errors.Is(err, context.DeadlineExceeded)
}

func isUnavailable(err error) bool {
	return apierrors.IsServiceUnavailable(err) || utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) ||
		strings.Contains(err.Error(), "failed calling webhook")
}
