package broker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// The catalog as Kyma's first version maps Applications to it: every service is a class of its own, with one plan.
type (
	catalogBody struct {
		Services []catalogService `json:"services"`
	}
	catalogService struct {
		ID          string          `json:"id"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Bindable    bool            `json:"bindable"`
		Tags        []string        `json:"tags,omitempty"`
		Metadata    serviceMetadata `json:"metadata"`
		Plans       []catalogPlan   `json:"plans"`
	}
	serviceMetadata struct {
		DisplayName          string            `json:"displayName"`
		ProviderDisplayName  string            `json:"providerDisplayName"`
		LongDescription      string            `json:"longDescription"`
		ApplicationServiceID string            `json:"applicationServiceId"`
		Labels               map[string]string `json:"labels"`
		BindingLabels        map[string]string `json:"bindingLabels,omitempty"`
	}
	catalogPlan struct {
		ID          string       `json:"id"`
		Name        string       `json:"name"`
		Description string       `json:"description"`
		Metadata    planMetadata `json:"metadata"`
	}
	planMetadata struct {
		DisplayName string `json:"displayName"`
	}
)

// connectedAppLabel names the Application on a class. The Console groups classes by it.
const connectedAppLabel = "connected-app"

// maxID is the longest id that Service Catalog takes for a class or plan, in bytes.
const maxID = 63

// planID is the id of the one plan of a service.
func planID(serviceID string) string { return serviceID + "-plan" }

// catalog answers what the namespace may use.
func (b *broker) catalog(r *http.Request) (answer, error) {
	namespace := chi.URLParam(r, "namespace")
	offers, err := b.offers(r.Context(), namespace)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, catalogOf(offers, func(o offer, reason string) {
		b.Log.WarnContext(r.Context(), "service left out of the catalog", "namespace", namespace,
			"application", o.application.Name, "service", o.service.ID, "reason", reason)
	})}, nil
}

// catalogOf is the catalog of the offers that are enabled. Those that cannot be offered are told to leftOut, so that
// one of them does not take the others away.
func catalogOf(offers []offer, leftOut func(o offer, reason string)) catalogBody {
	body := catalogBody{Services: []catalogService{}}
	seen := map[string]bool{}
	for _, o := range offers {
		if !o.enabled {
			continue
		}
		reason := invalid(o.service)
		if reason == "" && seen[o.service.ID] {
			reason = "an application before it has a service with this id"
		}
		if reason != "" {
			leftOut(o, reason)
			continue
		}
		seen[o.service.ID] = true
		body.Services = append(body.Services, classOf(o))
	}
	return body
}

// offer is a service of an Application, seen from a namespace.
type offer struct {
	application *appv1.Application
	service     *appv1.Service
	// mapped is whether the namespace has an ApplicationMapping for the Application, enabled whether that covers the
	// service.
	mapped, enabled bool
}

// offers are all services of all Applications, in the order of offersIn.
func (b *broker) offers(ctx context.Context, namespace string) ([]offer, error) {
	var applications appv1.ApplicationList
	if err := b.Client.List(ctx, &applications); err != nil {
		return nil, fmt.Errorf("listing applications: %w", err)
	}
	var mappings appv1.ApplicationMappingList
	if err := b.Client.List(ctx, &mappings, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing application mappings: %w", err)
	}
	return offersIn(applications.Items, mappings.Items), nil
}

// offersIn are the services of applications, by the name of the application and then in its own order. Applications on
// their way out offer nothing. The result points into applications.
func offersIn(applications []appv1.Application, mappings []appv1.ApplicationMapping) []offer {
	mapping := make(map[string]*appv1.ApplicationMapping, len(mappings))
	for i := range mappings {
		mapping[mappings[i].Name] = &mappings[i]
	}
	var offers []offer
	for i := range applications {
		app := &applications[i]
		if app.DeletionTimestamp != nil {
			continue
		}
		for j := range app.Spec.Services {
			service := &app.Spec.Services[j]
			m := mapping[app.Name]
			offers = append(offers, offer{app, service, m != nil, m.Enables(service.ID)})
		}
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return cmp.Compare(a.application.Name, b.application.Name) })
	return offers
}

// invalid says why a service cannot be offered, "" if it can. One class that Service Catalog refuses would hold up all
// classes of the namespace.
func invalid(s *appv1.Service) string {
	var apis, events int
	for _, e := range s.Entries {
		switch e.Type {
		case appv1.EntryTypeAPI:
			apis++
		case appv1.EntryTypeEvents:
			events++
		}
	}
	switch {
	case s.ID == "" || s.Name == "":
		return "it has no id or no name"
	case len(planID(s.ID)) > maxID || len(s.Name) > maxID:
		return fmt.Sprintf("its name has more than %d characters or its id more than %d", maxID, maxID-len(planID("")))
	case apis+events == 0:
		return "it has neither an API nor events"
	case apis > 1 || events > 1:
		return "it has more than one API or more than one events entry"
	}
	return ""
}

func classOf(o offer) catalogService {
	s := o.service
	labels := maps.Clone(s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["provisionOnlyOnce"] = "true"
	labels[connectedAppLabel] = cmp.Or(labels[connectedAppLabel], o.application.Name)
	var bindingLabels map[string]string
	if len(s.Entries) == 1 && s.HasAPI() && s.Entries[0].AccessLabel != "" {
		bindingLabels = map[string]string{s.Entries[0].AccessLabel: "true"}
	}
	return catalogService{
		ID:   s.ID,
		Name: s.Name,
		// The API wants a description, and Service Catalog refuses a class without.
		Description: cmp.Or(s.Description, s.DisplayName, s.Name),
		// Events are for the whole namespace once provisioned: there is nothing to bind.
		Bindable: s.HasAPI(),
		Tags:     s.Tags,
		Metadata: serviceMetadata{
			DisplayName:          s.DisplayName,
			ProviderDisplayName:  s.ProviderDisplayName,
			LongDescription:      s.LongDescription,
			ApplicationServiceID: s.ID,
			Labels:               labels,
			BindingLabels:        bindingLabels,
		},
		Plans: []catalogPlan{{
			ID:          planID(s.ID),
			Name:        "default",
			Description: "Default plan",
			Metadata:    planMetadata{DisplayName: "Default"},
		}},
	}
}

// find is the offer of a service, preferring one that the namespace may use when several applications have a service
// of that id; nil if none has.
func find(offers []offer, serviceID string) *offer {
	var found *offer
	for i, o := range offers {
		if o.service.ID == serviceID && (found == nil || o.enabled && !found.enabled) {
			found = &offers[i]
		}
	}
	return found
}
