package resolvers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// stream is one GraphQL subscription over a websocket.
type stream struct {
	t    *testing.T
	conn *websocket.Conn
	// messages are what the server sends, signs of life left out. Closed with the connection.
	messages chan message
}

type message struct {
	Type    string `json:"type"`
	Payload struct {
		Data   map[string]any   `json:"data"`
		Errors []map[string]any `json:"errors"`
	} `json:"payload"`
}

// subscribe starts a GraphQL subscription as a user. It ends with the test.
func subscribe(t *testing.T, name, document string) *stream {
	t.Helper()
	srv := httptest.NewServer(shared.as(name))
	t.Cleanup(srv.Close)
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	conn, resp, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	s := &stream{t: t, conn: conn, messages: make(chan message, 100)}
	go s.read()
	s.send(map[string]any{"type": "connection_init"})
	if got := s.next(); got.Type != "connection_ack" {
		t.Fatalf("got %v, want connection_ack", got)
	}
	s.send(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": document}})
	return s
}

func (s *stream) read() {
	defer close(s.messages)
	for {
		var m message
		if err := s.conn.ReadJSON(&m); err != nil {
			return
		}
		if m.Type != "ping" {
			s.messages <- m
		}
	}
}

func (s *stream) send(v any) {
	s.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, s.conn, string(body))
}

func (s *stream) next() message {
	s.t.Helper()
	select {
	case m, ok := <-s.messages:
		if !ok {
			s.t.Fatal("the connection was closed")
		}
		return m
	case <-time.After(patience):
		s.t.Fatal("no message came")
	}
	return message{}
}

// event waits for the next event about the object name, and returns its type and the name. Other tests' objects come
// along, but none that is called silent or natss: the subscription is not about those.
func (s *stream) event(field, object, name string) string {
	s.t.Helper()
	for {
		m := s.next()
		e, ok := m.Payload.Data[field].(map[string]any)
		if !ok {
			s.t.Fatalf("got %+v, want an event", m)
		}
		o := e[object].(map[string]any)
		switch o["name"] {
		case name:
			return e["type"].(string) + " " + name
		case "silent", "natss":
			s.t.Fatalf("got an event about %s", o["name"])
		}
	}
}

// manifest makes an object of YAML.
func manifest(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		t.Fatal(err)
	}
	return obj
}

func made(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := manifest(t, text)
	if err := shared.makeObject(t.Context(), obj); err != nil {
		t.Fatalf("%s %s: %v", obj.GetKind(), obj.GetName(), err)
	}
	return obj
}

// known waits until the caches of the API show obj.
func known(t *testing.T, obj client.Object) {
	t.Helper()
	typed, err := shared.cluster.Manager().GetScheme().New(obj.GetObjectKind().GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := shared.cluster.Manager().GetCache().Get(ctx, client.ObjectKeyFromObject(obj), typed.(client.Object))
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// touch changes an annotation of obj.
func touch(ctx context.Context, t *testing.T, obj client.Object, value string) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"touched":"`+value+`"}}}`))
	if err := shared.admin.Patch(ctx, obj, patch); err != nil {
		t.Fatal(err)
	}
}

// awaitStart touches an object that was there before until an event of it comes, and so knows that the subscription has
// begun. That event must be an update: what exists is not replayed.
func (s *stream) awaitStart(field string, old client.Object) {
	s.t.Helper()
	n := 0
	err := wait.PollUntilContextTimeout(s.t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		n++
		touch(ctx, s.t, old, strconv.Itoa(n))
		select {
		case m := <-s.messages:
			if e, ok := m.Payload.Data[field].(map[string]any); !ok || e["type"] != "UPDATE" {
				s.t.Fatalf("first message: %+v, want an update", m)
			}
			return true, nil
		default:
			return false, nil
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestSubscriptions(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: streams}}`)
	for _, tt := range []struct {
		name, document, field, object string
		manifest                      string // NAME is replaced
		silent                        string // a manifest of an object that the subscription is not about
	}{
		{
			"applicationEvent", `subscription { applicationEvent { type application { name status enabledInNamespaces } } }`, "applicationEvent", "application",
			`{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: Application, metadata: {name: NAME}, spec: {services: []}}`, ``,
		},
		{
			"namespaceEvent", `subscription { namespaceEvent { type namespace { name status applicationsCount } } }`, "namespaceEvent", "namespace",
			`{apiVersion: v1, kind: Namespace, metadata: {name: NAME}}`, `{apiVersion: v1, kind: Namespace, metadata: {name: natss}}`,
		},
		{
			"serviceEvent", `subscription { serviceEvent(namespace: "streams") { type service { name json ports { port } } } }`, "serviceEvent", "service",
			`{apiVersion: v1, kind: Service, metadata: {name: NAME, namespace: streams}, spec: {ports: [{port: 80}]}}`,
			`{apiVersion: v1, kind: Service, metadata: {name: silent, namespace: default}, spec: {ports: [{port: 80}]}}`,
		},
		{
			"functionEvent", `subscription { functionEvent(namespace: "streams") { type function { name source status { phase } } } }`, "functionEvent", "function",
			`{apiVersion: serverless.kyma-project.io/v1alpha1, kind: Function, metadata: {name: NAME, namespace: streams}, spec: {source: x}}`,
			`{apiVersion: serverless.kyma-project.io/v1alpha1, kind: Function, metadata: {name: silent, namespace: default}, spec: {source: x}}`,
		},
		{
			"triggerEvent", `subscription { triggerEvent(namespace: "streams", serviceName: "lambda") { type trigger { name spec { port path } status { status } } } }`,
			"triggerEvent", "trigger",
			`{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: NAME, namespace: streams}, spec: {broker: default, subscriber: {uri: "http://lambda.streams.svc.cluster.local"}}}`,
			`{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: silent, namespace: streams}, spec: {broker: default, subscriber: {uri: "http://other.streams.svc.cluster.local"}}}`,
		},
		{
			"brokerEvent", `subscription { brokerEvent(namespace: "streams") { type broker { name ready triggers { name } } } }`, "brokerEvent", "broker",
			`{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: NAME, namespace: streams}, spec: {}}`,
			`{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: silent, namespace: default}, spec: {}}`,
		},
		{
			"serviceInstanceEvent", `subscription { serviceInstanceEvent(namespace: "streams") { type serviceInstance { name status { type } bindable serviceClass { name } } } }`,
			"serviceInstanceEvent", "serviceInstance",
			`{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServiceInstance, metadata: {name: NAME, namespace: streams}, spec: {serviceClassName: c, servicePlanName: p}}`, ``,
		},
		{
			"serviceBindingEvent", `subscription { serviceBindingEvent(namespace: "streams") { type serviceBinding { name serviceInstanceName status { type } secret { data } } } }`,
			"serviceBindingEvent", "serviceBinding",
			`{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServiceBinding, metadata: {name: NAME, namespace: streams}, spec: {instanceRef: {name: i}}}`,
			`{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServiceBinding, metadata: {name: silent, namespace: default}, spec: {instanceRef: {name: i}}}`,
		},
		{
			"serviceBrokerEvent", `subscription { serviceBrokerEvent(namespace: "streams") { type serviceBroker { name url labels status { ready } } } }`,
			"serviceBrokerEvent", "serviceBroker",
			`{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServiceBroker, metadata: {name: NAME, namespace: streams}, spec: {url: "http://broker.example"}}`,
			`{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServiceBroker, metadata: {name: silent, namespace: default}, spec: {url: "http://broker.example"}}`,
		},
		{
			"clusterServiceBrokerEvent", `subscription { clusterServiceBrokerEvent { type clusterServiceBroker { name url labels status { ready } } } }`,
			"clusterServiceBrokerEvent", "clusterServiceBroker",
			`{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ClusterServiceBroker, metadata: {name: NAME}, spec: {url: "http://broker.example"}}`, ``,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			prefix := strings.ToLower(tt.name) + "-"
			old := made(t, strings.ReplaceAll(tt.manifest, "NAME", prefix+"old"))
			known(t, old)
			s := subscribe(t, "admin", tt.document)
			s.awaitStart(tt.field, old)
			if tt.silent != "" {
				made(t, tt.silent)
			}
			obj := made(t, strings.ReplaceAll(tt.manifest, "NAME", prefix+"new"))
			if got, want := s.event(tt.field, tt.object, prefix+"new"), "ADD "+prefix+"new"; got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			touch(t.Context(), t, obj, "yes")
			if got, want := s.event(tt.field, tt.object, prefix+"new"), "UPDATE "+prefix+"new"; got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			if err := shared.admin.Delete(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
			s.awaitDeletion(t, tt.field, tt.object, obj)
		})
	}
}

// awaitDeletion waits for DELETE. Objects with finalizers are first updated, and nobody here removes the finalizer but
// this function.
func (s *stream) awaitDeletion(t *testing.T, field, object string, obj client.Object) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := shared.admin.Patch(t.Context(), obj, patch); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	want := "DELETE " + obj.GetName()
	for {
		got := s.event(field, object, obj.GetName())
		if got == want {
			return
		}
		if got != "UPDATE "+obj.GetName() {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// TestSubscriptionDenied wants the answer that the Console knows: one message with the error, then the end.
func TestSubscriptionDenied(t *testing.T) {
	for _, document := range []string{
		`subscription { triggerEvent(namespace: "streams") { type } }`,
		`subscription { meshStatusEvent(namespace: "streams") { type } }`,
		`subscription { serviceEvent(namespace: "streams") { type } }`,
		`subscription { functionEvent(namespace: "streams") { type } }`,
		`subscription { namespaceEvent { type } }`,
		`subscription { applicationEvent { type } }`,
		`subscription { serviceBindingEvent(namespace: "streams") { type } }`,
		`subscription { serviceBrokerEvent(namespace: "streams") { type } }`,
		`subscription { clusterServiceBrokerEvent { type } }`,
	} {
		s := subscribe(t, "streams-nobody", document)
		first := s.next()
		if len(first.Payload.Errors) != 1 || first.Payload.Errors[0]["message"] != "access denied" || first.Payload.Data != nil {
			t.Errorf("got %+v, want access denied", first)
		}
		if got := s.next(); got.Type != "complete" {
			t.Errorf("got %+v, want complete", got)
		}
	}
}

func TestMeshStatusEvent(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: streams-mesh}}`)
	mapping := func(name string) *unstructured.Unstructured {
		return made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: ApplicationMapping, metadata: {name: `+name+`, namespace: streams-mesh}, spec: {}}`)
	}
	s := subscribe(t, "admin", `subscription { meshStatusEvent(namespace: "streams-mesh") { type path { application ready rootCause } } }`)
	var started *message
	n := 0
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		n++
		mapping("probe-" + strconv.Itoa(n))
		select {
		case m := <-s.messages:
			started = &m
		default:
		}
		return started != nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	shop := mapping("shop")
	s.awaitPath(t, "ADD", "shop", `There is no Application "shop": create it with createApplication.`)
	made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: Application, metadata: {name: shop}, spec: {services: []}}`)
	s.awaitPath(t, "UPDATE", "shop", `Application "shop" has no HTTPSource yet; its controller makes it.`)
	if err := shared.admin.Delete(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	s.awaitPath(t, "DELETE", "shop", `Application "shop" has no HTTPSource yet; its controller makes it.`)
}

// awaitPath waits for the next event about an application and compares it.
func (s *stream) awaitPath(t *testing.T, kind, application, cause string) {
	t.Helper()
	for {
		e, _ := s.next().Payload.Data["meshStatusEvent"].(map[string]any)
		path, _ := e["path"].(map[string]any)
		if path["application"] != application {
			continue
		}
		want := map[string]any{"type": kind, "path": map[string]any{"application": application, "ready": false, "rootCause": cause}}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
		return
	}
}
