package resolvers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// reply is an answer, read for who was refused what.
type reply struct {
	Data   map[string]any `json:"data"`
	Errors []struct {
		Message    string `json:"message"`
		Path       []any  `json:"path"`
		Extensions struct {
			Code string `json:"code"`
		} `json:"extensions"`
	} `json:"errors"`
}

func (r reply) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (r reply) has(codes ...string) bool {
	for _, e := range r.Errors {
		if slices.Contains(codes, e.Extensions.Code) {
			return true
		}
	}
	return false
}

// wrong says what is wrong with the answer to an operation, nil if nothing is.
type wrong func(rootField, reply) error

// granted wants an answer without any error: not one of the document either, which would show nothing about rights.
func granted(op rootField, r reply) error {
	if notInstalled[op.field.Name] != "" && len(r.Errors) == 1 && r.has(codeModuleDisabled) {
		return nil
	}
	if len(r.Errors) > 0 || r.Data == nil {
		return fmt.Errorf("%v: should be answered, got %v", op, r)
	}
	return nil
}

// found wants an answer with something in it: nothing is denied inside of what is not there.
func found(op rootField, r reply) error {
	value := r.Data[op.field.Name]
	if connection, ok := value.(map[string]any); ok && connection["edges"] != nil {
		value = connection["edges"]
	}
	if list, ok := value.([]any); len(r.Errors) == 0 && (value == nil || ok && len(list) == 0) {
		return fmt.Errorf("%v: there should be something to see, add it to testdata/matrix", op)
	}
	return granted(op, r)
}

// admitted wants that the field itself was not refused; what is inside it may be.
func admitted(op rootField, r reply) error {
	if len(r.Errors) == 0 && r.Data == nil {
		return fmt.Errorf("%v: no answer", op)
	}
	for _, e := range r.Errors {
		inside := len(e.Path) > 1 && e.Extensions.Code == "FORBIDDEN"
		disabled := notInstalled[op.field.Name] != "" && e.Extensions.Code == "MODULE_DISABLED"
		if !inside && !disabled {
			return fmt.Errorf("%v: should be answered, got %v", op, r)
		}
	}
	return nil
}

// refusedWith wants one code and message, and no data.
func refusedWith(code, message string) wrong {
	return func(op rootField, r reply) error {
		if r.Data[op.field.Name] != nil || len(r.Errors) == 0 {
			return fmt.Errorf("%v: should be refused with %s, got %v", op, code, r)
		}
		if notInstalled[op.field.Name] != "" && len(r.Errors) == 1 && r.has(codeModuleDisabled) {
			return nil
		}
		for _, e := range r.Errors {
			if e.Extensions.Code != code || e.Message != message {
				return fmt.Errorf("%v: should be refused with %s %q, got %v", op, code, message, r)
			}
		}
		return nil
	}
}

// As the Console compares them, so not by the names of the constants.
var (
	denied  = refusedWith("FORBIDDEN", "access denied")
	unknown = refusedWith("UNAUTHENTICATED", "unauthorized")
)

// deniedButForEveryone is for those who have no rights: they get what everyone may ask.
func deniedButForEveryone(op rootField, r reply) error {
	name := op.field.Name
	switch list, ok := r.Data[name].([]any); {
	case forEveryone[name] != "", whatTheyMaySee[name] != "" && ok && len(list) == 0:
		return granted(op, r)
	}
	return denied(op, r)
}

// grantedButForWriters is for those who may only read.
func grantedButForWriters(op rootField, r reply) error {
	if forWriters[op.field.Name] != "" {
		return denied(op, r)
	}
	return granted(op, r)
}

// sendAs posts a document.
func sendAs(t *testing.T, api http.Handler, document string) (r reply) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	api.ServeHTTP(rec, req)
	if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil {
		t.Fatalf("%s: %s: %v", document, rec.Body, err)
	}
	return r
}
