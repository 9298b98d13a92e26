package k8s

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errDenied is the reason of every refusal. It does not say whether what was asked for exists.
var errDenied = errors.New("access denied")

// Client returns the client of the user in ctx. Get and List are reviewed for that user (SubjectAccessReview, cached
// for some seconds) and answered from the shared caches, so a List may be some milliseconds behind a write; field
// selectors need an index registered with the manager. Everything else goes to the API server as that user, by
// impersonation, and is decided and audited there.
//
// Without a user in ctx every call fails with Unauthorized. A refusal is a Forbidden error for which Denied is true.
func (c *Cluster) Client(ctx context.Context) client.Client {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return userClient{Client: c.nobody, cluster: c}
	}
	writer, err := c.impersonate(u)
	if err != nil {
		// Nothing of the user reaches the API here, so this is not about rights: the process cannot make clients.
		return userClient{Client: c.nobody, cluster: c}
	}
	return userClient{Client: writer, cluster: c, user: u}
}

// newNobody returns a client to which the server's answer is always Unauthorized, without asking it.
func newNobody(config *rest.Config, o client.Options) (client.Client, error) {
	config = rest.CopyConfig(config)
	config.Wrap(func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			body, err := json.Marshal(apierrors.NewUnauthorized("no user").Status())
			if err != nil {
				return nil, err
			}
			return &http.Response{
				StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized", Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
			}, nil
		})
	})
	return client.New(config, o)
}

// roundTripper is an http.RoundTripper in one function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// impersonate returns a client that acts as u on the API server.
func (c *Cluster) impersonate(u user.Info) (client.Client, error) {
	id := rest.ImpersonationConfig{UserName: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}
	key, err := json.Marshal(id)
	if err != nil {
		return nil, fmt.Errorf("identifying user: %w", err)
	}
	if cl, ok := c.clients.Get(string(key)); ok {
		return cl, nil
	}
	config := c.Config()
	config.Impersonate = id
	cl, err := client.New(config, c.clientOptions())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	c.clients.Add(string(key), cl)
	return cl, nil
}

// userClient is a client.Client for one user. The embedded client writes as the user; reads are taken over.
type userClient struct {
	client.Client
	cluster *Cluster
	user    user.Info // nil when there is nobody to act for
}

// Get reviews verb get and reads the cache.
func (u userClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if err := u.review(ctx, "get", obj, key.Namespace, key.Name); err != nil {
		return err
	}
	return u.cluster.manager.GetCache().Get(ctx, key, obj, opts...)
}

// List reviews verb list, in the namespace of the options or in all, and reads the cache.
func (u userClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	if err := u.review(ctx, "list", list, o.Namespace, ""); err != nil {
		return err
	}
	return u.cluster.manager.GetCache().List(ctx, list, opts...)
}

// Create has the API server make obj, as the user.
func (u userClient) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	if err := u.addressable(obj); err != nil {
		return err
	}
	return u.Client.Create(ctx, obj, opts...)
}

// Delete has the API server delete obj, as the user.
func (u userClient) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	if err := u.named(obj); err != nil {
		return err
	}
	return u.Client.Delete(ctx, obj, opts...)
}

// Update has the API server replace obj, as the user.
func (u userClient) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	if err := u.named(obj); err != nil {
		return err
	}
	return u.Client.Update(ctx, obj, opts...)
}

// Patch has the API server change obj, as the user.
func (u userClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if err := u.named(obj); err != nil {
		return err
	}
	return u.Client.Patch(ctx, obj, patch, opts...)
}

// named refuses an obj that cannot be addressed, or has no name.
func (u userClient) named(obj client.Object) error {
	if err := u.addressable(obj); err != nil {
		return err
	}
	if obj.GetName() == "" {
		return apierrors.NewBadRequest("the name must not be empty")
	}
	return nil
}

// addressable refuses an obj whose name or namespace cannot stand in a URL. The request would not be sent, and the error
// would not say that it is the caller's: writes are given names as users type them.
func (u userClient) addressable(obj client.Object) error {
	namespaced, err := u.IsObjectNamespaced(obj)
	if err != nil {
		return err
	}
	if namespaced && obj.GetNamespace() == "" {
		return apierrors.NewBadRequest("the namespace must not be empty")
	}
	for what, value := range map[string]string{"name": obj.GetName(), "namespace": obj.GetNamespace()} {
		if problems := path.IsValidPathSegmentName(value); len(problems) > 0 {
			return apierrors.NewBadRequest(fmt.Sprintf("the %s %q %s", what, value, strings.Join(problems, ", ")))
		}
	}
	return nil
}

// review says nil when the user may do verb on obj's kind, in namespace ("" for all) and for name ("" for any).
func (u userClient) review(ctx context.Context, verb string, obj runtime.Object, namespace, name string) error {
	if u.user == nil {
		return apierrors.NewUnauthorized("no user")
	}
	return u.cluster.review(ctx, u.user, verb, obj, namespace, name)
}

// review asks the authorizer. obj may be a list of the kind that is meant.
func (c *Cluster) review(ctx context.Context, u user.Info, verb string, obj runtime.Object, namespace, name string) error {
	gvk, err := c.kindOf(obj)
	if err != nil {
		return err
	}
	mapping, err := c.manager.GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	attributes := authorizer.AttributesRecord{
		User: u, Verb: verb, Namespace: namespace, Name: name, ResourceRequest: true,
		APIGroup: gvk.Group, APIVersion: gvk.Version, Resource: mapping.Resource.Resource,
	}
	if mapping.Resource.Resource == "namespaces" && gvk.Group == "" && name != "" {
		// As the API server does: a role inside a namespace may grant reading the namespace itself.
		attributes.Namespace = name
	}
	decision, _, err := c.authorizer.Authorize(ctx, attributes)
	if err != nil {
		return fmt.Errorf("reviewing access: %w", err)
	}
	if decision != authorizer.DecisionAllow {
		return apierrors.NewForbidden(mapping.Resource.GroupResource(), name, errDenied)
	}
	return nil
}

// kindOf is the kind of obj, or of the items when obj is a list.
func (c *Cluster) kindOf(obj runtime.Object) (schema.GroupVersionKind, error) {
	gvk, err := c.manager.GetClient().GroupVersionKindFor(obj)
	if err != nil {
		return gvk, err
	}
	if meta.IsListType(obj) && len(gvk.Kind) > len("List") {
		gvk.Kind = gvk.Kind[:len(gvk.Kind)-len("List")]
	}
	return gvk, nil
}

// Denied reports whether err says that the user may not do what was asked. Admission also answers Forbidden, for an
// object that it does not accept from anybody: that is not a denial, and its reason is meant for the user.
func Denied(err error) bool {
	return apierrors.IsForbidden(err) &&
		(strings.Contains(err.Error(), errDenied.Error()) || strings.Contains(err.Error(), `is forbidden: User "`))
}
