package eventmesh

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

const asyncAPI2 = `{"asyncapi":"2.0.0","channels":{"order/created/v1":{"subscribe":{}}}}`

// details reads a registration from JSON.
func details(t *testing.T, body string) ServiceDetails {
	t.Helper()
	var d ServiceDetails
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestValidate(t *testing.T) {
	const head = `"provider":"p","name":"n","description":"d"`
	yamlDoc, err := json.Marshal("asyncapi: 2.0.0\nchannels: {}\n")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, body string
		want       string
	}{
		{"events as an object", `{` + head + `,"events":{"spec":` + asyncAPI2 + `}}`, ""},
		{"events as YAML", `{` + head + `,"events":{"spec":` + string(yamlDoc) + `}}`, ""},
		{"an older AsyncAPI is stored as it is", `{` + head + `,"events":{"spec":{"asyncapi":"1.0.0","topics":{}}}}`, ""},
		{"an API", `{` + head + `,"api":{"targetUrl":"https://shop.example/api","spec":{},"apiType":"odata"}}`, ""},
		{"all required", `{"events":{"spec":{}}}`, "[description: Required value, name: Required value, provider: Required value]"},
		{"blank is missing", `{"provider":" ","name":"n","description":"d","events":{"spec":{}}}`, "provider: Required value"},
		{"neither events nor API", `{` + head + `}`, "events: Required value: a service has events, an api, or both"},
		{"events without spec", `{` + head + `,"events":{}}`, "events.spec: Required value"},
		{"events with null", `{` + head + `,"events":{"spec":null}}`, "events.spec: Required value"},
		{"events with a list", `{` + head + `,"events":{"spec":[]}}`, "events.spec: Invalid value: must be an object, or a string with one in JSON or YAML"},
		{"events with text", `{` + head + `,"events":{"spec":"hello"}}`, "events.spec: Invalid value: must be an object, or a string with one in JSON or YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go value of type map[string]interface {}"},
		{"AsyncAPI 2 that cannot be read", `{` + head + `,"events":{"spec":{"asyncapi":"2.0.0","channels":1}}}`, "events.spec: Invalid value: not an AsyncAPI document: channels is not an object"},
		{"API without URL", `{` + head + `,"api":{}}`, "api.targetUrl: Required value"},
		{"API with another URL", `{` + head + `,"api":{"targetUrl":"ftp://x"}}`, `api.targetUrl: Invalid value: "ftp://x": must be an absolute http or https URL`},
		{"API with credentials", `{` + head + `,"api":{"targetUrl":"http://x","credentials":{"basic":{}}}}`, "api.credentials: Forbidden: calls to the API are not proxied here, so nothing would use it"},
		{"documentation", `{` + head + `,"events":{"spec":{}},"documentation":{"type":"t"}}`, "[documentation.description: Required value, documentation.displayName: Required value]"},
		{"too large", `{` + head + `,"events":{"spec":{"x":"` + strings.Repeat("x", maxDocumentSize) + `"}}}`, "events.spec: Too long: may not be more than 921600 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := details(t, tt.body).Validate(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// What was registered can be read again, and registered again as it was read.
func TestServiceRoundTrip(t *testing.T) {
	const id = "4caad296-e0c5-491e-98ac-0ed118f9474e"
	tests := []struct {
		name, body string
		want       appv1.Service
		documents  map[string]string
	}{
		{
			name: "events",
			body: `{"provider":"SAP","name":"Order Events!","description":"All about orders","shortDescription":"Orders","identifier":"orders",
				"labels":{"a":"b","connected-app":"other"},"events":{"spec":{"asyncapi": "2.0.0"}},
				"documentation":{"displayName":"D","description":"dd","type":"t","tags":["x"],"docs":[{"title":"T","type":"md","source":"# T"}]}}`,
			want: appv1.Service{
				ID: id, Name: "order-events-c6c1b", Identifier: "orders", DisplayName: "Order Events!", Description: "Orders",
				LongDescription: "All about orders", ProviderDisplayName: "SAP",
				Labels:  map[string]string{"a": "b", "connected-app": "shop"},
				Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
			},
			documents: map[string]string{
				"asyncapi.json":      `{"asyncapi":"2.0.0"}`,
				"documentation.json": `{"displayName":"D","description":"dd","type":"t","tags":["x"],"docs":[{"title":"T","type":"md","source":"# T"}]}`,
			},
		},
		{
			name: "API and events in YAML",
			body: `{"provider":"SAP","name":"Orders","description":"d","labels":{"connected-app":"shop"},
				"api":{"targetUrl":"https://shop.example","spec":{"openapi":"3.0.0"},"apiType":"odata","specificationUrl":"https://shop.example/spec"},
				"events":{"spec":"asyncapi: 2.0.0\n"}}`,
			want: appv1.Service{
				ID: id, Name: "orders-c6c1b", DisplayName: "Orders", Description: "d", LongDescription: "d", ProviderDisplayName: "SAP",
				Labels: map[string]string{"connected-app": "shop"},
				Entries: []appv1.Entry{
					{
						Type: appv1.EntryTypeAPI, TargetURL: "https://shop.example", APIType: "odata", SpecificationURL: "https://shop.example/spec",
						AccessLabel: "shop-" + id, GatewayURL: "http://shop-" + id + ".kyma-integration.svc.cluster.local",
					},
					{Type: appv1.EntryTypeEvents},
				},
			},
			documents: map[string]string{"asyncapi.yaml": "asyncapi: 2.0.0\n", "openapi.json": `{"openapi":"3.0.0"}`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := details(t, tt.body)
			if err := d.Validate(); err != nil {
				t.Fatal(err)
			}
			service, documents := d.service("shop", id), d.documents()
			if diff := cmp.Diff(tt.want, service); diff != "" {
				t.Errorf("service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.documents, documents); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			again := serviceDetails(&service, documents)
			if diff := cmp.Diff(service, again.service("shop", id)); diff != "" {
				t.Errorf("registered again (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(documents, again.documents()); diff != "" {
				t.Errorf("documents registered again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServiceName(t *testing.T) {
	tests := []struct{ displayName, want string }{
		{"Order Events", "order-events-356a1"},
		{"  --Order__Events?! ", "order-events-356a1"},
		{"заказ", "356a1"},
		{strings.Repeat("a", 100), strings.Repeat("a", 57) + "-356a1"},
		{strings.Repeat("a", 56) + " b", strings.Repeat("a", 56) + "-356a1"},
	}
	for _, tt := range tests {
		if got := serviceName(tt.displayName, "1"); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.displayName, got, tt.want)
		}
	}
}

func TestLockedPatch(t *testing.T) {
	app := func(ids ...string) *appv1.Application {
		a := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "shop", ResourceVersion: "7"}}
		for _, id := range ids {
			a.Spec.Services = append(a.Spec.Services, appv1.Service{ID: id})
		}
		return a
	}
	add := jsonPatch{Op: "add", Path: "/spec/services/-", Value: map[string]string{"id": "new"}}
	tests := []struct {
		name      string
		app       *appv1.Application
		operation jsonPatch
		want      string
	}{
		{"the first service", app(), add, `{"metadata":{"resourceVersion":"7"},"spec":{"services":[{"id":"new"}]}}`},
		{
			"another service", app("1"), add,
			`[{"op":"replace","path":"/metadata/resourceVersion","value":"7"},{"op":"add","path":"/spec/services/-","value":{"id":"new"}}]`,
		},
		{
			"the last goes", app("1"),
			jsonPatch{Op: "remove", Path: "/spec/services/0"},
			`[{"op":"replace","path":"/metadata/resourceVersion","value":"7"},{"op":"remove","path":"/spec/services/0"}]`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			patch, err := lockedPatch(tt.app, []jsonPatch{tt.operation})
			if err != nil {
				t.Fatal(err)
			}
			data, err := patch.Data(nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(data)); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}
