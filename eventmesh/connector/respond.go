package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	contentTypeJSON = "application/json"
	// contentTypeError is the original's for its error bodies, letter by letter.
	contentTypeError = "application/json;charset=UTF-8"
)

// errorBody is the original's shape of an error, everywhere but at the two doors for events.
type errorBody struct {
	Code  int    `json:"code"`
	Error string `json:"error"`
}

// writeJSON answers with body as JSON.
func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	content, err := json.Marshal(body)
	if err != nil {
		// Bodies are this package's own types, and what was stored as JSON.
		status, content = http.StatusInternalServerError, []byte(`{"code":500,"error":"Internal error"}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	_, _ = w.Write(content) // The client left.
}

// writeError answers with err, which is of the Kubernetes API, or of reading the request's body. Anything else is the
// program's own trouble: it is logged, and the client is only told so.
func writeError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	status, message := errorStatus(err)
	if status == http.StatusInternalServerError {
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status, contentTypeError, errorBody{Code: status, Error: message})
}

// errorStatus is the one table from errors to what a client is told.
func errorStatus(err error) (status int, message string) {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes", tooLarge.Limit)
	}
	var api apierrors.APIStatus
	if errors.As(err, &api) {
		message = api.Status().Message
	}
	switch {
	case apierrors.IsNotFound(err):
		return http.StatusNotFound, message
	case apierrors.IsBadRequest(err), apierrors.IsInvalid(err):
		return http.StatusBadRequest, message
	case apierrors.IsAlreadyExists(err):
		return http.StatusConflict, message
	case apierrors.IsRequestEntityTooLargeError(err):
		return http.StatusRequestEntityTooLarge, message
	case apierrors.IsServiceUnavailable(err):
		return http.StatusServiceUnavailable, message
	case apierrors.IsConflict(err), apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err):
		return http.StatusServiceUnavailable, "The cluster is busy; try again"
	default:
		return http.StatusInternalServerError, "Internal error"
	}
}
