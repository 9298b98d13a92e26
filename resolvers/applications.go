package resolvers

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

func (r queryResolver) Application(ctx context.Context, name string) (*appv1.Application, error) {
	return orNull(get[appv1.Application](ctx, r.Cluster.Client(ctx), "", name))
}

func (r queryResolver) Applications(ctx context.Context, namespace *string, first, offset *int) ([]appv1.Application, error) {
	c := r.Cluster.Client(ctx)
	var list appv1.ApplicationList
	if err := c.List(ctx, &list); err != nil {
		return nil, err
	}
	apps := byName(list.Items)
	if namespace != nil {
		var mappings appv1.ApplicationMappingList
		if err := c.List(ctx, &mappings, client.InNamespace(*namespace)); err != nil {
			return nil, err
		}
		enabled := map[string]bool{}
		for _, m := range mappings.Items {
			enabled[m.Name] = true
		}
		apps = slices.DeleteFunc(apps, func(a appv1.Application) bool { return !enabled[a.Name] })
	}
	return page(apps, first, offset)
}

func (r mutationResolver) CreateApplication(ctx context.Context, name string, description *string, labels map[string]string, dryRun *bool) (*graph.ApplicationMutationOutput, error) {
	app := &appv1.Application{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appv1.ApplicationSpec{Description: deref(description), Labels: labels},
	}
	if err := r.writer(ctx, dryRun).Create(ctx, app); err != nil {
		return nil, err
	}
	return written(app), nil
}

func (r mutationResolver) UpdateApplication(ctx context.Context, name string, description *string, labels map[string]string, dryRun *bool) (*graph.ApplicationMutationOutput, error) {
	app := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}}
	change := map[string]any{"/spec/description": deref(description), "/spec/labels": notNil(labels)}
	if err := replace(ctx, r.writer(ctx, dryRun), app, change); err != nil {
		return nil, err
	}
	return written(app), nil
}

func written(app *appv1.Application) *graph.ApplicationMutationOutput {
	return &graph.ApplicationMutationOutput{Name: app.Name, Description: app.Spec.Description, Labels: notNil(app.Spec.Labels)}
}

func (r mutationResolver) DeleteApplication(ctx context.Context, name string, dryRun *bool) (*graph.DeleteApplicationOutput, error) {
	app := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := r.writer(ctx, dryRun).Delete(ctx, app); err != nil {
		return nil, err
	}
	return &graph.DeleteApplicationOutput{Name: name}, nil
}

func (r subscriptionResolver) ApplicationEvent(ctx context.Context) (<-chan *graph.ApplicationEvent, error) {
	return watchParts(ctx, r.Resolver, &appv1.Application{}, everything,
		func(e k8sEvent[*appv1.Application]) *graph.ApplicationEvent {
			return &graph.ApplicationEvent{Type: e.Type, Application: e.Object}
		},
		// Both have the Application's name.
		part(r.Resolver, &appv1.ApplicationMapping{}, ofName),
		part(r.Resolver, &sourcesv1.HTTPSource{}, ofName, client.InNamespace(eventmesh.IntegrationNamespace)))
}

type applicationResolver struct{ *Resolver }

// Application returns the resolver of Applications.
func (r *Resolver) Application() graph.ApplicationResolver { return applicationResolver{r} }

func (applicationResolver) Description(_ context.Context, app *appv1.Application) (string, error) {
	return app.Spec.Description, nil
}

func (applicationResolver) Labels(_ context.Context, app *appv1.Application) (map[string]string, error) {
	return notNil(app.Spec.Labels), nil
}

func (applicationResolver) Services(_ context.Context, app *appv1.Application) ([]appv1.Service, error) {
	return app.Spec.Services, nil
}

func (applicationResolver) CompassMetadata(_ context.Context, app *appv1.Application) (*appv1.CompassMetadata, error) {
	return app.Spec.CompassMetadata, nil
}

// Status is what the Application's HTTPSource says. Who may not read HTTPSources gets what the Application's own status
// repeats of it, and so does everybody where there are none.
func (r applicationResolver) Status(ctx context.Context, app *appv1.Application) (graph.ApplicationStatus, error) {
	var sources sourcesv1.HTTPSourceList
	err := r.Cluster.Client(ctx).List(ctx, &sources, client.InNamespace(eventmesh.IntegrationNamespace), client.MatchingFields{indexName: app.Name})
	switch {
	case err != nil && unseen(err) == nil:
		return servingStatus(app.Status.Conditions, appv1.ConditionReady), nil
	case err != nil:
		return "", err
	case len(sources.Items) == 0:
		return graph.ApplicationStatusGatewayNotConfigured, nil
	case len(sources.Items[0].Status.Conditions) == 0:
		return graph.ApplicationStatusNotServing, nil
	default:
		return servingStatus(sources.Items[0].Status.Conditions, sourcesv1.ConditionReady), nil
	}
}

func servingStatus(conditions []metav1.Condition, ready string) graph.ApplicationStatus {
	switch {
	case meta.IsStatusConditionTrue(conditions, ready):
		return graph.ApplicationStatusServing
	case len(conditions) == 0:
		return graph.ApplicationStatusGatewayNotConfigured
	default:
		return graph.ApplicationStatusNotServing
	}
}

// mappings are the ApplicationMappings of an Application, sorted by namespace.
func (r applicationResolver) mappings(ctx context.Context, app *appv1.Application) ([]appv1.ApplicationMapping, error) {
	var list appv1.ApplicationMappingList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.MatchingFields{indexName: app.Name}); err != nil {
		return nil, err
	}
	return byName(list.Items), nil
}

func (r applicationResolver) EnabledInNamespaces(ctx context.Context, app *appv1.Application) ([]string, error) {
	mappings, err := r.mappings(ctx, app)
	namespaces := []string{}
	for _, m := range mappings {
		namespaces = append(namespaces, m.Namespace)
	}
	return namespaces, err
}

func (r applicationResolver) EnabledMappingServices(ctx context.Context, app *appv1.Application) ([]*graph.EnabledMappingService, error) {
	mappings, err := r.mappings(ctx, app)
	if err != nil {
		return nil, err
	}
	out := []*graph.EnabledMappingService{}
	for i := range mappings {
		out = append(out, enabledMapping(app, &mappings[i]))
	}
	return out, nil
}

func enabledMapping(app *appv1.Application, m *appv1.ApplicationMapping) *graph.EnabledMappingService {
	out := &graph.EnabledMappingService{Namespace: m.Namespace, AllServices: m.AllServices()}
	if out.AllServices {
		return out
	}
	out.Services = []*graph.EnabledApplicationService{}
	for _, s := range m.Spec.Services {
		enabled := &graph.EnabledApplicationService{ID: s.ID}
		if offered := app.Service(s.ID); offered != nil {
			enabled.DisplayName, enabled.Exist = offered.DisplayName, true
		}
		out.Services = append(out.Services, enabled)
	}
	return out
}

type applicationServiceResolver struct{}

// ApplicationService returns the resolver of an Application's services.
func (r *Resolver) ApplicationService() graph.ApplicationServiceResolver {
	return applicationServiceResolver{}
}

func (applicationServiceResolver) Entries(_ context.Context, s *appv1.Service) ([]appv1.Entry, error) {
	entries := []appv1.Entry{}
	for _, e := range s.Entries {
		if e.Type == appv1.EntryTypeAPI || e.Type == appv1.EntryTypeEvents {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

type applicationEntryResolver struct{}

// ApplicationEntry returns the resolver of the entries of an Application's services.
func (r *Resolver) ApplicationEntry() graph.ApplicationEntryResolver {
	return applicationEntryResolver{}
}

func (applicationEntryResolver) Type(_ context.Context, e *appv1.Entry) (string, error) {
	return string(e.Type), nil
}

func (applicationEntryResolver) GatewayURL(_ context.Context, e *appv1.Entry) (*string, error) {
	return ofAPI(e, &e.GatewayURL), nil
}

func (applicationEntryResolver) AccessLabel(_ context.Context, e *appv1.Entry) (*string, error) {
	return ofAPI(e, &e.AccessLabel), nil
}

// ofAPI is nil for Events, which have none of an API's fields.
func ofAPI(e *appv1.Entry, field *string) *string {
	if e.Type != appv1.EntryTypeAPI {
		return nil
	}
	return field
}
