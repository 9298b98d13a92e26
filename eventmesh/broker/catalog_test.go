package broker

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func TestClassOf(t *testing.T) {
	app := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	for _, tc := range []struct {
		name    string
		service appv1.Service
		want    string
	}{
		{
			name: "events",
			service: appv1.Service{
				ID: "s", Name: "orders", DisplayName: "Orders", Description: "All orders", LongDescription: "All of them",
				ProviderDisplayName: "Shop Inc.", Tags: []string{"a"}, Labels: map[string]string{"l": "v"},
				Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
			},
			want: `{"id": "s", "name": "orders", "description": "All orders", "bindable": false, "tags": ["a"],
				"metadata": {"displayName": "Orders", "providerDisplayName": "Shop Inc.", "longDescription": "All of them",
					"applicationServiceId": "s", "labels": {"l": "v", "connected-app": "shop", "provisionOnlyOnce": "true"}},
				"plans": [{"id": "s-plan", "name": "default", "description": "Default plan", "metadata": {"displayName": "Default"}}]}`,
		},
		{
			name: "API, with a label of its own and no description",
			service: appv1.Service{
				ID: "s", Name: "orders", DisplayName: "Orders", Labels: map[string]string{"connected-app": "other"},
				Entries: []appv1.Entry{{Type: appv1.EntryTypeAPI, AccessLabel: "re-1"}},
			},
			want: `{"id": "s", "name": "orders", "description": "Orders", "bindable": true,
				"metadata": {"displayName": "Orders", "providerDisplayName": "", "longDescription": "", "applicationServiceId": "s",
					"labels": {"connected-app": "other", "provisionOnlyOnce": "true"}, "bindingLabels": {"re-1": "true"}},
				"plans": [{"id": "s-plan", "name": "default", "description": "Default plan", "metadata": {"displayName": "Default"}}]}`,
		},
		{
			name: "both: no binding label",
			service: appv1.Service{
				ID: "s", Name: "orders", Description: "d",
				Entries: []appv1.Entry{{Type: appv1.EntryTypeAPI, AccessLabel: "re-1"}, {Type: appv1.EntryTypeEvents}},
			},
			want: `{"id": "s", "name": "orders", "description": "d", "bindable": true,
				"metadata": {"displayName": "", "providerDisplayName": "", "longDescription": "", "applicationServiceId": "s",
					"labels": {"connected-app": "shop", "provisionOnlyOnce": "true"}},
				"plans": [{"id": "s-plan", "name": "default", "description": "Default plan", "metadata": {"displayName": "Default"}}]}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			labels := len(tc.service.Labels)
			data, err := json.Marshal(classOf(offer{application: app, service: &tc.service}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, tc.want), decode(t, string(data))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(tc.service.Labels) != labels {
				t.Error("the Application, which is the cache's, was changed")
			}
		})
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNoServices(t *testing.T) {
	data, err := json.Marshal(catalogOf(nil, nil))
	if err != nil || string(data) != `{"services":[]}` {
		t.Errorf("an empty catalog is %s, %v", data, err)
	}
}

func TestCatalogOf(t *testing.T) {
	app := func(name string, services ...appv1.Service) appv1.Application {
		return appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationSpec{Services: services}}
	}
	service := func(id string) appv1.Service {
		return appv1.Service{ID: id, Name: id, Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}}}
	}
	mapping := func(name string, services []appv1.ApplicationMappingService) appv1.ApplicationMapping {
		return appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationMappingSpec{Services: services}}
	}
	now := metav1.Unix(0, 0)
	leaving := app("f-leaving", service("6"))
	leaving.DeletionTimestamp = &now
	applications := []appv1.Application{
		app("e-some", service("3"), service("4"), service("2")),
		app("a-all", service("1"), appv1.Service{ID: "bad", Name: "bad"}),
		app("b-none", service("9")),
		app("c-unmapped", service("8")),
		app("d-twice", service("1"), service("5")),
		leaving,
	}
	mappings := []appv1.ApplicationMapping{
		mapping("a-all", nil), mapping("d-twice", nil), mapping("f-leaving", nil),
		mapping("b-none", []appv1.ApplicationMappingService{}),
		mapping("e-some", []appv1.ApplicationMappingService{{ID: "2"}, {ID: "3"}, {ID: "not there"}}),
	}
	var left []string
	body := catalogOf(offersIn(applications, mappings), func(o offer, reason string) {
		left = append(left, o.application.Name+"/"+o.service.ID+": "+reason)
	})
	var got []string
	for _, s := range body.Services {
		got = append(got, s.ID)
	}
	if diff := cmp.Diff([]string{"1", "5", "3", "2"}, got); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	wantLeft := []string{
		"a-all/bad: it has neither an API nor events",
		"d-twice/1: an application before it has a service with this id",
	}
	if diff := cmp.Diff(wantLeft, left); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestInvalid(t *testing.T) {
	api, events := appv1.Entry{Type: appv1.EntryTypeAPI}, appv1.Entry{Type: appv1.EntryTypeEvents}
	for _, tc := range []struct {
		service appv1.Service
		want    string
	}{
		{appv1.Service{ID: "s", Name: "n", Entries: []appv1.Entry{api, events}}, ""},
		{appv1.Service{ID: strings.Repeat("s", 58), Name: "n", Entries: []appv1.Entry{events}}, ""},
		{
			appv1.Service{ID: strings.Repeat("s", 59), Name: "n", Entries: []appv1.Entry{events}},
			"its name has more than 63 characters or its id more than 58",
		},
		{appv1.Service{ID: "s", Entries: []appv1.Entry{events}}, "it has no id or no name"},
		{appv1.Service{ID: "s", Name: "n"}, "it has neither an API nor events"},
		{appv1.Service{ID: "s", Name: "n", Entries: []appv1.Entry{events, events}}, "it has more than one API or more than one events entry"},
		{appv1.Service{ID: "s", Name: "n", Entries: []appv1.Entry{api, api}}, "it has more than one API or more than one events entry"},
	} {
		if got := invalid(&tc.service); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.service, got, tc.want)
		}
	}
}

func TestFind(t *testing.T) {
	offers := []offer{
		{service: &appv1.Service{ID: "1"}, application: &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "a"}}},
		{service: &appv1.Service{ID: "1"}, application: &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, enabled: true},
	}
	if o := find(offers, "1"); o == nil || o.application.Name != "b" {
		t.Errorf("found %+v, want the one that may be used", o)
	}
	if o := find(offers[:1], "1"); o == nil || o.application.Name != "a" {
		t.Errorf("found %+v, want the only one", o)
	}
	if o := find(offers, "2"); o != nil {
		t.Errorf("found %+v for an unknown service", o)
	}
}
