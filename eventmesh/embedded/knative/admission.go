package knative

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	defaultconfig "knative.dev/eventing/pkg/apis/config"
	"knative.dev/eventing/pkg/apis/eventing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	"knative.dev/eventing/pkg/apis/eventing/v1beta1"
	"knative.dev/eventing/pkg/apis/eventing/v1beta2"
	"knative.dev/eventing/pkg/apis/eventing/v1beta3"
	"knative.dev/eventing/pkg/apis/feature"
	channelconfig "knative.dev/eventing/pkg/apis/messaging/config"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"knative.dev/eventing/pkg/apis/sugar"
	"knative.dev/eventing/pkg/client/clientset/versioned"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	secretinformer "knative.dev/pkg/injection/clients/namespacedkube/informers/core/v1/secret"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/system"
	"knative.dev/pkg/webhook/certificates"
	certresources "knative.dev/pkg/webhook/certificates/resources"
	"knative.dev/pkg/webhook/configmaps"
	"knative.dev/pkg/webhook/resourcesemantics"
	"knative.dev/pkg/webhook/resourcesemantics/conversion"
	"knative.dev/pkg/webhook/resourcesemantics/defaulting"
	"knative.dev/pkg/webhook/resourcesemantics/validation"
)

// Names under which Knative's manifests know the webhook.
const (
	webhookName   = "eventing-webhook"
	webhookSecret = "eventing-webhook-certs"
)

type eventingClient = versioned.Interface

// kinds are those that are defaulted and validated: all that have a controller here.
var kinds = map[schema.GroupVersionKind]resourcesemantics.GenericCRD{
	eventingv1.SchemeGroupVersion.WithKind("Broker"):           &eventingv1.Broker{},
	eventingv1.SchemeGroupVersion.WithKind("Trigger"):          &eventingv1.Trigger{},
	v1alpha1.SchemeGroupVersion.WithKind("EventPolicy"):        &v1alpha1.EventPolicy{},
	v1beta1.SchemeGroupVersion.WithKind("EventType"):           &v1beta1.EventType{},
	v1beta2.SchemeGroupVersion.WithKind("EventType"):           &v1beta2.EventType{},
	messagingv1.SchemeGroupVersion.WithKind("Channel"):         &messagingv1.Channel{},
	messagingv1.SchemeGroupVersion.WithKind("Subscription"):    &messagingv1.Subscription{},
	messagingv1.SchemeGroupVersion.WithKind("InMemoryChannel"): &messagingv1.InMemoryChannel{},
}

// admission is Knative's webhook: the controllers that keep its registrations and the handlers it serves.
type admission struct {
	impls       []*controller.Impl
	handlers    []any
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// webhookControllers makes what Knative's own webhook program makes, for the kinds that are used here.
func webhookControllers(ctx context.Context, cmw configmap.Watcher) admission {
	log := logging.FromContext(ctx)
	defaults := defaultconfig.NewStore(log)
	defaults.WatchConfigs(cmw)
	channels := channelconfig.NewStore(log)
	channels.WatchConfigs(cmw)
	features := feature.NewStore(log)
	features.WatchConfigs(cmw)
	withConfig := func(ctx context.Context) context.Context {
		return features.ToContext(channels.ToContext(defaults.ToContext(ctx)))
	}
	reconcilers := []*controller.Impl{
		validation.NewAdmissionController(ctx, "validation.webhook.eventing.knative.dev", "/resource-validation", kinds, withConfig, true),
		defaulting.NewAdmissionController(ctx, "webhook.eventing.knative.dev", "/defaulting", kinds, withConfig, true),
		configmaps.NewAdmissionController(ctx, "config.webhook.eventing.knative.dev", "/config-validation",
			configmap.Constructors{sugar.ConfigName: sugar.NewConfigFromConfigMap}),
		conversion.NewConversionController(ctx, "/resource-conversion", map[schema.GroupKind]conversion.GroupKindConversion{
			v1beta2.Kind("EventType"): {
				DefinitionName: eventing.EventTypesResource.String(),
				HubVersion:     v1beta1.SchemeGroupVersion.Version,
				Zygotes: map[string]conversion.ConvertibleObject{
					v1beta1.SchemeGroupVersion.Version: &v1beta1.EventType{},
					v1beta2.SchemeGroupVersion.Version: &v1beta2.EventType{},
					v1beta3.SchemeGroupVersion.Version: &v1beta3.EventType{},
				},
			},
		}, withConfig),
	}
	a := admission{impls: append(reconcilers, certificates.NewController(ctx, cmw))}
	for _, r := range reconcilers {
		a.handlers = append(a.handlers, r.Reconciler)
	}
	secrets := secretinformer.Get(ctx).Lister().Secrets(system.Namespace())
	a.certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		secret, err := secrets.Get(webhookSecret)
		if err != nil {
			return nil, fmt.Errorf("webhook's certificate: %w", err)
		}
		cert, err := tls.X509KeyPair(secret.Data[certresources.ServerCert], secret.Data[certresources.ServerKey])
		if err != nil {
			return nil, fmt.Errorf("webhook's certificate: %w", err)
		}
		return &cert, nil
	}
	return a
}

// serveTLS serves h on ln until ctx ends.
func serveTLS(ctx context.Context, ln net.Listener, h http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: certificate},
		ErrorLog:  discard(),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
