package v1alpha1

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestServiceEntries(t *testing.T) {
	tests := map[string]struct {
		entries     []Entry
		events, api bool
	}{
		"none":   {},
		"events": {entries: []Entry{{Type: EntryTypeEvents}}, events: true},
		"api":    {entries: []Entry{{Type: EntryTypeAPI}}, api: true},
		"both":   {entries: []Entry{{Type: EntryTypeAPI}, {Type: EntryTypeEvents}}, events: true, api: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &Service{Entries: tt.entries}
			if got := s.HasEvents(); got != tt.events {
				t.Errorf("HasEvents() = %t", got)
			}
			if got := s.HasAPI(); got != tt.api {
				t.Errorf("HasAPI() = %t", got)
			}
		})
	}
}

func TestApplicationService(t *testing.T) {
	app := &Application{Spec: ApplicationSpec{Services: []Service{{ID: "a"}, {ID: "b"}}}}
	if got := app.Service("c"); got != nil {
		t.Errorf("Service(c) = %+v, want nil", got)
	}
	b := app.Service("b")
	if b == nil || b.ID != "b" {
		t.Fatalf("Service(b) = %+v", b)
	}
	b.Name = "changed"
	if app.Spec.Services[1].Name != "changed" {
		t.Error("Service does not point into the Application")
	}
	if got := new(Application).Service(""); got != nil {
		t.Errorf("an empty Application has the service %+v", got)
	}
}

func TestMappingEnables(t *testing.T) {
	tests := map[string]struct {
		mapping *ApplicationMapping
		all     bool
		// enables says so of service "a".
		enables bool
	}{
		"no mapping": {},
		"nil":        {mapping: &ApplicationMapping{}, all: true, enables: true},
		"empty":      {mapping: mapping([]ApplicationMappingService{})},
		"listed":     {mapping: mapping([]ApplicationMappingService{{ID: "b"}, {ID: "a"}}), enables: true},
		"not listed": {mapping: mapping([]ApplicationMappingService{{ID: "b"}})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.mapping.AllServices(); got != tt.all {
				t.Errorf("AllServices() = %t", got)
			}
			if got := tt.mapping.Enables("a"); got != tt.enables {
				t.Errorf(`Enables("a") = %t`, got)
			}
		})
	}
}

// TestMappingRoundTrip: nil enables all and [] none, so every way out of and back into Go must keep them apart.
func TestMappingRoundTrip(t *testing.T) {
	tests := map[string]struct {
		services []ApplicationMappingService
		json     string
	}{
		"nil":   {services: nil, json: `{"metadata":{}}`},
		"empty": {services: []ApplicationMappingService{}, json: `{"metadata":{},"spec":{"services":[]}}`},
		"one":   {services: []ApplicationMappingService{{ID: "a"}}, json: `{"metadata":{},"spec":{"services":[{"id":"a"}]}}`},
	}
	ways := map[string]func(t *testing.T, in *ApplicationMapping, wantJSON string) *ApplicationMapping{
		"encoding/json": throughJSON,
		"unstructured":  throughUnstructured,
		"deep copy": func(_ *testing.T, in *ApplicationMapping, _ string) *ApplicationMapping {
			return in.DeepCopy()
		},
	}
	for name, tt := range tests {
		for way, through := range ways {
			t.Run(name+" through "+way, func(t *testing.T) {
				in := mapping(tt.services)
				if diff := cmp.Diff(in, through(t, in, tt.json)); diff != "" {
					t.Errorf("(-in +out):\n%s", diff)
				}
			})
		}
	}
}

func throughJSON(t *testing.T, in *ApplicationMapping, want string) *ApplicationMapping {
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	out := &ApplicationMapping{}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func throughUnstructured(t *testing.T, in *ApplicationMapping, want string) *ApplicationMapping {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("unstructured (-want +got):\n%s", diff)
	}
	out := &ApplicationMapping{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func mapping(services []ApplicationMappingService) *ApplicationMapping {
	return &ApplicationMapping{Spec: ApplicationMappingSpec{Services: services}}
}
