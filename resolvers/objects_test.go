package resolvers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func TestPage(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, tt := range []struct {
		name          string
		first, offset *int
		want          []string
		invalid       bool
	}{
		{"all", nil, nil, []string{"a", "b", "c"}, false},
		{"zero means no limit", n(0), n(0), []string{"a", "b", "c"}, false},
		{"first", n(2), nil, []string{"a", "b"}, false},
		{"more than there are", n(9), nil, []string{"a", "b", "c"}, false},
		{"offset alone", nil, n(1), []string{"b", "c"}, false},
		{"both", n(1), n(1), []string{"b"}, false},
		{"at the end", n(1), n(3), []string{}, false},
		{"beyond the end", nil, n(9), []string{}, false},
		{"negative first", n(-1), nil, nil, true},
		{"negative offset", nil, n(-1), nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := page([]string{"a", "b", "c"}, tt.first, tt.offset)
			if apierrors.IsBadRequest(err) != tt.invalid {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestEnabledServices(t *testing.T) {
	yes, no := true, false
	x, y := &appv1.ApplicationMappingService{ID: "x"}, &appv1.ApplicationMappingService{ID: "y"}
	for _, tt := range []struct {
		name     string
		all      *bool
		services []*appv1.ApplicationMappingService
		want     []appv1.ApplicationMappingService
	}{
		{"nothing said means all", nil, nil, nil},
		{"all", &yes, nil, nil},
		{"all, whatever else is said", &yes, []*appv1.ApplicationMappingService{x}, nil},
		{"none", &no, nil, []appv1.ApplicationMappingService{}},
		{"some", &no, []*appv1.ApplicationMappingService{x, nil, y, x}, []appv1.ApplicationMappingService{{ID: "x"}, {ID: "y"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, enabledServices(tt.all, tt.services)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestEnabledMapping(t *testing.T) {
	app := &appv1.Application{Spec: appv1.ApplicationSpec{Services: []appv1.Service{{ID: "x", DisplayName: "Orders"}}}}
	for _, tt := range []struct {
		name     string
		services []appv1.ApplicationMappingService
		want     *graph.EnabledMappingService
	}{
		{"all", nil, &graph.EnabledMappingService{AllServices: true}},
		{"none", []appv1.ApplicationMappingService{}, &graph.EnabledMappingService{Services: []*graph.EnabledApplicationService{}}},
		{"some, one gone", []appv1.ApplicationMappingService{{ID: "x"}, {ID: "gone"}}, &graph.EnabledMappingService{
			Services: []*graph.EnabledApplicationService{{ID: "x", DisplayName: "Orders", Exist: true}, {ID: "gone"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &appv1.ApplicationMapping{Spec: appv1.ApplicationMappingSpec{Services: tt.services}}
			if diff := cmp.Diff(tt.want, enabledMapping(app, m)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestCleanTags(t *testing.T) {
	got := cleanTags([]string{"plain", "a,b", " with space ", "über", "", "!?", "under_score-dash"})
	want := []string{"plain", "ab", "with space", "ber", "under_score-dash"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestMetadata(t *testing.T) {
	m := metadataOf(&runtime.RawExtension{Raw: []byte(`{"displayName":"D","imageUrl":7,"labels":{"a":"b","n":1}}`)})
	if got := m.text("displayName"); deref(got) != "D" {
		t.Errorf("displayName: %v", got)
	}
	if got := m.text("missing"); got == nil || *got != "" {
		t.Errorf("missing: got %v, want the empty string", got)
	}
	if got := m.text("imageUrl"); got != nil {
		t.Errorf("of the wrong type: got %q, want nil", *got)
	}
	if diff := cmp.Diff(map[string]string{"a": "b"}, m.labels()); diff != "" {
		t.Errorf("labels: -want +got\n%s", diff)
	}
	if got := metadataOf(&runtime.RawExtension{Raw: []byte(`[]`)}).labels(); len(got) > 0 {
		t.Errorf("not an object: %v", got)
	}
}

func TestJSONSchema(t *testing.T) {
	want := map[string]any{"type": "object"}
	for _, tt := range []struct {
		name string
		raw  *runtime.RawExtension
		want map[string]any
	}{
		{"absent", nil, nil},
		{"empty", &runtime.RawExtension{}, nil},
		{"plain", &runtime.RawExtension{Raw: []byte(`{"type":"object"}`)}, want},
		{"base64 in a JSON string", &runtime.RawExtension{Raw: []byte(`"eyJ0eXBlIjoib2JqZWN0In0="`)}, want},
		{"bare base64", &runtime.RawExtension{Raw: []byte(`eyJ0eXBlIjoib2JqZWN0In0=`)}, want},
		{"nonsense", &runtime.RawExtension{Raw: []byte(`"?"`)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, jsonSchema(tt.raw)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	path := func(namespace string, ready bool) eventmesh.Path {
		return eventmesh.Path{Application: "shop", Namespace: namespace, Ready: ready}
	}
	before := []eventmesh.Path{path("gone", true), path("same", true), path("worse", true)}
	after := []eventmesh.Path{path("new", false), path("same", true), path("worse", false)}
	var got []string
	for _, e := range differences(before, after) {
		got = append(got, string(e.Type)+" "+e.Path.Namespace)
	}
	want := []string{string(k8s.Deleted) + " gone", string(k8s.Added) + " new", string(k8s.Updated) + " worse"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
