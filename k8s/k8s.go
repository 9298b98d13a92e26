// Package k8s is the cluster as one user sees it. Open finds the cluster; Client gives a client.Client that acts for
// the user in a context: reads are reviewed for that user and then answered from shared caches, writes are made as that
// user. Watch streams changes under the same reviews.
//
// There is no other way to the cluster for a request, and kind and verb come from the call itself, so no field of an
// API can forget its access control.
//
// The user travels in a context as k8s.io/apiserver/pkg/endpoints/request.WithUser puts it there.
package k8s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// reviewTTL is how long an answer of the authorizer is believed, either way: what is revoked stays usable no
	// longer.
	reviewTTL = 10 * time.Second
	// tokenTTL is how long a reviewed token is believed.
	tokenTTL = 10 * time.Second
	// maxUsers is how many users' clients are kept. A client is a few kilobytes; connections are shared.
	maxUsers = 1024
)

// Options say which cluster Open opens, and how.
type Options struct {
	// Kubeconfig is the path of a kubeconfig file. When empty, the cluster that this process is a pod of is opened.
	Kubeconfig string
	// Fallback gives the cluster when Kubeconfig is empty and the process is not a pod. May be nil.
	Fallback func(context.Context) (*rest.Config, error)
	// Anonymous is the user that a request without a token is treated as. Nil refuses such requests.
	Anonymous user.Info
}

// Cluster is an open cluster. It is safe for concurrent use.
type Cluster struct {
	config        *rest.Config
	manager       manager.Manager
	authenticator authenticator.Request
	authorizer    authorizer.Authorizer
	anonymous     user.Info
	clients       *lru.Cache[string, client.Client]
	nobody        client.Client

	mu     sync.Mutex
	hubs   map[schema.GroupVersionKind]*hub
	checks []check
	absent map[schema.GroupKind]time.Time // kinds that the cluster does not have, and until when that is believed

	indexing sync.Mutex
	indexes  map[string]bool // made by Index, by kind and field
}

type check struct {
	name string
	run  func(context.Context) error
}

// Open opens the cluster that o names and prepares its manager. Nothing runs before Run.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	cfg, err := find(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	m, err := manager.New(cfg, manager.Options{
		Scheme:  NewScheme(),
		Metrics: metricsserver.Options{BindAddress: "0"}, // served with everything else, by package web
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// Names only have to be unique within a manager; one process may open several clusters, as the tests do.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	c := &Cluster{config: cfg, manager: m, anonymous: o.Anonymous, hubs: map[schema.GroupVersionKind]*hub{}, absent: map[schema.GroupKind]time.Time{}}
	if c.clients, err = lru.New[string, client.Client](maxUsers); err != nil {
		return nil, err
	}
	if c.nobody, err = newNobody(cfg, c.clientOptions()); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	kube, err := kubernetes.NewForConfigAndClient(cfg, m.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 4}
	c.authenticator, _, err = authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient:  kube.AuthenticationV1(),
		TokenAccessReviewTimeout: 10 * time.Second,
		WebhookRetryBackoff:      &backoff,
		CacheTTL:                 tokenTTL,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("making the authenticator: %w", err)
	}
	c.authorizer, err = authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: kube.AuthorizationV1(),
		AllowCacheTTL:             reviewTTL,
		DenyCacheTTL:              reviewTTL,
		WebhookRetryBackoff:       &backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("making the authorizer: %w", err)
	}
	return c, nil
}

func (c *Cluster) clientOptions() client.Options {
	return client.Options{Scheme: c.manager.GetScheme(), Mapper: c.manager.GetRESTMapper()}
}

// find returns how to reach the cluster that o names.
func find(ctx context.Context, o Options) (*rest.Config, error) {
	if o.Kubeconfig != "" {
		return clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	}
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) && o.Fallback != nil {
		return o.Fallback(ctx)
	}
	return config, err
}

// InCluster reports whether this process is a pod of a cluster, which Open would open without a Kubeconfig. It goes by the
// same signs as rest.InClusterConfig.
func InCluster() bool {
	return os.Getenv("KUBERNETES_SERVICE_HOST") != "" && os.Getenv("KUBERNETES_SERVICE_PORT") != ""
}

// Config returns a copy of how this process itself reaches the cluster, with its own rights.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Manager is the controller manager, for reconcilers. Its client acts with the process' own rights: a request must
// never use it.
func (c *Cluster) Manager() manager.Manager { return c.manager }

// Authenticate tells who makes a request by its bearer token, which the cluster reviews. A request without one is the
// anonymous user of Options, when there is one. ok is false for a request that nobody stands behind; err is a failure
// to find out.
func (c *Cluster) Authenticate(r *http.Request) (u user.Info, ok bool, err error) {
	if r.Header.Get("Authorization") == "" && c.anonymous != nil {
		return c.anonymous, true, nil
	}
	// The authenticator removes the header it used, so that nothing behind it can leak the token.
	res, ok, err := c.authenticator.AuthenticateRequest(r)
	if err != nil || !ok {
		return nil, false, err
	}
	return res.User, true, nil
}

// AddCheck makes Ready depend on f, which is called with the context of the question and says what is missing.
func (c *Cluster) AddCheck(name string, f func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks = append(c.checks, check{name, f})
}

// Ready says why the cluster cannot be worked with yet, nil when it can: its caches are synced and every check passes.
func (c *Cluster) Ready(ctx context.Context) error {
	select {
	case <-c.manager.Elected():
	default:
		return errors.New("manager: not started")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !c.manager.GetCache().WaitForCacheSync(ctx) {
		return errors.New("caches: not synced")
	}
	c.mu.Lock()
	checks := slices.Clone(c.checks)
	c.mu.Unlock()
	for _, check := range checks {
		if err := check.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
	}
	return nil
}

// Run runs the caches and all reconcilers until ctx ends.
func (c *Cluster) Run(ctx context.Context) error { return c.manager.Start(ctx) }
