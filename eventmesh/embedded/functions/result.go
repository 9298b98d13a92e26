package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/dop251/goja"
	"github.com/google/uuid"
)

// output is the answer of a function.
type output struct {
	status int
	header http.Header
	body   []byte
	event  *event.Event // the reply, instead of body
}

// response is event.extensions.response: what a function says about its answer beside what it returns.
type response struct {
	rt     *goja.Runtime
	status int // 0 when main did not say
	header http.Header
}

// headerName is a name that HTTP allows.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// object is the response as JavaScript sees it; both methods return it.
func (r *response) object() *goja.Object {
	o := r.rt.NewObject()
	define(r.rt, o, "status", func(c goja.FunctionCall) goja.Value {
		status := c.Argument(0).ToInteger()
		if status < 200 || status > 599 {
			panic(r.rt.NewTypeError("%s is no status that a response can have", c.Argument(0)))
		}
		r.status = int(status)
		return o
	})
	define(r.rt, o, "set", func(c goja.FunctionCall) goja.Value {
		name := c.Argument(0).String()
		if !headerName.MatchString(name) {
			panic(r.rt.NewTypeError("%q is not the name of a header", name))
		}
		switch http.CanonicalHeaderKey(name) {
		case "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade": // the server's own
		default:
			r.header.Set(name, c.Argument(1).String())
		}
		return o
	})
	return o
}

// output makes the answer of what main returned.
func (m *vm) output(v goja.Value, r *response, limit int64) (*output, error) {
	out := &output{status: http.StatusOK, header: r.header}
	if r.status != 0 {
		out.status = r.status
	}
	if goja.IsUndefined(v) || goja.IsNull(v) || v == nil {
		return out, nil
	}
	o, isObject := v.(*goja.Object)
	switch {
	case isObject:
		if data, ok := o.Export().([]byte); ok {
			return out.with("application/octet-stream", data, limit)
		}
		ev, err := m.reply(o)
		if err != nil {
			return nil, err
		}
		if ev != nil {
			if int64(len(ev.Data())) > limit {
				return nil, errTooLong(limit)
			}
			out.event = ev
			return out, nil
		}
	case goja.IsString(v):
		return out.with("text/plain; charset=utf-8", []byte(v.String()), limit)
	}
	text, err := m.json(v)
	if err != nil {
		return nil, err
	}
	return out.with("application/json", text, limit)
}

// with adds the body, unless it is too long. The function's own Content-Type stays.
func (out *output) with(contentType string, body []byte, limit int64) (*output, error) {
	if int64(len(body)) > limit {
		return nil, errTooLong(limit)
	}
	if out.header.Get("Content-Type") == "" {
		out.header.Set("Content-Type", contentType)
	}
	out.body = body
	return out, nil
}

func errTooLong(limit int64) error {
	return fmt.Errorf("main returned more than %d bytes", limit)
}

// json is a value as JSON.
func (m *vm) json(v goja.Value) ([]byte, error) {
	text, err := m.stringify(goja.Undefined(), v)
	if err != nil {
		return nil, m.thrown(err)
	}
	if !goja.IsString(text) {
		return nil, fmt.Errorf("main returned what JSON cannot say: %s", m.inspect(v))
	}
	return []byte(text.String()), nil
}

// reply reads a returned object as a CloudEvent in the JSON format, nil if it is none: an object with the strings
// specversion, type and source. An id is made if it has none.
func (m *vm) reply(o *goja.Object) (*event.Event, error) {
	var binary []byte
	isEvent := true
	if ex := m.rt.Try(func() {
		for _, name := range []string{"specversion", "type", "source"} {
			v := o.Get(name)
			isEvent = isEvent && v != nil && goja.IsString(v)
		}
		if data, ok := o.Get("data").(*goja.Object); ok && isEvent {
			binary, _ = data.Export().([]byte)
		}
	}); ex != nil {
		return nil, m.thrown(ex)
	}
	if !isEvent {
		return nil, nil
	}
	text, err := m.json(o)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("reading the returned CloudEvent: %w", err)
	}
	if id, ok := fields["id"]; !ok || id == nil || id == "" {
		fields["id"] = uuid.NewString()
	}
	if binary != nil {
		delete(fields, "data")
		fields["data_base64"] = binary
	}
	if text, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("reading the returned CloudEvent: %w", err)
	}
	ev := &event.Event{}
	if err := json.Unmarshal(text, ev); err != nil {
		return nil, invalidEvent("main returned a CloudEvent that is not valid", err)
	}
	if err := ev.Validate(); err != nil {
		return nil, invalidEvent("main returned a CloudEvent that is not valid", err)
	}
	return ev, nil
}

// write sends the answer. To a sender that takes only CloudEvents, any other body is withheld: Knative counts it as a
// failed delivery and sends the event again, while in Kyma's days `return "ok"` was harmless.
func (out *output) write(ctx context.Context, w http.ResponseWriter, replyOnly bool) error {
	for name, values := range out.header {
		w.Header()[name] = values
	}
	if out.event != nil {
		return cehttp.WriteResponseWriter(ctx, binding.ToMessage(out.event), out.status, w)
	}
	isReply := w.Header().Get("Ce-Specversion") != "" // made by hand, with event.extensions.response
	if replyOnly && !isReply {
		w.Header().Del("Content-Type")
		w.WriteHeader(out.status)
		return nil
	}
	w.WriteHeader(out.status)
	if out.status == http.StatusNoContent || out.status == http.StatusNotModified {
		return nil
	}
	_, err := w.Write(out.body)
	return err
}

// writeError sends an error in the form of all this package's answers.
func writeError(w http.ResponseWriter, status int, message string) {
	body, err := json.Marshal(map[string]string{"error": message})
	if err != nil {
		body = []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the sender may be gone
}
