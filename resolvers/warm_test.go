package resolvers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// apiCalls are the requests that the cluster under test has made to the API server. Watches are not among them: the
// informers renew those by themselves, whoever asks.
type apiCalls struct {
	mu   sync.Mutex
	seen []string
}

// asked counts for shared.
var asked apiCalls

func (c *apiCalls) wrap(next http.RoundTripper) http.RoundTripper { return counted{c, next} }

// take returns what was seen since it was last called.
func (c *apiCalls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

type counted struct {
	calls *apiCalls
	next  http.RoundTripper
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "" {
		c.calls.mu.Lock()
		c.calls.seen = append(c.calls.seen, r.Method+" "+r.URL.Path)
		c.calls.mu.Unlock()
	}
	return c.next.RoundTrip(r)
}

const (
	warmApplications = 500
	warmNamespaces   = 200
	warmClasses      = 30
	warmPods         = 20
	warmInstances    = 10
)

// makeWarm makes an estate of the size that the Console is to be fast for. The first namespace has classes, instances and
// Pods; each has an Application.
func makeWarm(t *testing.T) {
	t.Helper()
	var objects []client.Object
	for i := range warmNamespaces {
		objects = append(objects, &corev1.Namespace{ObjectMeta: warmName("", i)})
	}
	createAll(t, objects)
	objects = nil
	for i := range warmApplications {
		app := &appv1.Application{ObjectMeta: warmName("", i)}
		for s := range 3 {
			id := fmt.Sprintf("%s-%d", app.Name, s)
			app.Spec.Services = append(app.Spec.Services, appv1.Service{
				ID: id, Name: id, DisplayName: id, Description: "d", ProviderDisplayName: "p", Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
			})
		}
		objects = append(objects, app)
	}
	for i := range warmNamespaces {
		objects = append(objects, &appv1.ApplicationMapping{ObjectMeta: warmName(fmt.Sprintf("warm-%03d", i), i)})
	}
	for i := range warmPods {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: warmName("warm-000", i), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "warm.invalid/i"}}},
		})
	}
	for i := range warmClasses {
		name := warmName("", i).Name
		class := scv1.CommonServiceClassSpec{ExternalName: name, ExternalID: name, Description: "d"}
		plan := scv1.CommonServicePlanSpec{ExternalName: "default", ExternalID: name, Description: "d"}
		objects = append(
			objects,
			&scv1.ServiceClass{ObjectMeta: warmName("warm-000", i), Spec: scv1.ServiceClassSpec{ServiceBrokerName: "b", CommonServiceClassSpec: class}},
			&scv1.ServicePlan{ObjectMeta: warmName("warm-000", i), Spec: scv1.ServicePlanSpec{
				ServiceBrokerName: "b", CommonServicePlanSpec: plan, ServiceClassRef: scv1.LocalObjectReference{Name: name},
			}},
		)
	}
	for i := range warmInstances {
		objects = append(objects, &scv1.ServiceInstance{ObjectMeta: warmName("warm-000", i), Spec: scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{
			ServiceClassExternalName: warmName("", i).Name, ServicePlanExternalName: "default",
		}}})
	}
	createAll(t, objects)
}

func warmName(namespace string, i int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("warm-%03d", i)}
}

func createAll(t *testing.T, objects []client.Object) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(8)
	for _, obj := range objects {
		g.Go(func() error { return shared.admin.Create(ctx, obj) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestWarm asks nested queries over many objects: once the caches are filled and the rights reviewed, none may ask the API
// server anything, be it by somebody who sees everything or by somebody who sees only some namespaces.
func TestWarm(t *testing.T) {
	makeWarm(t)
	const applications, catalog = "applicationconnector.kyma-project.io", "servicecatalog.k8s.io"
	var grants []grant
	for i := range 3 {
		namespace := warmName("", i).Name
		grants = append(grants, rule(namespace, "", "*", "get", "list"), rule(namespace, applications, "*", "get", "list"), rule(namespace, catalog, "*", "get", "list"))
	}
	let(t, "warm-viewer", grants...)
	// Without remembered answers, which would ask nobody.
	w := &world{cluster: shared.cluster, handler: NewHandler(&Resolver{Cluster: shared.cluster}, Options{Limits: Limits{Answers: -1}})}
	for _, tt := range []struct {
		query   string
		has     string         // once for each object
		objects map[string]int // how many, by user
	}{
		{
			`{ applications { name labels status enabledInNamespaces enabledMappingServices { namespace allServices } services { id displayName entries { type } } } }`,
			`"status": "GATEWAY_NOT_CONFIGURED"`,
			map[string]int{"admin": warmApplications, "warm-viewer": 3},
		},
		{
			`{ namespaces { name labels status podsCount healthyPodsCount applicationsCount } }`,
			`"applicationsCount": 1`,
			map[string]int{"admin": warmNamespaces, "warm-viewer": 3},
		},
		{
			`{ serviceClasses(namespace: "warm-000") { name externalName displayName labels activated plans { name externalName } instances { name status { type } bindable } } }`,
			`"displayName": ""`,
			map[string]int{"admin": warmClasses, "warm-viewer": warmClasses},
		},
		{
			`{ serviceInstances(namespace: "warm-000") { name bindable status { type } serviceClass { name } servicePlan { name } serviceBindings { stats { ready } } } }`,
			`"bindable": false`,
			map[string]int{"admin": warmInstances, "warm-viewer": warmInstances},
		},
		{
			`{ applicationsConnection(first: 500, filter: {text: "warm-"}) { edges { cursor node { name status enabledInNamespaces } } } }`,
			`"cursor"`,
			map[string]int{"admin": warmApplications, "warm-viewer": 3},
		},
	} {
		for user, objects := range tt.objects {
			w.awaitNoCalls(t, user, tt.query, tt.has, objects)
		}
	}
}

// awaitNoCalls asks until the answer has all objects and did not take a call of the API server. A review lasts for some
// seconds only, so a single answer may take one.
func (w *world) awaitNoCalls(t *testing.T, user, query, has string, objects int) {
	t.Helper()
	var answer string
	var made []string
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		asked.take()
		answer = w.ask(t, user, query)
		made = asked.take()
		return len(made) == 0 && strings.Count(warmOnly(t, answer), has) == objects, nil
	})
	if err != nil {
		t.Errorf("%s asks %s\n%d calls of the API server: %q\n%d objects with %s, want %d, in\n%.2000s",
			user, query, len(made), slices.Compact(made), strings.Count(warmOnly(t, answer), has), has, objects, answer)
	}
}

// warmOnly leaves in a list of objects those of the estate: other tests leave objects behind.
func warmOnly(t *testing.T, answer string) string {
	t.Helper()
	var decoded struct{ Data map[string]any }
	if err := json.Unmarshal([]byte(answer), &decoded); err != nil {
		t.Fatal(err)
	}
	for field, list := range decoded.Data {
		if objects, ok := list.([]any); ok {
			decoded.Data[field] = slices.DeleteFunc(objects, func(o any) bool {
				return !strings.HasPrefix(fmt.Sprint(o.(map[string]any)["name"]), "warm-")
			})
		}
	}
	text, err := json.MarshalIndent(decoded.Data, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
