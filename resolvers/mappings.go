package resolvers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func (r mutationResolver) EnableApplication(ctx context.Context, application, namespace string, allServices *bool, services []*appv1.ApplicationMappingService, dryRun *bool) (*graph.ApplicationMapping, error) {
	mapping := &appv1.ApplicationMapping{
		ObjectMeta: metav1.ObjectMeta{Name: application, Namespace: namespace},
		Spec:       appv1.ApplicationMappingSpec{Services: enabledServices(allServices, services)},
	}
	if err := r.writer(ctx, dryRun).Create(ctx, mapping); err != nil {
		return nil, err
	}
	return mapped(mapping, allServices), nil
}

func (r mutationResolver) OverloadApplication(ctx context.Context, application, namespace string, allServices *bool, services []*appv1.ApplicationMappingService, dryRun *bool) (*graph.ApplicationMapping, error) {
	mapping := &appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Name: application, Namespace: namespace}}
	// In a merge patch null takes the list away, which means all services, and a list replaces the list.
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"services": enabledServices(allServices, services)}})
	if err != nil {
		return nil, fmt.Errorf("encoding services: %w", err)
	}
	if err := r.writer(ctx, dryRun).Patch(ctx, mapping, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return nil, err
	}
	return mapped(mapping, allServices), nil
}

func (r mutationResolver) DisableApplication(ctx context.Context, application, namespace string, dryRun *bool) (*graph.ApplicationMapping, error) {
	mapping := &appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Name: application, Namespace: namespace}}
	if err := r.writer(ctx, dryRun).Delete(ctx, mapping); err != nil {
		return nil, err
	}
	return &graph.ApplicationMapping{Namespace: namespace, Application: application}, nil
}

// enabledServices is what a mapping lists: nil for every service, now and later, else exactly those given.
func enabledServices(all *bool, services []*appv1.ApplicationMappingService) []appv1.ApplicationMappingService {
	if all == nil || *all {
		return nil
	}
	out := []appv1.ApplicationMappingService{}
	for _, s := range services {
		if s != nil && !slices.Contains(out, *s) {
			out = append(out, *s)
		}
	}
	return out
}

// mapped is a mapping as it was written, with the argument allServices as it was given.
func mapped(m *appv1.ApplicationMapping, allServices *bool) *graph.ApplicationMapping {
	out := &graph.ApplicationMapping{Namespace: m.Namespace, Application: m.Name, AllServices: allServices}
	if !m.AllServices() {
		out.Services = pointers(m.Spec.Services)
	}
	return out
}

// pointers points to each element.
func pointers[T any](list []T) []*T {
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}
