package connector

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// binaryHeader is that of a valid event, changed by pairs of key and value; "" removes.
func binaryHeader(changes ...string) http.Header {
	h := http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"order.created"}, "Ce-Source": {"some source"},
		"Content-Type": {"text/plain"},
	}
	for i := 0; i < len(changes); i += 2 {
		h.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			h.Del(changes[i])
		}
	}
	return h
}

func structured() http.Header {
	return http.Header{"Content-Type": {"application/cloudevents+json; charset=UTF-8"}}
}

func TestEventsRefused(t *testing.T) {
	sink := newSink(t, nil)
	server := connectorTo(t, sink.URL, Options{MaxBody: 1000})
	bad := func(body string) answer { return answer{400, contentTypeJSON, body} }
	const missing = `{"error":"id: MUST be a non-empty string\nsource: REQUIRED\ntype: MUST be a non-empty string"}`
	tests := []struct {
		name   string
		header http.Header
		body   string
		want   answer
	}{
		{"empty request", nil, "", answer{Status: 400}},
		{"plain JSON", http.Header{"Content-Type": {"application/json"}}, `{"a":1}`, answer{Status: 400}},
		{"binary 0.1", binaryHeader("Ce-Specversion", "0.1"), "x", bad(`{"error":"unsupported cloudevents version"}`)},
		{"binary 0.2", binaryHeader("Ce-Specversion", "0.2"), "x", bad(`{"error":"unsupported cloudevents version"}`)},
		{"binary 0.3", binaryHeader("Ce-Specversion", "0.3"), "x", bad(`{"error":"unsupported cloudevents version"}`)},
		{"structured 0.3", structured(), `{"specversion":"0.3","datacontentencoding":null}`, bad(`{"error":"unsupported cloudevents version"}`)},
		{"binary, attributes missing", http.Header{"Ce-Specversion": {"1.0"}}, "", bad(missing)},
		{"structured, attributes missing", structured(), `{"specversion":"1.0"}`, bad(missing)},
		{"binary, one missing", binaryHeader("Ce-Id", ""), "", bad(`{"error":"id: MUST be a non-empty string"}`)},
		{"binary, bad time", binaryHeader("Ce-Time", "foo"), "", bad(`{"error":"cannot convert \"foo\" to time.Time: not in RFC3339 format"}`)},
		{
			"structured, bad time", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","time":"foo"}`,
			bad(`{"error":"cannot convert \"foo\" to time.Time: not in RFC3339 format"}`),
		},
		{"binary, an attribute called data", binaryHeader("Ce-Data", "x"), "", bad(`{"error":"data: MUST NOT be the name of an attribute"}`)},
		{"structured, no version", structured(), `{"id":"1"}`, bad(`{"error":"specversion: MUST be a non-empty string"}`)},
		{"structured, version is a number", structured(), `{"specversion":1.0}`, bad(`{"error":"specversion: MUST be a string"}`)},
		{"structured, not JSON", structured(), `{`, bad(`{"error":"the body is not a CloudEvent in JSON: EOF"}`)},
		{"structured, empty", structured(), ``, bad(`{"error":"the body is not a CloudEvent in JSON: EOF"}`)},
		{"structured, not an object", structured(), `[]`, bad(`{"error":"the body is not a CloudEvent in JSON: it is not an object"}`)},
		{
			"structured, an attribute twice", structured(), `{"specversion":"1.0","id":"1","id":"2"}`,
			bad(`{"error":"the body is not a CloudEvent in JSON: \"id\" is there twice"}`),
		},
		{"structured, more behind", structured(), `{} {}`, bad(`{"error":"the body is not a CloudEvent in JSON: there is more after the object"}`)},
		{
			"structured, fraction", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","x":1.5}`,
			bad(`{"error":"x: a number MUST be an integer of 32 bits"}`),
		},
		{
			"structured, object as extension", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","x":{}}`,
			bad(`{"error":"x: MUST be a string, a boolean or an integer"}`),
		},
		{
			"structured, newline in an attribute", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","subject":"a\nb"}`,
			bad(`{"error":"subject: MUST NOT contain control characters"}`),
		},
		{
			"structured, data of the wrong type", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","datacontenttype":"text/plain","data":1}`,
			bad(`{"error":"data: MUST be a string as datacontenttype is \"text/plain\""}`),
		},
		{
			"structured, bad base64", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":"?"}`,
			bad(`{"error":"data_base64: illegal base64 data at input byte 0"}`),
		},
		{
			"structured, base64 is a number", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":1}`,
			bad(`{"error":"data_base64: MUST be a string"}`),
		},
		{
			"structured, data twice", structured(), `{"specversion":"1.0","id":"1","type":"t","source":"s","data":1,"data_base64":"eA=="}`,
			bad(`{"error":"data and data_base64 MUST NOT both be present"}`),
		},
		{
			"format unknown",
			http.Header{"Content-Type": {"application/cloudevents+xml"}},
			`<a/>`,
			bad(`{"error":"unsupported cloudevents format \"application/cloudevents+xml\""}`),
		},
		{
			"batch, not a list",
			http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
			`{}`,
			bad(`{"error":"the body is not a batch of CloudEvents in JSON: json: cannot unmarshal object into Go value of type []json.RawMessage"}`),
		},
		{
			"batch, the second is bad: none is sent",
			http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
			`[{"specversion":"1.0","id":"1","type":"t","source":"s"},{"specversion":"1.0","id":"2","source":"s"}]`,
			bad(`{"error":"event 1: type: MUST be a non-empty string"}`),
		},
		{"too large", binaryHeader(), strings.Repeat("x", 1001), answer{413, contentTypeJSON, `{"error":"the body is larger than 1000 bytes"}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, call(t, "POST", server.URL+"/shop/events", tt.header, strings.NewReader(tt.body))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	// No Content-Length to see beforehand.
	got := call(t, "POST", server.URL+"/shop/events", binaryHeader(), io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))))
	if got.Status != 413 {
		t.Errorf("chunked and too large: %+v", got)
	}
	if sent := sink.got(); len(sent) > 0 {
		t.Errorf("sent: %+v", sent)
	}
}

func TestEventsForwarded(t *testing.T) {
	event := func(changes ...string) map[string]string {
		header := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "order.created", "Ce-Source": "shop"}
		for i := 0; i < len(changes); i += 2 {
			header[changes[i]] = changes[i+1]
		}
		return header
	}
	passed := binaryHeader(
		"X-Request-Id", "r", "Knative-Foo", "k", "Traceparent", "tp", "Tracestate", "ts", "B3", "b", "X-B3-Traceid", "x",
		"Authorization", "Bearer secret", "Cookie", "c=1", "X-Other", "o")
	tests := []struct {
		name   string
		header http.Header
		body   string
		want   []received
	}{
		{
			"binary: the source is the application's, all else stays",
			binaryHeader("Ce-Time", "2018-11-02T22:08:41.5Z", "Ce-Subject", "größer 50%", "Ce-Dataschema", "http://a/b", "Ce-Eventtypeversion", "v1"),
			"hello",
			[]received{{"POST", "/sink", event("Content-Type", "text/plain", "Ce-Time", "2018-11-02T22:08:41.5Z", "Ce-Subject", "größer 50%",
				"Ce-Dataschema", "http://a/b", "Ce-Eventtypeversion", "v1"), "hello"}},
		},
		{"binary without data", binaryHeader("Content-Type", ""), "", []received{{"POST", "/sink", event(), ""}}},
		{
			"headers that go along", passed, "x",
			[]received{{"POST", "/sink", event("Content-Type", "text/plain", "X-Request-Id", "r", "Knative-Foo", "k", "Traceparent", "tp",
				"Tracestate", "ts", "B3", "b", "X-B3-Traceid", "x"), "x"}},
		},
		{
			"structured: the data as it is written", structured(),
			`{"data":{"b":1.0, "a":"<"},"specversion":"1.0","id":"1","type":"order.created","source":"x","flag":true,"n":7,"none":null,"eventTypeVersion":"v1"}`,
			[]received{{"POST", "/sink", event("Content-Type", "application/json", "Ce-Flag", "true", "Ce-N", "7", "Ce-Eventtypeversion", "v1"), `{"b":1.0, "a":"<"}`}},
		},
		{
			"structured: text", structured(),
			`{"specversion":"1.0","id":"1","type":"order.created","source":"x","datacontenttype":"text/plain","data":"a\nb"}`,
			[]received{{"POST", "/sink", event("Content-Type", "text/plain"), "a\nb"}},
		},
		{
			"structured: bytes", structured(),
			`{"specversion":"1.0","id":"1","type":"order.created","source":"x","datacontenttype":"application/octet-stream","data_base64":"AAH/"}`,
			[]received{{"POST", "/sink", event("Content-Type", "application/octet-stream"), "\x00\x01\xff"}},
		},
		{
			"batch, in order",
			http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
			`[{"specversion":"1.0","id":"1","type":"order.created","source":"x"},{"specversion":"1.0","id":"2","type":"order.created","source":"y","data":null}]`,
			[]received{{"POST", "/sink", event(), ""}, {"POST", "/sink", event("Ce-Id", "2"), ""}},
		},
		{"batch of none", http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, `[]`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := newSink(t, nil)
			server := connectorTo(t, sink.URL+"/sink", Options{})
			// MultiReader hides the length, so that the body is sent in chunks.
			for _, body := range []io.Reader{strings.NewReader(tt.body), io.MultiReader(strings.NewReader(tt.body))} {
				sink.requests = nil
				if diff := cmp.Diff(answer{Status: 200}, call(t, "POST", server.URL+"/shop/events", tt.header, body)); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.want, sink.got()); diff != "" {
					t.Errorf("at the sink (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestSinkAnswers(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	tests := []struct {
		name string
		sink http.HandlerFunc
		want answer
	}{
		{"200", status(200), answer{Status: 200}},
		{"202", status(202), answer{Status: 200}},
		{"204", status(204), answer{Status: 200}},
		{"301 is not followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusMovedPermanently)
		}, answer{Status: 502}},
		{"400", status(400), answer{Status: 502}},
		{"404", status(404), answer{Status: 502}},
		{"413", status(413), answer{Status: 502}},
		{"429", status(429), answer{Status: 502}},
		{"500", status(500), answer{Status: 502}},
		{"503", status(503), answer{Status: 502}},
		{"connection cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, answer{Status: 502}},
		{"2xx with a body that is no event", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") }, answer{Status: 200}},
		{"2xx with an event", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Ce-Specversion", "1.0")
			w.Header().Set("Ce-Type", "reply")
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Set-Cookie", "a=b")
			w.WriteHeader(202)
			_, _ = io.WriteString(w, "hello")
		}, answer{200, "text/plain", "hello"}},
		{"2xx with an event that is too large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Ce-Specversion", "1.0")
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1001))
		}, answer{Status: 200}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := connectorTo(t, newSink(t, tt.sink).URL, Options{MaxBody: 1000})
			if diff := cmp.Diff(tt.want, call(t, "POST", server.URL+"/shop/events", binaryHeader(), strings.NewReader("x"))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSinkUnreachable(t *testing.T) {
	sink := newSink(t, nil)
	sink.Close()
	server := connectorTo(t, sink.URL, Options{})
	if got := call(t, "POST", server.URL+"/shop/events", binaryHeader(), nil); got != (answer{Status: 502}) {
		t.Errorf("answer %+v", got)
	}
}

func TestSinkTooSlow(t *testing.T) {
	release := make(chan struct{})
	sink := newSink(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	server := connectorTo(t, sink.URL, Options{Timeout: time.Millisecond})
	if got := call(t, "POST", server.URL+"/shop/events", binaryHeader(), nil); got != (answer{Status: 502}) {
		t.Errorf("answer %+v", got)
	}
}

// A batch stops at the first event that the sink does not take, and says how many it took.
func TestBatchInterrupted(t *testing.T) {
	var count atomic.Int32
	sink := newSink(t, func(w http.ResponseWriter, _ *http.Request) {
		if count.Add(1) == 3 {
			w.WriteHeader(500)
		}
	})
	server := connectorTo(t, sink.URL, Options{})
	one := `{"specversion":"1.0","id":"1","type":"t","source":"x"}`
	got := call(t, "POST", server.URL+"/shop/events", http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
		strings.NewReader("["+one+","+one+","+one+","+one+"]"))
	want := answer{502, contentTypeJSON, `{"error":"unable to forward event to sink","accepted":2}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if n := len(sink.got()); n != 3 {
		t.Errorf("%d events sent, want 3", n)
	}
}

// Whatever is taken for an event can be sent on as one.
func FuzzParseEvents(f *testing.F) {
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","type":"t","source":"s","data":{}}`))
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":"eA=="}`))
	f.Add("application/cloudevents-batch+json", "", []byte(`[{"specversion":"1.0","id":"1","type":"t","source":"s","time":"2018-11-02T22:08:41Z"}]`))
	f.Add("text/plain", "1.0", []byte(`x`))
	f.Fuzz(func(t *testing.T, contentType, version string, body []byte) {
		header := http.Header{"Content-Type": {contentType}, "Ce-Specversion": {version}, "Ce-Id": {"1"}, "Ce-Type": {"t"}, "Ce-Source": {"s"}}
		events, err := parseEvents(header, body)
		if err != nil {
			return
		}
		for _, e := range events {
			r, err := newRequest(t.Context(), "http://sink", e)
			if err != nil {
				continue
			}
			if r.Header.Get("Ce-Id") == "" && e.ID() != strings.TrimSpace(e.ID()) {
				t.Errorf("id %q lost", e.ID())
			}
			sent, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(sent, e.Data()) {
				t.Errorf("data %q became %q, error %v", e.Data(), sent, err)
			}
		}
	})
}
