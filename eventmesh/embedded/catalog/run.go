package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	osb "github.com/kubernetes-sigs/go-open-service-broker-client/v2"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"github.com/kubernetes-sigs/service-catalog/pkg/client/clientset_generated/clientset"
	"github.com/kubernetes-sigs/service-catalog/pkg/client/informers_generated/externalversions"
	"github.com/kubernetes-sigs/service-catalog/pkg/controller"
	"github.com/kubernetes-sigs/service-catalog/pkg/features"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
)

// Options say how Run runs.
type Options struct {
	// Config reaches the API server with all rights on servicecatalog.k8s.io, Secrets, ConfigMaps, Events and
	// Namespaces. Run copies it.
	Config *rest.Config
	// Log receives what Run itself has to say.
	Log *slog.Logger
	// KlogOutput receives what the controller logs, in klog's text format. It is set for the process and must be safe
	// for concurrent use. Nil discards.
	KlogOutput io.Writer
	// Started, when not nil, is closed once informers are synced and the workers are about to start.
	Started chan<- struct{}

	// PollInterval is the time between two polls of an operation that a broker does asynchronously, 50 ms if zero;
	// one that takes longer than two seconds is polled less often, in the end every second. It is also the time
	// between two tries to fetch a catalogue, of which there are 15: see Resync. From one second up it is the limit of
	// an exponential back-off that starts at one second, for both.
	PollInterval time.Duration
	// Resync is how often every object is looked at again, 15 s if zero. It is what brings back a broker that was down
	// for longer than the tries of PollInterval.
	Resync time.Duration
	// Relist is how often a catalogue is fetched without being asked for, 24 h if zero.
	Relist time.Duration
	// RetryFor is how long a failing operation is tried again before the instance fails, 7 days if zero.
	RetryFor time.Duration
	// BrokerTimeout bounds one call of a broker, 60 s if zero; whole seconds count.
	BrokerTimeout time.Duration
	// Workers is the number of workers per kind, 10 if zero.
	Workers int
}

func (o Options) withDefaults() Options {
	o.KlogOutput = cmp.Or[io.Writer](o.KlogOutput, io.Discard)
	o.PollInterval = cmp.Or(o.PollInterval, 50*time.Millisecond)
	o.Resync = cmp.Or(o.Resync, 15*time.Second)
	o.Relist = cmp.Or(o.Relist, 24*time.Hour)
	o.RetryFor = cmp.Or(o.RetryFor, 7*24*time.Hour)
	o.BrokerTimeout = cmp.Or(o.BrokerTimeout, time.Minute)
	o.Workers = cmp.Or(o.Workers, 10)
	return o
}

// Run runs the controller until ctx ends, then waits for its workers and returns nil. CRDs must be installed; brokers
// should listen already, or operations under way at the last stop are noted as failed polls until the next one. Only
// one Run may be active for an API server: there is no leader election.
//
// A panic in a worker ends the process, as upstream has it: a half-done step is repaired by starting again, not by
// carrying on.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if err := redirectKlog(o.KlogOutput); err != nil {
		return err
	}
	if err := checkFeatures(); err != nil {
		return err
	}
	config := rest.CopyConfig(o.Config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return checkedDeletions{cachedLists{rt}} })
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making client: %w", err)
	}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making Service Catalog client: %w", err)
	}
	if err := warm(ctx, client.ServicecatalogV1beta1().RESTClient()); err != nil {
		return unlessEnded(ctx, err)
	}

	events := record.NewBroadcaster(record.WithContext(ctx))
	defer events.Shutdown()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kube.CoreV1().Events("")})
	recorder, err := newRecorder(events)
	if err != nil {
		return err
	}
	factory := externalversions.NewSharedInformerFactory(client, o.Resync)
	ctl, err := newController(ctx, o, kube, client, factory, recorder)
	if err != nil {
		return fmt.Errorf("making controller: %w", err)
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return unlessEnded(ctx, fmt.Errorf("%s did not sync", kind))
		}
	}
	o.Log.InfoContext(ctx, "Service Catalog started", "poll", o.PollInterval, "resync", o.Resync)
	if o.Started != nil {
		close(o.Started)
	}
	ctl.Run(o.Workers, ctx.Done())
	return nil
}

// unlessEnded is err, nil when ctx ended: being stopped is no failure.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// checkFeatures makes sure that the gates that upstream adds to Kubernetes' own while the program loads, ignoring
// errors, are there: a Kubernetes with a gate of the same name would silently take away the namespaced brokers.
func checkFeatures() error {
	gate := utilfeature.DefaultMutableFeatureGate
	if _, known := gate.GetAll()[features.NamespacedServiceBroker]; !known || !gate.Enabled(features.NamespacedServiceBroker) {
		return errors.New("feature gate NamespacedServiceBroker of Service Catalog is off or unknown")
	}
	return nil
}

// warm returns when the API server serves all kinds. The first request for a custom resource makes its storage; made
// by informers, which start all at once and back off, that takes a second longer.
func warm(ctx context.Context, client rest.Interface) error {
	crds, err := CRDs()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, crd := range crds {
		g.Go(func() error {
			var last error
			err := wait.PollUntilContextCancel(ctx, 25*time.Millisecond, true, func(ctx context.Context) (bool, error) {
				last = client.Get().Resource(crd.Spec.Names.Plural).Param("limit", "1").Do(ctx).Error()
				return last == nil, nil
			})
			if err != nil {
				return fmt.Errorf("waiting for %s to be served: %w", crd.Name, errors.Join(err, last))
			}
			return nil
		})
	}
	return g.Wait()
}

func newRecorder(events record.EventBroadcaster) (record.EventRecorder, error) {
	scheme := runtime.NewScheme()
	if err := scv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering Service Catalog's types: %w", err)
	}
	return events.NewRecorder(scheme, corev1.EventSource{Component: "service-catalog-controller-manager"}), nil
}

func newController(ctx context.Context, o Options, kube kubernetes.Interface, client clientset.Interface, factory externalversions.SharedInformerFactory, recorder record.EventRecorder) (controller.Controller, error) {
	informers := factory.Servicecatalog().V1beta1()
	return controller.NewController(
		kube,
		client.ServicecatalogV1beta1(),
		informers.ClusterServiceBrokers(),
		informers.ServiceBrokers(),
		informers.ClusterServiceClasses(),
		informers.ServiceClasses(),
		informers.ServiceInstances(),
		informers.ServiceBindings(),
		informers.ClusterServicePlans(),
		informers.ServicePlans(),
		newPace(o.Workers/2, ctx.Done()).client(osb.NewClient),
		o.Relist,
		osb.LatestAPIVersion().HeaderValue(),
		recorder,
		o.RetryFor,
		o.PollInterval,
		controller.DefaultClusterIDConfigMapName,
		controller.DefaultClusterIDConfigMapNamespace,
		o.BrokerTimeout,
	)
}
