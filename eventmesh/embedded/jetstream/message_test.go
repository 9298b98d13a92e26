package jetstream

import (
	"net/http"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
)

func newEvent(contentType string, data []byte) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("order.created")
	e.SetSource("shop")
	if contentType != "" {
		e.SetDataContentType(contentType)
	}
	e.DataEncoded = data
	return &e
}

func TestMessageKeepsData(t *testing.T) {
	for _, tc := range []struct{ contentType, data string }{
		{"application/json", `{"a":1}`},
		{"application/json", " {\"a\": 1.00}\r\n"}, // may be signed as it is
		{"application/json", `not JSON`},
		{"application/json", `null`},
		{"application/json", `"text"`},
		{"application/json", ``},
		{"application/json; charset=utf-8", `{"a":12345678901234567890}`},
		{"", `{"a":1}`},
		{"", `plain`},
		{"text/plain", `plain "text" ü \u0000`},
		{"text/plain", "\x00\x01\n\u2028"},
		{"text/plain; charset=latin1", "caf\xe9"},
		{"application/octet-stream", "\xff\xfe"},
		{"application/cloudevents+json", `{"a":1}`},
		{"application/vnd.api+json", `{"a":1}`},
		{"application/xml", `<a/>`},
	} {
		t.Run(tc.contentType+" "+tc.data, func(t *testing.T) {
			want := newEvent(tc.contentType, []byte(tc.data))
			want.SetExtension("number", 7)
			want.SetExtension("flag", true)
			msg, err := encode("subject", want, http.Header{})
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := decode(msg.Header, msg.Data)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.DataEncoded) != tc.data || got.DataBase64 != want.DataBase64 {
				t.Errorf("data %q (base64 %t), want %q", got.DataEncoded, got.DataBase64, tc.data)
			}
			if diff := cmp.Diff(want.Context.AsV1(), got.Context.AsV1()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMessageHeaders(t *testing.T) {
	in := http.Header{}
	for _, name := range []string{
		"X-Request-Id", "Knative-Error", "X-B3-Traceid", "B3", "Traceparent", "Tracestate", // pass
		"Authorization", "Cookie", "Retry-After", "Nats-Msg-Id", "Nats-Rollup", "Kyma-Wrapped", "Http-Traceparent", "Content-Type", "Ce-Id",
	} {
		in.Set(name, name+" value")
	}
	msg, err := encode("subject", newEvent("application/json", []byte(`{}`)), in)
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := decode(msg.Header, msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{}
	for _, name := range []string{"X-Request-Id", "Knative-Error", "X-B3-Traceid", "B3", "Traceparent", "Tracestate"} {
		want.Set(name, name+" value")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name := range msg.Header {
		if name[:5] != headerPrefix {
			t.Errorf("the NATS server sees %s", name)
		}
	}
}

// What is accepted can be read back: an event that is stored and then unreadable would be lost.
func FuzzMessage(f *testing.F) {
	f.Add("1", "t", "s", "application/json", "subject", "value", []byte(`{"a":1}`))
	f.Add("\xff", "t\n", "//s?\x00", "text/plain; a=b", "", "\u2028", []byte("\xff"))
	f.Fuzz(func(t *testing.T, id, typ, source, contentType, subject, extension string, data []byte) {
		e := event.New()
		e.SetID(id)
		e.SetType(typ)
		e.SetSource(source)
		if subject != "" {
			e.SetSubject(subject)
		}
		if contentType != "" {
			e.SetDataContentType(contentType)
		}
		e.SetExtension("extension", extension)
		e.DataEncoded = data
		if e.Validate() != nil {
			t.Skip()
		}
		msg, err := encode("subject", &e, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := decode(msg.Header, msg.Data)
		if err != nil {
			t.Fatalf("%s: %v", msg.Data, err)
		}
		if string(got.DataEncoded) != string(data) {
			t.Errorf("data %q, want %q", got.DataEncoded, data)
		}
		if got.ID() != e.ID() || got.Type() != e.Type() || got.Subject() != e.Subject() || got.Source() != e.Source() {
			t.Errorf("got %v, want %v", got, e)
		}
	})
}
