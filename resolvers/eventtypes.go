package resolvers

import (
	"cmp"
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func (r queryResolver) EventTypes(ctx context.Context, namespace string, application *string) ([]graph.EventType, error) {
	activations, err := r.EventActivations(ctx, namespace)
	if err != nil {
		return nil, err
	}
	if application != nil {
		activations = slices.DeleteFunc(activations, func(a appv1.EventActivation) bool { return a.Spec.SourceID != *application })
	}
	return r.eventTypes(ctx, activations)
}

// EventTypes are those of the EventActivations that there would be if every service was provisioned.
func (r applicationResolver) EventTypes(ctx context.Context, app *appv1.Application) ([]graph.EventType, error) {
	var activations []appv1.EventActivation
	for i := range app.Spec.Services {
		if s := &app.Spec.Services[i]; s.HasEvents() {
			activations = append(activations, *activationOf(app, s))
		}
	}
	return r.eventTypes(ctx, activations)
}

// activationOf is the EventActivation of a service, were it provisioned.
func activationOf(app *appv1.Application, s *appv1.Service) *appv1.EventActivation {
	return &appv1.EventActivation{
		ObjectMeta: metav1.ObjectMeta{Name: s.ID},
		Spec:       appv1.EventActivationSpec{SourceID: app.Name, DisplayName: s.DisplayName},
	}
}

// eventTypes are what the documents of the activations' services list, sorted. What a document that cannot be read
// amounts to is for EventActivation.events to say.
func (r *Resolver) eventTypes(ctx context.Context, activations []appv1.EventActivation) ([]graph.EventType, error) {
	types := []graph.EventType{}
	for i := range activations {
		a := &activations[i]
		events, err := eventActivationResolver{r}.Events(ctx, a)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			types = append(types, graph.EventType{
				Application: a.Spec.SourceID, Service: a.Name,
				Type: e.Type, Version: e.Version, Description: e.Description, Schema: e.Schema,
			})
		}
	}
	slices.SortFunc(types, func(a, b graph.EventType) int {
		return cmp.Or(cmp.Compare(a.Application, b.Application), cmp.Compare(a.Type, b.Type),
			cmp.Compare(a.Version, b.Version), cmp.Compare(a.Service, b.Service))
	})
	return types, nil
}
