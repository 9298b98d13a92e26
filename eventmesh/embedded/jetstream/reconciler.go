package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
)

// finalizer keeps a JetStreamChannel until its stream is gone.
const finalizer = "jetstreamchannels.messaging.kyma-project.io"

// firstRetry and lastRetry bound the exponential back-off after a failed pass.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// subscriptionUID is the index of Subscriptions by UID.
const subscriptionUID = "jetstream.subscriptionUID"

// reconciler makes a channel's stream, consumers and workers what its JetStreamChannel says, and its status what they
// are.
type reconciler struct {
	client   client.Client
	api      client.Reader // past the cache
	channels *Channels
}

// Setup lets mgr run the channels of s: it reconciles JetStreamChannels and delivers their events until mgr stops. The
// caller serves the returned handler under the hosts that Host names, and closes s after mgr has ended. The scheme of
// mgr has JetStreamChannels and Knative's messaging/v1.
//
// http.DefaultTransport must have its final form by then, as deliveries are made with clones of it.
func Setup(mgr ctrl.Manager, s *Server, o Options) (*Channels, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := newChannels(ctx, s, o)
	if err != nil {
		return nil, fmt.Errorf("set up JetStream channels: %w", err)
	}
	c.reader = mgr.GetClient()
	r := &reconciler{client: mgr.GetClient(), api: mgr.GetAPIReader(), channels: c}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &messagingv1.Subscription{}, subscriptionUID, func(o client.Object) []string {
		return []string{string(o.GetUID())}
	}); err != nil {
		return nil, fmt.Errorf("set up JetStream channels: %w", err)
	}
	deleted := predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
	skip := true
	err = ctrl.NewControllerManagedBy(mgr).
		Named("jetstreamchannel").
		For(&kymamessagingv1.JetStreamChannel{}).
		Watches(&messagingv1.Subscription{}, handler.EnqueueRequestsFromMapFunc(channelOf), builder.WithPredicates(deleted)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			// The name is unique in a manager; a process may start a second manager after the first has ended.
			SkipNameValidation: &skip,
			// A store that works again is noticed soon.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(r)
	if err != nil {
		return nil, fmt.Errorf("set up JetStream channels: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if err := r.sweep(ctx); err != nil {
			c.opts.Log.Error("streams of deleted channels remain", "err", err)
		}
		<-ctx.Done()
		c.close()
		return nil
	})); err != nil {
		return nil, fmt.Errorf("set up JetStream channels: %w", err)
	}
	return c, nil
}

// Ready returns nil when every JetStreamChannel that is ready by its status is served by this process: its events are
// taken, and delivered to its subscribers. The error names those that are not yet. It must not be called before the
// manager's caches have been started.
func (c *Channels) Ready(ctx context.Context) error {
	if c.reader == nil {
		return errors.New("not set up")
	}
	if !c.server.nats.JetStreamEnabled() { // it disables itself when the disk is full, until the next start
		return errors.New("the store of events does not work any more; the log says why")
	}
	var list kymamessagingv1.JetStreamChannelList
	if err := c.reader.List(ctx, &list); err != nil {
		return fmt.Errorf("list JetStreamChannels: %w", err)
	}
	var waiting []string
	for _, ch := range list.Items {
		key := client.ObjectKeyFromObject(&ch)
		if ch.DeletionTimestamp.IsZero() && ch.IsReady() && !c.served(key) {
			waiting = append(waiting, key.String())
		}
	}
	if len(waiting) > 0 {
		slices.Sort(waiting)
		return fmt.Errorf("channels without a handler: %s", strings.Join(waiting, ", "))
	}
	return nil
}

// channelOf is the JetStreamChannel behind the channel of a Subscription: that channel, or the one of its name that
// stands behind a generic Channel.
func channelOf(_ context.Context, o client.Object) []reconcile.Request {
	sub, ok := o.(*messagingv1.Subscription)
	if !ok {
		return nil
	}
	key := types.NamespacedName{Namespace: sub.Namespace, Name: sub.Spec.Channel.Name}
	if sub.Spec.Channel.Namespace != "" {
		key.Namespace = sub.Spec.Channel.Namespace
	}
	return []reconcile.Request{{NamespacedName: key}}
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ch := &kymamessagingv1.JetStreamChannel{}
	if err := r.client.Get(ctx, req.NamespacedName, ch); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, r.channels.remove(ctx, req.NamespacedName)
		}
		return reconcile.Result{}, err
	}
	if !ch.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, r.finalize(ctx, ch)
	}
	if err := r.mark(ctx, ch); err != nil {
		return reconcile.Result{}, err
	}
	keep, err := r.prune(ctx, ch)
	if err != nil {
		return reconcile.Result{}, err
	}
	observed := ch.DeepCopy()
	failed, applyErr := r.channels.apply(ctx, req.NamespacedName, ch.UID, ch.Spec.Subscribers, keep)
	setStatus(ch, failed, applyErr)
	if !equality.Semantic.DeepEqual(observed.Status, ch.Status) {
		if err := r.client.Status().Patch(ctx, ch, client.MergeFrom(observed)); err != nil {
			return reconcile.Result{}, errors.Join(applyErr, fmt.Errorf("update status: %w", err))
		}
	}
	return reconcile.Result{}, applyErr
}

// finalize removes the stream of a channel that is being deleted.
func (r *reconciler) finalize(ctx context.Context, ch *kymamessagingv1.JetStreamChannel) error {
	if err := r.channels.remove(ctx, client.ObjectKeyFromObject(ch)); err != nil {
		return err
	}
	before := ch.DeepCopy()
	if !controllerutil.RemoveFinalizer(ch, finalizer) {
		return nil
	}
	err := r.client.Patch(ctx, ch, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}

// mark puts the finalizer and the annotation on a channel that Knative's controllers look for.
func (r *reconciler) mark(ctx context.Context, ch *kymamessagingv1.JetStreamChannel) error {
	before := ch.DeepCopy()
	changed := controllerutil.AddFinalizer(ch, finalizer)
	if ch.Annotations[kymamessagingv1.SubscribableAnnotation] != kymamessagingv1.SubscribableVersion {
		metav1.SetMetaDataAnnotation(&ch.ObjectMeta, kymamessagingv1.SubscribableAnnotation, kymamessagingv1.SubscribableVersion)
		changed = true
	}
	if !changed {
		return nil
	}
	return r.client.Patch(ctx, ch, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// prune removes from ch the subscribers whose Subscription is gone, and returns those whose Subscription lives though
// they are in the store only: their place in the list was lost. See the package comment for how either comes about.
//
// The cache decides only that there is nothing to do. It may be behind, and what is removed here can't be had back.
func (r *reconciler) prune(ctx context.Context, ch *kymamessagingv1.JetStreamChannel) ([]types.UID, error) {
	stored, err := r.channels.subscribersInStore(ctx, client.ObjectKeyFromObject(ch))
	if err != nil {
		return nil, err
	}
	lost := missing(stored, ch.Spec.Subscribers)
	cached, err := r.cachedSubscriptions(ctx, ch)
	if err != nil {
		return nil, err
	}
	if len(lost) == 0 && !cached.stale(ch.Spec.Subscribers) {
		return nil, nil
	}
	known, err := r.subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	if known.stale(ch.Spec.Subscribers) {
		ch.Spec.Subscribers = known.prune(ch.Spec.Subscribers)
		if err := r.client.Update(ctx, ch); err != nil {
			return nil, fmt.Errorf("remove stale subscribers: %w", err)
		}
	}
	return slices.DeleteFunc(lost, func(uid types.UID) bool { return !known.lives(uid) }), nil
}

// cachedSubscriptions looks up the Subscriptions of ch's subscribers in the cache.
func (r *reconciler) cachedSubscriptions(ctx context.Context, ch *kymamessagingv1.JetStreamChannel) (subscriptions, error) {
	found := subscriptions{}
	for _, subscriber := range ch.Spec.Subscribers {
		var list messagingv1.SubscriptionList
		if err := r.client.List(ctx, &list, client.MatchingFields{subscriptionUID: string(subscriber.UID)}); err != nil {
			return nil, fmt.Errorf("look up Subscription %s: %w", subscriber.UID, err)
		}
		for i := range list.Items {
			found[list.Items[i].UID] = !list.Items[i].DeletionTimestamp.IsZero()
		}
	}
	return found, nil
}

// subscriptions reads all Subscriptions from the API server.
func (r *reconciler) subscriptions(ctx context.Context) (subscriptions, error) {
	list := metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(messagingv1.SchemeGroupVersion.WithKind("SubscriptionList"))
	if err := r.api.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list Subscriptions: %w", err)
	}
	found := subscriptions{}
	for i := range list.Items {
		found[list.Items[i].UID] = !list.Items[i].DeletionTimestamp.IsZero()
	}
	return found, nil
}

// sweep deletes the streams of channels that were deleted while nobody was here to see it, their finalizer having been
// taken away.
func (r *reconciler) sweep(ctx context.Context) error {
	// Before the list is read: a channel that is made in between must not be taken for a deleted one.
	known := r.channels.known()
	var list kymamessagingv1.JetStreamChannelList
	if err := r.api.List(ctx, &list); err != nil {
		return fmt.Errorf("list JetStreamChannels: %w", err)
	}
	exists := map[types.UID]bool{}
	for i := range list.Items {
		exists[list.Items[i].UID] = true
	}
	var errs []error
	for key, uid := range known {
		if !exists[uid] {
			errs = append(errs, r.channels.removeIf(ctx, key, uid))
		}
	}
	return errors.Join(errs...)
}
