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

// readRequest reads the parameters of an HTTP request: one GraphQL request, or a batch of at least one. Errors are refusals.
func readRequest(r *http.Request) (all []*graphql.RawParams, batch bool, err error) {
	var given []parameters
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		given, err = ofURL(r.URL)
	case http.MethodPost:
		given, batch, err = ofPost(r)
	default:
		err = refusal{http.StatusMethodNotAllowed, codeBadRequest, r.Method + " is not possible here"}
	}
	if err != nil {
		return nil, false, err
	}
	for i := range given {
		params, err := given[i].raw()
		if err != nil {
			return nil, false, err // for the whole batch: nothing has been executed
		}
		params.Headers = r.Header
		all = append(all, params)
	}
	return all, batch, nil
}

// ofPost reads the body of a POST. Errors are refusals.
func ofPost(r *http.Request) (all []parameters, batch bool, err error) {
	if !isUTF8JSON(r.Header.Get("Content-Type")) {
		return nil, false, refusal{http.StatusUnsupportedMediaType, codeBadRequest, "Content-Type must be application/json, in UTF-8"}
	}
	body, err := io.ReadAll(r.Body)
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, false, refusal{http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("the request is larger than %d bytes", tooLong.Limit)}
	} else if err != nil {
		return nil, false, malformed("the body ended too early")
	}
	return ofBody(body)
}

// asRefusal is the refusal in an error of the functions here, which have no others.
func asRefusal(err error) refusal {
	why, ok := errors.AsType[refusal](err)
	if !ok {
		panic(err)
	}
	return why
}

// ofBody reads the body of a POST: one request, or a batch of at least one. Errors are refusals.
func ofBody(body []byte) (all []parameters, batch bool, err error) {
	if !utf8.Valid(body) {
		return nil, false, malformed("the body is not UTF-8")
	}
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		if err := ofJSON(body, &all); err != nil {
			return nil, true, err
		}
		if len(all) == 0 {
			return nil, true, malformed("the batch is empty")
		}
		return all, true, nil
	}
	var one *parameters
	if err := ofJSON(body, &one); err != nil {
		return nil, false, err
	}
	if one == nil { // null
		return nil, false, malformed(notARequest)
	}
	return []parameters{*one}, false, nil
}

const notARequest = "the body is not a GraphQL request in JSON"

// ofJSON reads exactly one JSON value. Errors are refusals.
func ofJSON(text []byte, into any) error {
	err := decode(text, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return wrongType(wrong.Field, wrong.Value)
	}
	if err != nil {
		return malformed(notARequest)
	}
	return nil
}

func wrongType(name, got string) refusal {
	want := "a string"
	if name == "variables" || name == "extensions" {
		want = "an object"
	}
	return malformed(fmt.Sprintf("the parameter %s must be %s, not a JSON value of type %s", name, want, got))
}

// ofURL reads the parameters of a GET, which are forms of text; an empty one is as good as none, but for the query. Errors
// are refusals.
func ofURL(u *url.URL) ([]parameters, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if plain, _ := url.QueryUnescape(u.RawQuery); err != nil || !utf8.ValidString(plain) {
		return nil, malformed("the query of the URL is malformed")
	}
	var p parameters
	for _, text := range []struct {
		name string
		into **string
	}{{"query", &p.Query}, {"operationName", &p.OperationName}, {"documentId", &p.DocumentID}} {
		if given := values[text.name]; len(given) > 1 {
			return nil, malformed("the parameter " + text.name + " is given more than once")
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
			return nil, malformed("the parameter " + object.name + " must be an object in JSON")
		}
	}
	return []parameters{p}, nil
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
		return nil, malformed("a request has either a query or a documentId")
	case p.Query != nil:
		out.Query = *p.Query
	case p.DocumentID != nil:
		if out.Extensions == nil {
			out.Extensions = map[string]any{}
		}
		out.Extensions[documentIDExtension] = *p.DocumentID
	case p.Extensions[documentIDExtension] == nil && p.Extensions[persistedQueryExtension] == nil:
		return nil, malformed("the parameter query is missing")
	}
	return out, nil
}
