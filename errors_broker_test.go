package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// What the Application Broker answers to a platform that speaks the Open Service Broker API to it, as Service Catalog
// does: at the address and with the credentials that a namespace's ServiceBroker names.

// osb is the Application Broker as one namespace reaches it.
type osb struct {
	url, username, password string
}

// newOSB waits until namespace has its ServiceBroker.
func newOSB(t *testing.T, namespace string) osb {
	t.Helper()
	var broker scv1.ServiceBroker
	eventually(t, func() error {
		return shared.kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: eventmesh.ServiceBrokerName}, &broker)
	})
	ref := broker.Spec.AuthInfo.Basic.SecretRef
	if ref.Name != eventmesh.BrokerAuthSecret || !strings.HasSuffix(broker.Spec.URL, "/"+namespace) {
		t.Fatalf("ServiceBroker: URL %s, Secret %s", broker.Spec.URL, ref.Name)
	}
	var secret corev1.Secret
	if err := shared.kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: ref.Name}, &secret); err != nil {
		t.Fatal(err)
	}
	return osb{broker.Spec.URL, string(secret.Data["username"]), string(secret.Data["password"])}
}

// header is that of a request as it must be, changed by pairs of key and value; "" removes.
func (o osb) header(changes ...string) http.Header {
	h := http.Header{"Content-Type": {jsonType}, "X-Broker-Api-Version": {"2.13"}}
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(o.username+":"+o.password)))
	for i := 0; i < len(changes); i += 2 {
		h.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			h.Del(changes[i])
		}
	}
	return h
}

// wants sends a request and compares the answer.
func (o osb) wants(t *testing.T, method, path, body string, status int, want string) {
	t.Helper()
	wantAnswer(t, method, o.url+"/v2"+path, o.header(), body, httpAnswer{status, jsonType, want})
}

// osbError is the body of an error.
func osbError(word, description string) string {
	return fmt.Sprintf(`{"error":%q,"description":%q}`, word, description)
}

const osbAsync = "This service plan requires client support for asynchronous service operations."

// osbBody is the body of a request to provision, changed by pairs of key and raw JSON; "" removes.
func osbBody(service string, changes ...string) string {
	fields := map[string]json.RawMessage{
		"service_id": json.RawMessage(`"` + service + `"`), "plan_id": json.RawMessage(`"` + service + `-plan"`),
		"organization_guid": json.RawMessage(`"org"`), "space_guid": json.RawMessage(`"space"`),
	}
	for i := 0; i < len(changes); i += 2 {
		fields[changes[i]] = json.RawMessage(changes[i+1])
		if changes[i+1] == "" {
			delete(fields, changes[i])
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(body)
}

// osbServices are what the tests' Application offers: events, an API, and both.
func osbServices(prefix string) []appv1.Service {
	api := appv1.Entry{Type: appv1.EntryTypeAPI, GatewayURL: "http://gateway.example", AccessLabel: prefix + "-access"}
	events := appv1.Entry{Type: appv1.EntryTypeEvents}
	service := func(name string, entries ...appv1.Entry) appv1.Service {
		return appv1.Service{
			ID: prefix + "-" + name, Name: prefix + "-" + name + "-name", DisplayName: "Display " + name, Description: "About " + name,
			LongDescription: "All about " + name, ProviderDisplayName: "Shop Inc.", Labels: map[string]string{"connected-app": prefix}, Entries: entries,
		}
	}
	tagged := service("events", events)
	tagged.Tags = []string{"order", "event"}
	return []appv1.Service{tagged, service("api", api), service("both", api, events)}
}

// osbFixture makes an Application, name, that is enabled in a namespace of its name, and what else the tables need.
func osbFixture(t *testing.T, name string) osb {
	t.Helper()
	in := metav1.ObjectMeta{Namespace: name}
	mapping := func(application string, services ...appv1.ApplicationMappingService) *appv1.ApplicationMapping {
		in.Name = application
		return &appv1.ApplicationMapping{ObjectMeta: in, Spec: appv1.ApplicationMappingSpec{Services: services}}
	}
	none := mapping(name + "-none")
	none.Spec.Services = []appv1.ApplicationMappingService{}
	idle := errorsApplication(name+"-idle", osbServices(name+"-idle")...)
	idle.Spec.SkipInstallation = true
	createAll(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		errorsApplication(name, osbServices(name)...), mapping(name),
		errorsApplication(name+"-unmapped", osbServices(name+"-unmapped")...),
		errorsApplication(name+"-none", osbServices(name+"-none")...), none,
		idle, mapping(name+"-idle", appv1.ApplicationMappingService{ID: name + "-idle-events"}),
	)
	b := newOSB(t, name)
	// The broker reads what it offers from a cache.
	eventually(t, func() error {
		got, _ := exchange(t, http.MethodGet, b.url+"/v2/catalog", b.header(), nil)
		if n := strings.Count(got.Body, `"plans"`); n != 4 {
			return fmt.Errorf("%d services: %+v", n, got)
		}
		return nil
	})
	return b
}

// osbName is that of the Application and of the namespace of the tables below.
const osbName = "errors-osb"

// TestApplicationBroker goes through the tables of what the broker answers.
func TestApplicationBroker(t *testing.T) {
	b := osbFixture(t, osbName)
	for name, f := range map[string]func(*testing.T, osb){
		"door": testBrokerDoor, "catalog": testBrokerCatalog, "provision": testBrokerProvision, "waits": testBrokerWaits,
		"refuses": testBrokerRefuses, "bindings": testBrokerBindings,
	} {
		t.Run(name, func(t *testing.T) { f(t, b) })
	}
}

// testBrokerDoor is what every request has to bring.
func testBrokerDoor(t *testing.T, b osb) {
	other := metav1.ObjectMeta{Namespace: osbName + "-other", Name: osbName}
	createAll(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other.Namespace}}, &appv1.ApplicationMapping{ObjectMeta: other})
	neighbour := newOSB(t, other.Namespace)
	if neighbour.password == b.password {
		t.Error("two namespaces have the same password")
	}
	unauthorized := httpAnswer{401, jsonType, osbError("Unauthorized", "the user and password of the namespace are required")}
	version := func(got string) httpAnswer {
		return httpAnswer{412, jsonType, osbError("while checking 'X-Broker-API-Version' header, should be 2.13 or later, got "+got,
			"Requests requires the 'X-Broker-API-Version' header specified")}
	}
	platform := func(got string) httpAnswer {
		return httpAnswer{412, jsonType, osbError(
			"while checking 'X-Broker-API-Originating-Identity' header, should be kubernetes and a base64-encoded JSON object, got "+got,
			"Requests requires the 'X-Broker-API-Originating-Identity' header to name a user of Kubernetes")}
	}
	passed := httpAnswer{410, jsonType, `{}`} // there is no such instance
	basic := func(username, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
	}
	const identity = "X-Broker-Api-Originating-Identity"
	for _, tt := range []struct {
		name   string
		header http.Header
		want   httpAnswer
	}{
		{"all is well", b.header(), passed},
		{"no credentials", b.header("Authorization", ""), unauthorized},
		{"a token", b.header("Authorization", "Bearer "+b.password), unauthorized},
		{"wrong password", b.header("Authorization", basic(b.username, "x")), unauthorized},
		{"wrong user", b.header("Authorization", basic("x", b.password)), unauthorized},
		{"empty", b.header("Authorization", basic("", "")), unauthorized},
		{"another namespace's", neighbour.header(), unauthorized},
		{"no credentials and no version", http.Header{}, unauthorized},
		{"no version", b.header("X-Broker-Api-Version", ""), version("")},
		{"older version", b.header("X-Broker-Api-Version", "2.12"), version("2.12")},
		{"later version", b.header("X-Broker-Api-Version", "2.17"), passed},
		{"other version", b.header("X-Broker-Api-Version", "3.0"), version("3.0")},
		{"no version at all", b.header("X-Broker-Api-Version", "latest"), version("latest")},
		{"identity", b.header(identity, "kubernetes "+base64.StdEncoding.EncodeToString([]byte(`{"username":"u"}`))), passed},
		{"other platform", b.header(identity, "cloudfoundry e30="), platform("cloudfoundry e30=")},
		{"identity is no base64", b.header(identity, "kubernetes ?"), platform("kubernetes ?")},
		{"identity is no object", b.header(identity, "kubernetes eA=="), platform("kubernetes eA==")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantAnswer(t, http.MethodDelete, b.url+"/v2/service_instances/x?accepts_incomplete=true&service_id=s&plan_id=p", tt.header, "", tt.want)
		})
	}
	base := strings.TrimSuffix(b.url, "/"+osbName)
	wantAnswer(t, http.MethodGet, base+"/default/v2/catalog", b.header(), "", unauthorized)
	wantAnswer(t, http.MethodGet, base+"/errors-no-namespace/v2/catalog", b.header(), "", unauthorized)
	text := httpAnswer{200, "text/plain; charset=utf-8", "OK"}
	wantAnswer(t, http.MethodGet, base+"/healthz", nil, "", text)
	wantAnswer(t, http.MethodGet, base+"/statusz", nil, "", text)
	wantAnswer(t, http.MethodGet, b.url, b.header(), "", httpAnswer{404, jsonType, osbError("NotFound", "there is nothing at this path")})
	b.wants(t, http.MethodPost, "/catalog", "", 405, osbError("MethodNotAllowed", "this path does not take this method"))
}

// testBrokerCatalog compares the whole catalog of a namespace: one class for each service that it may use.
func testBrokerCatalog(t *testing.T, b osb) {
	class := func(application, name string, bindable bool, more string) string {
		id := application + "-" + name
		return fmt.Sprintf(`{"id":%[1]q,"name":"%[1]s-name","description":"About %[2]s","bindable":%[3]t,%[4]s
			"plans":[{"id":"%[1]s-plan","name":"default","description":"Default plan","metadata":{"displayName":"Default"}}],
			"metadata":{"displayName":"Display %[2]s","providerDisplayName":"Shop Inc.","longDescription":"All about %[2]s","applicationServiceId":%[1]q,
			"labels":{"connected-app":%[6]q,"provisionOnlyOnce":"true"}%[5]s}}`, id, name, bindable, map[bool]string{true: `"tags":["order","event"],`}[name == "events"], more, application)
	}
	want := `{"services":[` + strings.Join([]string{
		class(osbName, "events", false, ""),
		class(osbName, "api", true, `,"bindingLabels":{"errors-osb-access":"true"}`),
		class(osbName, "both", true, ""),
		class(osbName+"-idle", "events", false, ""),
	}, ",") + `]}`
	got, _ := exchange(t, http.MethodGet, b.url+"/v2/catalog", b.header(), nil)
	decode := func(text string) (v any) {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	if diff := cmp.Diff(decode(want), decode(got.Body)); diff != "" || got.Status != 200 || got.ContentType != jsonType {
		t.Errorf("%d %s (-want +got):\n%s", got.Status, got.ContentType, diff)
	}
}
