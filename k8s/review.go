package k8s

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// How long what is revoked stays usable, 30 seconds at most. An answer of the authorizer is believed for reviewTTL,
// either way. On it rests, for visibleTTL, in which namespaces a user may see a kind. On these rest what is repeated
// without asking again: a watch, which is reviewed every DefaultReviewInterval, and the answer of a query, for as long as
// its Reads are current, which is reviewTTL at most. 10 s + 3 s + 15 s for a watch; 10 s + 3 s + 10 s for a query.
const (
	reviewTTL  = 10 * time.Second
	visibleTTL = 3 * time.Second
	// DefaultReviewInterval is how often the right to watch is reviewed when Options do not say.
	DefaultReviewInterval = 15 * time.Second
)

// errDenied is the reason of every refusal. It does not say whether what was asked for exists.
var errDenied = errors.New("access denied")

// cached is a kind in a form in which there is a cache of it: the Go type, without one, or its metadata alone.
type cached struct {
	schema.GroupVersionKind
	form form
}

type form int

const (
	typed form = iota
	untyped
	metadataOnly
)

func formOf(obj runtime.Object) form {
	switch obj.(type) {
	case runtime.Unstructured:
		return untyped
	case *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		return metadataOnly
	default:
		return typed
	}
}

// example is an object by which the caches know what is meant.
func (c cached) example(scheme *runtime.Scheme) (client.Object, error) {
	switch c.form {
	case untyped:
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(c.GroupVersionKind)
		return u, nil
	case metadataOnly:
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(c.GroupVersionKind)
		return m, nil
	}
	obj, err := scheme.New(c.GroupVersionKind)
	if err != nil {
		return nil, err
	}
	return obj.(client.Object), nil
}

// kind is a kind of objects, as the cluster has it.
type kind struct {
	cached
	resource   string
	namespaced bool
}

// kindOf is the kind of obj, or of the items when obj is a list.
func (c *Cluster) kindOf(obj runtime.Object) (kind, error) {
	gvk, err := c.nobody.GroupVersionKindFor(obj)
	if err != nil {
		return kind{}, err
	}
	if meta.IsListType(obj) {
		gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	}
	mapping, err := c.manager.GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return kind{}, err
	}
	return kind{cached{gvk, formOf(obj)}, mapping.Resource.Resource, mapping.Scope.Name() == meta.RESTScopeNameNamespace}, nil
}

// isNamespace reports whether k is that of Namespaces.
func (k kind) isNamespace() bool { return k.Group == "" && k.Kind == "Namespace" }

// review says nil when u may do verb on objects of k, in namespace ("" for all) and of name ("" for any).
func (c *Cluster) review(ctx context.Context, u user.Info, verb string, k kind, namespace, name string) error {
	who, err := identity(u)
	if err != nil {
		return err
	}
	q := question{who: who, verb: verb, group: k.Group, version: k.Version, resource: k.resource, namespace: namespace, name: name}
	if k.isNamespace() && name != "" {
		// As the API server does: a role inside a namespace may grant reading the namespace itself.
		q.namespace = name
	}
	// Who may do it everywhere is asked about once, and not for each of 200 namespaces.
	everywhere := q
	everywhere.namespace, everywhere.name = "", ""
	allowed, err := c.decisions.allows(ctx, u, everywhere)
	if err == nil && !allowed && q != everywhere {
		allowed, err = c.decisions.allows(ctx, u, q)
	}
	if err != nil {
		return fmt.Errorf("reviewing access: %w", err)
	}
	if !allowed {
		return apierrors.NewForbidden(schema.GroupResource{Group: k.Group, Resource: k.resource}, name, errDenied)
	}
	return nil
}

// Denied reports whether err says that the user may not do what was asked. Admission also answers Forbidden, for an
// object that it does not accept from anybody: that is not a denial, and its reason is meant for the user.
func Denied(err error) bool {
	return apierrors.IsForbidden(err) &&
		(strings.Contains(err.Error(), errDenied.Error()) || strings.Contains(err.Error(), `is forbidden: User "`))
}
