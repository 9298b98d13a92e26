package k8s

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Client returns the client of the user in ctx. Get and List are reviewed for that user (SubjectAccessReview, cached
// for some seconds) and answered from the shared caches; field selectors need an index registered with the manager.
// Everything else goes to the API server as that user, by impersonation, and is decided and audited there; a record of it
// goes to Options.Audit. A write returns when the caches show it, or after two seconds: who reads next reads it.
//
// What List returns is shared with the cache: the list itself is the caller's, but nothing that an item refers to may be
// changed. Get returns a copy.
//
// A List of all namespaces by somebody who may not list in all gives what that user may list in each, and is refused only
// if that is so in none. Namespaces are given to who may get them, Applications to who may see in some namespace that they
// are enabled there, and so a Get.
//
// Without a user in ctx every call fails with Unauthorized. A refusal is a Forbidden error for which Denied is true.
func (c *Cluster) Client(ctx context.Context) client.Client {
	u, _ := request.UserFrom(ctx)
	return userClient{Client: c.nobody, cluster: c, user: u}
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
	key, err := identity(u)
	if err != nil {
		return nil, err
	}
	if cl, ok := c.clients.Get(key); ok {
		return cl, nil
	}
	config := c.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}
	cl, err := client.New(config, c.clientOptions())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	c.clients.Add(key, cl)
	return cl, nil
}

// userClient is a client.Client for one user. The embedded one is nobody's: what is not taken over is refused.
type userClient struct {
	client.Client
	cluster *Cluster
	user    user.Info // nil when there is nobody to act for
}

// Get reviews verb get and reads the cache.
func (u userClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if u.user == nil {
		return apierrors.NewUnauthorized("no user")
	}
	return doubt(ctx, u.cluster.get(ctx, u.user, key, obj, opts...))
}

func (c *Cluster) get(ctx context.Context, u user.Info, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	k, err := c.kindOf(obj)
	if err != nil {
		return err
	}
	if err := c.mayGet(ctx, u, k, key); err != nil {
		return err
	}
	if _, err := c.noted(ctx, k); err != nil {
		return err
	}
	return c.manager.GetCache().Get(ctx, key, obj, opts...)
}

func (c *Cluster) mayGet(ctx context.Context, u user.Info, k kind, key client.ObjectKey) error {
	refusal := c.review(ctx, u, "get", k, key.Namespace, key.Name)
	through := seenThrough[k.GroupKind()]
	if through == nil || !Denied(refusal) {
		return refusal
	}
	names, _, err := c.namesThrough(ctx, u, "list", through())
	if err == nil && !names.Has(key.Name) {
		err = refusal
	}
	return err
}

// List reviews verb list, in the namespace of the options or in all, and reads the cache.
func (u userClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if u.user == nil {
		return apierrors.NewUnauthorized("no user")
	}
	return doubt(ctx, u.cluster.listFor(ctx, u.user, list, opts...))
}

func (c *Cluster) listFor(ctx context.Context, u user.Info, list client.ObjectList, opts ...client.ListOption) error {
	k, err := c.kindOf(list)
	if err != nil {
		return err
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	s, err := c.sightOf(ctx, u, "list", k, o.Namespace)
	switch {
	case err != nil:
		return err
	case s.everything:
		return c.list(ctx, k, list, opts...)
	}
	limit := o.Limit
	o.Limit = 0 // of what is kept
	if err := c.list(ctx, k, list, &o); err != nil {
		return err
	}
	return s.keep(list, limit)
}

// list reads the cache without a review. The items are shared with it.
func (c *Cluster) list(ctx context.Context, k kind, list client.ObjectList, opts ...client.ListOption) error {
	if _, err := c.noted(ctx, k); err != nil {
		return err
	}
	return c.manager.GetCache().List(ctx, list, append(opts[:len(opts):len(opts)], client.UnsafeDisableDeepCopy)...)
}
