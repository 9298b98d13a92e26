package functions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/dop251/goja"
)

// input is a request to a function, read and checked: what main's arguments are made of.
type input struct {
	method     string
	path       string
	headers    map[string]string // names in lower case
	query      map[string][]string
	attributes map[string]string // of the CloudEvent, by name without "ce-"; empty for a plain request
	data       []byte
	mediaType  string // of data, "" if nobody said
	// replyOnly says that the sender takes nothing but a CloudEvent for an answer.
	replyOnly bool
}

// eventID is the CloudEvent's id, "" for a plain request.
func (in *input) eventID() string { return in.attributes["id"] }

// badInput is a request that no function is called with. Repeating it does not help.
type badInput struct {
	status int
	error
}

// readInput reads a request of at most limit bytes. The error is a badInput unless the body could not be read.
func readInput(r *http.Request, limit int64) (*input, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, badInput{http.StatusRequestEntityTooLarge, fmt.Errorf("the request has more than %d bytes", limit)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	in := &input{
		method: r.Method, path: r.URL.Path, query: r.URL.Query(), headers: map[string]string{"host": r.Host},
		data: body, mediaType: r.Header.Get("Content-Type"), replyOnly: prefersReply(r.Header),
	}
	for name, values := range r.Header {
		in.headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if err := in.readEvent(r, body); err != nil {
		return nil, badInput{http.StatusBadRequest, err}
	}
	if in.isJSON() && len(in.data) > 0 {
		if err := checkJSON(in.data); err != nil {
			return nil, badInput{http.StatusBadRequest, fmt.Errorf("the data is said to be JSON: %w", err)}
		}
	}
	return in, nil
}

// readEvent takes over the CloudEvent of a request, if it is one.
func (in *input) readEvent(r *http.Request, body []byte) error {
	header := r.Header.Clone()
	header.Del("Ce-") // the CloudEvents SDK indexes into the name
	message := cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body)))
	switch message.ReadEncoding() {
	case binding.EncodingUnknown:
		if header.Get("Ce-Specversion") != "" {
			return fmt.Errorf("CloudEvents version %q is not known", header.Get("Ce-Specversion"))
		}
		return nil
	case binding.EncodingBatch:
		return errors.New("a batch of CloudEvents is not taken; send one at a time")
	}
	ev, err := binding.ToEvent(r.Context(), message)
	if err == nil {
		err = ev.Validate()
	}
	if err != nil {
		return invalidEvent("not a valid CloudEvent", err)
	}
	in.data, in.mediaType = ev.Data(), ev.DataContentType()
	if in.mediaType == "" && message.ReadEncoding() == binding.EncodingStructured {
		in.mediaType = event.ApplicationJSON
	}
	in.attributes, err = attributesOf(ev)
	return err
}

// invalidEvent puts the CloudEvents SDK's list of mistakes on one line.
func invalidEvent(what string, err error) error {
	return errors.New(what + ": " + strings.Join(strings.Fields(err.Error()), " "))
}

// attributesOf lists a CloudEvent's attributes and extensions as they are written in HTTP headers.
func attributesOf(ev *event.Event) (map[string]string, error) {
	out := map[string]string{"specversion": ev.SpecVersion(), "id": ev.ID(), "type": ev.Type(), "source": ev.Source()}
	for name, value := range map[string]string{"subject": ev.Subject(), "datacontenttype": ev.DataContentType(), "dataschema": ev.DataSchema()} {
		if value != "" {
			out[name] = value
		}
	}
	if t := ev.Time(); !t.IsZero() {
		out["time"] = types.FormatTime(t)
	}
	for name, value := range ev.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", name, err)
		}
		out[name] = text
	}
	return out, nil
}

// prefersReply says whether the sender asks for a CloudEvent in the answer, as Knative does.
func prefersReply(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Prefer"), func(v string) bool {
		return slices.ContainsFunc(strings.Split(v, ","), func(p string) bool { return strings.TrimSpace(p) == "reply" })
	})
}

// checkJSON says what is wrong with a JSON document, if anything is.
func checkJSON(data []byte) error {
	if tooDeep(string(data), maxNesting) >= 0 {
		return fmt.Errorf("nested deeper than %d", maxNesting)
	}
	if json.Valid(data) {
		return nil
	}
	var v any
	return json.Unmarshal(data, &v) // for its message
}

func (in *input) isJSON() bool {
	kind := in.kind()
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}

// isText says whether data is given to the function as a string.
func (in *input) isText() bool {
	kind := in.kind()
	text := kind == "" || strings.HasPrefix(kind, "text/") || kind == "application/xml" || strings.HasSuffix(kind, "+xml") ||
		kind == "application/x-www-form-urlencoded" || kind == "application/javascript"
	return text && utf8.Valid(in.data)
}

func (in *input) kind() string {
	kind, _, err := mime.ParseMediaType(in.mediaType)
	if err != nil {
		kind, _, _ = strings.Cut(in.mediaType, ";")
	}
	return strings.ToLower(strings.TrimSpace(kind))
}

// event makes main's first argument, and the response that it may write to.
func (m *vm) event(in *input) (goja.Value, *response, error) {
	data, err := m.data(in)
	if err != nil {
		return nil, nil, err
	}
	rt := m.rt
	response := &response{rt: rt, header: http.Header{}}
	var ev *goja.Object
	ex := rt.Try(func() {
		ev = rt.NewObject()
		for _, name := range slices.Sorted(maps.Keys(in.attributes)) {
			must(ev.Set("ce-"+name, in.attributes[name]))
		}
		must(ev.Set("data", data))
		extensions := rt.NewObject()
		must(extensions.Set("request", m.request(in, data)))
		must(extensions.Set("response", response.object()))
		must(ev.Set("extensions", extensions))
	})
	if ex != nil {
		return nil, nil, m.thrown(ex)
	}
	return ev, response, nil
}

// data makes event.data.
func (m *vm) data(in *input) (goja.Value, error) {
	switch {
	case len(in.data) == 0:
		return m.rt.NewObject(), nil // as in Kyma, so that event.data.x is undefined and no error
	case in.isJSON():
		v, err := m.parse(goja.Undefined(), m.rt.ToValue(string(in.data)))
		if err != nil {
			return nil, m.thrown(err)
		}
		return v, nil
	case in.isText():
		return m.rt.ToValue(string(in.data)), nil
	default:
		from, _ := goja.AssertFunction(m.rt.Get("Buffer").ToObject(m.rt).Get("from"))
		if from == nil {
			return nil, errors.New("the function has replaced Buffer")
		}
		return from(m.rt.Get("Buffer"), m.rt.ToValue(m.rt.NewArrayBuffer(slices.Clone(in.data))))
	}
}

// request makes event.extensions.request.
func (m *vm) request(in *input, data goja.Value) *goja.Object {
	rt := m.rt
	headers, query, req := rt.NewObject(), rt.NewObject(), rt.NewObject()
	for _, name := range slices.Sorted(maps.Keys(in.headers)) {
		must(headers.Set(name, in.headers[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(in.query)) {
		if values := in.query[name]; len(values) == 1 {
			must(query.Set(name, values[0]))
		} else {
			must(query.Set(name, rt.NewArray(toAny(values)...)))
		}
	}
	must(req.Set("method", in.method))
	must(req.Set("path", in.path))
	must(req.Set("headers", headers))
	must(req.Set("query", query))
	must(req.Set("body", data))
	define(rt, req, "get", func(c goja.FunctionCall) goja.Value {
		if v, ok := in.headers[strings.ToLower(c.Argument(0).String())]; ok {
			return rt.ToValue(v)
		}
		return goja.Undefined()
	})
	return req
}

func toAny(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}
