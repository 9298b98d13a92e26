package jetstream

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"

	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
)

func spec(uid types.UID, host string) eventingduckv1.SubscriberSpec {
	return eventingduckv1.SubscriberSpec{UID: uid, SubscriberURI: apis.HTTP(host)}
}

func TestPlan(t *testing.T) {
	type specs = []eventingduckv1.SubscriberSpec
	type uids = []types.UID
	type running = map[types.UID]eventingduckv1.SubscriberSpec
	a, b, a2 := spec("a", "a"), spec("b", "b"), spec("a", "elsewhere")
	for _, tc := range []struct {
		name         string
		wanted       specs
		keep, stored uids
		running      running
		want         consumerPlan
	}{
		{"nothing", nil, nil, nil, nil, consumerPlan{}},
		{"new", specs{a, b}, nil, uids{"b"}, running{"b": b}, consumerPlan{start: specs{a}}},
		{"as it should be", specs{a, b}, nil, uids{"a", "b"}, running{"a": a, "b": b}, consumerPlan{}},
		{"after a restart", specs{a, b}, nil, uids{"a", "b"}, nil, consumerPlan{start: specs{a, b}}},
		{"changed", specs{a2}, nil, uids{"a"}, running{"a": a}, consumerPlan{change: specs{a2}}},
		{"consumer vanished", specs{a}, nil, nil, running{"a": a}, consumerPlan{start: specs{a}}},
		{"removed", specs{b}, nil, uids{"a", "b"}, running{"a": a, "b": b}, consumerPlan{remove: uids{"a"}}},
		{"removed while the process was down", specs{b}, nil, uids{"a", "b"}, nil, consumerPlan{start: specs{b}, remove: uids{"a"}}},
		{"lost from the list", specs{b}, uids{"a"}, uids{"a", "b"}, running{"a": a, "b": b}, consumerPlan{stop: uids{"a"}}},
		{"back in the list", specs{a, b}, nil, uids{"a", "b"}, running{"b": b}, consumerPlan{start: specs{a}}},
		{"twice in the list", specs{a, a2}, nil, nil, nil, consumerPlan{start: specs{a}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := plan(tc.wanted, tc.keep, tc.stored, tc.running)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(consumerPlan{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSubscriptions(t *testing.T) {
	list := []eventingduckv1.SubscriberSpec{spec("alive", "a"), spec("deleting", "b"), spec("gone", "c")}
	s := subscriptions{"alive": false, "deleting": true}
	if !s.stale(list) || s.stale(list[:2]) {
		t.Error("stale")
	}
	if diff := cmp.Diff(list[:2], s.prune(list)); diff != "" {
		t.Error(diff)
	}
	if len(list) != 3 || list[2].UID != "gone" {
		t.Error("prune changed what it was given")
	}
	if !s.lives("alive") || s.lives("deleting") || s.lives("gone") {
		t.Error("lives")
	}
	if diff := cmp.Diff([]types.UID{"x"}, missing([]types.UID{"gone", "x", "alive"}, list)); diff != "" {
		t.Error(diff)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 253)
	for _, tc := range []struct {
		channel types.NamespacedName
		want    string
	}{
		{types.NamespacedName{Namespace: "a", Name: "b-c"}, "a_b-c"},
		{types.NamespacedName{Namespace: "a-b", Name: "c"}, "a-b_c"},
		{types.NamespacedName{Namespace: "a", Name: "b.c"}, "a_b=c"},
		{types.NamespacedName{Namespace: "a", Name: long}, "a_" + strings.Repeat("n", 165) + "_" + shortHash("a_"+long)},
	} {
		if got := streamName(tc.channel); got != tc.want || len(got) > maxStreamName {
			t.Errorf("%s: got %s, want %s", tc.channel, got, tc.want)
		}
	}
	for uid, want := range map[types.UID]string{
		"0b5a3a0c-31c6-4e9f-8a4f-6f2d6a1b2c3d": "0b5a3a0c-31c6-4e9f-8a4f-6f2d6a1b2c3d",
		"a.b":                                  "_" + shortHash("a.b"),
		"":                                     "_" + shortHash(""),
	} {
		if got := consumerName(uid); got != want {
			t.Errorf("%q: got %s, want %s", uid, got, want)
		}
	}
	for host, want := range map[string]types.NamespacedName{
		Host("orders", "shop"):                             {Namespace: "shop", Name: "orders"},
		"Orders-KN-JetStream.shop.svc.cluster.local:80":    {Namespace: "shop", Name: "orders"},
		"orders-kn-channel.shop.svc.cluster.local":         {},
		"-kn-jetstream.shop.svc.cluster.local":             {},
		"orders-kn-jetstream":                              {},
		"orders-kn-jetstream.shop.svc.cluster.local.evil":  {},
		"orders-kn-jetstream.shop.other.svc.cluster.local": {},
	} {
		if got, ok := parseHost(host); got != want || ok != (want.Name != "") {
			t.Errorf("%s: got %s, %t", host, got, ok)
		}
	}
}

func TestSetStatus(t *testing.T) {
	ch := &kymamessagingv1.JetStreamChannel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", Generation: 7}}
	a, b := spec("a", "a"), spec("b", "b")
	a.Generation, b.Generation = 3, 4
	ch.Spec.Subscribers = []eventingduckv1.SubscriberSpec{a, b}

	setStatus(ch, map[types.UID]error{"b": errors.New("no address")}, nil)
	if !ch.IsReady() || ch.Status.ObservedGeneration != 7 {
		t.Errorf("not ready: %+v", ch.Status)
	}
	if got := ch.Status.Address.URL.String(); got != "http://orders-kn-jetstream.shop.svc.cluster.local" {
		t.Errorf("address %s", got)
	}
	want := []eventingduckv1.SubscriberStatus{
		{UID: "a", ObservedGeneration: 3, Ready: corev1.ConditionTrue},
		{UID: "b", ObservedGeneration: 4, Ready: corev1.ConditionFalse, Message: "no address"},
	}
	if diff := cmp.Diff(want, ch.Status.Subscribers); diff != "" {
		t.Error(diff)
	}

	setStatus(ch, nil, errors.New("disk full"))
	if ch.IsReady() || ch.Status.Address != nil {
		t.Errorf("ready: %+v", ch.Status)
	}
	for _, s := range ch.Status.Subscribers {
		if s.Ready != corev1.ConditionFalse || s.Message != "disk full" {
			t.Errorf("subscriber %+v", s)
		}
	}
	ch.Spec.Subscribers = nil
	setStatus(ch, nil, nil)
	if !ch.IsReady() || ch.Status.Subscribers != nil {
		t.Errorf("after all is well: %+v", ch.Status)
	}
}
