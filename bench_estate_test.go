package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	knativeapis "knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	mesh "github.com/kyma-eventmesh/kyma-console/eventmesh/embedded"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
	"github.com/kyma-eventmesh/kyma-console/resolvers"
	"github.com/kyma-eventmesh/kyma-console/web"
)

// The size of the estate that the benchmarks of the API run on.
const (
	estateNamespaces   = 200
	estateApplications = 500
	estateServices     = 3 // of each application
	estateClasses      = 500
	estateInstances    = 200
	estateTriggers     = 10 // in each namespace
	estatePods         = 2  // in each namespace
)

// estateDir is the environment variable that makes the test binary a server of the estate, on the directory that it names.
const estateDir = "KYMA_CONSOLE_TEST_ESTATE"

// estate is a server in a process of its own: the control plane and the console, but nothing that acts on objects. What
// controllers would write is made with the objects.
type estate struct {
	console string // URL
	plain   string // URL of the same console, but one that remembers no answers
	pid     int
	config  *rest.Config
	kube    client.Client
}

// serveEstate runs the server until its standard input ends.
func serveEstate(dir string) error {
	ctrllog.SetLogger(klog.Logger{}) // which says nothing
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plane, err := estatePlane(ctx, dir)
	if err != nil {
		return err
	}
	c := config{anonymousUser: "admin"}
	cluster, err := k8s.Open(ctx, k8s.Options{Anonymous: c.anonymous(), Fallback: func(context.Context) (*rest.Config, error) { return plane.Config(), nil }})
	if err != nil {
		return err
	}
	if err := resolvers.SetupIndexes(ctx, cluster.Manager().GetFieldIndexer()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return cluster.Run(ctx) })
	for _, remembered := range []int{0, -1} { // the default, and none
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		handler := web.New(web.Config{
			Authenticate: cluster.Authenticate, Ready: cluster.Ready, Loopback: true,
			GraphQL: resolvers.NewHandler(&resolvers.Resolver{Cluster: cluster}, resolvers.Options{
				Limits: resolvers.Limits{Answers: remembered, Operations: benchMost, Websockets: benchMost},
			}),
		})
		fmt.Printf("console http://%s\n", ln.Addr())
		g.Go(func() error { return web.Serve(ctx, ln, handler, web.ServeOptions{}) })
	}
	g.Go(func() error {
		defer cancel()
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return plane.Stop()
}

func estatePlane(ctx context.Context, dir string) (*embedded.ControlPlane, error) {
	ours, err := apis.CRDs()
	if err != nil {
		return nil, err
	}
	theirs, err := mesh.CRDs()
	if err != nil {
		return nil, err
	}
	return embedded.Start(ctx, embedded.Options{DataDir: dir, Log: io.Discard, CRDs: append(ours, theirs...)})
}

// benchMost is more operations and websockets than any benchmark has at once, all of one user.
const benchMost = 20_000

// startEstate starts the server and fills it. It ends with the benchmark.
func startEstate(b *testing.B) *estate {
	b.Helper()
	dir := b.TempDir()
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), os.Args[0]) // it is ended by its standard input
	cmd.Env = append(os.Environ(), estateDir+"="+dir)
	cmd.Stderr = os.Stderr
	out := &output{}
	cmd.Stdout = out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Log("the server of the estate: ", err)
		}
	})
	var addresses [][]string
	eventually(b, func() error {
		addresses = regexp.MustCompile(`console (\S+)\n`).FindAllStringSubmatch(out.String(), -1)
		if len(addresses) < 2 {
			return fmt.Errorf("not ready: %s", out)
		}
		return nil
	})
	e := &estate{console: addresses[0][1], plain: addresses[1][1], pid: cmd.Process.Pid}
	if e.config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig")); err != nil {
		b.Fatal(err)
	}
	e.config.QPS = -1
	if e.kube, err = client.New(e.config, client.Options{Scheme: k8s.NewScheme()}); err != nil {
		b.Fatal(err)
	}
	e.fill(b)
	return e
}

// fill makes the objects, a few at a time.
func (e *estate) fill(b *testing.B) {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	put := func(o client.Object) {
		status := o.DeepCopyObject().(client.Object)
		if err := e.kube.Create(b.Context(), o); err != nil {
			b.Error(err)
			return
		}
		status.SetResourceVersion(o.GetResourceVersion())
		switch o.(type) {
		case *sourcesv1.HTTPSource, *eventingv1.Trigger, *corev1.Pod, *scv1.ServiceInstance:
			if err := e.kube.Status().Update(b.Context(), status); err != nil {
				b.Error(err)
			}
		}
	}
	put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: eventmesh.IntegrationNamespace}})
	for i := range estateNamespaces {
		g.Go(func() error {
			name := fmt.Sprintf("team-%03d", i)
			put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"env": "true", "team": name}}})
			for _, o := range estateOfNamespace(name, i) {
				put(o)
			}
			return nil
		})
	}
	for i := range estateApplications {
		g.Go(func() error {
			for _, o := range estateOfApplication(fmt.Sprintf("application-%03d", i)) {
				put(o)
			}
			return nil
		})
	}
	_ = g.Wait() // put has reported
	if b.Failed() {
		b.FailNow()
	}
}

// estateOfNamespace are the objects in one namespace.
func estateOfNamespace(namespace string, i int) []client.Object {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	objects := []client.Object{
		&appv1.ApplicationMapping{ObjectMeta: meta(fmt.Sprintf("application-%03d", i))},
		&scv1.ServiceInstance{ObjectMeta: meta("orders"), Spec: scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{
			ServiceClassExternalName: "orders", ServicePlanExternalName: "default",
		}}},
	}
	for j := range estateTriggers {
		objects = append(objects, &eventingv1.Trigger{
			ObjectMeta: meta(fmt.Sprintf("trigger-%02d", j)),
			Spec: eventingv1.TriggerSpec{
				Broker:     "default",
				Filter:     &eventingv1.TriggerFilter{Attributes: eventingv1.TriggerFilterAttributes{"type": "order.created", "source": "application-000"}},
				Subscriber: duckv1.Destination{URI: &knativeapis.URL{Scheme: "http", Host: "lambda." + namespace + ".svc.cluster.local:80", Path: "/"}},
			},
			Status: eventingv1.TriggerStatus{Status: duckv1.Status{Conditions: duckv1.Conditions{
				{Type: "BrokerReady", Status: "True"},
				{Type: "DependencyReady", Status: "True"},
				{Type: "Ready", Status: "True"},
				{Type: "SubscriberResolved", Status: "True"},
				{Type: "SubscriptionReady", Status: "True"},
			}}},
		})
	}
	for j := range estateClasses / estateNamespaces {
		objects = append(objects, &scv1.ServiceClass{ObjectMeta: meta(fmt.Sprintf("class-%d", j)), Spec: scv1.ServiceClassSpec{
			ServiceBrokerName: "application-broker", CommonServiceClassSpec: scv1.CommonServiceClassSpec{
				ExternalName: fmt.Sprintf("class-%d", j), ExternalID: fmt.Sprintf("%s-%d", namespace, j), Description: "a class",
			},
		}})
	}
	for j := range estatePods {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: meta(fmt.Sprintf("pod-%d", j)),
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/main:1"}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		})
	}
	return objects
}

// estateOfApplication is an application with its services, and its source.
func estateOfApplication(name string) []client.Object {
	app := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationSpec{
		Description: "An application of the estate, named " + name, Labels: map[string]string{"region": "eu", "name": name},
	}}
	for i := range estateServices {
		id := fmt.Sprintf("%s-%d", name, i)
		app.Spec.Services = append(app.Spec.Services, appv1.Service{
			ID: id, Name: id, DisplayName: "Service " + id, Description: strings.Repeat("what it offers ", 4),
			LongDescription: strings.Repeat("what it offers, at length ", 8), ProviderDisplayName: "Example",
			Tags: []string{"orders", "shop"}, Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
		})
	}
	source := &sourcesv1.HTTPSource{ObjectMeta: metav1.ObjectMeta{Namespace: eventmesh.IntegrationNamespace, Name: name}}
	source.Spec.Source = name
	source.Status.Conditions = []metav1.Condition{{Type: sourcesv1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: metav1.Now()}}
	return []client.Object{app, source}
}

// restClient is an HTTP client of the API server, of kubectl's user.
func (e *estate) restClient(b *testing.B) *http.Client {
	b.Helper()
	c, err := rest.HTTPClientFor(e.config)
	if err != nil {
		b.Fatal(err)
	}
	return c
}
