package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

var testPath = client.ObjectKey{Namespace: "sales", Name: "shop"}

func held(name string) appv1.EventActivation {
	return appv1.EventActivation{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "sales", Name: name, Generation: 1, Finalizers: []string{ActivationFinalizer},
		},
		Spec: appv1.EventActivationSpec{SourceID: "shop"},
	}
}

func fresh(name string) appv1.EventActivation {
	a := held(name)
	a.Finalizers = nil
	return a
}

func dying(a appv1.EventActivation) appv1.EventActivation {
	a.DeletionTimestamp = now()
	return a
}

func testSubscription(change func(*messagingv1.Subscription)) *messagingv1.Subscription {
	want := subscriptionManifest(testPath)
	s := &messagingv1.Subscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: want.namespace, Name: want.name, Generation: 1, Labels: want.labels},
		Spec: messagingv1.SubscriptionSpec{
			Channel: duckv1.KReference{APIVersion: "messaging.knative.dev/v1", Kind: "Channel", Name: "shop"},
			Subscriber: &duckv1.Destination{Ref: &duckv1.KReference{
				APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Name: "default", Namespace: "sales",
			}},
		},
	}
	s.Status.Status = knativeStatus(corev1.ConditionTrue, "", "")
	if change != nil {
		change(s)
	}
	return s
}

func testBroker(change func(*eventingv1.Broker)) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "sales", Name: "default", Generation: 1, Labels: map[string]string{injectedLabel: "true"},
	}}
	b.Status.Status = knativeStatus(corev1.ConditionTrue, "", "")
	if change != nil {
		change(b)
	}
	return b
}

func activations(a ...appv1.EventActivation) []appv1.EventActivation { return a }

func TestDecidePath(t *testing.T) {
	subscription := testSubscription(nil)
	going := testSubscription(func(s *messagingv1.Subscription) { s.DeletionTimestamp = now() })
	surplus := []messagingv1.Subscription{*testSubscription(func(s *messagingv1.Subscription) { s.Name = "brokersub-old" })}
	for _, tt := range []struct {
		name         string
		activations  []appv1.EventActivation
		subscription *messagingv1.Subscription
		surplus      []messagingv1.Subscription
		want         []string
	}{
		{"nothing", nil, nil, nil, nil},
		{"first", activations(fresh("a")), nil, nil, []string{"hold a", "apply"}},
		{"second shares", activations(held("a"), fresh("b")), subscription, nil, []string{"hold b"}},
		{"settled", activations(held("a"), held("b")), subscription, nil, nil},
		{"subscription deleted by hand", activations(held("a")), nil, nil, []string{"apply"}},
		{"subscription going", activations(held("a")), going, nil, nil},
		{"subscriber changed by hand", activations(held("a")), testSubscription(func(s *messagingv1.Subscription) {
			s.Spec.Subscriber.Ref.Namespace = "other"
		}), nil, []string{"apply"}},
		{"label removed by hand", activations(held("a")), testSubscription(func(s *messagingv1.Subscription) {
			s.Labels = nil
		}), nil, []string{"apply"}},
		{"delivery set by hand stays", activations(held("a")), testSubscription(func(s *messagingv1.Subscription) {
			s.Spec.Reply = &duckv1.Destination{}
			s.Annotations = map[string]string{"theirs": "x"}
		}), nil, nil},
		{"wrong channel cannot be changed", activations(held("a")), testSubscription(func(s *messagingv1.Subscription) {
			s.Spec.Channel.Name = "other"
		}), nil, []string{"remove " + subscription.Name}},
		{"surplus", activations(held("a")), subscription, surplus, []string{"remove brokersub-old"}},
		{"one of two deleted", activations(dying(held("a")), held("b")), subscription, nil, []string{"let go a"}},
		{"one of two deleted, subscription missing", activations(dying(held("a")), held("b")), nil, nil, []string{"apply", "let go a"}},
		{"last deleted", activations(dying(held("a"))), subscription, nil, []string{"remove " + subscription.Name}},
		{"last two deleted", activations(dying(held("a")), dying(held("b"))), subscription, nil, []string{"remove " + subscription.Name}},
		{"last deleted, subscription going", activations(dying(held("a"))), going, nil, nil},
		{"last deleted, subscription gone", activations(dying(held("a"))), nil, nil, []string{"let go a"}},
		{"last deleted, surplus left", activations(dying(held("a"))), nil, surplus, []string{"remove brokersub-old"}},
		{"last deleted, subscription of another", activations(dying(held("a"))), testSubscription(func(s *messagingv1.Subscription) {
			s.Labels = map[string]string{"theirs": "x"}
		}), nil, []string{"let go a"}},
		{"never held", activations(dying(fresh("a"))), nil, nil, nil},
		{"all activations moved away", nil, subscription, nil, []string{"remove " + subscription.Name}},
		{"orphan of another name", nil, nil, surplus, []string{"remove brokersub-old"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decidePath(pathObserved{
				path: testPath, activations: tt.activations, subscription: tt.subscription, surplus: tt.surplus,
			})
			var words []string
			for _, a := range got.hold {
				words = append(words, "hold "+a.Name)
			}
			for _, a := range got.letGo {
				words = append(words, "let go "+a.Name)
			}
			for _, s := range got.remove {
				words = append(words, "remove "+s.Name)
			}
			if got.apply != nil {
				words = append(words, "apply")
			}
			if diff := cmp.Diff(tt.want, words, sorted); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPathConditions(t *testing.T) {
	complete := func(change func(*pathObserved)) pathObserved {
		o := pathObserved{
			path: testPath, application: testApplication(nil), source: testSource(nil), channel: testChannel(nil),
			subscription: testSubscription(nil), broker: testBroker(nil),
		}
		if change != nil {
			change(&o)
		}
		return o
	}
	sourceNotReady := func(s *sourcesv1.HTTPSource) {
		s.Status.Conditions[0] = metav1.Condition{
			Type: "Ready", Status: metav1.ConditionFalse, Reason: sourcesv1.ReasonServiceNotReady, Message: "not yet",
		}
	}
	for _, tt := range []struct {
		name     string
		observed pathObserved
		kind     string // the condition that is looked at, beside Ready
		want     string
	}{
		{"ready", complete(nil), "ChannelReady", "True Ready "},
		{
			"no application", complete(func(o *pathObserved) { o.application = nil }),
			"ChannelReady", `False ApplicationNotFound Application "shop" does not exist`,
		},
		{
			"no source", complete(func(o *pathObserved) { o.source, o.channel = nil, nil }),
			"ChannelReady", "Unknown HTTPSourceNotFound The HTTPSource does not exist yet",
		},
		{
			"no channel", complete(func(o *pathObserved) { o.channel = nil }),
			"ChannelReady", `False ChannelNotFound Channel "shop" does not exist in kyma-integration`,
		},
		{
			"skipped, no channel", complete(func(o *pathObserved) {
				o.application.Spec.SkipInstallation = true
				o.source, o.channel = nil, nil
			}),
			"ChannelReady",
			`False ChannelNotFound Channel "shop" does not exist in kyma-integration: the Application has skipInstallation set`,
		},
		{
			"skipped, channel made by hand", complete(func(o *pathObserved) {
				o.application.Spec.SkipInstallation = true
				o.source = nil
			}), "ChannelReady", "True Ready ",
		},
		{
			"channel before source", complete(func(o *pathObserved) {
				o.source = testSource(sourceNotReady)
				o.channel.Status.Status = knativeStatus(corev1.ConditionUnknown, "BackingChannelNotConfigured", "not yet")
			}), "ChannelReady", "False BackingChannelNotConfigured Channel shop: not yet",
		},
		{
			"source not ready", complete(func(o *pathObserved) { o.source = testSource(sourceNotReady) }),
			"ChannelReady", "False ServiceNotReady HTTPSource shop: not yet",
		},
		{
			"channel going", complete(func(o *pathObserved) { o.channel.DeletionTimestamp = now() }),
			"ChannelReady", "False ChannelDeleting Channel shop: It is being deleted",
		},
		{
			"no subscription", complete(func(o *pathObserved) { o.subscription = nil }),
			"SubscriptionReady", "Unknown SubscriptionNotFound The Subscription is being made",
		},
		{
			"subscription not ready, with a phrase for a reason", complete(func(o *pathObserved) {
				o.subscription.Name = "s"
				o.subscription.Status.Status = knativeStatus(corev1.ConditionFalse, "Subscriber Resolve's failed", "no broker")
			}), "SubscriptionReady", "False SubscriberResolvesFailed Subscription s: no broker",
		},
		{
			"subscription not ready, without a reason", complete(func(o *pathObserved) {
				o.subscription.Name = "s"
				o.subscription.Status.Status = knativeStatus(corev1.ConditionUnknown, "", "")
			}), "SubscriptionReady", "Unknown SubscriptionNotReady Subscription s",
		},
		{
			"no broker", complete(func(o *pathObserved) { o.broker = nil }), "BrokerReady",
			"False BrokerNotFound Waiting for Knative to install the default Broker, " +
				`for which namespace "sales" has the label knative-eventing-injection=enabled`,
		},
		{
			"broker not ready", complete(func(o *pathObserved) {
				o.broker.Status.Status = knativeStatus(corev1.ConditionFalse, "ChannelFailure", "no stream")
			}), "BrokerReady", "False ChannelFailure Broker default: no stream",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := held("orders")
			a.Generation = 2
			status := activationStatus(&a, decidePath(tt.observed))
			got := conditionWords(status.Conditions)
			if got[tt.kind] != tt.want {
				t.Errorf("%s: got  %q\nwant %q", tt.kind, got[tt.kind], tt.want)
			}
			if got["Ready"] != tt.want {
				t.Errorf("Ready: got  %q\nwant %q", got["Ready"], tt.want)
			}
			if status.ObservedGeneration != 2 || len(got) != 4 {
				t.Errorf("generation %d, %d conditions", status.ObservedGeneration, len(got))
			}
		})
	}
}

func TestRootCause(t *testing.T) {
	a := held("orders")
	status := activationStatus(&a, pathPlan{
		channel: ready(), subscription: failed("SubscriberResolveFailed", "no address"), broker: failed("BrokerNotFound", "wait"),
	})
	if got := conditionWords(status.Conditions)["Ready"]; got != "False BrokerNotFound wait" {
		t.Errorf("Ready: got %q: the Subscription only waits for the Broker", got)
	}
}

func TestStatusOfDyingActivation(t *testing.T) {
	waiting := dying(held("orders"))
	status := activationStatus(&waiting, pathPlan{})
	want := map[string]string{"Ready": "False Deleting Waiting for the Subscription to be removed"}
	if diff := cmp.Diff(want, conditionWords(status.Conditions)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	free := dying(fresh("orders"))
	if status := activationStatus(&free, pathPlan{}); len(status.Conditions) != 0 {
		t.Errorf("conditions of an activation that is not held: %v", status.Conditions)
	}
}

func TestSubscriptionName(t *testing.T) {
	name := SubscriptionName("shop", "sales")
	if name != SubscriptionName("shop", "sales") {
		t.Error("two names for one pair")
	}
	if name == SubscriptionName("shops", "ales") || name == SubscriptionName("sales", "shop") {
		t.Error("one name for two pairs")
	}
	if !strings.HasPrefix(name, "brokersub-") || len(name) > 63 {
		t.Errorf("name %q", name)
	}
}

func TestFedNamespace(t *testing.T) {
	byURL := testSubscription(func(s *messagingv1.Subscription) { s.Spec.Subscriber = nil })
	for _, tt := range []struct {
		name         string
		subscription *messagingv1.Subscription
		want         string
	}{
		{"by reference", testSubscription(nil), "sales"},
		{
			"in its own namespace", testSubscription(func(s *messagingv1.Subscription) { s.Spec.Subscriber.Ref.Namespace = "" }),
			eventmesh.IntegrationNamespace,
		},
		{"another broker", testSubscription(func(s *messagingv1.Subscription) { s.Spec.Subscriber.Ref.Name = "x" }), ""},
		{"a service", testSubscription(func(s *messagingv1.Subscription) { s.Spec.Subscriber.Ref.Kind = "Service" }), ""},
		{"Kyma's, by URL", byURL, "sales"},
		{"anybody's, by URL", testSubscription(func(s *messagingv1.Subscription) { s.Spec.Subscriber, s.Labels = nil, nil }), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := fedNamespace(tt.subscription); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}
