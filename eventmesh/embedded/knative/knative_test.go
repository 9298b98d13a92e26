package knative

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"knative.dev/eventing/pkg/client/clientset/versioned"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
)

// TestInMemory runs Knative with its own in-memory channel as the default: admission answers, a labelled namespace gets
// a Broker that becomes Ready, and the in-memory channel drops subscribers whose Subscription is gone.
func TestInMemory(t *testing.T) {
	crds, err := CRDs()
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	plane, err := embedded.Start(t.Context(), embedded.Options{DataDir: t.TempDir(), CRDs: crds, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	t.Logf("control plane after %v", time.Since(started))

	ctx, cancel := context.WithCancel(t.Context())
	e := New(Options{Config: plane.Config(), Log: t.Output(), Channel: metav1.TypeMeta{
		APIVersion: messagingv1.SchemeGroupVersion.String(), Kind: "InMemoryChannel",
	}})
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	eventually(t, "Knative", func(ctx context.Context) bool { return e.Ready(ctx) == nil || len(done) > 0 })
	t.Logf("Knative after %v", time.Since(started))

	kube := kubernetes.NewForConfigOrDie(plane.Config())
	eventing := versioned.NewForConfigOrDie(plane.Config()).EventingV1()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "memory", Labels: map[string]string{eventmesh.BrokerInjectionLabel: eventmesh.BrokerInjectionEnabled},
	}}
	if _, err := kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the default Broker", func(ctx context.Context) bool {
		b, err := eventing.Brokers(ns.Name).Get(ctx, eventmesh.DefaultBroker, metav1.GetOptions{})
		return err == nil && b.IsReady()
	})
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}, Spec: eventingv1.TriggerSpec{Broker: eventmesh.DefaultBroker}}
	if _, err := eventing.Triggers(ns.Name).Create(ctx, trigger, metav1.CreateOptions{}); err == nil {
		t.Error("a Trigger without a subscriber was accepted")
	}
}

func eventually(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true,
		func(ctx context.Context) (bool, error) { return holds(ctx), nil })
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}
