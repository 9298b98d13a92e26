package web

import (
	"encoding/json"
	"net/http"
)

// Values of extensions.code in the answers that this package gives itself.
const (
	codeUnauthenticated = "UNAUTHENTICATED"
	codeForbidden       = "FORBIDDEN"
	codeNotFound        = "NOT_FOUND"
	codeBadRequest      = "BAD_REQUEST"
	codeTooLarge        = "TOO_LARGE"
	codeInternal        = "INTERNAL"
)

// writeError answers with one error in the shape of a GraphQL answer. The message is for the person in front of the
// client and must not hold internals.
func writeError(w http.ResponseWriter, status int, code, message string) {
	type extensions struct {
		Code string `json:"code"`
	}
	type graphqlError struct {
		Message    string     `json:"message"`
		Extensions extensions `json:"extensions"`
	}
	writeJSON(w, status, struct {
		Errors []graphqlError `json:"errors"`
	}{[]graphqlError{{message, extensions{code}}}})
}

// writeJSON answers with v. Answers of this package are about this moment, so they are never stored.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error here means that the client has gone
}
