// Package broker is the Application Broker: it offers the services of Applications to namespaces through the Open
// Service Broker API, version 2.13 and later, and turns a provisioned service into an EventActivation.
//
//	GET    /{namespace}/v2/catalog                                     what the namespace may use
//	PUT    /{namespace}/v2/service_instances/{id}                      provision
//	PATCH  /{namespace}/v2/service_instances/{id}                      update
//	GET    /{namespace}/v2/service_instances/{id}                      fetch
//	DELETE /{namespace}/v2/service_instances/{id}                      deprovision
//	GET    /{namespace}/v2/service_instances/{id}/last_operation       how far is it
//	PUT    /{namespace}/v2/service_instances/{id}/service_bindings/{b} bind, services with an API only
//	DELETE /{namespace}/v2/service_instances/{id}/service_bindings/{b} unbind
//	GET    /healthz, /statusz                                          200 while the process serves
//
// The broker has no state. An instance of a service with events is the EventActivation that has the service's id as
// name and the instance's id in a label; one of a service without events is nothing at all. What an operation has come
// to is read from the EventActivation's status, which a reconciler elsewhere keeps: provisioned means that events flow,
// deprovisioned that the EventActivation, which is held by that reconciler's finalizer, is gone. So nothing is lost or
// stuck when the process ends at any line.
//
// Service Catalog tries everything again but what is answered with 400. So 400 is only for what trying again cannot
// mend; what the user may yet put right, such as a missing ApplicationMapping, has another status.
//
// Answers that are not a success are {"error": word, "description": for people}.
package broker

import (
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// Options are what a broker works with. All are required.
type Options struct {
	// Client reads Applications, ApplicationMappings, EventActivations and ServiceInstances from a cache and writes
	// EventActivations.
	Client client.Client
	// Live reads past the cache: the Secret of each request's namespace, and EventActivations before something is
	// concluded from their absence.
	Live client.Reader
	// Log receives what happens to instances, and failures that callers are not told the details of.
	Log *slog.Logger
}

type broker struct {
	Options
}

// New makes the handler. It starts nothing and may be called before the cache is synced, but not served.
//
// Every request under /{namespace} must present the user and password of the Secret eventmesh.BrokerAuthSecret in that
// namespace, so that who has those of one namespace can act in no other.
func New(o Options) http.Handler {
	b := &broker{o}
	r := chi.NewRouter()
	r.Use(b.recovered)
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusNotFound, "NotFound", "there is nothing at this path").write(w)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusMethodNotAllowed, "MethodNotAllowed", "this path does not take this method").write(w)
	})
	r.Get("/healthz", ok)
	r.Get("/statusz", ok)
	r.Route("/{namespace}/v2", func(r chi.Router) {
		r.Use(b.authenticated, versioned, identified, limited)
		r.Get("/catalog", b.handle(b.catalog))
		r.Route("/service_instances/{instance}", func(r chi.Router) {
			r.Put("/", b.handle(b.provision))
			r.Patch("/", b.handle(b.update))
			r.Get("/", b.handle(b.fetch))
			r.Delete("/", b.handle(b.deprovision))
			r.Get("/last_operation", b.handle(b.lastOperation))
			r.Put("/service_bindings/{binding}", b.handle(b.bind))
			r.Delete("/service_bindings/{binding}", b.handle(b.unbind))
		})
	})
	return r
}

func ok(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK")) // The client is gone: nobody to tell.
}

// handle makes a handler of f, which answers or fails: errors of the API server become an answer, others are logged.
func (b *broker) handle(f func(*http.Request) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := f(r)
		if err != nil {
			a = b.failure(r, err)
		}
		a.write(w)
	}
}
