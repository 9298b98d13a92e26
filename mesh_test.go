package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// TestEventMesh is the scenario event_mesh of Kyma's own end-to-end tests (external-solution-integration), step by step:
// an application connects, offers a service, a namespace provisions it, and an event reaches a function there.
func TestEventMesh(t *testing.T) {
	t.Parallel() // Kubernetes takes its time to delete a namespace
	e := &eventMesh{scenario: newScenario(t)}
	e.journal = e.newJournal()
	e.prepare()
	e.provision()
	e.deliver()
	e.cleanUp()
}

type eventMesh struct {
	*scenario
	journal       *journal
	app, ns       string
	id            string // of the service
	instance      string
	function      string
	binding       *scv1.ServiceBinding
	bindingSecret *corev1.Secret
}

func (e *eventMesh) prepare() {
	e.step("a namespace and an application, whose HTTPSource gets ready", func() {
		e.ns = e.createNamespace()
		e.app = e.createApplication()
	})
	e.step("a mapping without services", func() {
		e.enable(e.app, e.ns)
		mapping := named(&appv1.ApplicationMapping{}, e.ns, e.app)
		e.exists(mapping)
		if !mapping.AllServices() {
			e.t.Errorf("the mapping lists services: %+v", mapping.Spec)
		}
	})
	e.step("a function as subscriber, which runs", func() {
		e.function = e.name("function")
		e.createFunction(e.ns, e.function, `module.exports = { main: function (event) {
			console.log([event["ce-id"], event["ce-type"], event["ce-source"], event["ce-eventtypeversion"], JSON.stringify(event.data)].join(" "));
		} };`)
		e.shows(named(&functionsv1.Function{}, e.ns, e.function), functionsv1.ConditionRunning, "True", "")
	})
	e.step("the application registers a service with an API and events", func() {
		body, err := json.Marshal(map[string]any{
			"provider": "tests", "name": "Orders of a shop", "description": "What the shop's customers order",
			"api": map[string]any{"targetUrl": "https://shop.example.com/orders"}, "events": map[string]any{"spec": asyncAPI},
		})
		e.must(err)
		var answer struct{ ID string }
		e.must(json.Unmarshal(e.post(e.app+"/v1/metadata/services", "application/json", string(body), nil), &answer))
		if e.id = answer.ID; e.id == "" {
			e.t.Fatal("the registration returned no id")
		}
		if got := e.names(&corev1.ConfigMapList{}, inIntegration, client.MatchingLabels{eventmesh.ServiceIDLabel: e.id}); len(got) != 1 {
			e.t.Errorf("documents of the service: %v", got)
		}
	})
}

func (e *eventMesh) provision() {
	e.step("a service class that is called like the id", func() {
		class := named(&scv1.ServiceClass{}, e.ns, e.id)
		e.until(class, func() error { return nil })
		if !class.Spec.Bindable {
			e.t.Error("the class of a service with an API is not bindable")
		}
	})
	e.step("an instance of it gets provisioned", func() { e.instance = e.scenario.provision(e.ns, e.id) })
	e.step("a binding gets ready, and its secret says where the API is", func() {
		e.binding = named(&scv1.ServiceBinding{}, e.ns, e.name("binding"))
		e.binding.Spec = scv1.ServiceBindingSpec{InstanceRef: scv1.LocalObjectReference{Name: e.instance}}
		e.must(e.kube.Create(e.t.Context(), e.binding))
		e.ready(e.binding)
		e.bindingSecret = named(&corev1.Secret{}, e.ns, e.binding.Name)
		e.exists(e.bindingSecret)
		app := named(&appv1.Application{}, "", e.app)
		e.exists(app)
		i := slices.IndexFunc(app.Service(e.id).Entries, func(entry appv1.Entry) bool { return entry.Type == appv1.EntryTypeAPI })
		if got, want := string(e.bindingSecret.Data["GATEWAY_URL"]), app.Service(e.id).Entries[i].GatewayURL; got != want || got == "" {
			e.t.Errorf("GATEWAY_URL is %q, want %q", got, want)
		}
	})
	e.step("exactly one Subscription, and the default Broker, are ready", func() {
		e.ready(e.subscription(e.app, e.ns))
		e.ready(named(&eventingv1.Broker{}, e.ns, eventmesh.DefaultBroker))
	})
	e.step("a Trigger without filter gets ready", func() {
		e.mustQuery(e.t, `mutation($ns: String!, $name: String!) { createTrigger(namespace: $ns, trigger: {name: $name, broker: "default",
			subscriber: {ref: {apiVersion: "v1", kind: "Service", name: $name, namespace: $ns}}}) { name } }`,
			map[string]any{"ns": e.ns, "name": e.function}, nil)
		trigger := named(&eventingv1.Trigger{}, e.ns, e.function)
		e.ready(trigger)
		if got, want := trigger.Status.SubscriberURI.String(), fmt.Sprintf("http://%s.%s.svc.cluster.local:80/", e.function, e.ns); got != want {
			e.t.Errorf("subscriber %s, want %s", got, want)
		}
		e.trigger(e.ns, "recorder", e.journal.url+"recorder")
		e.rootCause(e.app, e.ns)
	})
}

func (e *eventMesh) deliver() {
	e.step("a CloudEvent arrives, with the application as source", func() {
		id := e.name("event")
		e.send(e.app, id)
		e.logged(e.ns, e.function, fmt.Sprintf(`%s order.created %s v1 "some data"`, id, e.app))
		e.arrived(id, "some data", map[string]string{
			"ce-specversion": "1.0", "ce-type": "order.created", "ce-source": e.app, "ce-time": "2020-05-05T10:00:00Z",
			"ce-eventtypeversion": "v1", "Content-Type": "text/plain",
		})
	})
	e.step("an event in the older format arrives as well", func() {
		const id = "31109198-4d69-4ae0-972d-76117f3748c8"
		const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		answer := e.post(e.app+"/v1/events", "application/json", `{"event-type": "order.created", "event-type-version": "v1",
			"event-id": "`+id+`", "event-time": "2012-11-01T22:08:41+00:00", "data": {"orderId": 1}}`,
			map[string]string{"traceparent": trace})
		if diff := cmp.Diff(`{"event-id":"`+id+`","status":"","reason":""}`, strings.TrimSpace(string(answer))); diff != "" {
			e.t.Error("answer (-want +got):", diff)
		}
		e.logged(e.ns, e.function, fmt.Sprintf(`%s order.created %s v1 {"orderId":1}`, id, e.app))
		e.arrived(id, `{"orderId": 1}`, map[string]string{
			"ce-specversion": "1.0", "ce-type": "order.created", "ce-source": e.app, "ce-time": "2012-11-01T22:08:41Z",
			"ce-eventtypeversion": "v1", "ce-sourceid": e.app, "Content-Type": "application/json",
			"traceparent": trace,
		})
	})
}

// arrived waits until the recorder has taken an event, and checks what it got.
func (e *eventMesh) arrived(id, body string, header map[string]string) {
	e.t.Helper()
	e.got(e.journal, "recorder", id)
	arrived, _ := e.journal.of("recorder", 0)
	got := arrived[slices.IndexFunc(arrived, func(entry entry) bool { return entry.event == id })]
	if got.body != body {
		e.t.Errorf("body %q, want %q", got.body, body)
	}
	for name, want := range header {
		if got := got.header.Get(name); got != want {
			e.t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got.header.Get("ce-knativebrokerttl") != "" {
		e.t.Errorf("the Broker's own extension gets out: %v", got.header)
	}
}

func (e *eventMesh) cleanUp() {
	e.step("the Triggers and the Function go", func() {
		e.delete(named(&eventingv1.Trigger{}, e.ns, "recorder"))
		e.mustQuery(e.t, `mutation($ns: String!, $name: String!) { deleteTrigger(namespace: $ns, triggerName: $name) { name } }`,
			map[string]any{"ns": e.ns, "name": e.function}, nil)
		e.gone(named(&eventingv1.Trigger{}, e.ns, e.function))
		e.mustQuery(e.t, `mutation($ns: String!, $name: String!) { deleteFunction(namespace: $ns, function: {name: $name, namespace: $ns}) { name } }`,
			map[string]any{"ns": e.ns, "name": e.function}, nil)
		e.gone(named(&functionsv1.Function{}, e.ns, e.function))
		e.gone(named(&corev1.Service{}, e.ns, e.function))
	})
	e.step("the binding goes, with its secret", func() {
		e.delete(e.binding)
		e.gone(e.bindingSecret)
	})
	e.step("the instance goes, and the way into the namespace", func() {
		e.deprovision(e.ns, e.instance)
		e.gone(named(&appv1.EventActivation{}, e.ns, e.id))
		e.noSubscription(e.app, e.ns)
		e.gone(named(&eventingv1.Broker{}, e.ns, eventmesh.DefaultBroker))
	})
	e.step("the service goes, with its class and document", func() {
		e.mustQuery(e.t, `mutation($app: String!, $id: String!) { unregisterApplicationService(application: $app, id: $id) { id } }`,
			map[string]any{"app": e.app, "id": e.id}, nil)
		e.classes(e.ns)
		if got := e.names(&corev1.ConfigMapList{}, inIntegration, client.MatchingLabels{eventmesh.ServiceIDLabel: e.id}); len(got) > 0 {
			e.t.Errorf("documents are left: %v", got)
		}
	})
	e.step("the mapping goes, with the ServiceBroker", func() {
		e.disable(e.app, e.ns)
		e.gone(named(&scv1.ServiceBroker{}, e.ns, eventmesh.ServiceBrokerName))
		e.gone(named(&corev1.Secret{}, e.ns, eventmesh.BrokerAuthSecret))
	})
	e.step("the application goes, with all that was made for it", func() {
		e.mustQuery(e.t, `mutation($name: String!) { deleteApplication(name: $name) { name } }`, map[string]any{"name": e.app}, nil)
		e.gone(named(&appv1.Application{}, "", e.app))
		e.nothingLeft(e.app)
	})
	e.step("the namespace is as it was, and goes", func() {
		e.empty(e.ns)
		e.mustQuery(e.t, `mutation($name: String!) { deleteNamespace(name: $name) { name } }`, map[string]any{"name": e.ns}, nil)
		e.gone(named(&corev1.Namespace{}, "", e.ns))
	})
}

// Two services of one application in one namespace share one Subscription: every event comes once, and until the last
// of them is deprovisioned.
func TestOneSubscriptionPerApplicationAndNamespace(t *testing.T) {
	s := newScenario(t)
	app, ns := s.createApplication(), s.createNamespace()
	orders, customers := s.register(app, "orders"), s.register(app, "customers")
	s.enable(app, ns)
	first, second := s.provision(ns, orders), s.provision(ns, customers)
	j := s.newJournal()
	s.trigger(ns, "recorder", j.url+"recorder")

	subscription := s.subscription(app, ns)
	sent := s.sendMany(app, 10)
	s.got(j, "recorder", sent...)

	s.deprovision(ns, first)
	s.gone(named(&appv1.EventActivation{}, ns, orders))
	if kept := s.subscription(app, ns); kept.UID != subscription.UID {
		t.Error("the Subscription was made anew")
	}
	sent = append(sent, s.sendMany(app, 10)...)
	s.got(j, "recorder", sent...)
	s.once(j, "recorder", sent...)

	s.deprovision(ns, second)
	s.gone(subscription)
	s.noSubscription(app, ns)
}

// Every namespace gets its own copy of an event, and none depends on another.
func TestNamespacesAreIndependent(t *testing.T) {
	t.Parallel() // as TestEventMesh
	s := newScenario(t)
	app, ns, instances := s.provisionedIn(2)
	j := s.newJournal()
	s.trigger(ns[0], "recorder", j.url+"leaving")
	s.trigger(ns[1], "recorder", j.url+"staying")

	both := s.sendMany(app, 10)
	s.got(j, "leaving", both...)
	s.got(j, "staying", both...)

	stays := s.subscription(app, ns[1])
	s.deprovision(ns[0], instances[0])
	s.noSubscription(app, ns[0])
	if s.subscription(app, ns[1]).UID != stays.UID {
		t.Error("the other namespace's Subscription was made anew")
	}
	one := s.sendMany(app, 10)
	s.got(j, "staying", one...)
	s.once(j, "staying", append(both, one...)...)
	s.once(j, "leaving", both...)

	// A namespace that goes as a whole, with an instance in it, leaves nothing behind.
	s.delete(named(&corev1.Namespace{}, "", ns[1]))
	s.gone(stays)
}

// A subscriber that fails or hangs delays nobody: neither another namespace nor another Trigger of its own Broker. That
// is told by the order of arrival: all events reach the others while it has not taken a single one. It gets them later.
func TestFaultIsolation(t *testing.T) {
	s := newScenario(t)
	app, ns, _ := s.provisionedIn(3)
	j := s.newJournal()
	s.trigger(ns[0], "failing", j.url+"failing")
	s.trigger(ns[0], "neighbour", j.url+"neighbour-of-failing")
	s.trigger(ns[1], "hanging", j.url+"hanging")
	s.trigger(ns[1], "neighbour", j.url+"neighbour-of-hanging")
	s.trigger(ns[2], "healthy", j.url+"healthy")
	mended := make(chan struct{})
	j.breaks("failing", func(*http.Request) int { return http.StatusInternalServerError })
	j.breaks("hanging", func(r *http.Request) int {
		select {
		case <-mended:
			return http.StatusOK
		case <-j.closed:
		case <-r.Context().Done():
		}
		return http.StatusServiceUnavailable
	})

	sent := s.sendMany(app, 1)
	s.called(j, "failing")
	s.called(j, "hanging")
	sent = append(sent, s.sendMany(app, 49)...)
	healthy := []string{"neighbour-of-failing", "neighbour-of-hanging", "healthy"}
	for _, name := range healthy {
		s.got(j, name, sent...)
	}
	close(mended)
	j.breaks("hanging", nil)
	j.breaks("failing", nil)

	for _, name := range []string{"failing", "hanging"} {
		s.got(j, name, sent...)
		_, called := j.of(name, 0)
		_, taken := j.of(name, http.StatusOK)
		for _, other := range healthy {
			_, at := j.of(other, http.StatusOK)
			if last := at[len(sent)-1]; called[0] > last || taken[0] < last {
				t.Errorf("%s was first called at %d and took its first event at %d, not around the last one of %s at %d",
					name, called[0], taken[0], other, last)
			}
		}
	}
	for _, name := range healthy {
		s.once(j, name, sent...)
	}
}

// The services that a mapping enables are the namespace's classes: without a list all, also later ones, with an empty
// list none. The ServiceBroker goes with the last instance, not with the mapping.
func TestMappingSelection(t *testing.T) {
	s := newScenario(t)
	app, all, some := s.createApplication(), s.createNamespace(), s.createNamespace()
	first, second := s.register(app, "first"), s.register(app, "second")

	s.enable(app, all)
	s.classes(all, first, second)
	events := named(&scv1.ServiceClass{}, all, first)
	s.exists(events)
	if events.Spec.Bindable {
		t.Error("the class of a service with events only is bindable")
	}
	third := s.register(app, "third")
	s.classes(all, first, second, third)

	s.mustQuery(t, `mutation($app: String!, $ns: String!) { enableApplication(application: $app, namespace: $ns, allServices: false, services: []) { application } }`,
		map[string]any{"app": app, "ns": some}, nil)
	s.ready(named(&scv1.ServiceBroker{}, some, eventmesh.ServiceBrokerName))
	s.classes(some)
	s.selects(app, some, second)
	s.classes(some, second)
	s.selects(app, some, first, second)
	s.classes(some, first, second)
	s.selects(app, some, second)
	s.classes(some, second)
	fourth := s.register(app, "fourth")
	s.classes(all, first, second, third, fourth)
	s.classes(some, second)
	s.selects(app, some)
	s.classes(some)
	s.selects(app, some, second)

	instance := s.provision(some, second)
	s.disable(app, some)
	class := named(&scv1.ServiceClass{}, some, second)
	s.until(class, func() error {
		if !class.Status.RemovedFromBrokerCatalog {
			return fmt.Errorf("the class of a service that is not enabled is still offered")
		}
		return nil
	})
	s.exists(named(&scv1.ServiceBroker{}, some, eventmesh.ServiceBrokerName))
	s.ready(s.subscription(app, some)) // what is provisioned stays so
	s.deprovision(some, instance)
	s.gone(named(&scv1.ServiceBroker{}, some, eventmesh.ServiceBrokerName))
	s.classes(some)
	s.exists(named(&scv1.ServiceBroker{}, all, eventmesh.ServiceBrokerName))
}

// What somebody deletes by hand on a way that is in use comes back, and events flow again.
func TestReconcilersRestore(t *testing.T) {
	s := newScenario(t)
	app, ns, _ := s.provisionedIn(1)
	j := s.newJournal()
	s.trigger(ns[0], "recorder", j.url+"recorder")
	for name, o := range map[string]client.Object{
		"HTTPSource":       named(&sourcesv1.HTTPSource{}, eventmesh.IntegrationNamespace, app),
		"Channel":          named(&messagingv1.Channel{}, eventmesh.IntegrationNamespace, app),
		"JetStreamChannel": named(&kymamessagingv1.JetStreamChannel{}, eventmesh.IntegrationNamespace, app),
		"Service":          named(&corev1.Service{}, eventmesh.IntegrationNamespace, app),
		"Subscription":     s.subscription(app, ns[0]),
		"Broker":           named(&eventingv1.Broker{}, ns[0], eventmesh.DefaultBroker),
		"ServiceBroker":    named(&scv1.ServiceBroker{}, ns[0], eventmesh.ServiceBrokerName),
	} {
		s.step(name, func() {
			s.restored(o)
			s.rootCause(app, ns[0])
			s.subscription(app, ns[0])
			s.flows(app, j, "recorder")
		})
	}
	s.step("label of the namespace", func() {
		namespace := named(&corev1.Namespace{}, "", ns[0])
		s.exists(namespace)
		without := namespace.DeepCopy()
		delete(without.Labels, eventmesh.BrokerInjectionLabel)
		s.must(s.kube.Patch(t.Context(), without, client.MergeFrom(namespace)))
		s.until(namespace, func() error {
			if got := namespace.Labels[eventmesh.BrokerInjectionLabel]; got != eventmesh.BrokerInjectionEnabled {
				return fmt.Errorf("the label is %q", got)
			}
			return nil
		})
		s.rootCause(app, ns[0])
		s.got(j, "recorder", s.sendMany(app, 1)...)
	})
}

// An Application that is not to be installed gets no HTTPSource, and loses the one that it has.
func TestSkipInstallation(t *testing.T) {
	s := newScenario(t)
	app := named(&appv1.Application{}, "", s.name("app"))
	app.Spec.SkipInstallation = true
	s.must(s.kube.Create(t.Context(), app))
	s.later(app)
	source := named(&sourcesv1.HTTPSource{}, eventmesh.IntegrationNamespace, app.Name)
	installation := func(want string) {
		t.Helper()
		s.until(app, func() error {
			if got := app.Status.InstallationStatus.Status; got != want {
				return fmt.Errorf("installation is %q, want %q", got, want)
			}
			return nil
		})
	}
	installation(appv1.InstallationSkipped)
	s.gone(source)
	s.skips(app, false)
	installation(appv1.InstallationDeployed)
	s.ready(source)
	s.skips(app, true)
	installation(appv1.InstallationSkipped)
	s.gone(source)
	s.nothingLeft(app.Name)
}

// An Application that goes before its instances says so there, and keeps nobody from deprovisioning (Kyma's #8109).
func TestApplicationGoesFirst(t *testing.T) {
	s := newScenario(t)
	app, ns, instances := s.provisionedIn(1)
	activations := &appv1.EventActivationList{}
	activation := named(&appv1.EventActivation{}, ns[0], s.names(activations, client.InNamespace(ns[0]))[0])
	subscription := s.subscription(app, ns[0])

	s.mustQuery(t, `mutation($name: String!) { deleteApplication(name: $name) { name } }`, map[string]any{"name": app}, nil)
	s.gone(named(&appv1.Application{}, "", app))
	s.shows(activation, appv1.ConditionChannelReady, "False", appv1.ReasonApplicationNotFound)
	s.shows(activation, appv1.ConditionReady, "False", app)
	s.rootCause(app, ns[0], app)

	s.deprovision(ns[0], instances[0])
	s.gone(activation)
	s.gone(subscription)
	s.nothingLeft(app)
	s.disable(app, ns[0])
	s.empty(ns[0])
}

// Whoever provisions too early has only to wait: the instance is ready when what it lacks is there.
func TestProvisionBeforeChannel(t *testing.T) {
	service := func(id string) appv1.Service {
		return appv1.Service{
			ID: id, Name: id, DisplayName: "Orders", Description: "Orders", ProviderDisplayName: "tests",
			Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
		}
	}
	create := func(s *scenario, ns, id string) *scv1.ServiceInstance {
		instance := named(&scv1.ServiceInstance{}, ns, "early")
		instance.Spec.ServiceClassExternalName, instance.Spec.ServicePlanExternalName = id, "default"
		s.must(s.kube.Create(s.t.Context(), instance))
		return instance
	}
	application := func(s *scenario, id string, skip bool) *appv1.Application {
		app := named(&appv1.Application{}, "", s.name("app"))
		app.Spec = appv1.ApplicationSpec{SkipInstallation: skip, Services: []appv1.Service{service(id)}}
		s.must(s.kube.Create(s.t.Context(), app))
		s.later(app)
		return app
	}
	t.Run("before the application and the mapping", func(t *testing.T) {
		s := newScenario(t)
		ns, id := s.createNamespace(), s.name("orders")
		instance := create(s, ns, id)
		s.shows(instance, "Ready", "False", "ReferencesNonexistentServiceClass")
		s.enable(application(s, id, false).Name, ns)
		s.provisioned(ns, instance.Name)
	})
	t.Run("before the application has its Channel", func(t *testing.T) {
		s := newScenario(t)
		ns, id := s.createNamespace(), s.name("orders")
		app := application(s, id, true)
		s.enable(app.Name, ns)
		s.classes(ns, id)
		instance := create(s, ns, id)
		s.shows(instance, "Ready", "False", "skipInstallation")
		s.shows(named(&appv1.EventActivation{}, ns, id), appv1.ConditionChannelReady, "False", appv1.ReasonChannelNotFound)
		s.rootCause(app.Name, ns, app.Name, "skipInstallation")
		s.skips(app, false)
		s.provisioned(ns, instance.Name)
	})
	t.Run("with a Channel made by hand", func(t *testing.T) { // as Kyma's upgrade test app_broker does
		s := newScenario(t)
		ns, id := s.createNamespace(), s.name("orders")
		app := application(s, id, true)
		s.enable(app.Name, ns)
		s.classes(ns, id)
		instance := create(s, ns, id)
		channel := named(&messagingv1.Channel{}, eventmesh.IntegrationNamespace, app.Name)
		channel.Labels = map[string]string{eventmesh.ApplicationNameLabel: app.Name}
		s.must(s.kube.Create(t.Context(), channel))
		s.provisioned(ns, instance.Name)
		s.deprovision(ns, instance.Name)
		s.delete(channel)
	})
}

// A function with a mistake says so, as does meshStatus. The events that came meanwhile reach the mended one.
func TestBrokenFunction(t *testing.T) {
	s := newScenario(t)
	app, ns, _ := s.provisionedIn(1)
	s.createFunction(ns[0], "orders", `module.exports = { main: function (event { } };`)
	function := named(&functionsv1.Function{}, ns[0], "orders")
	s.until(function, func() error {
		for _, kind := range []string{functionsv1.ConditionConfigurationReady, functionsv1.ConditionBuildReady} {
			if status, _, message := condition(function, kind); status == "False" && strings.Contains(message, "SyntaxError") {
				return nil
			}
		}
		return fmt.Errorf("no condition shows the syntax error: %+v", function.Status.Conditions)
	})
	s.trigger(ns[0], "orders", "http://"+eventmesh.ServiceHost("orders", ns[0]))
	s.rootCause(app, ns[0], `Function "orders"`, "SyntaxError")
	early := s.sendMany(app, 1)

	mended := function.DeepCopy()
	mended.Spec.Source = `module.exports = { main: function (event) { console.log(event["ce-id"]); } };`
	s.must(s.kube.Patch(t.Context(), mended, client.MergeFrom(function)))
	s.shows(function, functionsv1.ConditionRunning, "True", "")
	s.rootCause(app, ns[0])
	s.logged(ns[0], "orders", early[0])
}

// An event for a Service that does not exist is kept until it does, and meshStatus says whom it waits for.
func TestMissingSubscriber(t *testing.T) {
	s := newScenario(t)
	app, ns, _ := s.provisionedIn(1)
	j := s.newJournal()
	port := j.url[strings.LastIndex(j.url, ":"):]
	s.trigger(ns[0], "orders", "http://"+eventmesh.ServiceHost("missing", ns[0])+port+"recorder")
	s.rootCause(app, ns[0], `Trigger "orders"`, `Service "missing"`)
	early := s.sendMany(app, 3)

	// Events that overtake show that those were tried.
	s.trigger(ns[0], "others", j.url+"others")
	s.got(j, "others", s.sendMany(app, 1)...)
	if arrived, _ := j.of("recorder", 0); len(arrived) > 0 {
		t.Errorf("events arrived at a Service that does not exist: %v", arrived)
	}
	service := named(&corev1.Service{}, ns[0], "missing")
	service.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "127.0.0.1"}
	s.must(s.kube.Create(t.Context(), service))
	s.got(j, "recorder", early...)
	s.rootCause(app, ns[0])
}
