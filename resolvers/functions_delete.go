package resolvers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/graph"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	usagesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/servicecatalog/v1alpha1"
)

func (r mutationResolver) DeleteFunction(ctx context.Context, namespace string, in graph.FunctionMetadataInput, dryRun *bool) (*graph.FunctionMetadata, error) {
	if in.Namespace != namespace {
		return nil, elsewhere("function", in.Namespace, namespace)
	}
	if err := deleteFunction(ctx, r.writer(ctx, dryRun), namespace, in.Name); err != nil {
		return nil, err
	}
	return &graph.FunctionMetadata{Name: in.Name, Namespace: namespace}, nil
}

// DeleteManyFunctions has the API server check all deletions before the first.
func (r mutationResolver) DeleteManyFunctions(ctx context.Context, namespace string, in []graph.FunctionMetadataInput, dryRun *bool) ([]graph.FunctionMetadata, error) {
	names := map[string]bool{}
	for i, f := range in {
		if f.Namespace != namespace {
			return nil, elsewhere(fmt.Sprintf("functions[%d]", i), f.Namespace, namespace)
		}
		if names[f.Name] {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("functions[%d]: %q is there twice", i, f.Name))
		}
		names[f.Name] = true
	}
	c := r.Cluster.Client(ctx)
	checked := r.each(ctx, in, func(name string) error { return deleteFunction(ctx, client.NewDryRunClient(c), namespace, name) })
	if len(checked) < len(in) {
		return nil, nil
	}
	if deref(dryRun) {
		return checked, nil
	}
	return r.each(ctx, in, func(name string) error { return deleteFunction(ctx, c, namespace, name) }), nil
}

// each does something for each Function, tells the client which of them failed and why, and returns the others.
func (r *Resolver) each(ctx context.Context, in []graph.FunctionMetadataInput, do func(name string) error) []graph.FunctionMetadata {
	done := []graph.FunctionMetadata{}
	for i, f := range in {
		if err := do(f.Name); err != nil {
			r.reportItem(ctx, f.Name, fmt.Errorf("functions[%d]: %w", i, err))
			continue
		}
		done = append(done, graph.FunctionMetadata(f))
	}
	return done
}

// elsewhere is the error of an object that is said to be in another namespace than the one that it is asked for in.
func elsewhere(field, is, want string) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s.namespace is %q, not %q", field, is, want))
}

// deleteFunction deletes a Function, and then the usages that give it credentials, which nothing else would: both or, as far
// as can be known before, neither. Its Triggers go by their owner references.
func deleteFunction(ctx context.Context, c client.Client, namespace, name string) error {
	usages, err := functionUsages(ctx, c, namespace, name)
	if err != nil {
		return err
	}
	if err := deleteUsages(ctx, client.NewDryRunClient(c), usages); err != nil {
		return err
	}
	function := &functionsv1.Function{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := c.Delete(ctx, function); err != nil {
		return err
	}
	return deleteUsages(ctx, c, usages)
}

func deleteUsages(ctx context.Context, c client.Client, usages []usagesv1.ServiceBindingUsage) error {
	var errs []error
	for i := range usages {
		if err := c.Delete(ctx, &usages[i]); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("deleting the Function's usage %s: %w", usages[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// functionUsages are the usages of a Function, as far as the user may see them.
func functionUsages(ctx context.Context, c client.Reader, namespace, name string) ([]usagesv1.ServiceBindingUsage, error) {
	var list usagesv1.ServiceBindingUsageList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, unseen(err)
	}
	return slices.DeleteFunc(list.Items, func(u usagesv1.ServiceBindingUsage) bool { return !usedByFunction(&u, name) }), nil
}

// usedByFunction reports whether a usage is a Function's. Its kind is the name of a UsageKind, of which there have been two
// for Functions.
func usedByFunction(u *usagesv1.ServiceBindingUsage, name string) bool {
	used := u.Spec.UsedBy
	return used.Name == name && (strings.EqualFold(used.Kind, "serverless-function") || strings.EqualFold(used.Kind, "function"))
}
