package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// What the Application Connector answers, to the letter: senders that were written for Kyma compare with these bodies.

// httpAnswer is what a client got.
type httpAnswer struct {
	Status      int
	ContentType string
	Body        string
}

const (
	jsonType      = "application/json"
	errorJSONType = "application/json;charset=UTF-8"
)

// exchange sends a request and reads the answer. Redirects are not followed.
func exchange(t *testing.T, method, url string, header http.Header, body io.Reader) (httpAnswer, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return httpAnswer{response.StatusCode, response.Header.Get("Content-Type"), string(content)}, response.Header
}

// wantAnswer sends a request and compares the answer.
func wantAnswer(t *testing.T, method, url string, header http.Header, body string, want httpAnswer) {
	t.Helper()
	got, _ := exchange(t, method, url, header, strings.NewReader(body))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s %s (-want +got):\n%s", method, url, diff)
	}
}

// differs says how what was got differs from what was wanted.
func differs(want, got any) error {
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("(-want +got):\n%s", diff)
	}
	return nil
}

// createAll makes objects, which go with the test.
func createAll(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := shared.kube.Create(t.Context(), o); err != nil {
			t.Fatalf("%T %s: %v", o, o.GetName(), err)
		}
		t.Cleanup(func() {
			// The test's context has ended.
			if err := shared.kube.Delete(context.WithoutCancel(t.Context()), o); client.IgnoreNotFound(err) != nil {
				t.Errorf("deleting %T %s: %v", o, o.GetName(), err)
			}
		})
	}
}

func errorsApplication(name string, services ...appv1.Service) *appv1.Application {
	return &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationSpec{Services: services}}
}

// errorsSink is where the events of a test's application go instead of a channel that stores them: a server that keeps
// what it gets, and answers what the test says.
type errorsSink struct {
	mu     sync.Mutex
	answer http.HandlerFunc
	got    []sunk
}

// sunk is what came to a sink.
type sunk struct {
	Header map[string]string
	Body   string
}

func (s *errorsSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	header := map[string]string{}
	for key := range r.Header {
		// What every client sends is of no interest.
		if key != "Accept-Encoding" && key != "Content-Length" && key != "User-Agent" {
			header[key] = r.Header.Get(key)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, sunk{header, string(body)})
	if s.answer == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s.answer(w, r)
}

// answers makes the sink answer with f from now on, and returns what came to it before.
func (s *errorsSink) answers(f http.HandlerFunc) []sunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.answer, s.got = f, nil
	return got
}

// newErrorsSink gives a new Application a Channel whose storage is the sink at url: of a kind that is no part of the
// program, which Knative's Channels allow.
func newErrorsSink(t *testing.T, application, url string) {
	t.Helper()
	kind := metav1.TypeMeta{APIVersion: "errors.example.com/v1", Kind: "SinkChannel"}
	schema := &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	definition := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "sinkchannels.errors.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "errors.example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "sinkchannels", Kind: kind.Kind},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: schema},
			}},
		},
	}
	// Both stay: Knative goes on watching the kind, and the namespace is everybody's.
	for _, o := range []client.Object{definition, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: eventmesh.IntegrationNamespace}}} {
		if err := shared.kube.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	place := metav1.ObjectMeta{Name: application, Namespace: eventmesh.IntegrationNamespace}
	createAll(t, &messagingv1.Channel{ObjectMeta: place, Spec: messagingv1.ChannelSpec{
		ChannelTemplate: &messagingv1.ChannelTemplateSpec{TypeMeta: kind}, ChannelableSpec: eventingduckv1.ChannelableSpec{},
	}}, errorsApplication(application))

	channel := &unstructured.Unstructured{}
	channel.SetAPIVersion(kind.APIVersion)
	channel.SetKind(kind.Kind)
	channel.SetName(application)
	channel.SetNamespace(eventmesh.IntegrationNamespace)
	status := `{"status":{"address":{"url":"` + url + `"},"conditions":[{"type":"Ready","status":"True"}]}}`
	eventually(t, func() error {
		return shared.kube.Patch(t.Context(), channel.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(status)))
	})
	eventually(t, func() error {
		var source sourcesv1.HTTPSource
		err := shared.kube.Get(t.Context(), client.ObjectKey{Namespace: eventmesh.IntegrationNamespace, Name: application}, &source)
		if err == nil && source.Status.SinkURI != url {
			err = fmt.Errorf("HTTPSource %s: %+v", application, source.Status)
		}
		return err
	})
	// The connector reads the HTTPSource from a cache.
	eventually(t, func() error {
		got, _ := exchange(t, http.MethodPost, shared.connector+"/"+application+"/events", nil, nil)
		if got.Status != http.StatusBadRequest {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// binaryEvent is the header of a valid event, changed by pairs of key and value; "" removes.
func binaryEvent(changes ...string) http.Header {
	h := http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"order.created"}, "Ce-Source": {"elsewhere"},
		"Content-Type": {"text/plain"},
	}
	for pair := range slices.Chunk(changes, 2) {
		h.Set(pair[0], pair[1])
		if pair[1] == "" {
			h.Del(pair[0])
		}
	}
	return h
}

var (
	structuredEvent = http.Header{"Content-Type": {"application/cloudevents+json"}}
	batchedEvents   = http.Header{"Content-Type": {"application/cloudevents-batch+json"}}
)

// TestAdapterAnswers is the table of the HTTP source's answers, at the door of the connector and at that inside the
// cluster.
func TestAdapterAnswers(t *testing.T) {
	sink := &errorsSink{}
	server := httptest.NewServer(sink)
	t.Cleanup(server.Close)
	newErrorsSink(t, "errors-adapter", server.URL)
	newErrorsSink(t, "errors-adapter-gone", closedURL(t))

	bad := func(body string) httpAnswer { return httpAnswer{400, jsonType, body} }
	const (
		version = `{"error":"unsupported cloudevents version"}`
		missing = `{"error":"id: MUST be a non-empty string\nsource: REQUIRED\ntype: MUST be a non-empty string"}`
		badTime = `{"error":"cannot convert \"foo\" to time.Time: not in RFC3339 format"}`
	)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	ok := []sunk{{map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "order.created", "Ce-Source": "errors-adapter", "Content-Type": "text/plain",
	}, "x"}}
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		sink   http.HandlerFunc
		want   httpAnswer
		sunk   []sunk
	}{
		{"empty request", nil, "", nil, httpAnswer{Status: 400}, nil},
		{"plain JSON", http.Header{"Content-Type": {jsonType}}, `{"a":1}`, nil, httpAnswer{Status: 400}, nil},
		{"binary 0.1", binaryEvent("Ce-Specversion", "0.1"), "x", nil, bad(version), nil},
		{"binary 0.2", binaryEvent("Ce-Specversion", "0.2"), "x", nil, bad(version), nil},
		{"binary 0.3", binaryEvent("Ce-Specversion", "0.3"), "x", nil, bad(version), nil},
		{"structured 0.3", structuredEvent, `{"specversion":"0.3"}`, nil, bad(version), nil},
		{"binary, attributes missing", http.Header{"Ce-Specversion": {"1.0"}}, "", nil, bad(missing), nil},
		{"structured, attributes missing", structuredEvent, `{"specversion":"1.0"}`, nil, bad(missing), nil},
		{"one attribute missing", binaryEvent("Ce-Type", ""), "", nil, bad(`{"error":"type: MUST be a non-empty string"}`), nil},
		{"binary, bad time", binaryEvent("Ce-Time", "foo"), "", nil, bad(badTime), nil},
		{"structured, bad time", structuredEvent, `{"specversion":"1.0","id":"1","type":"t","source":"s","time":"foo"}`, nil, bad(badTime), nil},
		{
			"a batch with one bad event", batchedEvents, `[{"specversion":"1.0","id":"1","type":"t","source":"s"},{"specversion":"1.0","id":"2","type":"t"}]`,
			nil, bad(`{"error":"event 1: source: REQUIRED"}`), nil,
		},
		{"too large", binaryEvent(), strings.Repeat("x", 1<<20+1), nil, httpAnswer{413, jsonType, `{"error":"the body is larger than 1048576 bytes"}`}, nil},
		{"the sink accepts", binaryEvent(), "x", status(202), httpAnswer{Status: 200}, ok},
		{"the sink has no content", binaryEvent(), "x", status(204), httpAnswer{Status: 200}, ok},
		{"the sink replies with an event", binaryEvent(), "x", func(w http.ResponseWriter, _ *http.Request) {
			for key, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "r", "Ce-Type": "reply", "Ce-Source": "sink", "Content-Type": "text/x"} {
				w.Header().Set(key, value)
			}
			_, _ = io.WriteString(w, "replied")
		}, httpAnswer{200, "text/x", "replied"}, ok},
		{"the sink redirects", binaryEvent(), "x", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		}, httpAnswer{Status: 502}, ok},
		{"the sink refuses", binaryEvent(), "x", status(400), httpAnswer{Status: 502}, ok},
		{"the sink does not know it", binaryEvent(), "x", status(404), httpAnswer{Status: 502}, ok},
		{"the sink fails", binaryEvent(), "x", status(500), httpAnswer{Status: 502}, ok},
		{"the sink is busy", binaryEvent(), "x", status(503), httpAnswer{Status: 502}, ok},
		{
			"of a batch the sink takes one", batchedEvents,
			`[{"specversion":"1.0","id":"1","type":"t","source":"s"},{"specversion":"1.0","id":"2","type":"t","source":"s"}]`,
			func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Ce-Id") != "1" {
					w.WriteHeader(503)
				}
			},
			httpAnswer{502, jsonType, `{"error":"unable to forward event to sink","accepted":1}`},
			[]sunk{
				{map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "errors-adapter"}, ""},
				{map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "2", "Ce-Type": "t", "Ce-Source": "errors-adapter"}, ""},
			},
		},
		{
			"all but the source stays, and of the headers what is the event's and the trace's",
			binaryEvent("Ce-Time", "2018-11-02T22:08:41.5Z", "Ce-Subject", "größer 50%", "Ce-Eventtypeversion", "v1", "X-Request-Id", "r",
				"Knative-Foo", "k", "Traceparent", "tp", "B3", "b", "X-B3-Traceid", "x", "Authorization", "Bearer secret", "Cookie", "c=1", "X-Other", "o"),
			"hello", nil,
			httpAnswer{Status: 200},
			[]sunk{{map[string]string{
				"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "order.created", "Ce-Source": "errors-adapter", "Content-Type": "text/plain",
				"Ce-Time": "2018-11-02T22:08:41.5Z", "Ce-Subject": "größer 50%", "Ce-Eventtypeversion": "v1", "X-Request-Id": "r",
				"Knative-Foo": "k", "Traceparent": "tp", "B3": "b", "X-B3-Traceid": "x",
			}, "hello"}},
		},
		{
			"structured comes out as binary", structuredEvent,
			`{"specversion":"1.0","id":"1","type":"t","source":"s","sequence":7,"data":{"a": 1.0}}`, nil,
			httpAnswer{Status: 200},
			[]sunk{{map[string]string{
				"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "errors-adapter", "Ce-Sequence": "7", "Content-Type": jsonType,
			}, `{"a": 1.0}`}},
		},
	} {
		for _, door := range []string{shared.connector + "/errors-adapter/events", "http://errors-adapter.kyma-integration.svc.cluster.local/any/path"} {
			t.Run(tt.name+" at "+door, func(t *testing.T) {
				sink.answers(tt.sink)
				wantAnswer(t, http.MethodPost, door, tt.header, tt.body, tt.want)
				if diff := cmp.Diff(tt.sunk, sink.answers(nil)); diff != "" {
					t.Errorf("at the sink (-want +got):\n%s", diff)
				}
			})
		}
	}
	wantAnswer(t, http.MethodPost, shared.connector+"/errors-adapter-gone/events", binaryEvent(), "x", httpAnswer{Status: 502})
	wantAnswer(t, http.MethodGet, "http://errors-adapter-gone.kyma-integration/healthz", nil, "", httpAnswer{Status: 200})
	t.Run("the body cannot be read", func(t *testing.T) {
		host := strings.TrimPrefix(shared.connector, "http://")
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /errors-adapter/events HTTP/1.1\r\nHost: %s\r\nCe-Specversion: 1.0\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", host)
		got, err := io.ReadAll(conn)
		if text := string(got); err != nil || !strings.HasPrefix(text, "HTTP/1.1 400 ") || !strings.HasSuffix(text, `{"error":"Invalid request"}`) {
			t.Errorf("got %q, error %v", text, err)
		}
	})
	t.Run("legacy", func(t *testing.T) { testLegacySink(t, sink) })
}

// closedURL is where nobody listens.
func closedURL(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(nil)
	server.Close()
	return server.URL
}

// legacyEvent is a valid event in the older format, with fields replaced by raw JSON in pairs, or removed for "".
func legacyEvent(changes ...string) string {
	fields := map[string]json.RawMessage{
		"event-type": []byte(`"order.created"`), "event-type-version": []byte(`"v1"`), "event-time": []byte(`"2012-11-01T22:08:41+00:00"`),
		"event-id": []byte(`"31109198-4d69-4ae0-972d-76117f3748c8"`), "data": []byte(`{"a":1}`),
	}
	for pair := range slices.Chunk(changes, 2) {
		fields[pair[0]] = json.RawMessage(pair[1])
		if pair[1] == "" {
			delete(fields, pair[0])
		}
	}
	out, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// testLegacySink compares what an event in the older format becomes, and what its sender is told.
func testLegacySink(t *testing.T, sink *errorsSink) {
	const url = "/errors-adapter/v1/events"
	accepted := httpAnswer{200, jsonType, `{"event-id":"31109198-4d69-4ae0-972d-76117f3748c8","status":"","reason":""}`}
	failed := httpAnswer{500, jsonType, `{"status":500,"type":"internal_server","message":"internal_server","moreInfo":"error sending cloudevent: 502 Bad Gateway"}`}
	header := http.Header{"X-B3-Traceid": {"x"}, "B3": {"b"}, "X-Other": {"o"}, "Content-Type": {jsonType}}
	sink.answers(nil)
	for _, data := range []string{`{"a":1}`, "0", "false", "{}", `"text"`} {
		wantAnswer(t, http.MethodPost, shared.connector+url, header, legacyEvent("data", data), accepted)
		want := []sunk{{map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "31109198-4d69-4ae0-972d-76117f3748c8", "Ce-Type": "order.created", "Ce-Source": "errors-adapter",
			"Ce-Time": "2012-11-01T22:08:41Z", "Ce-Eventtypeversion": "v1", "Ce-Sourceid": "errors-adapter", "Content-Type": jsonType,
			"X-B3-Traceid": "x", "B3": "b",
		}, data}}
		if diff := cmp.Diff(want, sink.answers(nil)); diff != "" {
			t.Errorf("at the sink (-want +got):\n%s", diff)
		}
	}
	got, _ := exchange(t, http.MethodPost, shared.connector+url, nil, strings.NewReader(legacyEvent("event-id", "")))
	var body map[string]string
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil || got.Status != 200 || len(body["event-id"]) != 36 {
		t.Errorf("without an id: %+v", got)
	}
	if sent := sink.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }); len(sent) != 1 || sent[0].Header["Ce-Id"] != body["event-id"] {
		t.Errorf("without an id: %+v sent, %+v answered", sent, got)
	}
	wantAnswer(t, http.MethodPost, shared.connector+url, nil, legacyEvent(), failed)
	wantAnswer(t, http.MethodPost, shared.connector+"/errors-adapter-gone/v1/events", nil, legacyEvent(), failed)
}
