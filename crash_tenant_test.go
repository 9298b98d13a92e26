package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// tenantPrefix begins the names of tenants.
const tenantPrefix = "crash-"

// tenant is an application and a namespace of its own, both of one name, in which the application's events go to a
// function and to a subscriber outside of the mesh.
type tenant struct {
	name              string
	sink              *crashSink
	provision, remove *crashTask
}

// newTenant makes the n-th tenant. They differ in whether the client waits for what it needs, and in what it removes
// first.
func newTenant(n int, sink *crashSink) *tenant {
	e := &tenant{name: fmt.Sprintf("%s%02d", tenantPrefix, n), sink: sink}
	e.provision = &crashTask{name: "provisioning " + e.name, steps: e.provisioning(n%2 == 0)}
	e.remove = &crashTask{name: "removing " + e.name, steps: e.removal(n % 3)}
	return e
}

// provisioning is what a client does for a tenant: registered, as applications and the Console do it, where the service
// class is waited for; otherwise as "kubectl apply" of all files does, and Service Catalog has to wait.
func (e *tenant) provisioning(registered bool) []crashStep {
	meta := metav1.ObjectMeta{Name: e.name, Namespace: e.name}
	application := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: e.name}}
	instance := &scv1.ServiceInstance{ObjectMeta: meta}
	instance.Spec.ServicePlanExternalName = "default"
	steps := []crashStep{
		create(application),
		create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.name}}),
		create(&appv1.ApplicationMapping{ObjectMeta: meta}),
	}
	if registered {
		steps = slices.Insert(steps, 1, crashStep{"registration", e.register})
		steps = append(steps, crashStep{"service class", func(ctx context.Context, p *program) error {
			return crashPoll(ctx, func() (err error) {
				instance.Spec.ServiceClassExternalName, err = e.class(ctx, p)
				return err
			})
		}})
	} else {
		application.Spec.Services = []appv1.Service{{
			ID: e.name + "-id", Name: e.name + "-orders", DisplayName: "orders", Description: "orders",
			Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
		}}
		instance.Spec.ServiceClassExternalName = e.name + "-orders"
	}
	return append(steps,
		create(instance),
		create(&functionsv1.Function{ObjectMeta: meta, Spec: functionsv1.FunctionSpec{
			Source: `module.exports = { main: function (event) { console.log(event["ce-id"]); } };`,
		}}),
		create(e.trigger("function", duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: e.name}})),
		create(e.trigger("outside", duckv1.Destination{URI: e.sink.url})),
		crashStep{"ready", func(ctx context.Context, p *program) error {
			return crashPoll(ctx, func() error { return e.ready(ctx, p) })
		}},
		// One step: a function's log does not outlive the process.
		crashStep{"event", func(ctx context.Context, p *program) error {
			if err := e.send(ctx, p, "first"); err != nil {
				return err
			}
			return crashPoll(ctx, func() error { return e.arrived(ctx, p, "first") })
		}},
	)
}

func (e *tenant) trigger(name string, subscriber duckv1.Destination) *eventingv1.Trigger {
	return &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: e.name},
		Spec: eventingv1.TriggerSpec{
			Broker:     eventmesh.DefaultBroker,
			Filter:     &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "order.created", "source": e.name}},
			Subscriber: subscriber,
		},
	}
}

func (e *tenant) removal(order int) []crashStep {
	meta := metav1.ObjectMeta{Name: e.name, Namespace: e.name}
	instance := &scv1.ServiceInstance{ObjectMeta: meta}
	application := remove(&appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: e.name}})
	namespace := remove(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.name}})
	return [][]crashStep{
		{ // in good order
			remove(&eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: "outside", Namespace: e.name}}),
			remove(instance), gone(instance),
			remove(&appv1.ApplicationMapping{ObjectMeta: meta}), namespace, application,
		},
		{namespace, application},
		{application, remove(&appv1.ApplicationMapping{ObjectMeta: meta}), remove(instance), gone(instance), namespace},
	}[order]
}

// create is the step that creates o, unless it exists: an earlier attempt may have had no answer.
func create(o client.Object) crashStep {
	return crashStep{fmt.Sprintf("create %T", o), func(ctx context.Context, p *program) error {
		err := p.kube.Create(ctx, o.DeepCopyObject().(client.Object))
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}}
}

func remove(o client.Object) crashStep {
	return crashStep{fmt.Sprintf("delete %T", o), func(ctx context.Context, p *program) error {
		return client.IgnoreNotFound(p.kube.Delete(ctx, o.DeepCopyObject().(client.Object)))
	}}
}

func gone(o client.Object) crashStep {
	return crashStep{fmt.Sprintf("no %T", o), func(ctx context.Context, p *program) error {
		return crashPoll(ctx, func() error {
			o := o.DeepCopyObject().(client.Object)
			err := p.kube.Get(ctx, client.ObjectKeyFromObject(o), o)
			switch {
			case apierrors.IsNotFound(err):
				return nil
			case err != nil:
				return err
			}
			o.SetManagedFields(nil)
			content, _ := json.Marshal(o)
			return fmt.Errorf("it is still there: %s", content)
		})
	}}
}

// register offers the event service, as an application does: it looks first whether it has done so already. While the
// mesh does not know the Application yet, it tries again.
func (e *tenant) register(ctx context.Context, p *program) error {
	url := p.connector + "/" + e.name + "/v1/metadata/services"
	return crashPoll(ctx, func() error {
		offered, err := crashRequest(ctx, http.MethodGet, url, "", nil)
		if err != nil || strings.Contains(offered, `"id"`) {
			return err
		}
		_, err = crashRequest(ctx, http.MethodPost, url, fmt.Sprintf(`{"provider": "shops", "name": %q, "description": "orders",
			"events": {"spec": {"asyncapi": "2.0.0", "info": {"title": "orders", "version": "1"},
			"channels": {"order.created.v1": {"subscribe": {"message": {"payload": {"type": "object"}}}}}}}}`, e.name), nil)
		return err
	})
}

// class is the name by which Service Catalog's users know the event service.
func (e *tenant) class(ctx context.Context, p *program) (string, error) {
	var list scv1.ServiceClassList
	if err := p.kube.List(ctx, &list, client.InNamespace(e.name)); err != nil {
		return "", err
	}
	if len(list.Items) == 0 {
		return "", errors.New("there is no ServiceClass")
	}
	return list.Items[0].Spec.ExternalName, nil
}

// ready says why events do not flow.
func (e *tenant) ready(ctx context.Context, p *program) error {
	var answer struct {
		MeshStatus []struct {
			Ready     bool
			RootCause string
		}
	}
	const document = `query($name: String!) { meshStatus(namespace: $name, application: $name) { ready rootCause } }`
	if err := p.query(ctx, document, map[string]any{"name": e.name}, &answer); err != nil {
		return err
	}
	if path := answer.MeshStatus[0]; !path.Ready {
		return errors.New(path.RootCause)
	}
	return nil
}

// send sends an event of the application. id is prefixed with the tenant's name.
func (e *tenant) send(ctx context.Context, p *program, id string) error {
	_, err := crashRequest(ctx, http.MethodPost, p.connector+"/"+e.name+"/events", "{}", map[string]string{
		"ce-specversion": "1.0", "ce-id": e.name + "-" + id, "ce-source": "x", "ce-type": "order.created",
	})
	return err
}

// arrived says who has not got the event.
func (e *tenant) arrived(ctx context.Context, p *program, id string) error {
	id = e.name + "-" + id
	if e.sink.count(id) == 0 {
		return fmt.Errorf("event %s has not arrived outside", id)
	}
	var answer struct{ FunctionLogs []struct{ Message string } }
	const document = `query($name: String!) { functionLogs(namespace: $name, name: $name) { message } }`
	if err := p.query(ctx, document, map[string]any{"name": e.name}, &answer); err != nil {
		return err
	}
	if !slices.ContainsFunc(answer.FunctionLogs, func(l struct{ Message string }) bool { return l.Message == id }) {
		return fmt.Errorf("event %s has not arrived at the function", id)
	}
	return nil
}

// works checks that the path is ready and an event takes it.
func (e *tenant) works(t *testing.T, c *console, id string) {
	t.Helper()
	eventually(t, func() error { return e.ready(t.Context(), c.program) })
	if err := e.send(t.Context(), c.program, id); err != nil {
		t.Fatalf("the path is ready, but: %v", err)
	}
	eventually(t, func() error { return e.arrived(t.Context(), c.program, id) })
}

// crashRequest makes a request and returns the body of the answer, which must be 2xx.
func crashRequest(ctx context.Context, method, url, body string, header map[string]string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := crashClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return "", fmt.Errorf("%s %s: %s %s", method, url, res.Status, answer)
	}
	return string(answer), nil
}

// crashClient has connections enough for many senders.
var crashClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
