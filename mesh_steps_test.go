package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// scenario is a test of the mesh in words of the mesh. Every step fails the test, or the subtest under way, when it
// cannot be done. What users do goes through GraphQL, what is asserted is read with kubectl's rights.
type scenario struct {
	*program
	test *testing.T
	t    *testing.T // the test, or the subtest under way
}

func newScenario(t *testing.T) *scenario { return &scenario{shared, t, t} }

// step runs f as a subtest and ends the test if it fails: the steps after it build on it.
func (s *scenario) step(name string, f func()) {
	s.t.Helper()
	ok := s.test.Run(name, func(t *testing.T) {
		s.t = t
		f()
	})
	s.t = s.test
	if !ok {
		s.t.FailNow()
	}
}

// name makes a name that nothing else has. It has no z, which Service Catalog escapes in the names of its classes.
func (s *scenario) name(prefix string) string {
	return prefix + "-" + strings.ReplaceAll(strings.ToLower(rand.Text()[:6]), "z", "0")
}

func (s *scenario) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// eventually waits until holds is nil.
func (s *scenario) eventually(holds func() error) {
	s.t.Helper()
	eventually(s.t, holds)
}

// later deletes an object when the test ends, without waiting for the end of its deletion.
func (s *scenario) later(o client.Object) {
	s.test.Cleanup(func() { _ = s.kube.Delete(context.WithoutCancel(s.test.Context()), o) })
}

// ----------------------------------------------------------------------------------------------- what users do

// createNamespace makes a namespace of a new name.
func (s *scenario) createNamespace() string {
	s.t.Helper()
	name := s.name("ns")
	s.mustQuery(s.t, `mutation($name: String!) { createNamespace(name: $name, labels: {}) { name } }`, map[string]any{"name": name}, nil)
	s.later(named(&corev1.Namespace{}, "", name))
	return name
}

// createApplication makes an Application of a new name, and waits until it can send events.
func (s *scenario) createApplication() string {
	s.t.Helper()
	name := s.name("app")
	s.mustQuery(s.t, `mutation($name: String!) { createApplication(name: $name, description: "a test's", labels: {}) { name } }`,
		map[string]any{"name": name}, nil)
	s.later(named(&appv1.Application{}, "", name))
	s.ready(named(&sourcesv1.HTTPSource{}, eventmesh.IntegrationNamespace, name))
	return name
}

// register lets the application offer a service with events and returns the service's id.
func (s *scenario) register(app, service string) string {
	s.t.Helper()
	var answer struct{ RegisterApplicationService struct{ ID string } }
	s.mustQuery(s.t, `mutation($app: String!, $service: ApplicationServiceInput!) { registerApplicationService(application: $app, service: $service) { id } }`,
		map[string]any{"app": app, "service": map[string]any{
			"name": service, "provider": "tests", "description": service, "events": map[string]any{"spec": asyncAPI},
		}}, &answer)
	return answer.RegisterApplicationService.ID
}

// asyncAPI describes the events that tests send.
var asyncAPI = map[string]any{
	"asyncapi": "2.0.0", "info": map[string]any{"title": "Orders", "version": "1"},
	"channels": map[string]any{"order.created.v1": map[string]any{
		"subscribe": map[string]any{"message": map[string]any{"payload": map[string]any{"type": "object"}}},
	}},
}

// enable enables all services of the application in the namespace.
func (s *scenario) enable(app, namespace string) {
	s.t.Helper()
	s.mustQuery(s.t, `mutation($app: String!, $ns: String!) { enableApplication(application: $app, namespace: $ns, allServices: true) { application } }`,
		map[string]any{"app": app, "ns": namespace}, nil)
}

// disable takes the application out of the namespace.
func (s *scenario) disable(app, namespace string) {
	s.t.Helper()
	s.mustQuery(s.t, `mutation($app: String!, $ns: String!) { disableApplication(application: $app, namespace: $ns) { application } }`,
		map[string]any{"app": app, "ns": namespace}, nil)
}

// provision makes an instance of the service by its class's and plan's external names, waits until it is provisioned, and
// returns its name.
func (s *scenario) provision(namespace, serviceID string) string {
	s.t.Helper()
	var answer struct {
		ServiceClass *struct {
			ExternalName string
			Plans        []struct{ ExternalName string }
		}
	}
	s.eventually(func() error {
		err := s.query(s.t.Context(), `query($ns: String!, $id: String!) { serviceClass(namespace: $ns, name: $id) { externalName plans { externalName } } }`,
			map[string]any{"ns": namespace, "id": serviceID}, &answer)
		if err == nil && (answer.ServiceClass == nil || len(answer.ServiceClass.Plans) != 1) {
			err = fmt.Errorf("class %s and its plan are not in namespace %s", serviceID, namespace)
		}
		return err
	})
	name := s.name("instance")
	s.mustQuery(s.t, `mutation($ns: String!, $params: ServiceInstanceCreateInput!) { createServiceInstance(namespace: $ns, params: $params) { name } }`,
		map[string]any{"ns": namespace, "params": map[string]any{
			"name": name, "labels": []string{},
			"classRef": map[string]any{"externalName": answer.ServiceClass.ExternalName, "clusterWide": false},
			"planRef":  map[string]any{"externalName": answer.ServiceClass.Plans[0].ExternalName, "clusterWide": false},
		}}, nil)
	s.provisioned(namespace, name)
	return name
}

// provisioned waits until an instance is.
func (s *scenario) provisioned(namespace, name string) {
	s.t.Helper()
	instance := named(&scv1.ServiceInstance{}, namespace, name)
	s.ready(instance)
	if got := instance.Status.ProvisionStatus; got != scv1.ServiceInstanceProvisionStatusProvisioned {
		s.t.Fatalf("instance %s is ready with provisionStatus %q", name, got)
	}
}

// deprovision deletes an instance and waits until it is gone.
func (s *scenario) deprovision(namespace, name string) {
	s.t.Helper()
	s.mustQuery(s.t, `mutation($ns: String!, $name: String!) { deleteServiceInstance(namespace: $ns, name: $name) { name } }`,
		map[string]any{"ns": namespace, "name": name}, nil)
	s.gone(named(&scv1.ServiceInstance{}, namespace, name))
}

// trigger sends all events of the namespace's Broker to the URI, and waits until it does.
func (s *scenario) trigger(namespace, name, uri string) {
	s.t.Helper()
	to, err := apis.ParseURL(uri)
	s.must(err)
	t := named(&eventingv1.Trigger{}, namespace, name)
	t.Spec = eventingv1.TriggerSpec{Broker: eventmesh.DefaultBroker, Subscriber: duckv1.Destination{URI: to}}
	s.must(s.kube.Create(s.t.Context(), t))
	s.ready(t)
}

// provisionedIn makes an Application with one event service, provisioned in new namespaces, and returns the names of the
// Application, the namespaces and their instances.
func (s *scenario) provisionedIn(namespaces int) (app string, ns, instances []string) {
	s.t.Helper()
	app = s.createApplication()
	id := s.register(app, "orders")
	for i := range namespaces {
		ns = append(ns, s.createNamespace())
		s.enable(app, ns[i])
		instances = append(instances, s.provision(ns[i], id))
	}
	return app, ns, instances
}

// send sends a binary CloudEvent as the application. As Kyma's own client does, it tries again while that is not taken.
func (s *scenario) send(app, id string) {
	s.t.Helper()
	s.post(app+"/events", "text/plain", "some data", map[string]string{
		"ce-specversion": "1.0", "ce-id": id, "ce-source": "some source", "ce-type": "order.created",
		"ce-time": "2020-05-05T10:00:00Z", "ce-eventtypeversion": "v1",
	})
}

// sendMany sends n events and returns their ids.
func (s *scenario) sendMany(app string, n int) (ids []string) {
	s.t.Helper()
	for range n {
		ids = append(ids, s.name("event"))
		s.send(app, ids[len(ids)-1])
	}
	return ids
}

// post posts to a path of the Application Connector until the answer is 200, and returns its body.
func (s *scenario) post(path, contentType, body string, header map[string]string) (answer []byte) {
	s.t.Helper()
	s.eventually(func() error {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.connector+"/"+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", contentType)
		for name, value := range header {
			req.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if answer, err = io.ReadAll(res.Body); err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s %s", path, res.Status, answer)
		}
		return err
	})
	return answer
}

// createFunction makes a Function.
func (s *scenario) createFunction(namespace, name, source string) {
	s.t.Helper()
	s.mustQuery(s.t, `mutation($ns: String!, $name: String!, $params: FunctionMutationInput!) { createFunction(namespace: $ns, name: $name, params: $params) { name } }`,
		map[string]any{"ns": namespace, "name": name, "params": map[string]any{
			"source": source, "labels": map[string]any{}, "dependencies": "", "env": []any{}, "replicas": map[string]any{},
			"resources":      map[string]any{"limits": map[string]any{}, "requests": map[string]any{}},
			"buildResources": map[string]any{"limits": map[string]any{}, "requests": map[string]any{}},
		}}, nil)
}

// selects makes the mapping of the application enable only these services.
func (s *scenario) selects(app, namespace string, services ...string) {
	s.t.Helper()
	mapping := named(&appv1.ApplicationMapping{}, namespace, app)
	s.exists(mapping)
	after := mapping.DeepCopy()
	after.Spec.Services = []appv1.ApplicationMappingService{}
	for _, id := range services {
		after.Spec.Services = append(after.Spec.Services, appv1.ApplicationMappingService{ID: id})
	}
	s.must(s.kube.Patch(s.t.Context(), after, client.MergeFrom(mapping)))
}

// skips sets spec.skipInstallation of an Application.
func (s *scenario) skips(app *appv1.Application, skip bool) {
	s.t.Helper()
	patch := fmt.Sprintf(`{"spec": {"skipInstallation": %t}}`, skip)
	s.must(s.kube.Patch(s.t.Context(), app, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// restored deletes an object and waits until another of its name is there, and ready if it is of a kind that gets so.
func (s *scenario) restored(o client.Object) {
	s.t.Helper()
	s.exists(o)
	before := o.GetUID()
	hadReady, _, _ := condition(o, "Ready")
	s.must(s.kube.Delete(s.t.Context(), o))
	s.eventually(func() error {
		if err := s.get(o); err != nil {
			return err
		}
		if ready, reason, message := condition(o, "Ready"); o.GetUID() == before || ready != hadReady {
			return fmt.Errorf("%T %s is not restored: %s: %s", o, o.GetName(), reason, message)
		}
		return nil
	})
}

// ------------------------------------------------------------------------------------------ what is to be seen

// inIntegration selects what is in the integration namespace.
const inIntegration = client.InNamespace(eventmesh.IntegrationNamespace)

// named gives an object its key.
func named[T client.Object](o T, namespace, name string) T {
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// get reads an object anew: decoding into what was read before would keep what has since been removed.
func (s *scenario) get(o client.Object) error {
	key := client.ObjectKeyFromObject(o)
	reflect.ValueOf(o).Elem().SetZero()
	err := s.kube.Get(s.t.Context(), key, o)
	if err != nil {
		named(o, key.Namespace, key.Name)
	}
	return err
}

// condition reads a condition of an object of any kind.
func condition(o client.Object, kind string) (status, reason, message string) {
	var with struct {
		Status struct {
			Conditions []struct{ Type, Status, Reason, Message string }
		}
	}
	raw, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(raw, &with)
	}
	if err != nil {
		return "", "", err.Error()
	}
	for _, c := range with.Status.Conditions {
		if c.Type == kind {
			return c.Status, c.Reason, c.Message
		}
	}
	return "", "", ""
}

// until reads an object again and again until holds is nil.
func (s *scenario) until(o client.Object, holds func() error) {
	s.t.Helper()
	s.eventually(func() error {
		if err := s.get(o); err != nil {
			return err
		}
		return holds()
	})
}

// shows waits until a condition of an object has a status, and something in reason and message.
func (s *scenario) shows(o client.Object, kind, status, words string) {
	s.t.Helper()
	s.until(o, func() error {
		got, reason, message := condition(o, kind)
		if got != status || !strings.Contains(reason+": "+message, words) {
			return fmt.Errorf("%T %s: %s is %q, %s: %s", o, o.GetName(), kind, got, reason, message)
		}
		return nil
	})
}

// ready waits until an object is ready.
func (s *scenario) ready(o client.Object) {
	s.t.Helper()
	s.shows(o, "Ready", "True", "")
}

// exists fails if an object does not exist or is being deleted.
func (s *scenario) exists(o client.Object) {
	s.t.Helper()
	s.must(s.get(o))
	if o.GetDeletionTimestamp() != nil {
		s.t.Fatalf("%T %s is being deleted", o, o.GetName())
	}
}

// gone waits until an object does not exist.
func (s *scenario) gone(o client.Object) {
	s.t.Helper()
	s.eventually(func() error {
		err := s.get(o)
		if err == nil {
			return fmt.Errorf("%T %s is still there, with finalizers %v", o, o.GetName(), o.GetFinalizers())
		}
		return client.IgnoreNotFound(err)
	})
}

// delete deletes an object and waits until it is gone.
func (s *scenario) delete(o client.Object) {
	s.t.Helper()
	s.must(s.kube.Delete(s.t.Context(), o))
	s.gone(o)
}

// names lists the names of the objects of list's kind that opts select.
func (s *scenario) names(list client.ObjectList, opts ...client.ListOption) []string {
	s.t.Helper()
	s.must(s.kube.List(s.t.Context(), list, opts...))
	names := []string{}
	s.must(meta.EachListItem(list, func(o runtime.Object) error {
		names = append(names, o.(client.Object).GetName())
		return nil
	}))
	slices.Sort(names)
	return names
}

// subscription is the Subscription from the application into the namespace, which must be the only one.
func (s *scenario) subscription(app, namespace string) *messagingv1.Subscription {
	s.t.Helper()
	var list messagingv1.SubscriptionList
	s.must(s.kube.List(s.t.Context(), &list, inIntegration, pathLabels(app, namespace)))
	if len(list.Items) != 1 {
		s.t.Fatalf("there are %d Subscriptions from %s to %s: %+v", len(list.Items), app, namespace, list.Items)
	}
	return &list.Items[0]
}

// noSubscription fails if there is a Subscription from the application into the namespace.
func (s *scenario) noSubscription(app, namespace string) {
	s.t.Helper()
	if got := s.names(&messagingv1.SubscriptionList{}, inIntegration, pathLabels(app, namespace)); len(got) > 0 {
		s.t.Fatalf("there are still Subscriptions from %s to %s: %v", app, namespace, got)
	}
}

func pathLabels(app, namespace string) client.MatchingLabels {
	return client.MatchingLabels{eventmesh.ApplicationNameLabel: app, eventmesh.BrokerNamespaceLabel: namespace}
}

// classes waits until the namespace has exactly these classes.
func (s *scenario) classes(namespace string, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	s.eventually(func() error {
		if got := s.names(&scv1.ServiceClassList{}, client.InNamespace(namespace)); !slices.Equal(got, want) {
			return fmt.Errorf("classes in %s: %v, want %v", namespace, got, want)
		}
		return nil
	})
}

// nothingLeft waits until nothing in the integration namespace is the application's.
func (s *scenario) nothingLeft(app string) {
	s.t.Helper()
	s.eventually(func() error {
		var left []error
		for _, list := range []client.ObjectList{
			&sourcesv1.HTTPSourceList{}, &messagingv1.ChannelList{}, &kymamessagingv1.JetStreamChannelList{}, &corev1.ServiceList{},
			&messagingv1.SubscriptionList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
		} {
			if err := s.kube.List(s.t.Context(), list, inIntegration); err != nil {
				return err
			}
			err := meta.EachListItem(list, func(o runtime.Object) error {
				if o := o.(client.Object); strings.Contains(o.GetName(), app) || o.GetLabels()[eventmesh.ApplicationNameLabel] == app {
					left = append(left, fmt.Errorf("%T %s is left", o, o.GetName()))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return errors.Join(left...)
	})
}

// empty waits until nothing of the mesh is in the namespace.
func (s *scenario) empty(namespace string) {
	s.t.Helper()
	s.eventually(func() error {
		for _, list := range []client.ObjectList{
			&appv1.ApplicationMappingList{}, &appv1.EventActivationList{}, &scv1.ServiceBrokerList{}, &scv1.ServiceClassList{},
			&scv1.ServicePlanList{}, &scv1.ServiceInstanceList{}, &scv1.ServiceBindingList{}, &functionsv1.FunctionList{},
			&eventingv1.BrokerList{}, &eventingv1.TriggerList{}, &messagingv1.SubscriptionList{}, &messagingv1.ChannelList{},
			&kymamessagingv1.JetStreamChannelList{}, &corev1.ServiceList{}, &corev1.SecretList{},
		} {
			if got := s.names(list, client.InNamespace(namespace)); len(got) > 0 {
				return fmt.Errorf("%T in %s: %v", list, namespace, got)
			}
		}
		var ns corev1.Namespace
		err := s.kube.Get(s.t.Context(), client.ObjectKey{Name: namespace}, &ns)
		if label := ns.Labels[eventmesh.BrokerInjectionLabel]; err == nil && label != "" {
			err = fmt.Errorf("namespace %s is still labelled %s", namespace, label)
		}
		return err
	})
}

// meshPath is what meshStatus says of the way from the application into the namespace.
type meshPath struct {
	Ready     bool
	RootCause string
	Stages    []struct {
		Name, Reason, Message string
		Ready                 bool
	}
}

func (s *scenario) path(app, namespace string) meshPath {
	s.t.Helper()
	var answer struct{ MeshStatus []meshPath }
	s.mustQuery(s.t, `query($app: String, $ns: String) { meshStatus(application: $app, namespace: $ns) { ready rootCause stages { name ready reason message } } }`,
		map[string]any{"app": app, "ns": namespace}, &answer)
	if len(answer.MeshStatus) != 1 {
		s.t.Fatalf("meshStatus of one path: %+v", answer.MeshStatus)
	}
	return answer.MeshStatus[0]
}

// rootCause waits until meshStatus names these words as why the path is not ready; without words, until it is ready.
func (s *scenario) rootCause(app, namespace string, words ...string) {
	s.t.Helper()
	s.eventually(func() error {
		p := s.path(app, namespace)
		for _, word := range words {
			if !strings.Contains(p.RootCause, word) {
				return fmt.Errorf("the root cause does not name %s: %+v", word, p)
			}
		}
		if p.Ready != (len(words) == 0) {
			return fmt.Errorf("the path: %+v", p)
		}
		return nil
	})
}
