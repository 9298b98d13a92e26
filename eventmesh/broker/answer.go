package broker

import (
	"encoding/json"
	"errors"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// answer is what a request is answered with: a status and a body to be written as JSON.
type answer struct {
	status int
	body   any
}

// errorBody is the body of every answer that is not a success. Both keys are always there.
type errorBody struct {
	// Error is one word for programs; some are defined by the Open Service Broker API.
	Error string `json:"error"`
	// Description is for people.
	Description string `json:"description"`
}

// operationBody is the body of an answer that says: accepted, ask for the last operation.
type operationBody struct {
	Operation string `json:"operation"`
}

// Operations, as last_operation gets them back. As there is no state, they only say which of the two it was.
const (
	operationProvision   = "provision"
	operationDeprovision = "deprovision"
)

// empty is the answer that says no more than its status.
func empty(status int) answer { return answer{status, struct{}{}} }

func accepted(operation string) answer {
	return answer{http.StatusAccepted, operationBody{operation}}
}

func problem(status int, word, description string) answer {
	return answer{status, errorBody{word, description}}
}

func badRequest(description string) answer {
	return problem(http.StatusBadRequest, "BadRequest", description)
}

func asyncRequired() answer {
	return problem(http.StatusUnprocessableEntity, "AsyncRequired",
		"This service plan requires client support for asynchronous service operations.")
}

// busy is the answer to a request that must wait for another one to finish.
func busy(description string) answer {
	return problem(http.StatusUnprocessableEntity, "ConcurrencyError", description)
}

// refusal is an answer as an error, for functions that read a request.
type refusal struct{ answer }

// Error implements error.
func (r refusal) Error() string { return http.StatusText(r.status) }

func (a answer) write(w http.ResponseWriter) {
	body, err := json.Marshal(a.body)
	if err != nil {
		panic(err) // Bodies are plain structs.
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // The client is gone: nobody to tell.
}

// failure is the answer to a request that ended in err. Failures, unlike refusals, are logged.
func (b *broker) failure(r *http.Request, err error) answer {
	var refused refusal
	if errors.As(err, &refused) {
		return refused.answer
	}
	a := explain(err)
	if r.Context().Err() == nil {
		b.Log.ErrorContext(r.Context(), "broker request failed", "method", r.Method, "path", r.URL.Path, "status", a.status, "error", err)
	}
	return a
}

// explain is the answer that err makes: what the API server says about the request itself is passed on, the rest not.
func explain(err error) answer {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return problem(http.StatusRequestEntityTooLarge, "RequestTooLarge", "the request's body is too large")
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return problem(http.StatusForbidden, "Forbidden", "the namespace is being deleted")
	case apierrors.IsInvalid(err):
		return badRequest(err.Error())
	case apierrors.IsForbidden(err):
		return problem(http.StatusForbidden, "Forbidden", err.Error())
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return busy("the EventActivation is being changed by others")
	}
	return problem(http.StatusInternalServerError, "InternalError", "the broker failed; its log says why")
}
