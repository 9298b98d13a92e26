package resolvers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// connectable makes an Application with one event service, and a Function in a namespace, both of that name.
func connectable(t *testing.T, name string) graph.ConnectApplicationInput {
	t.Helper()
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: `+name+`}}`)
	for _, obj := range []client.Object{
		made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: Application, metadata: {name: `+name+`},
			spec: {services: [{id: `+name+`-1, name: orders, displayName: x, description: x, providerDisplayName: x, entries: [{type: Events}]}]}}`),
		made(t, `{apiVersion: serverless.kyma-project.io/v1alpha1, kind: Function, metadata: {name: `+name+`, namespace: `+name+`}, spec: {source: x}}`),
	} {
		known(t, obj)
	}
	return graph.ConnectApplicationInput{Application: name, Namespace: name, Function: name, EventTypes: []graph.ConnectEventTypeInput{{Type: "order.created", Version: "v1"}}}
}

// showClass makes the class of connectable's service, as the catalog does after it has asked the broker.
func showClass(t *testing.T, name string) {
	t.Helper()
	made(t, `{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServiceClass, metadata: {name: `+name+`-1, namespace: `+name+`},
		spec: {serviceBrokerName: application-broker, externalName: orders, externalID: `+name+`-1, description: x, bindable: false, bindingRetrievable: false, planUpdatable: false}}`)
	made(t, `{apiVersion: servicecatalog.k8s.io/v1beta1, kind: ServicePlan, metadata: {name: `+name+`-plan, namespace: `+name+`},
		spec: {serviceBrokerName: application-broker, externalName: default, externalID: `+name+`-plan, description: x, free: true, serviceClassRef: {name: `+name+`-1}}}`)
}

func connectAs(t *testing.T, r *Resolver, name string, in graph.ConnectApplicationInput) (string, error) {
	t.Helper()
	ctx := request.WithUser(t.Context(), &user.DefaultInfo{Name: name, Groups: []string{user.SystemPrivilegedGroup}})
	out, err := r.Mutation().ConnectApplication(ctx, in, nil)
	if err != nil {
		return "", err
	}
	var objects []string
	for _, o := range out.Objects {
		objects = append(objects, fmt.Sprintf("%s %s", o.Outcome, o.Kind))
	}
	return strings.Join(objects, ", "), nil
}

// TestConnectWaitsForTheCatalog has the class appear only after the Application is enabled.
func TestConnectWaitsForTheCatalog(t *testing.T) {
	in := connectable(t, "connect-wait")
	r := &Resolver{Cluster: shared.cluster, CatalogTime: 50 * time.Millisecond}
	_, err := connectAs(t, r, "admin", in)
	var waiting stillWaiting
	code, message, _ := lookup(err)
	if !errors.As(err, &waiting) || code != codeTimeout || !strings.Contains(message, "the catalog does not show orders: run connectApplication again") {
		t.Fatalf("got %v with the code %s, want TIMEOUT and what to do", err, code)
	}
	mapping := &appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Name: "connect-wait", Namespace: "connect-wait"}}
	if err := shared.admin.Get(t.Context(), client.ObjectKeyFromObject(mapping), mapping); err != nil {
		t.Fatalf("it is not enabled: %v", err)
	}
	// The next run goes on: it waits, and makes the rest.
	r.CatalogTime = patience
	type result struct {
		objects string
		err     error
	}
	done := make(chan result, 1)
	go func() {
		objects, err := connectAs(t, r, "admin", in)
		done <- result{objects, err}
	}()
	showClass(t, "connect-wait")
	got := <-done
	if want := "UNCHANGED ApplicationMapping, CREATED ServiceInstance, CREATED Trigger"; got.err != nil || got.objects != want {
		t.Errorf("got %s and %v, want %s", got.objects, got.err, want)
	}
	var triggers eventingv1.TriggerList
	if err := shared.admin.List(t.Context(), &triggers, client.InNamespace("connect-wait")); err != nil {
		t.Fatal(err)
	}
	if len(triggers.Items) != 1 || len(triggers.Items[0].OwnerReferences) != 1 || triggers.Items[0].OwnerReferences[0].Kind != "Function" {
		t.Errorf("got %+v, want one Trigger that the Function owns", triggers.Items)
	}
}

// TestConnectAtOnce runs the same mutation several times at once: together they make each object once.
func TestConnectAtOnce(t *testing.T) {
	in := connectable(t, "connect-at-once")
	showClass(t, "connect-at-once")
	const callers = 4
	type result struct {
		objects string
		err     error
	}
	results := make(chan result, callers)
	for range callers {
		go func() {
			objects, err := connectAs(t, &Resolver{Cluster: shared.cluster}, "admin", in)
			results <- result{objects, err}
		}()
	}
	created := map[string]int{}
	for range callers {
		got := <-results
		if got.err != nil {
			t.Fatal(got.err)
		}
		for _, object := range strings.Split(got.objects, ", ") {
			if kind, ok := strings.CutPrefix(object, "CREATED "); ok {
				created[kind]++
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"ApplicationMapping": 1, "ServiceInstance": 1, "Trigger": 1}, created); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
