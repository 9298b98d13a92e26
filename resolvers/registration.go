package resolvers

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func (r mutationResolver) RegisterApplicationService(ctx context.Context, application string, in graph.ApplicationServiceInput, dryRun *bool) (*appv1.Service, error) {
	details, err := serviceDetails(in)
	if err != nil {
		return nil, err
	}
	c := r.Cluster.Client(ctx)
	if deref(dryRun) {
		return eventmesh.CheckRegistration(ctx, c, application, details)
	}
	id, err := eventmesh.RegisterService(ctx, c, application, details)
	if err != nil {
		return nil, err
	}
	return service(ctx, c, application, id)
}

func (r mutationResolver) UnregisterApplicationService(ctx context.Context, application, id string, dryRun *bool) (*appv1.Service, error) {
	c := r.Cluster.Client(ctx)
	before, err := service(ctx, c, application, id)
	if apierrors.IsNotFound(err) {
		// The cache may not show it yet, or an interrupted call may have left its documents: that is for the next line.
		before = &appv1.Service{ID: id}
	} else if err != nil {
		return nil, err
	}
	unregister := eventmesh.UnregisterService
	if deref(dryRun) {
		unregister = eventmesh.CheckUnregistration
	}
	if err := unregister(ctx, c, application, id); err != nil {
		return nil, err
	}
	return before, nil
}

// service reads one service of an application.
func service(ctx context.Context, c client.Reader, application, id string) (*appv1.Service, error) {
	app, err := get[appv1.Application](ctx, c, "", application)
	if err != nil {
		return nil, err
	}
	if s := app.Service(id); s != nil {
		return s, nil
	}
	return nil, apierrors.NewNotFound(appv1.GroupVersion.WithResource("applications").GroupResource(), application+"/"+id)
}

func serviceDetails(in graph.ApplicationServiceInput) (eventmesh.ServiceDetails, error) {
	details := eventmesh.ServiceDetails{
		Provider:         in.Provider,
		Name:             in.Name,
		Description:      in.Description,
		ShortDescription: deref(in.ShortDescription),
		Identifier:       deref(in.Identifier),
		Labels:           in.Labels,
	}
	if in.Events != nil {
		spec, err := json.Marshal(in.Events.Spec)
		if err != nil {
			return details, fmt.Errorf("encoding events.spec: %w", err)
		}
		details.Events = &eventmesh.ServiceEvents{Spec: spec}
	}
	if in.API != nil {
		details.API = &eventmesh.ServiceAPI{TargetURL: in.API.TargetURL}
		if in.API.Spec != nil {
			spec, err := json.Marshal(in.API.Spec)
			if err != nil {
				return details, fmt.Errorf("encoding api.spec: %w", err)
			}
			details.API.Spec = spec
		}
	}
	return details, nil
}
