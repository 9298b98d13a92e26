package resolvers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// object is a pointer to T that is a Kubernetes object.
type object[T any] interface {
	*T
	client.Object
}

// get reads one object. One that does not exist is a NotFound error.
func get[T any, P object[T]](ctx context.Context, c client.Reader, namespace, name string) (P, error) {
	obj := P(new(T))
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj); err != nil {
		return nil, err
	}
	return obj, nil
}

// orNull is for fields that are null when what they name does not exist.
func orNull[T any](obj *T, err error) (*T, error) {
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return obj, err
}

// ifInstalled is for fields that are null when the cluster does not have the kind that they are about.
func ifInstalled[T any](v T, err error) (T, error) {
	if meta.IsNoMatchError(err) {
		var null T
		return null, nil
	}
	return v, err
}

// signedIn is an Unauthorized error when there is nobody in ctx: for fields that everybody else may ask for, and that need
// no object of the cluster.
func signedIn(ctx context.Context) error {
	if _, ok := request.UserFrom(ctx); !ok {
		return apierrors.NewUnauthorized("no user")
	}
	return nil
}

// byName sorts objects by namespace, then name: the order of every list of the API.
func byName[T any, P object[T]](items []T) []T {
	sortObjects(items, func(a, b P) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return items
}

// sortObjects sorts objects where they are: slices.SortFunc would copy two of them, which are large, for each comparison.
func sortObjects[T any, P object[T]](items []T, compare func(a, b P) int) {
	sort.Slice(items, func(i, j int) bool { return compare(P(&items[i]), P(&items[j])) < 0 })
}

// page cuts a page out of items. A first that is nil or 0 means no limit; an offset beyond the end gives an empty page.
func page[T any](items []T, first, offset *int) ([]T, error) {
	n, skip := deref(first), deref(offset)
	if n < 0 || skip < 0 {
		return nil, apierrors.NewBadRequest("first and offset must not be negative")
	}
	items = items[min(skip, len(items)):]
	if n > 0 {
		items = items[:min(n, len(items))]
	}
	return items, nil
}

// writer is the user's client for a mutation. With dryRun the API server checks what it is asked to write, admission
// included, and answers as if it had, but nothing is written.
func (r *Resolver) writer(ctx context.Context, dryRun *bool) client.Client {
	c := r.Cluster.Client(ctx)
	if deref(dryRun) {
		return client.NewDryRunClient(c)
	}
	return c
}

// operation is one of a JSON patch, RFC 6902.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// replace sets fields of obj, of which namespace and name are set, to new values as a whole, and leaves in obj the object
// as it is then. The keys of values are JSON pointers whose last part only may be missing. As it is one patch of the latest
// state, what others write at the same time is neither lost nor overlooked, nor is anything that this program does not know.
func replace(ctx context.Context, c client.Writer, obj client.Object, values map[string]any) error {
	var operations []operation
	for _, path := range slices.Sorted(maps.Keys(values)) {
		operations = append(operations, operation{"add", path, values[path]}) // which replaces what is there
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error { return patch(ctx, c, obj, operations...) })
}

func patch(ctx context.Context, c client.Writer, obj client.Object, operations ...operation) error {
	data, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encoding the change: %w", err)
	}
	return c.Patch(ctx, obj, client.RawPatch(types.JSONPatchType, data))
}

// jsonOf is obj as kubectl shows it: with kind and apiVersion, which objects in memory may lack, and without the notes of
// who manages which field.
func (r *Resolver) jsonOf(obj client.Object) (map[string]any, error) {
	gvk, err := apiutil.GVKForObject(obj, r.Cluster.Manager().GetScheme())
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", gvk.Kind, obj.GetName(), err)
	}
	u := unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	u.SetManagedFields(nil)
	return u.Object, nil
}

// remove deletes obj, of which namespace and name are set, and leaves in it the object as it was. A user who may delete
// but not read, or who deletes what was made an instant ago, gets it with namespace and name only.
func remove(ctx context.Context, c client.Client, obj client.Object) error {
	err := c.Get(ctx, client.ObjectKeyFromObject(obj), obj)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return err
	}
	// By name, not by the version or UID that was read: the caller means whatever has the name now.
	target := obj.DeepCopyObject().(client.Object)
	target.SetResourceVersion("")
	target.SetUID("")
	return c.Delete(ctx, target)
}

// rawJSON is a JSON object as Kubernetes types hold it, nil for nil. field names it in an error.
func rawJSON(field string, object map[string]any) (*runtime.RawExtension, error) {
	if object == nil {
		return nil, nil
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", field, err)
	}
	return &runtime.RawExtension{Raw: raw}, nil
}

// notNil is l, but never nil: where a field must not be null, gqlgen refuses a nil map.
func notNil(l map[string]string) map[string]string {
	if l == nil {
		return map[string]string{}
	}
	return l
}

// deref is what p points to, the zero value for nil.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// optional is nil for the empty string: for fields that are null when there is nothing.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
