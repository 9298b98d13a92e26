package transport

import (
	"bytes"
	"encoding/json"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// encode writes an answer as JSON. Data is JSON already and is copied, not parsed again.
func encode(r *graphql.Response) []byte {
	var b bytes.Buffer
	b.Grow(len(r.Data) + 64)
	b.WriteByte('{')
	if len(r.Errors) > 0 {
		b.WriteString(`"errors":`)
		b.Write(encodeErrors(r.Errors))
		b.WriteByte(',')
	}
	b.WriteString(`"data":`)
	if len(r.Data) == 0 {
		b.WriteString("null")
	} else {
		b.Write(r.Data)
	}
	if len(r.Extensions) > 0 {
		// What cannot be written as JSON is a fault of an extension; the answer is worth more.
		if extensions, err := json.Marshal(r.Extensions); err == nil {
			b.WriteString(`,"extensions":`)
			b.Write(extensions)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
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
