package connector

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// Options says what a Connector works with.
type Options struct {
	// Client reads and writes the cluster as the program itself. Its reads should be from a cache: there are some for
	// every event.
	Client client.Client
	// Directory knows where events go; when nil, the cluster's HTTPSources say so.
	Directory Directory
	// Transport sends events to their sinks, http.DefaultTransport when nil.
	Transport http.RoundTripper
	// MaxBody is the largest request body taken, in bytes; DefaultMaxBody when 0. Legacy events have a limit of their own.
	MaxBody int64
	// Timeout is how long a sink may take for one event; DefaultTimeout when 0.
	Timeout time.Duration
	// Log takes what clients are not told; slog.Default when nil.
	Log *slog.Logger
	// Version of the program, for the sinks' logs.
	Version string
}

// Connector is the Application Connector, an http.Handler for requests from outside. Time limits for reading requests are
// those of the server that it runs in.
type Connector struct {
	client    client.Client
	directory Directory
	adapter   *Adapter
	log       *slog.Logger
	routes    http.Handler
}

// New makes a Connector. It starts nothing.
func New(o Options) *Connector {
	c := &Connector{client: o.Client, directory: o.Directory, log: o.Log}
	if c.directory == nil {
		c.directory = clusterDirectory{o.Client}
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.adapter = &Adapter{
		Resolve: c.source, Transport: o.Transport, MaxBody: o.MaxBody, Timeout: o.Timeout, Log: c.log,
		UserAgent: strings.TrimSuffix("kyma-console/"+o.Version, "/"),
	}
	c.routes = c.router()
	return c
}

func (c *Connector) router() http.Handler {
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	r := chi.NewRouter()
	r.Get("/healthz", ok)
	r.Get("/v1/health", ok)
	r.Post("/{application}/events", c.adapter.ServeHTTP)
	r.Post("/{application}/v1/events", c.serveLegacy)
	r.Post("/{application}/v2/events", c.serveMoved)
	r.Get("/{application}/v1/events/subscribed", c.serveSubscribed)
	r.Get("/{application}/v1/metadata/services", c.serveServices)
	r.Post("/{application}/v1/metadata/services", c.serveServices)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		r.Method(method, "/{application}/v1/metadata/services/{id}", http.HandlerFunc(c.serveService))
	}
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, contentTypeError, errorBody{http.StatusNotFound, "Requested resource could not be found."})
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusMethodNotAllowed, contentTypeError, errorBody{http.StatusMethodNotAllowed, "Method not allowed."})
	})
	return r
}

// ServeHTTP answers a request from outside.
func (c *Connector) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.routes.ServeHTTP(w, r) }

// SourceHandler takes CloudEvents from senders inside the cluster, on any path of http://<application>.kyma-integration,
// the Service of the application's HTTPSource.
func (c *Connector) SourceHandler() http.Handler {
	adapter := *c.adapter
	adapter.Resolve = func(r *http.Request) (Source, error) {
		application, ok := sourceHost(r.Host)
		if !ok {
			return Source{}, apierrors.NewBadRequest("The host is not that of an application's HTTP source")
		}
		return c.directory.Source(r.Context(), application)
	}
	return &adapter
}

// sourceHost is the application whose source the host is.
func sourceHost(host string) (application string, ok bool) {
	name, namespace, ok := eventmesh.ParseServiceHost(strings.ToLower(host))
	return name, ok && namespace == eventmesh.IntegrationNamespace
}

// source is where the events of the request's application go.
func (c *Connector) source(r *http.Request) (Source, error) {
	application, err := identity(r)
	if err != nil {
		return Source{}, err
	}
	return c.directory.Source(r.Context(), application)
}

// identity is the application that a request comes from. On loopback that is what its path says: whoever can connect may
// speak for any application. This is the place to compare the path with a client certificate's subject.
func identity(r *http.Request) (application string, err error) {
	application, err = url.PathUnescape(chi.URLParam(r, "application"))
	if err != nil {
		return "", apierrors.NewBadRequest("The application's name is not well formed")
	}
	return application, nil
}

// serveMoved sends a sender of the second version's events, which were CloudEvents already, to where these go now. The
// original answers 301 as well; as it makes many clients forget their method, they see a 405 there, not a loss.
func (c *Connector) serveMoved(w http.ResponseWriter, r *http.Request) {
	application, err := identity(r)
	if err == nil {
		_, err = c.directory.Source(r.Context(), application)
	}
	// That it takes no events just now is for the new address to say.
	if err != nil && !apierrors.IsServiceUnavailable(err) {
		writeError(w, r, c.log, err)
		return
	}
	w.Header().Set("Location", "/"+url.PathEscape(application)+"/events")
	w.WriteHeader(http.StatusMovedPermanently)
}
