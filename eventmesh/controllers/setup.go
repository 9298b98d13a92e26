package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// firstRetry and lastRetry bound the exponential back-off after a failed pass. Waiting for other objects is no
	// failure: their watches start the next pass.
	firstRetry = 5 * time.Millisecond
	lastRetry  = 30 * time.Second
	// afterConflict is when a pass is made again whose view turned out to be out of date: time for the cache to catch
	// up.
	afterConflict = 20 * time.Millisecond
	// afterTermination is when a pass is made again that met a namespace being deleted.
	afterTermination = time.Second
	// concurrency is how many keys of a kind are worked on at once.
	concurrency = 4
)

// Options are what the reconcilers need beside the cluster.
type Options struct {
	// BrokerURL is where Service Catalog reaches the Application Broker, without a namespace and without a final slash.
	BrokerURL string
	// Adapter runs the receive adapters of HTTPSources.
	Adapter Adapter
}

// Setup adds all reconcilers, and the field indexes that they need, to a manager that has not started. The Application
// Broker must read through the same manager's cache: a ServiceBroker is asked to list its services again as soon as the
// cache shows a change.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.BrokerURL == "" || o.Adapter == nil {
		return errors.New("controllers: BrokerURL and Adapter are required")
	}
	if err := addIndexes(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return err
	}
	w := writer{Client: mgr.GetClient(), events: mgr.GetEventRecorder(ManagedBy)}
	for _, r := range []interface{ setup(ctrl.Manager) error }{
		&applicationReconciler{writer: w},
		&httpSourceReconciler{writer: w, adapter: o.Adapter},
		&mappingReconciler{writer: w, live: mgr.GetAPIReader(), brokerURL: o.BrokerURL},
		&activationReconciler{writer: w, live: mgr.GetAPIReader()},
		&injectionReconciler{writer: w},
	} {
		if err := r.setup(mgr); err != nil {
			return fmt.Errorf("setting up %T: %w", r, err)
		}
	}
	return nil
}

// newController begins a controller with this package's settings.
func newController(mgr ctrl.Manager, name string) *builder.Builder {
	return ctrl.NewControllerManagedBy(mgr).Named(name).WithOptions(controller.Options{
		MaxConcurrentReconciles: concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
	})
}

// onlyDeletions is for objects of which only the end matters.
func onlyDeletions() builder.WatchesOption {
	return builder.WithPredicates(predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
}

// quiet makes a second pass, rather than an error, of what is no news to anybody: a conflict says that the cache was
// behind, a namespace that is being deleted takes nothing new until it is gone, and when the process ends all calls fail.
func quiet(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
		res, err := r.Reconcile(ctx, req)
		switch {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: afterConflict}, nil
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return reconcile.Result{RequeueAfter: afterTermination}, nil
		case ctx.Err() != nil: // the process ends, or another becomes the leader
			return reconcile.Result{}, nil
		}
		return res, err
	})
}

// join joins the errors of a pass. The pass is made again if that can help with any of them.
func join(errs ...error) error {
	terminal := reconcile.TerminalError(nil)
	again := slices.ContainsFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, terminal) })
	for i, err := range errs {
		if again && errors.Is(err, terminal) {
			errs[i] = errors.New(err.Error())
		}
	}
	return errors.Join(errs...)
}
