// Package embedded makes a whole event mesh of this process: Knative Eventing (package knative), Service Catalog (package
// catalog), a durable channel on JetStream (package jetstream) and a runtime for Functions (package functions), all
// beside an API server that may be anywhere. It has the wiring between them: which Service name leads where.
//
// On a cluster none of it runs; Knative, Service Catalog and Kyma's own runtime are there instead.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/catalog"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/env"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/functions"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/jetstream"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/knative"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// Options are what the mesh needs.
type Options struct {
	// Manager runs the reconcilers of the channel and of the Functions, and its cache answers which Services exist.
	Manager manager.Manager
	// Config reaches the API server with all rights and without a rate limit.
	Config *rest.Config
	// DataDir holds the events that are stored and not yet delivered.
	DataDir string
	// Sources answers events that are sent to an HTTPSource's Service from inside the mesh, by Host header.
	Sources http.Handler
	// Metrics takes the counters of the channels. Nil counts nothing.
	Metrics prometheus.Registerer
	// Log receives what the parts have to say, as JSON lines. Writes must be safe for concurrent use.
	Log io.Writer
}

// Mesh is an event mesh in this process, see New.
type Mesh struct {
	options   Options
	log       *slog.Logger
	network   *network
	knative   *knative.Eventing
	store     *jetstream.Server
	channels  *jetstream.Channels
	functions *functions.Runtime
	catalog   chan struct{} // closed when Service Catalog's controller works
}

// CRDs returns the definitions of the foreign kinds that the mesh uses: Knative Eventing's and Service Catalog's.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	eventing, err := knative.CRDs()
	if err != nil {
		return nil, fmt.Errorf("of Knative Eventing: %w", err)
	}
	services, err := catalog.CRDs()
	if err != nil {
		return nil, fmt.Errorf("of Service Catalog: %w", err)
	}
	return append(eventing, services...), nil
}

// New opens the store of events and adds the mesh's reconcilers to the manager. Run does the rest; Close must be called
// when it has returned, or instead of it.
func New(o Options) (*Mesh, error) {
	if err := patchTransport(); err != nil {
		return nil, err
	}
	m := &Mesh{
		options: o, catalog: make(chan struct{}),
		log: slog.New(slog.NewJSONHandler(o.Log, nil)),
		knative: knative.New(knative.Options{Config: o.Config, Log: o.Log, Channel: metav1.TypeMeta{
			APIVersion: kymamessagingv1.GroupVersion.String(), Kind: "JetStreamChannel",
		}}),
	}
	m.network = newNetwork(m.resolve)
	channelOptions := jetstream.Options{Dir: filepath.Join(o.DataDir, "jetstream"), Log: m.log, Registerer: o.Metrics}
	var err error
	if m.store, err = jetstream.Start(channelOptions); err != nil {
		return nil, fmt.Errorf("opening the store of events: %w", err)
	}
	if m.channels, err = jetstream.Setup(o.Manager, m.store, channelOptions); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up channels: %w", err), m.Close())
	}
	if m.functions, err = functions.Setup(o.Manager, functions.Options{Log: m.log}); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up functions: %w", err), m.Close())
	}
	return m, nil
}

// Run runs the mesh until ctx ends. The manager must be started beside it.
func (m *Mesh) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.network.run(ctx) })
	g.Go(func() error {
		if err := m.knative.Run(ctx); err != nil {
			return fmt.Errorf("running Knative Eventing: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		err := catalog.Run(ctx, catalog.Options{
			Config: m.options.Config, Log: m.log, KlogOutput: m.options.Log, Started: m.catalog,
		})
		if err != nil {
			return fmt.Errorf("running Service Catalog: %w", err)
		}
		return nil
	})
	return g.Wait()
}

// Close closes the store of events. What is stored stays, and is delivered by the next mesh on the directory.
func (m *Mesh) Close() error {
	if m.functions != nil {
		m.functions.Close()
	}
	m.store.Close()
	return nil
}

// Ready says what is missing for events to flow, nil when nothing is.
func (m *Mesh) Ready(ctx context.Context) error {
	if err := m.knative.Ready(ctx); err != nil {
		return err
	}
	select {
	case <-m.catalog:
	default:
		return errors.New("waiting for Service Catalog")
	}
	return m.channels.Ready(ctx)
}

// FunctionLogs returns the last lines that the Function name in namespace wrote, oldest first.
func (m *Mesh) FunctionLogs(namespace, name string) []eventmesh.LogLine {
	return m.functions.Logs(namespace, name)
}

// Deploy implements the receive adapter of an HTTPSource as a route in this process: there is nothing to start, since
// Sources answers for every HTTPSource that has a sink.
func (m *Mesh) Deploy(_ context.Context, _ *sourcesv1.HTTPSource, sink string) (ready bool, message string, err error) {
	return sink != "", "", nil
}

// resolve says what the Service name in namespace leads to.
func (m *Mesh) resolve(ctx context.Context, name, namespace string) (target, error) {
	switch {
	case namespace == env.SystemNamespace && name == "broker-ingress":
		return target{handler: m.knative.Ingress()}, nil
	case namespace == env.SystemNamespace && name == "broker-filter":
		return target{handler: m.knative.Filter()}, nil
	case strings.HasSuffix(name, "-kn-channel"):
		return target{handler: m.knative.InMemoryChannels()}, nil
	case strings.HasSuffix(name, "-kn-jetstream"):
		return target{handler: m.channels}, nil
	}
	var service corev1.Service
	err := m.options.Manager.GetClient().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &service)
	switch {
	case apierrors.IsNotFound(err):
		return target{}, fmt.Errorf("service %q in namespace %q does not exist", name, namespace)
	case err != nil:
		return target{}, fmt.Errorf("looking for service %q in namespace %q: %w", name, namespace, err)
	case service.Labels[functionsv1.LabelFunctionName] != "":
		return target{handler: m.functions}, nil
	case namespace == eventmesh.IntegrationNamespace && service.Labels[eventmesh.ApplicationNameLabel] != "":
		return target{handler: m.options.Sources}, nil
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return target{address: service.Spec.ExternalName}, nil
	default:
		return target{}, fmt.Errorf("service %q in namespace %q has nothing behind it: the embedded mesh runs Functions, not pods", name, namespace)
	}
}
