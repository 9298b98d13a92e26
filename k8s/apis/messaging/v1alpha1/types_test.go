package v1alpha1

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/apis/duck"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// Knative's reconcilers ask for this.
var _ duckv1.KRShaped = (*JetStreamChannel)(nil)

func TestConditions(t *testing.T) {
	url := apis.HTTP("shop-kn-jetstream.kyma-integration.svc.cluster.local")
	tests := map[string]struct {
		mark                       func(*JetStreamChannel)
		stream, addressable, ready corev1.ConditionStatus
	}{
		"new": {
			mark:   func(*JetStreamChannel) {},
			stream: corev1.ConditionUnknown, addressable: corev1.ConditionUnknown, ready: corev1.ConditionUnknown,
		},
		"stream only": {
			mark:   func(c *JetStreamChannel) { c.MarkStreamReady() },
			stream: corev1.ConditionTrue, addressable: corev1.ConditionUnknown, ready: corev1.ConditionUnknown,
		},
		"both": {
			mark:   func(c *JetStreamChannel) { c.MarkStreamReady(); c.SetAddress(url) },
			stream: corev1.ConditionTrue, addressable: corev1.ConditionTrue, ready: corev1.ConditionTrue,
		},
		"stream lost": {
			mark: func(c *JetStreamChannel) {
				c.MarkStreamReady()
				c.SetAddress(url)
				c.MarkStreamNotReady("StreamFailed", "disk %s", "full")
			},
			stream: corev1.ConditionFalse, addressable: corev1.ConditionTrue, ready: corev1.ConditionFalse,
		},
		"address lost": {
			mark: func(c *JetStreamChannel) {
				c.MarkStreamReady()
				c.SetAddress(url)
				c.SetAddress(nil)
			},
			stream: corev1.ConditionTrue, addressable: corev1.ConditionFalse, ready: corev1.ConditionFalse,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &JetStreamChannel{}
			c.InitializeConditions()
			tt.mark(c)
			want := map[apis.ConditionType]corev1.ConditionStatus{
				ConditionStreamReady: tt.stream, ConditionAddressable: tt.addressable, ConditionReady: tt.ready,
			}
			got := map[apis.ConditionType]corev1.ConditionStatus{}
			for _, cond := range c.GetStatus().Conditions {
				got[cond.Type] = cond.Status
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got, want := c.IsReady(), tt.ready == corev1.ConditionTrue; got != want {
				t.Errorf("IsReady() = %t, want %t", got, want)
			}
			if got, want := c.Status.Address != nil, tt.addressable == corev1.ConditionTrue; got != want {
				t.Errorf("has an address: %t, want %t", got, want)
			}
		})
	}
}

func TestIsReadyOfOldGeneration(t *testing.T) {
	c := &JetStreamChannel{}
	c.MarkStreamReady()
	c.SetAddress(apis.HTTP("a"))
	c.Generation = 2
	c.Status.ObservedGeneration = 1
	if c.IsReady() {
		t.Error("ready by a status about an older spec")
	}
}

// TestChannelable: Knative reads and writes the channel as its duck type, so every field of that must be where it
// expects it, and every field of ours must be one of its own.
func TestChannelable(t *testing.T) {
	knative := &eventingduckv1.Channelable{}
	knative.Populate()
	knative.APIVersion, knative.Kind, knative.Name = GroupVersion.String(), "JetStreamChannel", "shop"

	data, err := json.Marshal(knative)
	if err != nil {
		t.Fatal(err)
	}
	ours := &JetStreamChannel{}
	if err := json.Unmarshal(data, ours); err != nil {
		t.Fatal(err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ours)
	if err != nil {
		t.Fatal(err)
	}
	back := &eventingduckv1.Channelable{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(knative, back); diff != "" {
		t.Errorf("(-Knative's +through ours):\n%s", diff)
	}
	if err := duck.VerifyType(&JetStreamChannel{}, &eventingduckv1.Channelable{}); err != nil {
		t.Error(err)
	}
}
