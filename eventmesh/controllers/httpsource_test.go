package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// sorted compares lists of words in any order.
var sorted = cmp.Options{cmpopts.SortSlices(func(a, b string) bool { return a < b }), cmpopts.EquateEmpty()}

const testSink = "http://shop-kn-channel.kyma-integration.svc.cluster.local"

func testChannel(change func(*messagingv1.Channel)) *messagingv1.Channel {
	want := channelManifest(testSource(nil))
	c := &messagingv1.Channel{ObjectMeta: metav1.ObjectMeta{
		Namespace: want.namespace, Name: want.name, Generation: 1, Labels: want.labels,
		OwnerReferences: []metav1.OwnerReference{*want.owner},
	}}
	c.Status.Status = knativeStatus(corev1.ConditionTrue, "", "")
	c.Status.Address = &duckv1.Addressable{URL: apis.HTTP("shop-kn-channel.kyma-integration.svc.cluster.local")}
	if change != nil {
		change(c)
	}
	return c
}

func testService(change func(*corev1.Service)) *corev1.Service {
	want := serviceManifest(testSource(nil))
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: want.namespace, Name: want.name, Labels: want.labels,
			OwnerReferences: []metav1.OwnerReference{*want.owner},
		},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{eventmesh.ApplicationNameLabel: "shop"},
			Ports: []corev1.ServicePort{{
				Name: "http-cloudevent", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080),
			}},
		},
	}
	if change != nil {
		change(s)
	}
	return s
}

func TestDecideSource(t *testing.T) {
	noAddress := func(c *messagingv1.Channel) { c.Status.Address = nil }
	for _, tt := range []struct {
		name    string
		channel *messagingv1.Channel
		service *corev1.Service
		want    []string
		sink    string
	}{
		{"new", nil, nil, []string{"channel"}, ""},
		{"channel without address", testChannel(noAddress), nil, nil, ""},
		{"channel with an empty address", testChannel(func(c *messagingv1.Channel) {
			c.Status.Address = &duckv1.Addressable{}
		}), nil, nil, ""},
		{"channel ready", testChannel(nil), nil, []string{"service"}, testSink},
		{"settled", testChannel(nil), testService(nil), nil, testSink},
		{"channel deleted by hand", nil, testService(nil), []string{"channel"}, ""},
		{"channel going", testChannel(func(c *messagingv1.Channel) { c.DeletionTimestamp = now() }), testService(nil), nil, ""},
		{
			"channel lost its label", testChannel(func(c *messagingv1.Channel) { c.Labels = nil }), testService(nil),
			[]string{"channel"},
			testSink,
		},
		{
			"channel made by hand is taken over", testChannel(func(c *messagingv1.Channel) { c.OwnerReferences = nil }),
			testService(nil),
			[]string{"channel"},
			testSink,
		},
		{"channel of a source before", testChannel(func(c *messagingv1.Channel) { c.OwnerReferences[0].UID = "x" }), nil, nil, ""},
		{
			"channel of another", testChannel(func(c *messagingv1.Channel) {
				c.OwnerReferences[0].UID, c.OwnerReferences[0].Kind = "x", "Other"
			}), nil,
			[]string{"foreign"},
			"",
		},
		{
			"service changed", testChannel(nil), testService(func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 }),
			[]string{"service"},
			testSink,
		},
		{"service going", testChannel(nil), testService(func(s *corev1.Service) { s.DeletionTimestamp = now() }), nil, testSink},
		{
			"service of a source before", testChannel(nil),
			testService(func(s *corev1.Service) { s.OwnerReferences[0].UID = "x" }),
			nil, testSink,
		},
		{
			"service of another", testChannel(nil), testService(func(s *corev1.Service) {
				s.OwnerReferences[0].UID, s.OwnerReferences[0].Kind = "x", "Other"
			}),
			[]string{"foreign"},
			testSink,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decideSource(sourceObserved{testSource(nil), tt.channel, tt.service})
			words := doing(map[string]bool{
				"channel": got.channel != nil, "service": got.service != nil, "foreign": len(got.foreign) > 0,
			})
			if diff := cmp.Diff(tt.want, words, sorted); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if got.sink != tt.sink {
				t.Errorf("sink %q, want %q", got.sink, tt.sink)
			}
		})
	}
}

func TestSourceStatus(t *testing.T) {
	running := []metav1.Condition{
		{Type: "Deployed", Status: "True", Reason: "Ready"},
		{Type: "ServiceCreated", Status: "True", Reason: "Ready"},
	}
	const noSink = "False SinkNotFound The sink does not exist or its URL is not set"
	for _, tt := range []struct {
		name    string
		before  []metav1.Condition
		outcome sourceOutcome
		want    map[string]string
	}{
		{
			"no sink yet", nil,
			sourceOutcome{},
			map[string]string{
				"SinkProvided":   noSink,
				"Deployed":       "Unknown ServiceNotReady The adapter Service is not yet ready",
				"ServiceCreated": "Unknown ServiceNotCreated The Service is not created",
				"Ready":          noSink,
			},
		},
		{
			"sink lost", running,
			sourceOutcome{adapterReady: false, serviceExists: false},
			map[string]string{
				"SinkProvided":   noSink,
				"Deployed":       "True Ready ",
				"ServiceCreated": "True Ready ",
				"Ready":          noSink,
			},
		},
		{
			"adapter starting", nil,
			sourceOutcome{sink: testSink, serviceExists: true, adapterMessage: "0 of 1 pods"},
			map[string]string{
				"SinkProvided":   "True Ready ",
				"Deployed":       "False ServiceNotReady The adapter Service is not yet ready: 0 of 1 pods",
				"ServiceCreated": "True Ready ",
				"Ready":          "False ServiceNotReady The adapter Service is not yet ready: 0 of 1 pods",
			},
		},
		{
			"service refused", running,
			sourceOutcome{sink: testSink, adapterReady: true, serviceMessage: "bad name"},
			map[string]string{
				"SinkProvided":   "True Ready ",
				"Deployed":       "True Ready ",
				"ServiceCreated": "Unknown ServiceNotCreated The Service is not created: bad name",
				"Ready":          "Unknown ServiceNotCreated The Service is not created: bad name",
			},
		},
		{
			"all there", nil,
			sourceOutcome{sink: testSink, adapterReady: true, serviceExists: true},
			map[string]string{
				"SinkProvided": "True Ready ", "Deployed": "True Ready ", "ServiceCreated": "True Ready ", "Ready": "True Ready ",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := testSource(func(s *sourcesv1.HTTPSource) { s.Generation, s.Status.Conditions = 3, tt.before })
			got := sourceStatus(source, tt.outcome)
			if got.SinkURI != tt.outcome.sink || got.ObservedGeneration != 3 {
				t.Errorf("SinkURI %q, generation %d", got.SinkURI, got.ObservedGeneration)
			}
			if diff := cmp.Diff(tt.want, conditionWords(got.Conditions)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

// conditionWords maps the types of conditions to what they say.
func conditionWords(conditions []metav1.Condition) map[string]string {
	words := map[string]string{}
	for _, c := range conditions {
		words[c.Type] = string(c.Status) + " " + c.Reason + " " + c.Message
	}
	return words
}
