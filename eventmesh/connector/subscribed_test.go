package connector

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

func TestSubscribedTo(t *testing.T) {
	attributes := func(pairs ...string) eventingv1.Trigger {
		filter := &eventingv1.TriggerFilter{Attributes: eventingv1.TriggerFilterAttributes{}}
		for i := 0; i < len(pairs); i += 2 {
			filter.Attributes[pairs[i]] = pairs[i+1]
		}
		return eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Filter: filter}}
	}
	filters := func(filters ...eventingv1.SubscriptionsAPIFilter) eventingv1.Trigger {
		return eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Filters: filters}}
	}
	exact := func(name, value string) eventingv1.SubscriptionsAPIFilter {
		return eventingv1.SubscriptionsAPIFilter{Exact: map[string]string{name: value}}
	}
	both := attributes("source", "shop", "type", "old")
	both.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{exact("source", "shop"), exact("type", "new")}

	tests := []struct {
		name     string
		triggers []eventingv1.Trigger
		want     []subscribedEvent
	}{
		{"no triggers", nil, []subscribedEvent{}},
		{"no filter does not count", []eventingv1.Trigger{{}}, []subscribedEvent{}},
		{"other sources do not count", []eventingv1.Trigger{attributes("source", "other", "type", "a"), attributes("type", "a"), attributes("source", "", "type", "a")}, []subscribedEvent{}},
		{
			"ordered, each once",
			[]eventingv1.Trigger{
				attributes("source", "shop", "type", "b", "eventtypeversion", "v1"),
				attributes("source", "shop", "type", "a", "eventtypeversion", "v2"),
				attributes("source", "shop", "type", "b", "eventtypeversion", "v1"),
				attributes("source", "shop", "type", "a"),
				attributes("source", "shop"),
			},
			[]subscribedEvent{{}, {Name: "a"}, {"a", "v2"}, {"b", "v1"}},
		},
		{
			"newer filters",
			[]eventingv1.Trigger{
				filters(exact("source", "shop"), exact("type", "a")),
				filters(eventingv1.SubscriptionsAPIFilter{All: []eventingv1.SubscriptionsAPIFilter{exact("source", "shop"), exact("type", "b")}}),
				filters(exact("source", "shop"), eventingv1.SubscriptionsAPIFilter{Prefix: map[string]string{"type": "c"}}),
				filters(eventingv1.SubscriptionsAPIFilter{Any: []eventingv1.SubscriptionsAPIFilter{exact("source", "shop")}}),
			},
			[]subscribedEvent{{}, {Name: "a"}, {Name: "b"}},
		},
		{"newer filters stand in the place of the older", []eventingv1.Trigger{both}, []subscribedEvent{{Name: "new"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, subscribedTo("shop", tt.triggers)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
