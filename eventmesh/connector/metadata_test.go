package connector

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// What is wrong with a registration is found before the cluster is asked.
func TestRegistrationRefused(t *testing.T) {
	server := connectorTo(t, "http://sink.invalid", Options{MaxBody: 2000})
	tests := []struct {
		name, body string
		want       answer
	}{
		{"empty", ``, answer{400, contentTypeError, `{"code":400,"error":"Failed to unmarshal request body, EOF"}`}},
		{"not an object", `[]`, answer{
			400, contentTypeError,
			`{"code":400,"error":"Failed to unmarshal request body, json: cannot unmarshal array into Go value of type eventmesh.ServiceDetails"}`,
		}},
		{"unknown field", `{"providerName":"x"}`, answer{
			400, contentTypeError,
			`{"code":400,"error":"Failed to unmarshal request body, json: unknown field \"providerName\""}`,
		}},
		{"unknown field within", `{"api":{"target":"x"}}`, answer{
			400, contentTypeError,
			`{"code":400,"error":"Failed to unmarshal request body, json: unknown field \"target\""}`,
		}},
		{"more behind", `{} {}`, answer{400, contentTypeError, `{"code":400,"error":"Failed to unmarshal request body, there is more after the object"}`}},
		{"required fields", `{"events":{"spec":{}}}`, answer{
			400, contentTypeError,
			`{"code":400,"error":"Failed to validate request body, [description: Required value, name: Required value, provider: Required value]"}`,
		}},
		{"no events and no API", `{"provider":"p","name":"n","description":"d"}`, answer{
			400, contentTypeError,
			`{"code":400,"error":"Failed to validate request body, events: Required value: a service has events, an api, or both"}`,
		}},
		{"too large", `{"name":"` + strings.Repeat("x", 2000) + `"}`, answer{413, contentTypeError, `{"code":413,"error":"The body is larger than 2000 bytes"}`}},
	}
	for _, tt := range tests {
		for _, target := range []struct{ method, path string }{{"POST", "/shop/v1/metadata/services"}, {"PUT", "/shop/v1/metadata/services/1"}} {
			t.Run(tt.name+" "+target.method, func(t *testing.T) {
				got := call(t, target.method, server.URL+target.path, nil, strings.NewReader(tt.body))
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestErrorStatus(t *testing.T) {
	resource := schema.GroupResource{Resource: "services"}
	tests := []struct {
		name    string
		err     error
		status  int
		message string
	}{
		{"not found", fmt.Errorf("wrapped: %w", unknownApplication("x")), 404, `Application "x" does not exist`},
		{"bad request", apierrors.NewBadRequest("no"), 400, "no"},
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x", nil), 400, `Service "x" is invalid`},
		{"taken", apierrors.NewAlreadyExists(resource, "x"), 409, `services "x" already exists`},
		{"not now", unavailable("later"), 503, "later"},
		{"conflict to the last", apierrors.NewConflict(resource, "x", errors.New("modified")), 503, "The cluster is busy; try again"},
		{"joined", errors.Join(unknownApplication("x"), errors.New("detail")), 404, `Application "x" does not exist`},
		{"too large", &http.MaxBytesError{Limit: 7}, 413, "The body is larger than 7 bytes"},
		{"forbidden is our own trouble", apierrors.NewForbidden(resource, "x", errors.New("secret")), 500, "Internal error"},
		{"anything else", errors.New("secret"), 500, "Internal error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, message := errorStatus(tt.err)
			if status != tt.status || message != tt.message {
				t.Errorf("got %d %q, want %d %q", status, message, tt.status, tt.message)
			}
		})
	}
}

func TestNotReadyReason(t *testing.T) {
	condition := func(conditionType, reason, message string) metav1.Condition {
		return metav1.Condition{Type: conditionType, Reason: reason, Message: message}
	}
	tests := []struct {
		name       string
		conditions []metav1.Condition
		want       string
	}{
		{"nothing known", nil, "The sink has no URI (EmptySinkURI)"},
		{"no sink", []metav1.Condition{
			condition(sourcesv1.ConditionReady, "Other", "other"),
			condition(sourcesv1.ConditionSinkProvided, sourcesv1.ReasonSinkNotFound, sourcesv1.MessageSinkNotFound),
		}, "The sink does not exist or its URL is not set (SinkNotFound)"},
		{"only the sum", []metav1.Condition{condition(sourcesv1.ConditionReady, "Other", "other")}, "other (Other)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := &sourcesv1.HTTPSource{Status: sourcesv1.HTTPSourceStatus{Conditions: tt.conditions}}
			if got := notReadyReason(source); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
