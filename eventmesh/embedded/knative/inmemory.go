package knative

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	eventingduck "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/apis/feature"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"knative.dev/eventing/pkg/channel/fanout"
	"knative.dev/eventing/pkg/channel/multichannelfanout"
	messagingclient "knative.dev/eventing/pkg/client/clientset/versioned/typed/messaging/v1"
	eventingclientset "knative.dev/eventing/pkg/client/injection/client"
	imcinformer "knative.dev/eventing/pkg/client/injection/informers/messaging/v1/inmemorychannel"
	subscriptioninformer "knative.dev/eventing/pkg/client/injection/informers/messaging/v1/subscription"
	imcreconciler "knative.dev/eventing/pkg/client/injection/reconciler/messaging/v1/inmemorychannel"
	subscriptionlisters "knative.dev/eventing/pkg/client/listers/messaging/v1"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/eventing/pkg/kncloudevents"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"
)

// inMemoryDispatcher keeps a fan-out handler for each InMemoryChannel. Knative's own reconciler for this listens on
// fixed ports of all interfaces; this one uses the same handlers without a listener.
type inMemoryDispatcher struct {
	impl          *controller.Impl
	handler       *multichannelfanout.EventHandler
	client        messagingclient.MessagingV1Interface
	subscriptions subscriptionlisters.SubscriptionLister
	dispatcher    *kncloudevents.Dispatcher
	log           *zap.Logger
}

var _ imcreconciler.Interface = (*inMemoryDispatcher)(nil)

func newInMemoryDispatcher(ctx context.Context, cmw configmap.Watcher, log *zap.Logger) *inMemoryDispatcher {
	features := feature.NewStore(logging.FromContext(ctx))
	features.WatchConfigs(cmw)
	d := &inMemoryDispatcher{
		handler:       multichannelfanout.NewEventHandler(ctx, log),
		client:        eventingclientset.Get(ctx).MessagingV1(),
		subscriptions: subscriptioninformer.Get(ctx).Lister(),
		dispatcher: kncloudevents.NewDispatcher(eventingtls.ClientConfig{}, nil,
			kncloudevents.WithMeterProvider(noop.NewMeterProvider()), kncloudevents.WithTraceProvider(tracenoop.NewTracerProvider())),
		log: log,
	}
	d.impl = imcreconciler.NewImpl(ctx, d, func(*controller.Impl) controller.Options {
		return controller.Options{SkipStatusUpdates: true, FinalizerName: "imc-dispatcher", ConfigStore: features}
	})
	channels := imcinformer.Get(ctx).Informer()
	// An informer's handlers can be refused only when it has stopped, which it does with ctx.
	_, _ = channels.AddEventHandler(controller.HandleAll(d.impl.Enqueue))
	_, _ = subscriptioninformer.Get(ctx).Informer().AddEventHandler(controller.HandleAll(func(any) { d.impl.GlobalResync(channels) }))
	return d
}

// ReconcileKind makes the channel's handler deliver to the channel's subscribers, and says so in the status. Subscribers
// whose Subscription is gone are removed first: Knative patches the whole list from its cache and can leave some behind,
// which would then be retried for minutes on every event.
func (d *inMemoryDispatcher) ReconcileKind(ctx context.Context, c *messagingv1.InMemoryChannel) reconciler.Event {
	if !c.IsReady() {
		return nil
	}
	live, err := d.liveSubscribers(c.Spec.Subscribers)
	if err != nil {
		return err
	}
	if len(live) < len(c.Spec.Subscribers) {
		pruned := c.DeepCopy()
		pruned.Spec.Subscribers = live
		if _, err := d.client.InMemoryChannels(c.Namespace).Update(ctx, pruned, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("removing stale subscribers: %w", err)
		}
		return nil // the update brings the channel here again
	}
	subscriptions := make([]fanout.Subscription, 0, len(live))
	for _, s := range live {
		f, err := fanout.SubscriberSpecToFanoutConfig(s)
		if err != nil {
			return fmt.Errorf("subscriber %s: %w", s.UID, err)
		}
		f.Namespace = c.Namespace
		subscriptions = append(subscriptions, *f)
	}
	host := c.Status.Address.URL.Host
	if h := d.handler.GetChannelHandler(host); h != nil {
		h.SetSubscriptions(ctx, subscriptions)
	} else {
		h, err := fanout.NewFanoutEventHandler(d.log, fanout.Config{Subscriptions: subscriptions}, nil, nil, nil,
			d.dispatcher, noop.NewMeterProvider(), tracenoop.NewTracerProvider())
		if err != nil {
			return fmt.Errorf("making the channel's handler: %w", err)
		}
		d.handler.SetChannelHandler(host, h)
	}
	return d.report(ctx, c)
}

// ObserveDeletion implements the reconciler's hook for a channel that is gone.
func (d *inMemoryDispatcher) ObserveDeletion(_ context.Context, key types.NamespacedName) error {
	d.handler.DeleteChannelHandler(fmt.Sprintf("%s-kn-channel.%s.svc.cluster.local", key.Name, key.Namespace))
	return nil
}

// liveSubscribers are those whose Subscription exists.
func (d *inMemoryDispatcher) liveSubscribers(subscribers []eventingduck.SubscriberSpec) ([]eventingduck.SubscriberSpec, error) {
	all, err := d.subscriptions.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	exists := make(map[types.UID]bool, len(all))
	for _, s := range all {
		exists[s.UID] = true
	}
	var live []eventingduck.SubscriberSpec
	for _, s := range subscribers {
		if exists[s.UID] {
			live = append(live, s)
		}
	}
	return live, nil
}

// report writes into the channel's status that all its subscribers are served.
func (d *inMemoryDispatcher) report(ctx context.Context, c *messagingv1.InMemoryChannel) error {
	after := c.DeepCopy()
	after.Status.Subscribers = nil
	for _, s := range c.Spec.Subscribers {
		after.Status.Subscribers = append(after.Status.Subscribers, eventingduck.SubscriberStatus{
			UID: s.UID, ObservedGeneration: s.Generation, Ready: corev1.ConditionTrue,
		})
	}
	if equality.Semantic.DeepEqual(c.Status.Subscribers, after.Status.Subscribers) {
		return nil
	}
	if _, err := d.client.InMemoryChannels(c.Namespace).UpdateStatus(ctx, after, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing the channel's subscribers: %w", err)
	}
	return nil
}

// discard is a logger for servers whose clients' mistakes are nobody's business.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }

var _ http.Handler = (*multichannelfanout.EventHandler)(nil)
