package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// errorsApp is the Application of the tables below.
const errorsApp = "errors-shop"

// TestConnector makes an Application, waits until it takes events, and goes through the tables of what it is answered.
func TestConnector(t *testing.T) {
	createAll(t, errorsApplication(errorsApp))
	eventually(t, func() error {
		got, _ := exchange(t, http.MethodPost, shared.connector+"/"+errorsApp+"/events", nil, nil)
		if got.Status != http.StatusBadRequest { // that is no event; but events would be taken
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	t.Run("legacy events", testLegacyAnswers)
	t.Run("routes", testConnectorRoutes)
	t.Run("subscribed events", testSubscribedEvents)
	t.Run("services", testMetadataServices)
}

// testLegacyAnswers is the table of what is wrong with an event in the older format: the first rule that it breaks.
func testLegacyAnswers(t *testing.T) {
	syntax := func(moreInfo string) httpAnswer {
		return httpAnswer{400, jsonType, `{"status":400,"type":"bad_payload_syntax","message":"Bad payload syntax","moreInfo":"` + moreInfo + `"}`}
	}
	missing := func(field string) httpAnswer {
		return httpAnswer{400, jsonType, `{"status":400,"type":"validation_violation","message":"Missing field","details":[{"field":"` + field +
			`","type":"missing_field","message":"Missing field"}]}`}
	}
	invalid := func(field string) httpAnswer {
		return httpAnswer{400, jsonType, `{"status":400,"type":"validation_violation","message":"Invalid field","details":[{"field":"` + field +
			`","type":"invalid_field","message":"Invalid field"}]}`}
	}
	tooLarge := httpAnswer{
		413, jsonType,
		`{"status":413,"type":"request_body_too_large","message":"Request body too large","moreInfo":"http: request body too large"}`,
	}
	accepted := httpAnswer{200, jsonType, `{"event-id":"31109198-4d69-4ae0-972d-76117f3748c8","status":"","reason":""}`}
	// An event of exactly so many bytes.
	sized := func(size int) string {
		return legacyEvent("data", `"`+strings.Repeat("x", size-len(legacyEvent("data", `""`)))+`"`)
	}
	for _, tt := range []struct {
		name, body string
		want       httpAnswer
	}{
		{"1: no body", "", syntax("Bad payload syntax")},
		{"2: not JSON", "{", syntax("unexpected EOF")},
		{"2: not one object", legacyEvent() + " {}", syntax("invalid data after top-level value")},
		{"3: 64 KiB", sized(65536), accepted},
		{"3: more than 64 KiB", sized(65537), tooLarge},
		{"4: no event-type", legacyEvent("event-type", ""), missing("event-type")},
		{"4: empty event-type", legacyEvent("event-type", `""`), missing("event-type")},
		{"4: before all others", `{}`, missing("event-type")},
		{"5: no event-type-version", legacyEvent("event-type-version", "", "event-time", ""), missing("event-type-version")},
		{"6: event-type-version without letter or digit", legacyEvent("event-type-version", `"#"`, "event-time", ""), invalid("event-type-version")},
		{"6: one alphanumeric suffices", legacyEvent("event-type-version", `"-1-"`), accepted},
		{"7: no event-time", legacyEvent("event-time", "", "event-id", `"1"`), missing("event-time")},
		{"8: event-time is not RFC 3339", legacyEvent("event-time", `"2012-11-01T22"`, "event-id", `"1"`), invalid("event-time")},
		{"9: event-id is no UUID", legacyEvent("event-id", `"1"`, "data", ""), invalid("event-id")},
		{"10: no data", legacyEvent("data", ""), missing("data")},
		{"10: data is null", legacyEvent("data", "null"), missing("data")},
		{"10: data is empty", legacyEvent("data", `""`), missing("data")},
		{"a valid event", legacyEvent(), accepted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantAnswer(t, http.MethodPost, shared.connector+"/errors-shop/v1/events", nil, tt.body, tt.want)
		})
	}
	// Without a Content-Length the limit holds as well.
	got, _ := exchange(t, http.MethodPost, shared.connector+"/errors-shop/v1/events", nil, io.MultiReader(strings.NewReader(sized(65537))))
	if diff := cmp.Diff(tooLarge, got); diff != "" {
		t.Errorf("in chunks (-want +got):\n%s", diff)
	}
}

// testConnectorRoutes compares what is answered to requests that lead nowhere.
func testConnectorRoutes(t *testing.T) {
	failed := func(status int, message string) httpAnswer {
		return httpAnswer{status, errorJSONType, fmt.Sprintf(`{"code":%d,"error":%q}`, status, message)}
	}
	var (
		notFound   = failed(404, "Requested resource could not be found.")
		notAllowed = failed(405, "Method not allowed.")
		unknown    = failed(404, `Application "errors-nobody" does not exist`)
		idle       = failed(503, `Application "errors-idle" takes no events: its spec.skipInstallation is set`)
	)
	app := errorsApplication("errors-idle")
	app.Spec.SkipInstallation = true
	createAll(t, app)
	eventually(t, func() error {
		if got, _ := exchange(t, http.MethodGet, shared.connector+"/errors-idle/v1/metadata/services", nil, nil); got.Status != 200 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	for _, tt := range []struct {
		method, path string
		want         httpAnswer
	}{
		{"GET", "/v1/health", httpAnswer{Status: 200}},
		{"GET", "/", notFound},
		{"POST", "/errors-shop", notFound},
		{"POST", "/errors-shop/v3/events", notFound},
		{"POST", "/errors-shop/v1/events/", notFound},
		{"GET", "/errors-shop/v2/metadata", notFound},
		{"GET", "/errors-shop/events", notAllowed},
		{"PUT", "/errors-shop/events", notAllowed},
		{"GET", "/errors-shop/v1/events", notAllowed},
		{"POST", "/errors-shop/v1/events/subscribed", notAllowed},
		{"DELETE", "/errors-shop/v1/metadata/services", notAllowed},
		{"POST", "/errors-shop/v1/metadata/services/1", notAllowed},
		{"POST", "/errors-nobody/events", unknown},
		{"POST", "/errors-nobody/v1/events", unknown},
		{"POST", "/errors-nobody/v2/events", unknown},
		{"GET", "/errors-nobody/v1/events/subscribed", unknown},
		{"GET", "/errors-nobody/v1/metadata/services", unknown},
		{"GET", "/errors-nobody/v1/metadata/services/1", unknown},
		{"DELETE", "/errors-nobody/v1/metadata/services/1", unknown},
		{"POST", "/No%20Name/events", failed(404, `Application "No Name" does not exist`)},
		{"POST", "/errors-idle/events", idle},
		{"POST", "/errors-idle/v1/events", idle},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			wantAnswer(t, tt.method, shared.connector+tt.path, nil, "", tt.want)
		})
	}
	got, header := exchange(t, http.MethodPost, shared.connector+"/errors-shop/v2/events", nil, nil)
	if got.Status != http.StatusMovedPermanently || header.Get("Location") != "/errors-shop/events" || got.Body != "" {
		t.Errorf("the second version's events: %+v, Location %q", got, header.Get("Location"))
	}
}

// testSubscribedEvents wants the event types of an application that Triggers of all namespaces ask for, each once.
func testSubscribedEvents(t *testing.T) {
	const url = "/errors-shop/v1/events/subscribed"
	wantAnswer(t, http.MethodGet, shared.connector+url, nil, "", httpAnswer{200, jsonType, `{"eventsInfo":[]}`})

	trigger := func(namespace, name string, attributes map[string]string) client.Object {
		o := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: eventingv1.TriggerSpec{
			Broker: "default", Subscriber: duckv1.Destination{URI: apis.HTTP("f." + namespace + ".svc.cluster.local")},
		}}
		if attributes != nil {
			o.Spec.Filter = &eventingv1.TriggerFilter{Attributes: attributes}
		}
		return o
	}
	created := map[string]string{"source": "errors-shop", "type": "order.created", "eventtypeversion": "v1"}
	byDialect := trigger("errors-subscribed-2", "dialect", nil).(*eventingv1.Trigger)
	byDialect.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"source": "errors-shop", "type": "order.shipped"}}}
	createAll(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "errors-subscribed-1"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "errors-subscribed-2"}},
		trigger("errors-subscribed-1", "a", created),
		trigger("errors-subscribed-1", "b", created),
		trigger("errors-subscribed-2", "a", created),
		trigger("errors-subscribed-2", "later", map[string]string{"source": "errors-shop", "type": "order.created", "eventtypeversion": "v2"}),
		trigger("errors-subscribed-2", "other", map[string]string{"source": "errors-other", "type": "order.paid", "eventtypeversion": "v1"}),
		trigger("errors-subscribed-2", "everything", nil),
		byDialect,
	)
	want := `{"eventsInfo":[{"name":"order.created","version":"v1"},{"name":"order.created","version":"v2"},{"name":"order.shipped","version":""}]}`
	eventually(t, func() error {
		got, _ := exchange(t, http.MethodGet, shared.connector+url, nil, nil)
		return differs(httpAnswer{200, jsonType, want}, got)
	})
}

const errorsService = `{"provider":"Shop Inc.","name":"Orders","description":"All about orders","identifier":"orders-1","labels":{"a":"b"},` +
	`"events":{"spec":{"asyncapi":"2.0.0","info":{"title":"Orders","version":"1"},"channels":{"order.created.v1":{"subscribe":{"message":{}}}}}}}`

// testMetadataServices registers, reads, changes and removes a service as its application does.
func testMetadataServices(t *testing.T) {
	services := shared.connector + "/errors-shop/v1/metadata/services"
	wantAnswer(t, http.MethodGet, services, nil, "", httpAnswer{200, jsonType, `[]`})

	got, _ := exchange(t, http.MethodPost, services, nil, strings.NewReader(errorsService))
	var created struct{ ID string }
	if err := json.Unmarshal([]byte(got.Body), &created); err != nil || got != (httpAnswer{200, jsonType, `{"id":"` + created.ID + `"}`}) || len(created.ID) != 36 {
		t.Fatalf("registration: %+v", got)
	}
	one := services + "/" + created.ID
	summary := `"provider":"Shop Inc.","name":"Orders","description":"All about orders","identifier":"orders-1","labels":{"a":"b","connected-app":"errors-shop"}`
	wantAnswer(t, http.MethodGet, services, nil, "", httpAnswer{200, jsonType, `[{"id":"` + created.ID + `",` + summary + `}]`})
	_, spec, _ := strings.Cut(errorsService, `"events":`)
	eventually(t, func() error { // the document is read from a cache
		got, _ := exchange(t, http.MethodGet, one, nil, nil)
		return differs(httpAnswer{200, jsonType, `{` + summary + `,"events":` + spec}, got)
	})
	key := client.ObjectKey{Namespace: eventmesh.IntegrationNamespace, Name: "application-service-" + created.ID}
	var document corev1.ConfigMap
	if err := shared.kube.Get(t.Context(), key, &document); err != nil || document.Labels[eventmesh.ServiceIDLabel] != created.ID {
		t.Errorf("the document: labels %v, error %v", document.Labels, err)
	}

	changed := strings.Replace(errorsService, `"name":"Orders"`, `"name":"Orders and more"`, 1)
	wantAnswer(t, http.MethodPut, one, nil, changed, httpAnswer{Status: 204})
	if got, _ := exchange(t, http.MethodGet, one, nil, nil); !strings.Contains(got.Body, `"name":"Orders and more"`) {
		t.Errorf("after a change: %+v", got)
	}
	failed := func(status int, message string) httpAnswer {
		return httpAnswer{status, errorJSONType, fmt.Sprintf(`{"code":%d,"error":%q}`, status, message)}
	}
	const unmarshal, validate = "Failed to unmarshal request body, ", "Failed to validate request body, "
	for _, tt := range []struct {
		name, body string
		want       httpAnswer
	}{
		{"nothing", ``, failed(400, unmarshal+"EOF")},
		{"not JSON", `{`, failed(400, unmarshal+"unexpected EOF")},
		{"an unknown field", `{"providerName":"x"}`, failed(400, unmarshal+`json: unknown field "providerName"`)},
		{"an unknown field within", `{"events":{"x":1}}`, failed(400, unmarshal+`json: unknown field "x"`)},
		{"fields missing", `{"events":{"spec":{}}}`, failed(400, validate+"[description: Required value, name: Required value, provider: Required value]")},
		{
			"neither events nor API", `{"provider":"p","name":"n","description":"d"}`,
			failed(400, validate+"events: Required value: a service has events, an api, or both"),
		},
		{"no document", `{"provider":"p","name":"n","description":"d","events":{}}`, failed(400, validate+"events.spec: Required value")},
		{
			"an API nowhere", `{"provider":"p","name":"n","description":"d","api":{"targetUrl":"here"}}`,
			failed(400, validate+`api.targetUrl: Invalid value: "here": must be an absolute http or https URL`),
		},
		{"too large", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, failed(413, "The body is larger than 1048576 bytes")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantAnswer(t, http.MethodPost, services, nil, tt.body, tt.want)
			wantAnswer(t, http.MethodPut, one, nil, tt.body, tt.want)
		})
	}
	wantAnswer(t, http.MethodPost, services, nil, errorsService, failed(409, "Service with Identifier orders-1 already exists: its id is "+created.ID))
	wantAnswer(t, http.MethodPut, one, nil, strings.Replace(errorsService, "orders-1", "orders-2", 1),
		failed(400, `The identifier of service `+created.ID+` is "orders-1" and cannot be changed`))

	wantAnswer(t, http.MethodDelete, one, nil, "", httpAnswer{Status: 204})
	gone := failed(404, "Service with ID "+created.ID+" does not exist")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		wantAnswer(t, method, one, nil, "", gone)
	}
	wantAnswer(t, http.MethodPut, one, nil, changed, gone)
	wantAnswer(t, http.MethodGet, services, nil, "", httpAnswer{200, jsonType, `[]`})
	if err := shared.kube.Get(t.Context(), key, &document); !apierrors.IsNotFound(err) {
		t.Errorf("the document after the service: error %v", err)
	}
}
