package jetstream

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
)

// TestReconcile runs the reconciler on a real API server, with the test in the part of Knative's Subscription
// controller.
func TestReconcile(t *testing.T) {
	crds, err := apis.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	plane, err := embedded.Start(t.Context(), embedded.Options{DataDir: t.TempDir(), Log: t.Output(), CRDs: append(crds, subscriptionCRD())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	c, err := client.New(plane.Config(), client.Options{Scheme: k8s.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: orders.Namespace}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	r := &reconcileTest{t: t, Client: c, plane: plane, dir: t.TempDir()}
	m := r.start()

	// A channel becomes ready and takes events.
	if err := c.Create(t.Context(), &kymamessagingv1.JetStreamChannel{ObjectMeta: metav1.ObjectMeta{Namespace: orders.Namespace, Name: orders.Name}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ch := r.until("the channel is ready", func(ch *kymamessagingv1.JetStreamChannel) bool { return ch.IsReady() })
	t.Logf("channel ready after %s", time.Since(began))
	if got := ch.Status.Address.URL.String(); got != "http://orders-kn-jetstream.kyma-integration.svc.cluster.local" {
		t.Errorf("address %s", got)
	}
	if ch.Annotations[kymamessagingv1.SubscribableAnnotation] != "v1" || len(ch.Finalizers) != 1 {
		t.Errorf("metadata %+v", ch.ObjectMeta)
	}
	m.accept("before anybody subscribes")

	// Subscribers become ready and get events.
	good, failing := newSubscriber(t, nil), newSubscriber(t, status(http.StatusInternalServerError))
	a, b := r.subscription("a"), r.subscription("b")
	began = time.Now()
	r.patch(good.spec(a.UID, nil), failing.spec(b.UID, nil))
	r.untilReady(a.UID, b.UID)
	t.Logf("subscribers ready after %s", time.Since(began))
	m.accept("1")
	if got := good.next(); got.id != "1" {
		t.Errorf("got %q", got.id)
	}
	failing.next()

	// b drops out of the list by a patch from a stale cache, and comes back: its event is still there.
	r.patch(good.spec(a.UID, nil))
	r.untilReady(a.UID)
	repaired := newSubscriber(t, nil)
	r.patch(good.spec(a.UID, nil), repaired.spec(b.UID, nil))
	r.untilReady(a.UID, b.UID)
	if got := repaired.next(); got.id != "1" {
		t.Errorf("got %q", got.id)
	}

	// A subscriber without a Subscription is removed from the list.
	r.patch(good.spec(a.UID, nil), failing.spec(b.UID, nil), failing.spec("gone", nil))
	r.untilReady(a.UID, b.UID)
	m.accept("2")
	good.next()
	failing.next()

	// b's Subscription is deleted without being taken off the list: that is mended, and its events go.
	if err := c.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r.untilReady(a.UID)
	m.drained()

	// After a restart everything is resumed.
	r.stop()
	m = r.start()
	m.eventually("the channels are ready", func() bool { return m.Ready(t.Context()) == nil })
	m.accept("3")
	if got := good.next(); got.id != "3" {
		t.Errorf("got %q", got.id)
	}

	// A deleted channel takes its stream along.
	if err := c.Delete(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	m.eventually("the channel is gone", func() bool {
		return apierrors.IsNotFound(c.Get(t.Context(), orders, &kymamessagingv1.JetStreamChannel{}))
	})
	if len(m.known()) != 0 {
		t.Errorf("channels %v", m.known())
	}
	if got := m.post("4"); got != http.StatusNotFound {
		t.Errorf("status %d", got)
	}

	// A stream without a channel is removed with the next start.
	m.subscribe()
	r.stop()
	m = r.start()
	m.eventually("the stream is removed", func() bool { return len(m.known()) == 0 })
}

type reconcileTest struct {
	client.Client
	t     *testing.T
	plane *embedded.ControlPlane
	dir   string
	stop  func()
}

// start runs a manager with the channels in r.dir.
func (r *reconcileTest) start() *mesh {
	r.t.Helper()
	m := newMesh(r.t, Options{Dir: r.dir}, func(s *Server, o Options) (*Channels, error) {
		mgr, err := ctrl.NewManager(r.plane.Config(), ctrl.Options{Scheme: r.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		r.stop = func() {
			cancel()
			if err := <-ended; err != nil {
				r.t.Errorf("manager: %v", err)
			}
			ended <- nil
		}
		channels, err := Setup(mgr, s, o)
		if err != nil {
			cancel()
			return nil, err
		}
		go func() { ended <- mgr.Start(ctx) }()
		return channels, nil
	})
	stopManager := r.stop
	r.stop = func() { stopManager(); m.stop() }
	r.t.Cleanup(r.stop)
	return m
}

// subscription creates a Subscription to the channel orders.
func (r *reconcileTest) subscription(name string) *messagingv1.Subscription {
	r.t.Helper()
	sub := &messagingv1.Subscription{ObjectMeta: metav1.ObjectMeta{Namespace: orders.Namespace, Name: name}}
	sub.Spec.Channel.Name = orders.Name
	if err := r.Create(r.t.Context(), sub); err != nil {
		r.t.Fatal(err)
	}
	return sub
}

// patch writes the list of subscribers as Knative's controller does: all of it, whatever was there.
func (r *reconcileTest) patch(subscribers ...eventingduckv1.SubscriberSpec) {
	r.t.Helper()
	ch := &kymamessagingv1.JetStreamChannel{}
	if err := r.Get(r.t.Context(), orders, ch); err != nil {
		r.t.Fatal(err)
	}
	before := ch.DeepCopy()
	ch.Spec.Subscribers = subscribers
	if err := r.Patch(r.t.Context(), ch, client.MergeFrom(before)); err != nil {
		r.t.Fatal(err)
	}
}

// untilReady waits until the channel has exactly these subscribers, all ready.
func (r *reconcileTest) untilReady(uids ...types.UID) {
	r.t.Helper()
	r.until("the subscribers are ready", func(ch *kymamessagingv1.JetStreamChannel) bool {
		var ready []types.UID
		for _, s := range ch.Status.Subscribers {
			if s.Ready == corev1.ConditionTrue && s.ObservedGeneration == 1 {
				ready = append(ready, s.UID)
			}
		}
		return cmp.Equal(ready, uids) && len(ch.Spec.Subscribers) == len(uids) && ch.IsReady()
	})
}

func (r *reconcileTest) until(what string, cond func(*kymamessagingv1.JetStreamChannel) bool) *kymamessagingv1.JetStreamChannel {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ch := &kymamessagingv1.JetStreamChannel{}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := r.Get(ctx, orders, ch); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			r.t.Fatal(err)
		}
		if cond(ch) {
			return ch
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("timed out waiting until %s: spec %+v, status %+v", what, ch.Spec, ch.Status)
		}
	}
}

// subscriptionCRD is Knative's kind without its schema.
func subscriptionCRD() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "subscriptions.messaging.knative.dev"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "messaging.knative.dev",
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "Subscription", ListKind: "SubscriptionList", Plural: "subscriptions", Singular: "subscription"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: new(true),
				}},
			}},
		},
	}
}
