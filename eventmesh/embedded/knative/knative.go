// Package knative runs Knative Eventing in this process: its own controllers, its admission and conversion webhook, and
// the handlers of its broker's ingress and filter and of its in-memory channel. They are the real ones, imported; what
// differs from a cluster is only that no pods are made for them and that their traffic stays in the process.
//
// The package has stand-ins for what those controllers look for: the Services of the broker's data plane with an
// EndpointSlice each, and the Deployment of the in-memory channel's dispatcher.
package knative

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	"knative.dev/eventing/pkg/broker"
	"knative.dev/eventing/pkg/broker/filter"
	"knative.dev/eventing/pkg/broker/ingress"
	eventingscheme "knative.dev/eventing/pkg/client/clientset/versioned/scheme"
	eventingclient "knative.dev/eventing/pkg/client/injection/client"
	brokerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/broker"
	triggerinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1/trigger"
	eventpolicyinformer "knative.dev/eventing/pkg/client/injection/informers/eventing/v1alpha1/eventpolicy"
	subscriptioninformer "knative.dev/eventing/pkg/client/injection/informers/messaging/v1/subscription"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/eventing/pkg/kncloudevents"
	mtbroker "knative.dev/eventing/pkg/reconciler/broker"
	mttrigger "knative.dev/eventing/pkg/reconciler/broker/trigger"
	"knative.dev/eventing/pkg/reconciler/channel"
	imccontroller "knative.dev/eventing/pkg/reconciler/inmemorychannel/controller"
	"knative.dev/eventing/pkg/reconciler/subscription"
	"knative.dev/eventing/pkg/reconciler/sugar/namespace"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	configmapinformer "knative.dev/pkg/client/injection/kube/informers/core/v1/configmap/filtered"
	filteredfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/configmap"
	cminformer "knative.dev/pkg/configmap/informer"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"
	"knative.dev/pkg/webhook"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	// First of all, see its comment.
	_ "github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/env"
)

// controllerAccount is the only user that the in-memory channel's validation lets change subscribers.
const controllerAccount = "system:serviceaccount:knative-eventing:eventing-controller"

// maxTTL is how many brokers an event may pass, Knative's default.
const maxTTL = 255

// Options say how Knative runs.
type Options struct {
	// Config reaches the API server with all rights and without a rate limit.
	Config *rest.Config
	// Channel is the kind of channel that brokers and Channels without a choice of their own get.
	Channel metav1.TypeMeta
	// Log receives what Knative has to say, as JSON lines.
	Log io.Writer
}

// Eventing is Knative Eventing, see New.
type Eventing struct {
	options Options

	ready chan struct{} // closed when everything runs and admission answers

	mu       sync.RWMutex
	ingress  http.Handler
	filter   http.Handler
	inMemory http.Handler
}

// New prepares Knative Eventing. Nothing runs, and nothing is written, before Run.
func New(o Options) *Eventing {
	starting := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Knative Eventing is starting", http.StatusServiceUnavailable)
	})
	return &Eventing{options: o, ready: make(chan struct{}), ingress: starting, filter: starting, inMemory: starting}
}

// Ready returns nil once the controllers run and admission defaults and validates.
func (e *Eventing) Ready(context.Context) error {
	select {
	case <-e.ready:
		return nil
	default:
		return errors.New("waiting for Knative Eventing")
	}
}

// Ingress is the handler of the broker's ingress: POST /<namespace>/<broker>.
func (e *Eventing) Ingress() http.Handler { return e.handler(func() http.Handler { return e.ingress }) }

// Filter is the handler of the broker's filter, which the Triggers' Subscriptions deliver to.
func (e *Eventing) Filter() http.Handler { return e.handler(func() http.Handler { return e.filter }) }

// InMemoryChannels is the handler of all InMemoryChannels, which it tells apart by the Host header.
func (e *Eventing) InMemoryChannels() http.Handler {
	return e.handler(func() http.Handler { return e.inMemory })
}

// handler puts the trace context of a request where Knative's client looks for it, as the servers do that are left out
// here.
func (e *Eventing) handler(get func() http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.RLock()
		h := get()
		e.mu.RUnlock()
		h.ServeHTTP(w, r.WithContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))))
	})
}

// Run installs Knative's configuration and runs its controllers, webhook and handlers until ctx ends. The definitions
// of CRDs must be installed already.
func (e *Eventing) Run(ctx context.Context) (err error) {
	asked := ctx
	defer func() {
		cause := recover()
		if message, ok := cause.(string); ok {
			err = errors.New(message) // of the logger, see newLogger
		} else if cause != nil {
			panic(cause)
		}
		if asked.Err() != nil {
			err = nil // upstream takes being stopped while it starts for fatal
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the webhook: %w", err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port

	config := rest.CopyConfig(e.options.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: controllerAccount, Groups: []string{"system:masters"}}
	if err := install(ctx, config, port, e.options.Channel); err != nil {
		return fmt.Errorf("installing Knative Eventing: %w", err)
	}

	logger := newLogger(e.options.Log)
	ctx = logging.WithLogger(ctx, logger)
	ctx = webhook.WithOptions(ctx, webhook.Options{ServiceName: webhookName, Port: port, SecretName: webhookSecret})
	ctx = filteredfactory.WithSelectors(ctx, auth.OIDCLabelSelector, eventingtls.TrustBundleLabelSelector)
	ctx, startInformers := injection.EnableInjectionOrDie(ctx, config)
	ctx, stopEvents, err := withEventRecorder(ctx)
	if err != nil {
		return fmt.Errorf("making the event recorder: %w", err)
	}
	defer stopEvents()
	cmw := cminformer.NewInformedWatcher(kubeclient.Get(ctx), system.Namespace())

	admission := webhookControllers(ctx, cmw)
	controllers := []*controller.Impl{
		channel.NewController(ctx, cmw),
		subscription.NewController(ctx, cmw),
		namespace.NewController(ctx, cmw),
		mtbroker.NewController(ctx, cmw),
		mttrigger.NewController(ctx, cmw),
		imccontroller.NewController(ctx, cmw),
	}
	imc := newInMemoryDispatcher(ctx, cmw, logger.Desugar())
	controllers = append(controllers, imc.impl)
	in, out, err := dataPlane(ctx, cmw, logger.Desugar())
	if err != nil {
		return fmt.Errorf("making the broker's handlers: %w", err)
	}
	hook, err := webhook.New(ctx, admission.handlers)
	if err != nil {
		return fmt.Errorf("making the webhook: %w", err)
	}
	if err := cmw.Start(ctx.Done()); err != nil {
		return fmt.Errorf("watching config maps: %w", err)
	}
	startInformers()
	hook.InformersHaveSynced()

	e.mu.Lock()
	e.ingress, e.filter, e.inMemory = in, out, imc.handler
	e.mu.Unlock()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, 2)
	run := func(name string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				select {
				case failed <- fmt.Errorf("%s: %w", name, err):
				default: // the first failure ends everything, the others follow from it
				}
			}
		})
	}
	run("webhook", func() error { return serveTLS(ctx, ln, hook, admission.certificate) })
	run("controllers", func() error { return controller.StartAll(ctx, append(controllers, admission.impls...)...) })
	run("admission", func() error {
		if err := waitForAdmission(ctx, eventingclient.Get(ctx)); err != nil {
			return err
		}
		close(e.ready)
		return nil
	})
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// withEventRecorder gives the controllers one recorder of Kubernetes Events. Without it each would make its own and, when
// ctx ends, stop it in a way that leaves a goroutine spinning.
func withEventRecorder(ctx context.Context) (_ context.Context, stop func(), err error) {
	kinds := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(kinds), eventingscheme.AddToScheme(kinds)); err != nil {
		return nil, nil, err
	}
	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kubeclient.Get(ctx).CoreV1().Events("")})
	recorder := events.NewRecorder(kinds, corev1.EventSource{Component: "eventing-controller"})
	return controller.WithEventRecorder(ctx, recorder), events.Shutdown, nil
}

// dataPlane makes the handlers of the broker's ingress and filter as their own programs do.
func dataPlane(ctx context.Context, cmw configmap.Watcher, log *zap.Logger) (in, out http.Handler, err error) {
	features := feature.NewStore(logging.FromContext(ctx))
	features.WatchConfigs(cmw)
	bundles := configmapinformer.Get(ctx, eventingtls.TrustBundleLabelSelector).Lister().ConfigMaps(system.Namespace())
	tokens := auth.NewOIDCTokenProvider(ctx)
	verifier := auth.NewVerifier(ctx, eventpolicyinformer.Get(ctx).Lister(), bundles, cmw)
	meters, traces := noop.NewMeterProvider(), tracenoop.NewTracerProvider()
	in, err = ingress.NewHandler(log, broker.TTLDefaulter(log, maxTTL), brokerinformer.Get(ctx), verifier, tokens, bundles,
		features.ToContext, meters, traces)
	if err != nil {
		return nil, nil, err
	}
	out, err = filter.NewHandler(log, verifier, tokens, triggerinformer.Get(ctx), brokerinformer.Get(ctx),
		subscriptioninformer.Get(ctx), bundles, features.ToContext, meters, traces)
	// Knative's client asks the process which trace context it sends on.
	otel.SetTextMapPropagator(propagation.TraceContext{})
	// Each handler sets the limits of the one client that all share; the filter's are too small for the ingress.
	kncloudevents.ConfigureConnectionArgs(&kncloudevents.ConnectionArgs{MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000})
	return in, out, err
}

// newLogger returns a logger of Knative's type that writes errors to w. A fatal one panics, rather than end the process
// without a word; those that there are come from Run's own goroutine, which makes errors of them.
func newLogger(w io.Writer) *zap.SugaredLogger {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(w), zapcore.ErrorLevel)
	return zap.New(core, zap.WithFatalHook(zapcore.WriteThenPanic)).Sugar()
}

// waitForAdmission returns when the API server asks the webhook: a Broker made before would never be defaulted, and
// nobody would reconcile it.
func waitForAdmission(ctx context.Context, client eventingClient) error {
	probe := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Name: "admission-probe", Namespace: system.Namespace()}}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := client.EventingV1().Brokers(probe.Namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		// An error means that the webhook's rules are known and its certificate is not: it is on its way.
		if err == nil && got.Annotations[eventingv1.BrokerClassAnnotationKey] != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
