package resolvers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// shop is a scene with everything that has to be there, and nothing of the connection: two event services and an API.
func shop() *scene {
	service := func(id, name string, entry appv1.EntryType) appv1.Service {
		return appv1.Service{ID: id, Name: name, Entries: []appv1.Entry{{Type: entry}}}
	}
	s := &scene{
		app: &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: appv1.ApplicationSpec{Services: []appv1.Service{
			service("1", "orders", appv1.EntryTypeEvents), service("2", "items", appv1.EntryTypeEvents), service("3", "prices", appv1.EntryTypeAPI),
		}}},
		function:   &functionsv1.Function{ObjectMeta: metav1.ObjectMeta{Name: "f", UID: "u-1"}},
		documented: []graph.EventType{{Type: "order.sent", Version: "v2", Service: "2"}, {Type: "order.sent", Version: "v2", Service: "1"}},
	}
	for _, class := range [][]string{{"1", "orders"}, {"2", "items"}} {
		s.classes = append(s.classes, scv1.ServiceClass{
			ObjectMeta: metav1.ObjectMeta{Name: class[0]},
			Spec:       scv1.ServiceClassSpec{CommonServiceClassSpec: scv1.CommonServiceClassSpec{ExternalID: class[0], ExternalName: class[1]}},
		})
		s.plans = append(s.plans, scv1.ServicePlan{Spec: scv1.ServicePlanSpec{
			CommonServicePlanSpec: scv1.CommonServicePlanSpec{ExternalName: "default"}, ServiceClassRef: scv1.LocalObjectReference{Name: class[0]},
		}})
	}
	return s
}

func mappingOf(ids ...string) *appv1.ApplicationMapping {
	m := &appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod"}}
	for _, id := range ids {
		m.Spec.Services = append(m.Spec.Services, appv1.ApplicationMappingService{ID: id})
	}
	return m
}

func triggerOf(name, destination string, attributes map[string]string) eventingv1.Trigger {
	return eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "prod"}, Spec: eventingv1.TriggerSpec{
		Broker: "default", Filter: &eventingv1.TriggerFilter{Attributes: attributes}, Subscriber: duckv1.Destination{URI: uri(destination)},
	}}
}

// told is a step as a line.
func told(s *step) string {
	line := fmt.Sprintf("%s %s %s", s.outcome, s.kind, s.object.GetName())
	switch o := s.object.(type) {
	case *appv1.ApplicationMapping:
		if o.AllServices() {
			return line + " all"
		}
		for _, service := range o.Spec.Services {
			line += " " + service.ID
		}
	case *scv1.ServiceInstance:
		if s.outcome == graph.ConnectOutcomeCreated {
			line += fmt.Sprintf(" of %q %q", o.Spec.ServiceClassExternalName, o.Spec.ServicePlanExternalName)
		}
	case *eventingv1.Trigger:
		line += fmt.Sprintf(" %v", o.Spec.Filter.Attributes)
	}
	if s.waits {
		line += " (waits)"
	}
	return line
}

func TestPlanConnection(t *testing.T) {
	sent := map[string]string{"source": "shop", "type": "order.sent", "eventtypeversion": "v2"}
	name := triggerName("f", "default", "shop", "order.sent", "v2")
	all := []string{
		"CREATED ApplicationMapping shop all",
		`CREATED ServiceInstance orders of "orders" "default"`,
		`CREATED ServiceInstance items of "items" "default"`,
		"CREATED Trigger " + name + " map[eventtypeversion:v2 source:shop type:order.sent]",
	}
	gone := metav1.Now()
	for _, tt := range []struct {
		name  string
		in    graph.ConnectApplicationInput
		scene func(*scene)
		want  []string
		err   string // of the error instead
	}{
		{name: "from nothing", want: all},
		{
			name: "nothing left to do",
			scene: func(s *scene) {
				s.mapping = mappingOf("2", "1")
				s.instances = []scv1.ServiceInstance{
					{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{ServiceClassExternalName: "orders"}}},
					{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: scv1.ServiceInstanceSpec{ServiceClassRef: &scv1.LocalObjectReference{Name: "2"}}},
				}
				s.triggers = []eventingv1.Trigger{triggerOf("of-the-console", "http://f.prod:8080/", sent)}
			},
			want: []string{
				"UNCHANGED ApplicationMapping shop 2 1", "UNCHANGED ServiceInstance a", "UNCHANGED ServiceInstance b",
				"UNCHANGED Trigger of-the-console map[eventtypeversion:v2 source:shop type:order.sent]",
			},
		},
		{
			name:  "some services",
			in:    graph.ConnectApplicationInput{Services: []string{"2", "2"}, EventTypes: []graph.ConnectEventTypeInput{}},
			want:  []string{"CREATED ApplicationMapping shop 2", `CREATED ServiceInstance items of "items" "default"`},
			scene: func(*scene) {},
		},
		{
			name:  "a mapping is extended, never narrowed",
			in:    graph.ConnectApplicationInput{Services: []string{"1", "2"}, EventTypes: []graph.ConnectEventTypeInput{}},
			scene: func(s *scene) { s.mapping = mappingOf("3", "1") },
			want:  append([]string{"UPDATED ApplicationMapping shop 3 1 2"}, all[1:3]...),
		},
		{
			name:  "a mapping of all stays",
			in:    graph.ConnectApplicationInput{Services: []string{"1"}, EventTypes: []graph.ConnectEventTypeInput{}},
			scene: func(s *scene) { s.mapping = mappingOf() },
			want:  []string{"UNCHANGED ApplicationMapping shop all", all[1]},
		},
		{
			name:  "a mapping of none is extended",
			in:    graph.ConnectApplicationInput{Services: []string{"1"}, EventTypes: []graph.ConnectEventTypeInput{}},
			scene: func(s *scene) { s.mapping = mappingOf(); s.mapping.Spec.Services = []appv1.ApplicationMappingService{} },
			want:  []string{"UPDATED ApplicationMapping shop 1", all[1]},
		},
		{
			name: "the catalog shows nothing usable yet",
			in:   graph.ConnectApplicationInput{EventTypes: []graph.ConnectEventTypeInput{}},
			scene: func(s *scene) {
				s.classes[0].Status.RemovedFromBrokerCatalog = true
				s.plans = s.plans[:1]
			},
			want: []string{all[0], `CREATED ServiceInstance orders of "" "" (waits)`, `CREATED ServiceInstance items of "" "" (waits)`},
		},
		{
			name:  "events without documents",
			in:    graph.ConnectApplicationInput{Services: []string{"1"}},
			scene: func(s *scene) { s.documented = nil },
			want: []string{
				"CREATED ApplicationMapping shop 1", all[1],
				"CREATED Trigger " + triggerName("f", "default", "shop", "", "") + " map[source:shop]",
			},
		},
		{
			name: "a type of any version",
			in:   graph.ConnectApplicationInput{Services: []string{"1"}, EventTypes: []graph.ConnectEventTypeInput{{Type: "x"}, {Type: "x"}}},
			want: []string{
				"CREATED ApplicationMapping shop 1", all[1],
				"CREATED Trigger " + triggerName("f", "default", "shop", "x", "") + " map[source:shop type:x]",
			},
		},
		{
			name: "Triggers that are not the same",
			scene: func(s *scene) {
				filters := triggerOf("a", "http://f.prod", sent)
				filters.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "true"}}
				broker := triggerOf("b", "http://f.prod", sent)
				broker.Spec.Broker = "other"
				leaving := triggerOf("c", "http://f.prod", sent)
				leaving.DeletionTimestamp = &gone
				s.triggers = []eventingv1.Trigger{
					filters, broker, leaving, triggerOf("d", "http://g.prod", sent), triggerOf("e", "http://f.prod", map[string]string{"type": "order.sent", "eventtypeversion": "v1"}),
					{ObjectMeta: metav1.ObjectMeta{Name: "f"}},
				}
			},
			want: all,
		},
		{
			name: "a Trigger that takes more",
			in:   graph.ConnectApplicationInput{Services: []string{"1"}},
			scene: func(s *scene) {
				s.triggers = []eventingv1.Trigger{triggerOf("more", "http://f.prod", map[string]string{"source": "shop", "type": ""})}
			},
			want: []string{"CREATED ApplicationMapping shop 1", all[1], "UNCHANGED Trigger more map[source:shop type:]"},
		},
		{name: "no event service", scene: func(s *scene) { s.app.Spec.Services = s.app.Spec.Services[2:] }, err: "offers no event service"},
		{name: "empty services", in: graph.ConnectApplicationInput{Services: []string{}}, err: "services must not be empty"},
		{name: "unknown service", in: graph.ConnectApplicationInput{Services: []string{"9"}}, err: `"9" not found`},
		{name: "service without events", in: graph.ConnectApplicationInput{Services: []string{"3"}}, err: "sends no events"},
		{name: "empty type", in: graph.ConnectApplicationInput{EventTypes: []graph.ConnectEventTypeInput{{Version: "v1"}}}, err: "eventTypes[0].type"},
		{
			name: "mapping on its way out", err: "is being deleted",
			scene: func(s *scene) { s.mapping = mappingOf(); s.mapping.DeletionTimestamp = &gone },
		},
		{
			name: "instance on its way out", err: "is being deleted",
			scene: func(s *scene) {
				s.instances = []scv1.ServiceInstance{{ObjectMeta: metav1.ObjectMeta{Name: "a", DeletionTimestamp: &gone}, Spec: scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{ServiceClassName: "1"}}}}
			},
		},
		{
			name: "instance of something else", err: "an instance of another class has its name",
			scene: func(s *scene) { s.instances = []scv1.ServiceInstance{{ObjectMeta: metav1.ObjectMeta{Name: "orders"}}} },
		},
		{
			name: "Trigger on its way out", err: "is being deleted",
			scene: func(s *scene) {
				s.triggers = []eventingv1.Trigger{triggerOf(name, "http://f.prod", sent)}
				s.triggers[0].DeletionTimestamp = &gone
			},
		},
		{
			name: "Trigger that was changed", err: "a Trigger with another filter or subscriber has its name",
			scene: func(s *scene) { s.triggers = []eventingv1.Trigger{triggerOf(name, "http://g.prod", sent)} },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := shop()
			if tt.scene != nil {
				tt.scene(s)
			}
			tt.in.Application, tt.in.Namespace, tt.in.Function = "shop", "prod", "f"
			steps, err := planConnection(t.Context(), &tt.in, s)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || steps != nil || apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
					t.Errorf("got %v and %v, want an error with %q", steps, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range steps {
				got = append(got, told(&steps[i]))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestTriggerName(t *testing.T) {
	long := triggerName(strings.Repeat("a", 51)+".bcd", "default", "shop", "x", "v1")
	if len(long) > 63 || strings.Contains(long, ".") {
		t.Errorf("got %q, want a label", long)
	}
	if triggerName("f", "a", "bc") == triggerName("f", "ab", "c") {
		t.Error("different events have the same name")
	}
}
