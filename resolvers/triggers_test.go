package resolvers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
)

func subscriber(name, namespace string) *graph.SubscriberInput {
	return &graph.SubscriberInput{Ref: &graph.SubscriberRefInput{APIVersion: "v1", Kind: "Service", Name: name, Namespace: namespace}}
}

func uri(s string) *apis.URL {
	u, err := apis.ParseURL(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestNewTrigger(t *testing.T) {
	name, port, path := "on-order", uint32(8080), "hook/in"
	elaborate := subscriber("lambda", "prod")
	elaborate.Port, elaborate.Path = &port, &path
	for _, tt := range []struct {
		name string
		in   graph.TriggerCreateInput
		want eventingv1.Trigger
		err  string
	}{
		{
			name: "as the Console asks for it",
			in: graph.TriggerCreateInput{Name: &name, Broker: "default", Subscriber: subscriber("lambda", "prod"), FilterAttributes: map[string]any{
				"type": "order.created", "eventtypeversion": "v1", "source": "shop", "n": json.Number("3"), "any": "",
			}},
			want: eventingv1.Trigger{
				ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "on-order"},
				Spec: eventingv1.TriggerSpec{
					Broker: "default",
					Filter: &eventingv1.TriggerFilter{Attributes: eventingv1.TriggerFilterAttributes{
						"type": "order.created", "eventtypeversion": "v1", "source": "shop", "n": "3", "any": "",
					}},
					Subscriber: duckv1.Destination{URI: uri("http://lambda.prod.svc.cluster.local:80/")},
				},
			},
		},
		{
			name: "without name, broker and filter",
			in:   graph.TriggerCreateInput{Subscriber: elaborate},
			want: eventingv1.Trigger{
				ObjectMeta: metav1.ObjectMeta{Namespace: "prod", GenerateName: "lambda-"},
				Spec: eventingv1.TriggerSpec{
					Broker:     "default",
					Subscriber: duckv1.Destination{URI: uri("http://lambda.prod.svc.cluster.local:8080/hook/in")},
				},
			},
		},
		{name: "service of another namespace", in: graph.TriggerCreateInput{Subscriber: subscriber("lambda", "other")}, err: `subscriber.ref.namespace is "other", not "prod"`},
		{name: "no service", in: graph.TriggerCreateInput{Subscriber: subscriber("", "prod")}, err: "subscriber.ref.name must not be empty"},
		{
			name: "bad attribute", in: graph.TriggerCreateInput{Subscriber: subscriber("lambda", "prod"), FilterAttributes: map[string]any{"Event-Type": "x"}},
			err: `"Event-Type" is not the name of an attribute`,
		},
		{
			name: "bad value", in: graph.TriggerCreateInput{Subscriber: subscriber("lambda", "prod"), FilterAttributes: map[string]any{"type": map[string]any{}}},
			err: `the value of "type" must be a string`,
		},
		{
			name: "null value", in: graph.TriggerCreateInput{Subscriber: subscriber("lambda", "prod"), FilterAttributes: map[string]any{"type": nil}},
			err: `the value of "type" must be a string`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newTrigger(t.Context(), "prod", &tt.in, nil)
			if tt.err != "" {
				if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got error %v, want a bad request with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// destinations are all that kubectl can make a Trigger call.
var destinations = map[string]duckv1.Destination{
	"nothing":                  {},
	"service by reference":     {Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "lambda", Namespace: "prod"}},
	"reference, no namespace":  {Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "lambda"}},
	"relative to a reference":  {Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "lambda"}, URI: &apis.URL{Path: "hook"}},
	"elsewhere by reference":   {Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "lambda", Namespace: "other"}},
	"as the Console writes it": {URI: uri("http://lambda.prod.svc.cluster.local:80/")},
	"without a port":           {URI: uri("http://lambda.prod.svc.cluster.local")},
	"short":                    {URI: uri("http://lambda.prod/hook")},
	"other port":               {URI: uri("http://lambda.prod.svc:8080")},
	"outside":                  {URI: uri("https://example.com/a/b")},
}

func TestPortAndPath(t *testing.T) {
	want := map[string][]any{
		"nothing":                  {uint32(80), "/"},
		"service by reference":     {uint32(80), "/"},
		"reference, no namespace":  {uint32(80), "/"},
		"relative to a reference":  {uint32(80), "/hook"},
		"elsewhere by reference":   {uint32(80), "/"},
		"as the Console writes it": {uint32(80), "/"},
		"without a port":           {uint32(80), "/"},
		"short":                    {uint32(80), "/hook"},
		"other port":               {uint32(8080), "/"},
		"outside":                  {uint32(443), "/a/b"},
	}
	for name, d := range destinations {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want[name], []any{portOf(&d), pathOf(&d)}); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	lambda, port, path := "lambda", uint32(8080), "hook"
	atPort, atPath := subscriber("lambda", "prod"), subscriber("lambda", "prod")
	atPort.Port, atPath.Path = &port, &path
	for _, tt := range []struct {
		name        string
		serviceName *string
		subscriber  *graph.SubscriberInput
		want        []string // of destinations
	}{
		{"by service name", &lambda, nil, []string{
			"service by reference", "reference, no namespace", "relative to a reference", "as the Console writes it", "without a port", "short", "other port",
		}},
		{"by subscriber", nil, subscriber("lambda", "prod"), []string{
			"service by reference", "reference, no namespace", "relative to a reference", "as the Console writes it", "without a port", "short", "other port",
		}},
		{"by subscriber elsewhere", nil, subscriber("lambda", "other"), []string{"elsewhere by reference"}},
		{"by subscriber and port", nil, atPort, []string{"other port"}},
		{"by subscriber and path", nil, atPath, []string{"relative to a reference", "short"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]bool{}
			for _, name := range tt.want {
				want[name] = true
			}
			wants, err := calls(tt.serviceName, tt.subscriber)
			if err != nil {
				t.Fatal(err)
			}
			for name, d := range destinations {
				trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "prod"}, Spec: eventingv1.TriggerSpec{Subscriber: d}}
				if got := wants(trigger); got != want[name] {
					t.Errorf("%s: got %t, want %t", name, got, want[name])
				}
			}
		})
	}
	if wants, err := calls(nil, nil); err != nil || !wants(&eventingv1.Trigger{}) {
		t.Errorf("without arguments every Trigger is wanted: %v", err)
	}
}

// TestSelection follows an object through a selection, whatever of it was known and whatever the hub left out.
func TestSelection(t *testing.T) {
	trigger := func(service string) *eventingv1.Trigger {
		return &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: "t", Namespace: "n"}, Spec: eventingv1.TriggerSpec{Subscriber: duckv1.Destination{URI: uri("http://" + service + ".n")}}}
	}
	for _, tt := range []struct {
		name   string
		known  bool
		change k8s.EventType
		calls  string
		want   k8s.EventType // "" for nothing
	}{
		{"made", false, k8s.Added, "lambda", k8s.Added},
		{"made and already listed", true, k8s.Added, "lambda", k8s.Added},
		{"made elsewhere", false, k8s.Added, "other", ""},
		{"changed", true, k8s.Updated, "lambda", k8s.Updated},
		{"changed elsewhere", false, k8s.Updated, "other", ""},
		{"moved in", false, k8s.Updated, "lambda", k8s.Added},
		{"moved out", true, k8s.Updated, "other", k8s.Deleted},
		{"deleted", true, k8s.Deleted, "lambda", k8s.Deleted},
		{"moved out and deleted before it was read", true, k8s.Deleted, "other", k8s.Deleted},
		{"moved in and deleted before it was read", false, k8s.Deleted, "lambda", ""},
		{"replaced by one elsewhere", true, k8s.Added, "other", k8s.Deleted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lambda := "lambda"
			wants, err := calls(&lambda, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := selection[*eventingv1.Trigger]{wants: wants, known: map[client.ObjectKey]bool{}}
			if tt.known {
				s.known[client.ObjectKey{Namespace: "n", Name: "t"}] = true
			}
			got, ok := s.see(k8sEvent[*eventingv1.Trigger]{Type: tt.change, Object: trigger(tt.calls)})
			if ok != (tt.want != "") || (ok && got.Type != tt.want) {
				t.Errorf("got %s, %t, want %q", got.Type, ok, tt.want)
			}
			if is := tt.calls == lambda && tt.change != k8s.Deleted; len(s.known) == 1 != is {
				t.Errorf("then %v is known", s.known)
			}
		})
	}
}
