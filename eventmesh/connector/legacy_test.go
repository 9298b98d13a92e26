package connector

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const legacyBody = `{"event-type":"order.created","event-type-version":"v1","event-id":"31109198-4d69-4ae0-972d-76117f3748c8","event-time":"2012-11-01T22:08:41+00:00","data":{"a": 1.0}}`

// legacyWith is legacyBody with a field replaced by raw JSON, or removed for "".
func legacyWith(field, value string) string {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(legacyBody), &fields); err != nil {
		panic(err)
	}
	fields[field] = json.RawMessage(value)
	if value == "" {
		delete(fields, field)
	}
	out, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func violation(kind, field string) answer {
	message := map[string]string{"missing_field": "Missing field", "invalid_field": "Invalid field"}[kind]
	return answer{400, contentTypeJSON, `{"status":400,"type":"validation_violation","message":"` + message + `","details":[{"field":"` + field +
		`","type":"` + kind + `","message":"` + message + `"}]}`}
}

func TestLegacyRefused(t *testing.T) {
	sink := newSink(t, nil)
	server := connectorTo(t, sink.URL, Options{})
	syntax := func(moreInfo string) answer {
		return answer{400, contentTypeJSON, `{"status":400,"type":"bad_payload_syntax","message":"Bad payload syntax","moreInfo":` + moreInfo + `}`}
	}
	tooLarge := answer{
		413, contentTypeJSON,
		`{"status":413,"type":"request_body_too_large","message":"Request body too large","moreInfo":"http: request body too large"}`,
	}
	tests := []struct {
		name string
		body io.Reader
		want answer
	}{
		{"1: no body", nil, syntax(`"Bad payload syntax"`)},
		{"1: empty body", strings.NewReader(""), syntax(`"Bad payload syntax"`)},
		{"2: empty, in chunks", io.MultiReader(strings.NewReader("")), syntax(`"EOF"`)},
		{"2: not JSON", strings.NewReader("{"), syntax(`"unexpected EOF"`)},
		{"2: not an object", strings.NewReader("[]"), syntax(`"json: cannot unmarshal array into Go value of type connector.legacyEvent"`)},
		{"2: more behind", strings.NewReader(legacyBody + " {}"), syntax(`"invalid data after top-level value"`)},
		{"2: not JSON, before it is too large", strings.NewReader(strings.Repeat("x", 70000)), syntax(`"invalid character 'x' looking for beginning of value"`)},
		{"3: too large", strings.NewReader(legacyWith("data", `"`+strings.Repeat("x", 65536)+`"`)), tooLarge},
		{"3: too large, in chunks", io.MultiReader(strings.NewReader(legacyWith("data", `"`+strings.Repeat("x", 65536)+`"`))), tooLarge},
		{"3: too large by what is behind", strings.NewReader(legacyBody + strings.Repeat(" ", 65536)), tooLarge},
		{"4: event-type", strings.NewReader(legacyWith("event-type", "")), violation("missing_field", "event-type")},
		{"4: event-type empty", strings.NewReader(legacyWith("event-type", `""`)), violation("missing_field", "event-type")},
		{"4: before all others", strings.NewReader(`{}`), violation("missing_field", "event-type")},
		{"4: null", strings.NewReader(`null`), violation("missing_field", "event-type")},
		{"5: event-type-version", strings.NewReader(legacyWith("event-type-version", "")), violation("missing_field", "event-type-version")},
		{"6: event-type-version", strings.NewReader(legacyWith("event-type-version", `"#"`)), violation("invalid_field", "event-type-version")},
		{"7: event-time", strings.NewReader(legacyWith("event-time", "")), violation("missing_field", "event-time")},
		{"8: event-time", strings.NewReader(legacyWith("event-time", `"2012-11-01T22"`)), violation("invalid_field", "event-time")},
		{"9: event-id", strings.NewReader(legacyWith("event-id", `"1"`)), violation("invalid_field", "event-id")},
		{"10: data", strings.NewReader(legacyWith("data", "")), violation("missing_field", "data")},
		{"10: data null", strings.NewReader(legacyWith("data", "null")), violation("missing_field", "data")},
		{"10: data empty", strings.NewReader(legacyWith("data", `""`)), violation("missing_field", "data")},
		{"a type of blanks", strings.NewReader(legacyWith("event-type", `" "`)), violation("invalid_field", "event-type")},
		{"a type that no header carries", strings.NewReader(legacyWith("event-type", `"a\nb"`)), violation("invalid_field", "event-type")},
		{"a version that no header carries", strings.NewReader(legacyWith("event-type-version", `"v1\n"`)), violation("invalid_field", "event-type-version")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, call(t, "POST", server.URL+"/shop/v1/events", nil, tt.body)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	if sent := sink.got(); len(sent) > 0 {
		t.Errorf("sent: %+v", sent)
	}
}

func TestLegacyForwarded(t *testing.T) {
	header := http.Header{
		"Content-Type": {"application/json"}, "X-B3-Traceid": {"x"}, "B3": {"b"}, "Traceparent": {"tp"},
		"Knative-Foo": {"k"}, "X-Request-Id": {"r"}, "Authorization": {"Bearer secret"},
	}
	want := func(changes ...string) map[string]string {
		header := map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "31109198-4d69-4ae0-972d-76117f3748c8", "Ce-Type": "order.created", "Ce-Source": "shop",
			"Ce-Time": "2012-11-01T22:08:41Z", "Ce-Eventtypeversion": "v1", "Ce-Sourceid": "shop", "Content-Type": "application/json",
			"X-B3-Traceid": "x", "B3": "b", "Traceparent": "tp",
		}
		for i := 0; i < len(changes); i += 2 {
			header[changes[i]] = changes[i+1]
		}
		return header
	}
	tests := []struct {
		name string
		body string
		want received
	}{
		{"as it is", legacyBody, received{"POST", "/", want(), `{"a": 1.0}`}},
		{"zero is data", legacyWith("data", "0"), received{"POST", "/", want(), "0"}},
		{"false is data", legacyWith("data", "false"), received{"POST", "/", want(), "false"}},
		{"an empty object is data", legacyWith("data", "{}"), received{"POST", "/", want(), "{}"}},
		{"a large number stays", legacyWith("data", "12345678901234567890"), received{"POST", "/", want(), "12345678901234567890"}},
		{"the type verbatim", legacyWith("event-type", `"Some Type.v7/ä"`), received{"POST", "/", want("Ce-Type", "Some Type.v7/ä"), `{"a":1.0}`}},
		{"one alphanumeric is a version", legacyWith("event-type-version", `"-1-"`), received{"POST", "/", want("Ce-Eventtypeversion", "-1-"), `{"a":1.0}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := newSink(t, nil)
			server := connectorTo(t, sink.URL, Options{})
			got := call(t, "POST", server.URL+"/shop/v1/events", header, strings.NewReader(tt.body))
			wantAnswer := answer{200, contentTypeJSON, `{"event-id":"31109198-4d69-4ae0-972d-76117f3748c8","status":"","reason":""}`}
			if diff := cmp.Diff(wantAnswer, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]received{tt.want}, sink.got()); diff != "" {
				t.Errorf("at the sink (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLegacyNewID(t *testing.T) {
	sink := newSink(t, nil)
	server := connectorTo(t, sink.URL, Options{})
	got := call(t, "POST", server.URL+"/shop/v1/events", nil, strings.NewReader(legacyWith("event-id", "")))
	var body legacyAnswer
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil || got.Status != 200 {
		t.Fatalf("answer %+v, error %v", got, err)
	}
	if !legacyID.MatchString(body.ID) {
		t.Errorf("id %q is no UUID", body.ID)
	}
	if sent := sink.got(); len(sent) != 1 || sent[0].Header["Ce-Id"] != body.ID {
		t.Errorf("sent %+v, want id %s", sent, body.ID)
	}
}

func TestLegacySinkFails(t *testing.T) {
	want := answer{
		500, contentTypeJSON,
		`{"status":500,"type":"internal_server","message":"internal_server","moreInfo":"error sending cloudevent: 502 Bad Gateway"}`,
	}
	refusing := newSink(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	gone := newSink(t, nil)
	gone.Close()
	for _, sink := range []*sink{refusing, gone} {
		server := connectorTo(t, sink.URL, Options{})
		if diff := cmp.Diff(want, call(t, "POST", server.URL+"/shop/v1/events", nil, strings.NewReader(legacyBody))); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	}
}

// What the legacy parser takes can be sent on as an event.
func FuzzParseLegacy(f *testing.F) {
	f.Add([]byte(legacyBody))
	f.Add([]byte(`{"event-type":"\u0000","event-type-version":"v","event-time":"2012-11-01T22:08:41Z","data":0}`))
	f.Add([]byte(`{"event-type":"a","event-type-version":"v1","event-time":"0000-01-01T00:00:00Z","data":" "}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, problem := parseLegacy(strings.NewReader(string(body)), int64(len(body)))
		if (e == nil) == (problem == nil) {
			t.Fatalf("event %v, problem %v", e, problem)
		}
		if problem != nil {
			if problem.Status < 400 || problem.Type == "" {
				t.Errorf("problem %+v", problem)
			}
			return
		}
		e.SetSource("shop")
		if err := e.Validate(); err != nil {
			t.Errorf("event: %v", err)
		}
		if _, err := newRequest(t.Context(), "http://sink", e); err != nil {
			t.Errorf("request: %v", err)
		}
	})
}
