// Package web is the program's HTTP side: the routes people, browsers and scripts reach, the checks each request passes
// before a handler sees it, and the server that listens.
//
// It knows nothing of GraphQL or Kubernetes beyond the type that says who the user is. What answers /graphql, how a
// request is authenticated and when the program is ready come in as values of Config, so the same routes serve a laptop
// and a cluster. Start at New, which shows all routes and all checks on one screen; Serve runs any of the program's
// listeners.
//
// Every refusal has the shape of a GraphQL answer, {"errors":[{"message","extensions":{"code"}}]}, because that is what
// the Kyma Console shows to its user, whatever the HTTP status.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apiserver/pkg/authentication/user"
)

// DefaultMaxBody is the largest request body, in bytes, when Config.MaxBody is 0. Documents and variables of the Kyma
// Console stay far below it; a Function's source is the largest thing sent.
const DefaultMaxBody = 1 << 20

// DefaultRecheck is how often the sign-in of a stream is repeated when Config.Recheck is 0.
const DefaultRecheck = time.Minute

// graphqlPath is where the API is.
const graphqlPath = "/graphql"

// Config is what New needs. Authenticate, GraphQL and Ready are required; New panics without them, since a server that
// lacks one of them is a mistake in the wiring and not something to find out from a request.
type Config struct {
	// Authenticate says who sent the request: ok is false when it carries nothing that identifies anybody, err is not
	// nil when what it carries is not valid. Both are answered with 401; err is logged and not sent. It must be safe
	// for concurrent use and is called again for as long as a websocket or an event stream lasts (see Recheck).
	Authenticate func(*http.Request) (u user.Info, ok bool, err error)

	// GraphQL answers /graphql: POST, GET, websocket and event stream. The user is in the request's context
	// (request.UserFrom of k8s.io/apiserver); the token is no longer in the headers. Origins have been checked, so a
	// websocket upgrader in it has nothing to check again.
	GraphQL http.Handler

	// Schema is the text of the GraphQL schema, served at /schema.graphqls; without it there is no such route.
	Schema []byte

	// Playground says that the GraphQL playground is served.
	Playground bool

	// Ready returns nil when the program can serve, else an error whose text is for the person who waits. It is asked
	// on each GET /readyz and gets at most two seconds.
	Ready func(context.Context) error

	// Metrics is what /metrics shows; without it there is no such route.
	Metrics prometheus.Gatherer

	// Log takes what operators need to know; nil discards it. Requests are logged at debug level.
	Log *slog.Logger

	// Loopback says that the listener is on a loopback address. Then a request may be signed in by nothing but its
	// coming from this machine, so its Host header must name this machine too: localhost, a loopback address or one of
	// AllowedHosts, with any port. Else a web page could point its own host name at 127.0.0.1 and act as the user (DNS
	// rebinding). On other addresses a token is needed, which such a page does not have, and Host is not checked.
	Loopback bool

	// AllowedHosts are further names (without port) that Host may have when Loopback is set.
	AllowedHosts []string

	// AllowedOrigins are origins ("https://console.example.com") whose pages may use the API from a browser, besides
	// those of this server itself. They get CORS headers; pages of all other origins can neither send a POST nor open a
	// websocket. There are no wildcards.
	AllowedOrigins []string

	// MaxBody is the largest request body in bytes; 0 means DefaultMaxBody.
	MaxBody int64

	// Recheck is how often a websocket or event stream is signed in again with what it carried at its start, so that an
	// expired or revoked token ends it; 0 means DefaultRecheck.
	Recheck time.Duration
}

// server is a Config with its defaults filled in; its methods are the middlewares and handlers.
type server struct {
	Config
}

// New returns the handler for the program's main listener. It starts nothing and can be used by several listeners.
func New(c Config) http.Handler {
	s := newServer(c)
	r := chi.NewRouter()
	r.Use(
		s.recovered,          // first, so that a panic in any of the others is answered and logged too
		s.logged,             // next, so that refused requests show up with an id as well
		middleware.GetHead,   // HEAD is GET without the body
		s.hostChecked,        // before everything that believes the browser's idea of who we are
		s.originChecked,      // before the body is read and before a token is looked at
		s.bodyLimited,        // before sign-in: its own work must not depend on how much is sent
		tokenFromSubprotocol, // where the Kyma Console puts the token of a websocket
	)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, codeNotFound, "there is nothing at "+r.URL.Path)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, HEAD")
		if r.URL.Path == graphqlPath {
			w.Header().Set("Allow", "GET, HEAD, POST")
		}
		writeError(w, http.StatusMethodNotAllowed, codeBadRequest, r.Method+" is not possible here")
	})

	r.Get("/healthz", s.healthz)
	r.Get("/readyz", s.readyz)
	if s.Schema != nil {
		r.Get("/schema.graphqls", newAsset("schema.graphqls", s.Schema).ServeHTTP)
	}
	if s.Playground {
		play := newPlayground()
		r.Get("/", http.RedirectHandler("/playground", http.StatusFound).ServeHTTP)
		r.Get("/playground", play.page)
		r.Get("/playground/", http.RedirectHandler("/playground", http.StatusFound).ServeHTTP)
		r.Get("/playground/{file}", play.file)
	}

	r.Group(func(r chi.Router) {
		r.Use(s.signedIn)
		r.Method(http.MethodGet, graphqlPath, s.GraphQL)
		r.Method(http.MethodPost, graphqlPath, s.GraphQL)
		if s.Metrics != nil {
			r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{
				ErrorLog:      slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
				ErrorHandling: promhttp.ContinueOnError, // one bad collector must not hide all others
			}))
		}
	})
	return r
}

// newServer checks what is required and fills in the defaults.
func newServer(c Config) *server {
	switch {
	case c.Authenticate == nil:
		panic("web.New: Config.Authenticate is required")
	case c.GraphQL == nil:
		panic("web.New: Config.GraphQL is required")
	case c.Ready == nil:
		panic("web.New: Config.Ready is required")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Recheck == 0 {
		c.Recheck = DefaultRecheck
	}
	return &server{Config: c}
}
