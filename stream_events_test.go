package main

import (
	"fmt"
	"strconv"
	"testing"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// story is one run of all subscriptions on one connection: name is that of its Application and namespace, and of all that
// is made during the story; old has what was there before.
type story struct {
	t         *testing.T
	name, old string
	objects   map[string]client.Object // what was there before, by subscription
	touched   int

	applications, namespaces, instances, brokers, triggers, paths *wsStream
}

// TestStreams makes an event travel from an application to a function and takes everything apart again, while all
// subscriptions tell about it.
func TestStreams(t *testing.T) {
	token := accessToken(t, "default", "streams")
	createAll(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "streams"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "streams", Namespace: "default"}},
	})
	accessGiven(t, "system:serviceaccount:default:streams", authorizationv1.ResourceAttributes{Verb: "watch", Resource: "namespaces"})
	for _, protocol := range []string{transportWS, legacyWS} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := &story{t: t, name: "streams-" + protocol, old: "streams-" + protocol + "-old"}
			s.prepare()
			s.subscribe(dialWS(t, protocol, token))
			s.build()
			s.demolish()
			s.unsubscribe()
		})
	}
}

func (s *story) query(document string) {
	s.t.Helper()
	shared.mustQuery(s.t, document, nil, nil)
}

// prepare makes one object of each kind, and waits until queries show them.
func (s *story) prepare() {
	in := metav1.ObjectMeta{Name: s.old, Namespace: s.name}
	s.objects = map[string]client.Object{
		"application": errorsApplication(s.old),
		"namespace":   &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.old}},
		"instance": &scv1.ServiceInstance{ObjectMeta: in, Spec: scv1.ServiceInstanceSpec{
			PlanReference: scv1.PlanReference{ServiceClassExternalName: "no-such-class", ServicePlanExternalName: "default"},
		}},
		"broker": &eventingv1.Broker{ObjectMeta: in},
		"trigger": &eventingv1.Trigger{ObjectMeta: in, Spec: eventingv1.TriggerSpec{
			Broker: "default", Subscriber: duckv1.Destination{URI: apis.HTTP("f." + s.name + ".svc.cluster.local")},
		}},
		"path": &appv1.ApplicationMapping{ObjectMeta: in},
	}
	createAll(s.t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name}})
	for _, o := range s.objects {
		createAll(s.t, o)
	}
	eventually(s.t, func() error {
		var seen map[string]any
		err := shared.query(s.t.Context(), `query($ns: String!, $old: String!) {
			application(name: $old) { name } namespace(name: $old) { name } serviceInstance(namespace: $ns, name: $old) { name }
			broker(namespace: $ns, name: $old) { name } triggers(namespace: $ns) { name } meshStatus(namespace: $ns) { application }
		}`, map[string]any{"ns": s.name, "old": s.old}, &seen)
		for field, value := range seen {
			if list, ok := value.([]any); value == nil || ok && len(list) == 0 {
				return fmt.Errorf("%s is not there yet", field)
			}
		}
		return err
	})
}

// subscribe starts all subscriptions, with the nested fields that the Console asks for, and waits until all have begun.
func (s *story) subscribe(c *wsClient) {
	ns := map[string]any{"ns": s.name}
	s.applications = c.subscribe(`subscription { applicationEvent { type application {
		name description labels status enabledInNamespaces services { id displayName entries { type } }
		enabledMappingServices { namespace allServices services { id displayName exist } } } } }`, nil)
	s.namespaces = c.subscribe(`subscription { namespaceEvent(withSystemNamespaces: true) { type namespace {
		name labels status isSystemNamespace applicationsCount } } }`, nil)
	s.instances = c.subscribe(`subscription($ns: String!) { serviceInstanceEvent(namespace: $ns) { type serviceInstance {
		name labels bindable status { type reason message } serviceClass { name displayName plans { name } instances { name } } servicePlan { name }
		classReference { name displayName clusterWide } planReference { name } } } }`, ns)
	s.brokers = c.subscribe(`subscription($ns: String!) { brokerEvent(namespace: $ns) { type broker {
		name ready status reason url conditions { type status lastTransitionTime } triggers { name } } } }`, ns)
	s.triggers = c.subscribe(`subscription($ns: String!) { triggerEvent(namespace: $ns, serviceName: "f") { type trigger {
		name status { status reason } spec { broker filter port path subscriber { uri ref { name } } } } } }`, ns)
	s.paths = c.subscribe(`subscription($ns: String!) { meshStatusEvent(namespace: $ns) { type path {
		application namespace ready rootCause stages { name ready reason objects { kind name } } } } }`, ns)
	s.applications.begun(s.old, s.touch("application"))
	s.namespaces.begun(s.old, s.touch("namespace"))
	s.instances.begun(s.old, s.touch("instance"))
	s.brokers.begun(s.old, s.touch("broker"))
	s.triggers.begun(s.old, s.touch("trigger"))
	s.paths.begun(s.old, s.flip)
}

// touch returns what changes an annotation of an object that was there before.
func (s *story) touch(kind string) func() {
	return func() {
		s.t.Helper()
		s.touched++
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"touched":"`+strconv.Itoa(s.touched)+`"}}}`))
		if err := shared.kube.Patch(s.t.Context(), s.objects[kind], patch); err != nil {
			s.t.Fatal(err)
		}
	}
}

// flip changes the path that was there before: a Trigger takes events of its Application, or does not.
func (s *story) flip() {
	s.t.Helper()
	s.touched++
	source := s.old
	if s.touched%2 == 0 {
		source = "elsewhere"
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"filter":{"attributes":{"source":"`+source+`"}}}}`))
	if err := shared.kube.Patch(s.t.Context(), s.objects["trigger"], patch); err != nil {
		s.t.Fatal(err)
	}
}

// build makes all that an event needs on its way, and compares what the subscriptions tell.
func (s *story) build() {
	// Kubernetes takes seconds to delete a namespace: demolish sees it gone.
	s.query(`mutation { createNamespace(name: "` + s.name + `-new", labels: {a: "b"}) { name } }`)
	s.namespaces.until("ADD", s.name+"-new", "status", `"Active"`, "isSystemNamespace", "false", "applicationsCount", "0")
	s.query(`mutation { deleteNamespace(name: "` + s.name + `-new") { name } }`)
	s.namespaces.until("UPDATE", s.name+"-new", "status", `"Terminating"`)

	s.query(`mutation { createApplication(name: "` + s.name + `", description: "a shop", labels: {a: "b"}) { name } }`)
	s.applications.until("ADD", s.name, "description", `"a shop"`, "labels", `{"a":"b"}`, "enabledInNamespaces", `[]`)
	s.applications.until("UPDATE", s.name, "status", `"SERVING"`)
	s.query(`mutation { enableApplication(application: "` + s.name + `", namespace: "` + s.name + `") { application } }`)
	s.paths.until("ADD", s.name, "ready", "false")

	var registered struct{ RegisterApplicationService struct{ ID string } }
	shared.mustQuery(s.t, `mutation { registerApplicationService(application: "`+s.name+`", service: {provider: "p", name: "Orders", description: "d",
		events: {spec: {asyncapi: "2.0.0", channels: {}}}}) { id } }`, nil, &registered)
	id := registered.RegisterApplicationService.ID
	s.applications.until("UPDATE", s.name, "services", `[{"displayName":"Orders","entries":[{"type":"Events"}],"id":"`+id+`"}]`, "enabledInNamespaces", `["`+s.name+`"]`)

	var class struct {
		ServiceClass *struct {
			ExternalName string
			Plans        []struct{ Name string }
		}
	}
	eventually(s.t, func() error {
		err := shared.query(s.t.Context(), `{ serviceClass(namespace: "`+s.name+`", name: "`+id+`") { externalName plans { name } } }`, nil, &class)
		if err == nil && (class.ServiceClass == nil || len(class.ServiceClass.Plans) == 0) {
			err = fmt.Errorf("no class: %+v", class)
		}
		return err
	})
	s.query(`mutation { createServiceInstance(namespace: "` + s.name + `", params: {name: "` + s.name + `", labels: ["x"],
		classRef: {externalName: "` + class.ServiceClass.ExternalName + `", clusterWide: false}, planRef: {externalName: "default", clusterWide: false}}) { name } }`)
	s.instances.until("ADD", s.name, "labels", `["x"]`)
	s.instances.until("UPDATE", s.name, "planReference", `{"name":"`+id+`-plan"}`, "bindable", "false",
		"status", `{"message":"The instance was provisioned successfully","reason":"ProvisionedSuccessfully","type":"RUNNING"}`)
	s.brokers.until("ADD", "default")
	s.brokers.until("UPDATE", "default", "ready", "true", "status", `"READY"`, "reason", `""`)

	s.query(`mutation { createFunction(namespace: "` + s.name + `", name: "f", params: {labels: {}, source: "module.exports = { main: () => {} }", dependencies: "",
		env: [], replicas: {}, resources: {limits: {}, requests: {}}, buildResources: {limits: {}, requests: {}}}) { name } }`)
	trigger := func(name, service string) string {
		return `{name: "` + name + `", broker: "default", filterAttributes: {source: "` + s.name + `"},
			subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "` + service + `", namespace: "` + s.name + `"}}}`
	}
	s.query(`mutation { createManyTriggers(namespace: "` + s.name + `", triggers: [` + trigger("unwatched", "g") + `, ` + trigger(s.name, "f") + `]) { name } }`)
	s.triggers.until("ADD", s.name, "spec", `{"broker":"default","filter":{"source":"`+s.name+`"},"path":"/","port":80,`+
		`"subscriber":{"ref":null,"uri":"http://f.`+s.name+`.svc.cluster.local:80/"}}`)
	s.triggers.until("UPDATE", s.name, "status", `{"reason":null,"status":"READY"}`)
	if s.triggers.added["unwatched"] > 0 {
		s.t.Error("a Trigger of another service is told")
	}
	s.query(`mutation { deleteTrigger(namespace: "` + s.name + `", triggerName: "unwatched") { name } }`)
	s.paths.until("UPDATE", s.name, "ready", "true", "rootCause", "null")
}

// demolish removes what build has made.
func (s *story) demolish() {
	s.query(`mutation { deleteTrigger(namespace: "` + s.name + `", triggerName: "` + s.name + `") { name } }`)
	s.triggers.until("DELETE", s.name)
	s.query(`mutation { deleteTrigger(namespace: "` + s.name + `", triggerName: "` + s.old + `") { name } }`)
	s.triggers.until("DELETE", s.old)
	s.query(`mutation { deleteServiceInstance(namespace: "` + s.name + `", name: "` + s.name + `") { name } }`)
	s.instances.until("DELETE", s.name, "labels", `["x"]`)
	s.brokers.until("DELETE", "default", "triggers", "[]")
	s.query(`mutation { disableApplication(application: "` + s.name + `", namespace: "` + s.name + `") { application } }`)
	s.paths.until("DELETE", s.name)
	s.query(`mutation { deleteApplication(name: "` + s.name + `") { name } }`)
	s.applications.until("DELETE", s.name, "description", `"a shop"`, "enabledInNamespaces", `[]`)
	s.namespaces.until("DELETE", s.name+"-new", "status", `"Terminating"`)
}

// unsubscribe ends one of two subscriptions to the same: it gets nothing more, the other does.
func (s *story) unsubscribe() {
	const document = `subscription { applicationEvent { type application { name } } }`
	c := s.applications.c
	s.applications.stop()
	other := c.subscribe(document, nil)
	other.begun(s.old, s.touch("application")) // so that the server has read that the first has stopped
	for len(s.applications.messages) > 0 {
		<-s.applications.messages
	}
	s.query(`mutation { createApplication(name: "` + s.name + `-late") { name } }`)
	other.until("ADD", s.name+"-late")
	s.query(`mutation { deleteApplication(name: "` + s.name + `-late") { name } }`)
	other.until("DELETE", s.name+"-late")
	for len(s.applications.messages) > 0 {
		if m := <-s.applications.messages; m.Type != "complete" {
			s.t.Errorf("after unsubscribing: %s %s", m.Type, m.Payload)
		}
	}
}
