package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
)

// parameters are those of one GraphQL request.
type parameters struct {
	Query         *string        `json:"query"`
	OperationName *string        `json:"operationName"`
	Variables     map[string]any `json:"variables"`
	Extensions    map[string]any `json:"extensions"`
	DocumentID    *string        `json:"documentId"`
}

// ofBody reads the body of a POST: one request, or a batch of at least one. Errors are refusals.
func ofBody(body []byte) (all []parameters, batch bool, err error) {
	if !utf8.Valid(body) {
		return nil, false, refusal{http.StatusBadRequest, badRequest, "the body is not UTF-8"}
	}
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		if err := ofJSON(body, &all); err != nil {
			return nil, true, err
		}
		if len(all) == 0 {
			return nil, true, refusal{http.StatusBadRequest, badRequest, "the batch is empty"}
		}
		return all, true, nil
	}
	var one *parameters
	if err := ofJSON(body, &one); err != nil {
		return nil, false, err
	}
	if one == nil { // null
		return nil, false, refusal{http.StatusBadRequest, badRequest, notARequest}
	}
	return []parameters{*one}, false, nil
}

const notARequest = "the body is not a GraphQL request in JSON"

// ofJSON reads exactly one JSON value. Numbers keep their digits: 64 bits do not fit into a float. Errors are refusals.
func ofJSON(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return wrongType(wrong.Field, wrong.Value)
	}
	if err != nil {
		return refusal{http.StatusBadRequest, badRequest, notARequest}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refusal{http.StatusBadRequest, badRequest, notARequest}
	}
	return nil
}

func wrongType(name, got string) refusal {
	want := "a string"
	if name == "variables" || name == "extensions" {
		want = "an object"
	}
	return refusal{http.StatusBadRequest, badRequest, fmt.Sprintf("the parameter %s must be %s, not a JSON value of type %s", name, want, got)}
}

// ofURL reads the parameters of a GET, which are forms of text; an empty one is as good as none, but for the query. Errors
// are refusals.
func ofURL(u *url.URL) (*parameters, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if plain, _ := url.QueryUnescape(u.RawQuery); err != nil || !utf8.ValidString(plain) {
		return nil, refusal{http.StatusBadRequest, badRequest, "the query of the URL is malformed"}
	}
	p := &parameters{}
	for _, text := range []struct {
		name string
		into **string
	}{{"query", &p.Query}, {"operationName", &p.OperationName}, {"documentId", &p.DocumentID}} {
		if given := values[text.name]; len(given) > 1 {
			return nil, refusal{http.StatusBadRequest, badRequest, "the parameter " + text.name + " is given more than once"}
		} else if len(given) == 1 && (given[0] != "" || text.name == "query") {
			*text.into = &given[0]
		}
	}
	for _, object := range []struct {
		name string
		into *map[string]any
	}{{"variables", &p.Variables}, {"extensions", &p.Extensions}} {
		text := values.Get(object.name)
		if text == "" {
			continue
		}
		if err := ofJSON([]byte(text), object.into); err != nil {
			return nil, refusal{http.StatusBadRequest, badRequest, "the parameter " + object.name + " must be an object in JSON"}
		}
	}
	return p, nil
}

// raw returns the parameters as gqlgen takes them. The id of a document goes where Documents looks for it. Errors are
// refusals.
func (p *parameters) raw() (*graphql.RawParams, error) {
	out := &graphql.RawParams{Variables: p.Variables, Extensions: p.Extensions}
	if p.OperationName != nil {
		out.OperationName = *p.OperationName
	}
	switch {
	case p.Query != nil && p.DocumentID != nil:
		return nil, refusal{http.StatusBadRequest, badRequest, "a request has either a query or a documentId"}
	case p.Query != nil:
		out.Query = *p.Query
	case p.DocumentID != nil:
		if out.Extensions == nil {
			out.Extensions = map[string]any{}
		}
		out.Extensions[documentIDExtension] = *p.DocumentID
	case p.Extensions[documentIDExtension] == nil && p.Extensions[persistedQueryExtension] == nil:
		return nil, refusal{http.StatusBadRequest, badRequest, "the parameter query is missing"}
	}
	return out, nil
}
