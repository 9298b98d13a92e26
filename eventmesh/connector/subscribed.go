package connector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

// subscribedEvents is the answer to what is subscribed to.
type subscribedEvents struct {
	Events []subscribedEvent `json:"eventsInfo"`
}

// subscribedEvent is one event type of an application that a Trigger waits for.
type subscribedEvent struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// serveSubscribed lists the event types of the application that Triggers, of any namespace, wait for.
func (c *Connector) serveSubscribed(w http.ResponseWriter, r *http.Request) {
	events, err := c.subscribed(r.Context(), r)
	if err != nil {
		writeError(w, r, c.log, err)
		return
	}
	writeJSON(w, http.StatusOK, contentTypeJSON, subscribedEvents{Events: events})
}

func (c *Connector) subscribed(ctx context.Context, r *http.Request) ([]subscribedEvent, error) {
	application, err := identity(r)
	if err != nil {
		return nil, err
	}
	if _, err := (clusterDirectory{c.client}).application(ctx, application); err != nil {
		return nil, err
	}
	var triggers eventingv1.TriggerList
	if err := c.client.List(ctx, &triggers); err != nil {
		return nil, fmt.Errorf("listing triggers: %w", err)
	}
	return subscribedTo(application, triggers.Items), nil
}

// subscribedTo is what triggers wait for from the application, each once, in the order of name and version. A Trigger
// that does not name the application as source counts for none, though it may get its events; one that names no type is
// an event without a name. Whether a Trigger is ready makes no difference.
func subscribedTo(application string, triggers []eventingv1.Trigger) []subscribedEvent {
	events := []subscribedEvent{}
	for i := range triggers {
		attributes := exactAttributes(&triggers[i].Spec)
		if attributes["source"] == application {
			events = append(events, subscribedEvent{Name: attributes["type"], Version: attributes["eventtypeversion"]})
		}
	}
	slices.SortFunc(events, func(a, b subscribedEvent) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return slices.Compact(events)
}

// exactAttributes are the attributes whose value a Trigger fixes. As in Knative, filters stands in the place of filter when
// both are given; of its dialects only exact, alone or within all, fixes a value.
func exactAttributes(spec *eventingv1.TriggerSpec) map[string]string {
	attributes := map[string]string{}
	if len(spec.Filters) > 0 {
		collectExact(spec.Filters, attributes)
	} else if spec.Filter != nil {
		maps.Copy(attributes, spec.Filter.Attributes)
	}
	return attributes
}

// collectExact adds what filters, all of which must hold, fix.
func collectExact(filters []eventingv1.SubscriptionsAPIFilter, attributes map[string]string) {
	for _, filter := range filters {
		maps.Copy(attributes, filter.Exact)
		collectExact(filter.All, attributes)
	}
}
