package resolvers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/gqlerror"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// TestPresent walks through the one table, and what falls through it.
func TestPresent(t *testing.T) {
	triggers := schema.GroupResource{Group: "eventing.knative.dev", Resource: "triggers"}
	terminating := apierrors.NewForbidden(triggers, "x", errors.New("namespace is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, tt := range []struct {
		name    string
		err     error
		message string
		code    string
	}{
		{"no rights", apierrors.NewForbidden(triggers, "x", errors.New(accessDenied)), "access denied", "FORBIDDEN"},
		{"no rights, wrapped", fmt.Errorf("triggers[0]: %w", apierrors.NewForbidden(triggers, "x", errors.New(accessDenied))), "access denied", "FORBIDDEN"},
		{
			"refused by admission", apierrors.NewForbidden(triggers, "x", errors.New("exceeded quota: q")),
			`triggers.eventing.knative.dev "x" is forbidden: exceeded quota: q`, "FORBIDDEN",
		},
		{"namespace going", terminating, `triggers.eventing.knative.dev "x" is forbidden: namespace is being terminated`, "CONFLICT"},
		{"no user", apierrors.NewUnauthorized("no user"), "unauthorized", "UNAUTHENTICATED"},
		{"missing", apierrors.NewNotFound(triggers, "x"), `triggers.eventing.knative.dev "x" not found`, "NOT_FOUND"},
		{"there already", apierrors.NewAlreadyExists(triggers, "x"), `triggers.eventing.knative.dev "x" already exists`, "ALREADY_EXISTS"},
		{
			"changed meanwhile", apierrors.NewConflict(triggers, "x", errors.New("changed")),
			`Operation cannot be fulfilled on triggers.eventing.knative.dev "x": changed`, "CONFLICT",
		},
		{"bad request", apierrors.NewBadRequest("first must not be negative"), "first must not be negative", "INVALID"},
		{"wrapped keeps where", fmt.Errorf("triggers[1]: %w", apierrors.NewBadRequest("bad name")), "triggers[1]: bad name", "INVALID"},
		{"too large", apierrors.NewRequestEntityTooLargeError("limit is 3MB"), "Request entity too large: limit is 3MB", "TOO_LARGE"},
		{"too many", apierrors.NewTooManyRequestsError("slow down"), "Too many requests: slow down", "RATE_LIMITED"},
		{"another service is down", unavailable("the Connector Service"), "the Connector Service does not answer", "UNAVAILABLE"},
		{"module off", moduleDisabled("serverless"), "MODULE_DISABLED: The serverless module is disabled.", "MODULE_DISABLED"},
		{
			"kind not installed", &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Trigger"}},
			"MODULE_DISABLED: This part is not installed in the cluster.", "MODULE_DISABLED",
		},
		{"timeout", apierrors.NewServerTimeout(triggers, "get", 1), "the cluster did not answer in time", "TIMEOUT"},
		{"deadline", fmt.Errorf("waiting: %w", context.DeadlineExceeded), "the cluster did not answer in time", "TIMEOUT"},
		{"unavailable", apierrors.NewServiceUnavailable("down"), "the cluster cannot be reached", "UNAVAILABLE"},
		{"webhook down", apierrors.NewInternalError(errors.New(`failed calling webhook "w": dial tcp 10.0.0.1`)), "the cluster cannot be reached", "UNAVAILABLE"},
		{"cancelled", context.Canceled, "the request was cancelled", "CANCELED"},
		{"anything else", errors.New("dial tcp 10.1.2.3: secret"), "internal error", "INTERNAL"},
		{"panic", &panicked{value: "nil map"}, "internal error", "INTERNAL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var logged bytes.Buffer
			r := &Resolver{Log: slog.New(slog.NewJSONHandler(&logged, nil))}
			got := r.present(t.Context(), gqlerror.WrapPath(nil, tt.err))
			if diff := cmp.Diff([]any{tt.message, tt.code}, []any{got.Message, got.Extensions["code"]}); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			checkLogged(t, got, tt.err, logged.String())
			// gqlgen presents some errors twice; the second time must change nothing and log nothing.
			logged.Reset()
			if again := r.present(t.Context(), got); again.Message != got.Message || logged.Len() > 0 {
				t.Errorf("presented again: %q, log %s", again.Message, &logged)
			}
		})
	}
}

// checkLogged wants an internal error in the log, under the id that the client got, and any other error not there.
func checkLogged(t *testing.T, got *gqlerror.Error, cause error, logged string) {
	t.Helper()
	id, internal := got.Extensions["id"].(string)
	switch {
	case internal != (got.Extensions["code"] == codeInternal):
		t.Errorf("id %q with code %v", id, got.Extensions["code"])
	case internal && (!strings.Contains(logged, id) || !strings.Contains(logged, cause.Error())):
		t.Errorf("log lacks the id or the cause: %s", logged)
	case !internal && logged != "":
		t.Errorf("logged: %s", logged)
	}
}

func TestPresentFields(t *testing.T) {
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "g", Kind: "Function"}, "f", field.ErrorList{
		field.Required(field.NewPath("spec", "source"), "no source"),
		field.Forbidden(nil, "not so"),
		field.Required(field.NewPath("spec", "source"), "no source"),
	})
	got := (&Resolver{}).present(t.Context(), gqlerror.WrapPath(nil, invalid))
	extensions, err := json.Marshal(got.Extensions)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"code":"INVALID","fields":[{"field":"spec.source","message":"Required value: no source"},{"field":"","message":"Forbidden: not so"}]}`
	if string(extensions) != want {
		t.Errorf("got %s, want %s", extensions, want)
	}
}

func TestPresentLeavesDocumentErrorsAlone(t *testing.T) {
	in := gqlerror.Errorf("Expected Name, found }")
	in.Extensions = map[string]any{"code": "GRAPHQL_PARSE_FAILED"}
	got := (&Resolver{}).present(t.Context(), in)
	if got.Message != in.Message || got.Extensions["code"] != "GRAPHQL_PARSE_FAILED" {
		t.Errorf("got %v", got)
	}
}
