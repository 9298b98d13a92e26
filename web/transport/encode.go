package transport

import (
	"encoding/json"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// encode writes an answer as JSON, for a message of a stream: those have data always, if only null, as the Console knows it
// of a subscription that is refused.
func encode(r *graphql.Response) []byte {
	if len(r.Data) == 0 {
		withData := *r
		withData.Data = []byte("null")
		r = &withData
	}
	return slices.Concat(parts(r)...)
}

// parts returns an answer as JSON, in parts, of which the data are those that gqlgen has written: they are not read again.
// Without data, which means that nothing was executed, there is no entry for them.
func parts(r *graphql.Response) [][]byte {
	all := [][]byte{[]byte("{")}
	entry := func(name string, value []byte) {
		if len(all) > 1 {
			all = append(all, []byte(","))
		}
		all = append(all, []byte(`"`+name+`":`), value)
	}
	if len(r.Errors) > 0 {
		entry("errors", encodeErrors(r.Errors))
	}
	if len(r.Data) > 0 {
		entry("data", r.Data)
	}
	if len(r.Extensions) > 0 {
		// What cannot be written as JSON is a fault of an extension; the answer is worth more.
		if extensions, err := json.Marshal(r.Extensions); err == nil {
			entry("extensions", extensions)
		}
	}
	return append(all, []byte("}"))
}

// encodeErrors writes errors as JSON. Those whose extensions cannot be written keep their message.
func encodeErrors(errs gqlerror.List) []byte {
	out, err := json.Marshal(errs)
	if err == nil {
		return out
	}
	plain := make(gqlerror.List, len(errs))
	for i, e := range errs {
		plain[i] = &gqlerror.Error{Message: e.Message, Path: e.Path}
	}
	if out, err = json.Marshal(plain); err != nil {
		return []byte(`[{"message":"internal error"}]`)
	}
	return out
}
