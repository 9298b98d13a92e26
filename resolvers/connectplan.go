package resolvers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// scene is what connectApplication observes before it decides. Lists are of the namespace, sorted by name.
type scene struct {
	app      *appv1.Application
	function *functionsv1.Function
	mapping  *appv1.ApplicationMapping // nil if the application is not enabled
	classes  []scv1.ServiceClass
	plans    []scv1.ServicePlan
	// instances and triggers may be any, also those of others.
	instances []scv1.ServiceInstance
	triggers  []eventingv1.Trigger
	// documented are the event types of the selected services' documents; it matters only where none are asked for.
	documented []graph.EventType
}

// step is one object of a connection. Its order among the steps is that in which they are made.
type step struct {
	kind    string
	object  client.Object
	outcome graph.ConnectOutcome
	// waits is set for an instance whose class the catalog does not show yet: it cannot be made now.
	waits bool
}

// planConnection decides what has to be done to s for in to be true. Errors are about what a person has to settle first:
// nothing may be made then.
func planConnection(ctx context.Context, in *graph.ConnectApplicationInput, s *scene) ([]step, error) {
	services, err := selectServices(in.Services, s.app)
	if err != nil {
		return nil, err
	}
	mapping, err := planMapping(in, s, services)
	if err != nil {
		return nil, err
	}
	steps := []step{mapping}
	for _, service := range services {
		instance, err := planInstance(in.Namespace, s, service)
		if err != nil {
			return nil, err
		}
		steps = append(steps, instance)
	}
	types, err := selectTypes(in.EventTypes, s.documented)
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		trigger, err := planTrigger(ctx, in, s, t)
		if err != nil {
			return nil, err
		}
		steps = append(steps, trigger)
	}
	return steps, nil
}

// selectServices are the services with those ids or, if ids is nil, all that send events.
func selectServices(ids []string, app *appv1.Application) ([]*appv1.Service, error) {
	var services []*appv1.Service
	if ids == nil {
		for i := range app.Spec.Services {
			if s := &app.Spec.Services[i]; s.HasEvents() {
				services = append(services, s)
			}
		}
		if len(services) == 0 {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("Application %q offers no event service: register one with registerApplicationService", app.Name))
		}
		return services, nil
	}
	if len(ids) == 0 {
		return nil, apierrors.NewBadRequest("services must not be empty: leave it out for all event services")
	}
	for _, id := range ids {
		s := app.Service(id)
		switch {
		case s == nil:
			return nil, apierrors.NewNotFound(appv1.GroupVersion.WithResource("services").GroupResource(), id)
		case !s.HasEvents():
			return nil, apierrors.NewBadRequest(fmt.Sprintf("service %q of Application %q sends no events", id, app.Name))
		case !slices.Contains(services, s):
			services = append(services, s)
		}
	}
	return services, nil
}

// planMapping enables the services: nothing that is enabled already is taken away.
func planMapping(in *graph.ConnectApplicationInput, s *scene, services []*appv1.Service) (step, error) {
	if s.mapping != nil && s.mapping.DeletionTimestamp != nil {
		return step{}, beingDeleted(appv1.GroupVersion.WithResource("applicationmappings"), s.mapping)
	}
	if s.mapping == nil {
		mapping := &appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Name: s.app.Name, Namespace: in.Namespace}}
		if in.Services != nil {
			mapping.Spec.Services = idsOf(services)
		}
		return step{kind: "ApplicationMapping", object: mapping, outcome: graph.ConnectOutcomeCreated}, nil
	}
	missing := slices.DeleteFunc(idsOf(services), func(id appv1.ApplicationMappingService) bool { return s.mapping.Enables(id.ID) })
	if len(missing) == 0 {
		return step{kind: "ApplicationMapping", object: s.mapping, outcome: graph.ConnectOutcomeUnchanged}, nil
	}
	mapping := s.mapping.DeepCopy()
	mapping.Spec.Services = append(mapping.Spec.Services, missing...)
	return step{kind: "ApplicationMapping", object: mapping, outcome: graph.ConnectOutcomeUpdated}, nil
}

func idsOf(services []*appv1.Service) []appv1.ApplicationMappingService {
	ids := []appv1.ApplicationMappingService{}
	for _, s := range services {
		ids = append(ids, appv1.ApplicationMappingService{ID: s.ID})
	}
	return ids
}

// planInstance provisions a service, unless an instance of it is there, whatever its name. A new one is called like its
// class.
func planInstance(namespace string, s *scene, service *appv1.Service) (step, error) {
	resource := scv1.SchemeGroupVersion.WithResource("serviceinstances")
	for i := range s.instances {
		instance := &s.instances[i]
		switch provisions := instanceOf(instance, service); {
		case instance.DeletionTimestamp != nil && (provisions || instance.Name == service.Name):
			return step{}, beingDeleted(resource, instance)
		case provisions:
			return step{kind: "ServiceInstance", object: instance, outcome: graph.ConnectOutcomeUnchanged}, nil
		}
	}
	if slices.ContainsFunc(s.instances, func(i scv1.ServiceInstance) bool { return i.Name == service.Name }) {
		return step{}, nameTaken(resource, service.Name, "an instance of another class has its name")
	}
	instance := &scv1.ServiceInstance{ObjectMeta: metav1.ObjectMeta{Name: service.Name, Namespace: namespace}}
	out := step{kind: "ServiceInstance", object: instance, outcome: graph.ConnectOutcomeCreated, waits: true}
	class := slices.IndexFunc(s.classes, func(c scv1.ServiceClass) bool {
		return c.Spec.ExternalID == service.ID && !c.Status.RemovedFromBrokerCatalog
	})
	if class < 0 {
		return out, nil
	}
	plan := slices.IndexFunc(s.plans, func(p scv1.ServicePlan) bool {
		return p.Spec.ServiceClassRef.Name == s.classes[class].Name && !p.Status.RemovedFromBrokerCatalog
	})
	if plan < 0 {
		return out, nil
	}
	out.waits = false
	instance.Spec.PlanReference = scv1.PlanReference{
		ServiceClassExternalName: s.classes[class].Spec.ExternalName,
		ServicePlanExternalName:  s.plans[plan].Spec.ExternalName,
	}
	return out, nil
}

// instanceOf says whether an instance is of a service's class. The class has the service's id and name.
func instanceOf(i *scv1.ServiceInstance, s *appv1.Service) bool {
	if i.Spec.ServiceClassRef != nil {
		return i.Spec.ServiceClassRef.Name == s.ID
	}
	return i.Spec.ServiceClassName == s.ID || i.Spec.ServiceClassExternalID == s.ID || i.Spec.ServiceClassExternalName == s.Name
}

// selectTypes are the event types that are asked for or, if that is nil, those of the documents; without any, a type
// that stands for every event of the application. None is there twice.
func selectTypes(asked []graph.ConnectEventTypeInput, documented []graph.EventType) ([]graph.ConnectEventTypeInput, error) {
	types := slices.Clone(asked)
	for i, t := range asked {
		if t.Type == "" {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("eventTypes[%d].type must not be empty", i))
		}
	}
	if asked == nil {
		for _, t := range documented {
			types = append(types, graph.ConnectEventTypeInput{Type: t.Type, Version: t.Version})
		}
		if len(types) == 0 {
			types = []graph.ConnectEventTypeInput{{}}
		}
	}
	slices.SortFunc(types, func(a, b graph.ConnectEventTypeInput) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Version, b.Version))
	})
	return slices.Compact(types), nil
}

// planTrigger calls the function with events of a type, unless a Trigger does, whatever its name and whatever else it takes.
func planTrigger(ctx context.Context, in *graph.ConnectApplicationInput, s *scene, t graph.ConnectEventTypeInput) (step, error) {
	want, err := triggerFor(ctx, in, s.function, t)
	if err != nil {
		return step{}, err
	}
	resource := eventingv1.SchemeGroupVersion.WithResource("triggers")
	for i := range s.triggers {
		trigger := &s.triggers[i]
		switch {
		case trigger.DeletionTimestamp != nil && trigger.Name == want.Name:
			return step{}, beingDeleted(resource, trigger)
		case trigger.DeletionTimestamp != nil:
		case covers(trigger, want):
			return step{kind: "Trigger", object: trigger, outcome: graph.ConnectOutcomeUnchanged}, nil
		case trigger.Name == want.Name:
			return step{}, nameTaken(resource, want.Name, "a Trigger with another filter or subscriber has its name")
		}
	}
	return step{kind: "Trigger", object: want, outcome: graph.ConnectOutcomeCreated}, nil
}

// triggerFor is the Trigger for a type of events. It goes with the Function, as those that the Console makes.
func triggerFor(ctx context.Context, in *graph.ConnectApplicationInput, f *functionsv1.Function, t graph.ConnectEventTypeInput) (*eventingv1.Trigger, error) {
	filter := map[string]any{"source": in.Application}
	if t.Type != "" {
		filter["type"] = t.Type
	}
	if t.Version != "" {
		filter["eventtypeversion"] = t.Version
	}
	broker := cmp.Or(deref(in.Broker), eventmesh.DefaultBroker)
	name := triggerName(f.Name, broker, in.Application, t.Type, t.Version)
	return newTrigger(ctx, in.Namespace, &graph.TriggerCreateInput{
		Name:             &name,
		Broker:           broker,
		FilterAttributes: filter,
		Subscriber:       &graph.SubscriberInput{Ref: &graph.SubscriberRefInput{APIVersion: "v1", Kind: "Service", Name: f.Name, Namespace: in.Namespace}},
	}, []metav1.OwnerReference{{APIVersion: functionsv1.GroupVersion.String(), Kind: "Function", Name: f.Name, UID: f.UID}})
}

// triggerName is the name of the Trigger of a function for certain events: always the same, and at most 63 characters.
func triggerName(function string, events ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(events, "\x00")))
	return strings.TrimRight(function[:min(len(function), 52)], "-.") + "-" + hex.EncodeToString(sum[:5])
}

// covers says whether a Trigger hands all the events that want would, and perhaps more, to the same Service: with want
// beside it, the Service would get them twice.
func covers(t, want *eventingv1.Trigger) bool {
	name, namespace, ok := eventmesh.ServiceOfDestination(&t.Spec.Subscriber, t.Namespace)
	wantName, wantNamespace, _ := eventmesh.ServiceOfDestination(&want.Spec.Subscriber, want.Namespace)
	if !ok || name != wantName || namespace != wantNamespace || cmp.Or(t.Spec.Broker, eventmesh.DefaultBroker) != want.Spec.Broker || len(t.Spec.Filters) > 0 {
		return false
	}
	if t.Spec.Filter != nil {
		for attribute, value := range t.Spec.Filter.Attributes {
			if value != "" && value != want.Spec.Filter.Attributes[attribute] {
				return false
			}
		}
	}
	return true
}

func beingDeleted(resource schema.GroupVersionResource, o client.Object) error {
	return apierrors.NewConflict(resource.GroupResource(), o.GetName(), fmt.Errorf("it is being deleted: run connectApplication again when it is gone"))
}

func nameTaken(resource schema.GroupVersionResource, name, why string) error {
	err := apierrors.NewAlreadyExists(resource.GroupResource(), name)
	err.ErrStatus.Message += ": " + why
	return err
}
