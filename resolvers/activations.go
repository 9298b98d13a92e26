package resolvers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func (r queryResolver) EventActivations(ctx context.Context, namespace string) ([]appv1.EventActivation, error) {
	var list appv1.EventActivationList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

type eventActivationResolver struct{ *Resolver }

// EventActivation returns the resolver of EventActivations.
func (r *Resolver) EventActivation() graph.EventActivationResolver { return eventActivationResolver{r} }

func (eventActivationResolver) DisplayName(_ context.Context, a *appv1.EventActivation) (string, error) {
	return a.Spec.DisplayName, nil
}

func (eventActivationResolver) SourceID(_ context.Context, a *appv1.EventActivation) (string, error) {
	return a.Spec.SourceID, nil
}

// Events come from the document in a ConfigMap or, failing that, from Rafter. They are null when the service has no document,
// and also when it has one that cannot be had or read: that is for the log and for whoever registered it, and must not spoil
// the answer for all other services.
func (r eventActivationResolver) Events(ctx context.Context, a *appv1.EventActivation) ([]eventmesh.EventType, error) {
	types, err := eventmesh.EventTypes(ctx, r.Cluster.Client(ctx), a.Name)
	if types == nil {
		served, serveErr := r.assetEventTypes(ctx, a.Name)
		if served != nil || err == nil {
			types, err = served, serveErr
		}
	}
	if _, _, known := lookup(err); err != nil && !known {
		r.log().WarnContext(ctx, "event types cannot be read", "service", a.Name, "application", a.Spec.SourceID, "error", err)
		return nil, nil
	}
	return types, err
}
