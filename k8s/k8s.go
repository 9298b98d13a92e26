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
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// maxUsers is how many users' clients are kept. A client is a few kilobytes; connections are shared.
const maxUsers = 1024

// Options say which cluster Open opens, and how.
type Options struct {
	// Kubeconfig is the path of a kubeconfig file. When empty, the cluster that this process is a pod of is opened.
	Kubeconfig string
	// Fallback gives the cluster when Kubeconfig is empty and the process is not a pod. May be nil.
	Fallback func(context.Context) (*rest.Config, error)
	// Anonymous is the user that a request without a token is treated as. Nil refuses such requests.
	Anonymous user.Info
	// Authentication says whose tokens are honoured besides those that the cluster itself reviews.
	Authentication Authentication
	// ReviewInterval is how often the right to watch is reviewed while a watch lasts; 0 means DefaultReviewInterval.
	ReviewInterval time.Duration
	// Audit takes one record for each write that a user asks for. Nil discards them.
	Audit *slog.Logger
}

// Cluster is an open cluster. It is safe for concurrent use.
type Cluster struct {
	config         *rest.Config
	manager        manager.Manager
	authenticator  authenticator.Request
	decisions      *decisions
	anonymous      user.Info
	clients        *lru.Cache[string, client.Client]
	nobody         client.Client
	spaces         *utilcache.LRUExpireCache // of *space
	reviewInterval time.Duration
	audit          *slog.Logger

	mu     sync.RWMutex
	hubs   map[cached]*hub
	checks []check

	indexing sync.Mutex
	indexes  map[string]bool // made by Index, by kind and field
}

type check struct {
	name string
	run  func(context.Context) error
}

// Open opens the cluster that o names and prepares its manager. No cache is filled before Run. ctx is how long the
// issuers of o.Authentication are asked for their keys.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	cfg, err := find(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	// The API server shares itself out fairly; a limit here would make the first access of each user wait.
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	c := &Cluster{
		config: cfg, hubs: map[cached]*hub{},
		spaces: utilcache.NewLRUExpireCache(maxSpaces), audit: o.Audit,
		reviewInterval: cmp.Or(o.ReviewInterval, DefaultReviewInterval),
	}
	if o.Anonymous != nil {
		if c.anonymous, err = identify(o.Anonymous); err != nil {
			return nil, err
		}
	}
	if c.audit == nil {
		c.audit = slog.New(slog.DiscardHandler)
	}
	if c.manager, err = c.newManager(); err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if c.clients, err = lru.New[string, client.Client](maxUsers); err != nil {
		return nil, err
	}
	if c.nobody, err = newNobody(cfg, c.clientOptions()); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	kube, err := kubernetes.NewForConfigAndClient(cfg, c.manager.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 4}
	c.authenticator, err = newAuthenticator(ctx, o.Authentication, kube.AuthenticationV1(), backoff)
	if err != nil {
		return nil, fmt.Errorf("making the authenticator: %w", err)
	}
	authorizer, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: kube.AuthorizationV1(),
		WebhookRetryBackoff:       &backoff,
	}.New() // it remembers nothing: see decisions
	if err != nil {
		return nil, fmt.Errorf("making the authorizer: %w", err)
	}
	c.decisions = newDecisions(authorizer)
	return c, nil
}

// newManager makes the manager, each of whose informers has a hub from its beginning.
func (c *Cluster) newManager() (manager.Manager, error) {
	scheme := NewScheme()
	return manager.New(c.config, manager.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"}, // served with everything else, by package web
		Cache: cache.Options{
			DefaultTransform: lean(scheme),
			NewInformer: func(lw toolscache.ListerWatcher, obj runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
				informer := toolscache.NewSharedIndexInformer(lw, obj, resync, indexers)
				c.addHub(scheme, informer, obj)
				return informer
			},
		},
		MapperProvider: func(cfg *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
			mapper, err := apiutil.NewDynamicRESTMapper(cfg, httpClient)
			return newMapper(mapper), err
		},
		// Names only have to be unique within a manager; one process may open several clusters, as the tests do.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
}

// lean is how objects are kept in the caches: without managed fields, and with their kind, which is not written into
// objects that a list shares with the cache.
func lean(scheme *runtime.Scheme) toolscache.TransformFunc {
	strip := cache.TransformStripManagedFields()
	return func(in any) (any, error) {
		out, err := strip(in)
		obj, ok := out.(runtime.Object)
		if err != nil || !ok || !obj.GetObjectKind().GroupVersionKind().Empty() {
			return out, err
		}
		gvk, err := apiutil.GVKForObject(obj, scheme)
		if err != nil {
			return nil, err
		}
		obj.GetObjectKind().SetGroupVersionKind(gvk)
		return obj, nil
	}
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
