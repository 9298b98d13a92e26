package resolvers

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (r mutationResolver) CreateResource(ctx context.Context, namespace string, resource map[string]any, dryRun *bool) (map[string]any, error) {
	obj, err := unstructuredOf("resource", resource)
	if err != nil {
		return nil, err
	}
	if is := obj.GetNamespace(); is != "" && is != namespace {
		return nil, elsewhere("resource.metadata", is, namespace)
	}
	obj.SetNamespace(namespace)
	c := strict(r.writer(ctx, dryRun))
	switch namespaced, err := c.IsObjectNamespaced(obj); {
	case meta.IsNoMatchError(err):
		return nil, apierrors.NewBadRequest(fmt.Sprintf("resource: the cluster has no kind %q of apiVersion %q", obj.GetKind(), obj.GetAPIVersion()))
	case err != nil:
		return nil, err
	case !namespaced:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("resource: a %s lives in no namespace", obj.GetKind()))
	}
	if err := c.Create(ctx, obj); err != nil {
		return nil, err
	}
	obj.SetManagedFields(nil)
	return obj.Object, nil
}

// strict is c, but for the API server to refuse fields that it does not know instead of dropping them.
func strict(c client.Client) client.Client {
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

// unstructuredOf is the object that a client gives as JSON in an argument.
func unstructuredOf(argument string, content map[string]any) (*unstructured.Unstructured, error) {
	bad := func(format string, args ...any) (*unstructured.Unstructured, error) {
		return nil, apierrors.NewBadRequest(argument + ": " + fmt.Sprintf(format, args...))
	}
	for _, field := range []string{"apiVersion", "kind"} {
		if s, ok := content[field].(string); !ok || s == "" {
			return bad("%s must be a string that is not empty", field)
		}
	}
	if _, err := schema.ParseGroupVersion(content["apiVersion"].(string)); err != nil {
		return bad("apiVersion: %v", err)
	}
	if _, ok := content["metadata"].(map[string]any); !ok {
		return bad("metadata must be an object")
	}
	// By way of text, which makes numbers what Kubernetes takes them to be.
	data, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", argument, err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil {
		return bad("%v", err)
	}
	return obj, nil
}
