package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

func TestDecideInjection(t *testing.T) {
	const label, enabled = eventmesh.BrokerInjectionLabel, eventmesh.BrokerInjectionEnabled
	type m = map[string]string
	ns := func(labels, annotations m) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sales", Labels: labels, Annotations: annotations}}
	}
	type meta struct{ Labels, Annotations m }
	dyingNamespace := ns(nil, nil)
	dyingNamespace.DeletionTimestamp = now()
	own := testBroker(func(b *eventingv1.Broker) { b.Labels = nil })
	going := testBroker(func(b *eventingv1.Broker) { b.DeletionTimestamp = now() })

	for _, tt := range []struct {
		name         string
		observed     injectionObserved
		want         *meta // of the patched namespace
		deleteBroker bool
	}{
		{name: "gone", observed: injectionObserved{wanted: true}},
		{name: "going", observed: injectionObserved{namespace: dyingNamespace, wanted: true}},
		{name: "no business of ours", observed: injectionObserved{namespace: ns(m{label: enabled}, nil), broker: testBroker(nil)}},
		{
			name:     "first activation",
			observed: injectionObserved{namespace: ns(m{"theirs": "x"}, nil), wanted: true, used: true},
			want:     &meta{m{"theirs": "x", label: enabled}, m{InjectionAnnotation: ""}},
		},
		{
			name:     "label says otherwise",
			observed: injectionObserved{namespace: ns(m{label: "disabled"}, nil), wanted: true, used: true},
			want:     &meta{m{label: enabled}, m{InjectionAnnotation: "disabled"}},
		},
		{name: "labelled by somebody", observed: injectionObserved{namespace: ns(m{label: enabled}, nil), wanted: true, used: true}},
		{
			name: "settled", observed: injectionObserved{
				namespace: ns(m{label: enabled}, m{InjectionAnnotation: ""}), wanted: true, used: true,
			},
		},
		{
			name: "label removed by hand: what was before is remembered", observed: injectionObserved{
				namespace: ns(nil, m{InjectionAnnotation: "disabled"}), wanted: true, used: true,
			},
			want: &meta{m{label: enabled}, m{InjectionAnnotation: "disabled"}},
		},
		{
			name: "last activation going, or a trigger left", observed: injectionObserved{
				namespace: ns(m{label: enabled}, m{InjectionAnnotation: ""}), used: true, broker: testBroker(nil),
			},
		},
		{
			name: "unused: first the label", observed: injectionObserved{
				namespace: ns(m{label: enabled}, m{InjectionAnnotation: ""}), broker: testBroker(nil),
			},
			want: &meta{nil, m{InjectionAnnotation: ""}},
		},
		{
			name: "unused: the label as it was", observed: injectionObserved{
				namespace: ns(m{label: enabled}, m{InjectionAnnotation: "disabled"}), broker: testBroker(nil),
			},
			want: &meta{m{label: "disabled"}, m{InjectionAnnotation: "disabled"}},
		},
		{
			name: "unused: then the broker", observed: injectionObserved{
				namespace: ns(nil, m{InjectionAnnotation: ""}), broker: testBroker(nil),
			},
			deleteBroker: true,
		},
		{
			name: "unused: broker going", observed: injectionObserved{
				namespace: ns(nil, m{InjectionAnnotation: ""}), broker: going,
			},
		},
		{
			name: "unused: broker gone", observed: injectionObserved{namespace: ns(nil, m{InjectionAnnotation: ""})},
			want: &meta{},
		},
		{
			name: "unused: broker that somebody made stays", observed: injectionObserved{
				namespace: ns(nil, m{InjectionAnnotation: ""}), broker: own,
			},
			want: &meta{},
		},
		{
			name: "wanted again while it is taken back", observed: injectionObserved{
				namespace: ns(nil, m{InjectionAnnotation: ""}), wanted: true, used: true, broker: going,
			},
			want: &meta{m{label: enabled}, m{InjectionAnnotation: ""}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decideInjection(tt.observed)
			var gotMeta *meta
			if got.namespace != nil {
				gotMeta = &meta{got.namespace.Labels, got.namespace.Annotations}
			}
			if diff := cmp.Diff(tt.want, gotMeta, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("namespace (-want +got):\n%s", diff)
			}
			if got.deleteBroker != tt.deleteBroker {
				t.Errorf("delete broker: got %v", got.deleteBroker)
			}
		})
	}
}
