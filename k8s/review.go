package k8s

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
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

// kind is a kind of objects, as the cluster has it.
type kind struct {
	schema.GroupVersionKind
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
		return kind{GroupVersionKind: gvk}, err
	}
	return kind{gvk, mapping.Resource.Resource, mapping.Scope.Name() == meta.RESTScopeNameNamespace}, nil
}

// isNamespace reports whether k is that of Namespaces.
func (k kind) isNamespace() bool { return k.Group == "" && k.Kind == "Namespace" }

// review says nil when u may do verb on objects of k, in namespace ("" for all) and of name ("" for any).
func (c *Cluster) review(ctx context.Context, u user.Info, verb string, k kind, namespace, name string) error {
	attributes := authorizer.AttributesRecord{
		User: u, Verb: verb, Namespace: namespace, Name: name, ResourceRequest: true,
		APIGroup: k.Group, APIVersion: k.Version, Resource: k.resource,
	}
	if k.isNamespace() && name != "" {
		// As the API server does: a role inside a namespace may grant reading the namespace itself.
		attributes.Namespace = name
	}
	decision, _, err := c.authorizer.Authorize(ctx, attributes)
	if err != nil {
		return fmt.Errorf("reviewing access: %w", err)
	}
	if decision != authorizer.DecisionAllow {
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
