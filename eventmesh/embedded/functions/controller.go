package functions

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

const (
	// fieldOwner is the field manager of what this package writes.
	fieldOwner = client.FieldOwner("kyma-console")
	// firstRetry and lastRetry bound the exponential back-off after a failed pass.
	firstRetry = 5 * time.Millisecond
	lastRetry  = 30 * time.Second
	// concurrency is how many Functions are worked on at once. A source whose top level never ends holds one of them
	// for Options.Timeout.
	concurrency = 4

	// afterConflict is when a pass is made again whose view was out of date.
	afterConflict = 20 * time.Millisecond
	// afterTermination is when a pass is made again that met a namespace being deleted.
	afterTermination = time.Second
	// afterMissing is when a Function is looked at again that refers to a ConfigMap or Secret that does not exist.
	afterMissing = 2 * time.Second
	// afterCrash is when a Function is started again that failed to start for a reason that may pass.
	afterCrash = time.Minute
)

// Setup adds to a manager that has not started what runs Functions: the reconciler that loads them into the returned
// Runtime and writes their Services and status. When the manager ends, so does the Runtime.
func Setup(mgr ctrl.Manager, o Options) (*Runtime, error) {
	r := newRuntime(o)
	err := ctrl.NewControllerManagedBy(mgr).Named("function").
		For(&functionsv1.Function{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		// By name, not by owner: a Service that is in the way matters as well, most of all when it goes.
		Watches(&corev1.Service{}, &handler.EnqueueRequestForObject{}).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(&reconciler{Client: mgr.GetClient(), live: mgr.GetAPIReader(), runtime: r})
	if err != nil {
		return nil, fmt.Errorf("setting up the function controller: %w", err)
	}
	err = mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		<-ctx.Done()
		r.Close()
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("setting up the function runtime: %w", err)
	}
	return r, nil
}

// reconciler makes Functions run.
type reconciler struct {
	client.Client
	live    client.Reader
	runtime *Runtime
}

// Reconcile makes one pass over a Function.
func (r *reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	o, err := r.observe(ctx, req)
	if err != nil {
		return ctrl.Result{}, err
	}
	if o == nil {
		r.runtime.unload(key{req.Namespace, req.Name})
		return ctrl.Result{}, nil
	}
	d := decide(*o)
	serviceErr := r.write(ctx, d.service)
	if again, ok := outOfDate(serviceErr); ok {
		return again, nil
	}
	loadErr := r.load(ctx, d, key{req.Namespace, req.Name})
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // says nothing about the function
	}
	status := conclude(o.function, d, loadErr, serviceErr)
	if err := r.report(ctx, o.function, status); err != nil {
		if again, ok := outOfDate(err); ok {
			return again, nil
		}
		return ctrl.Result{}, errors.Join(serviceErr, err)
	}
	var wrong *sourceError
	switch {
	case serviceErr != nil:
		return ctrl.Result{}, serviceErr
	case o.envError != "":
		return ctrl.Result{RequeueAfter: afterMissing}, nil
	case loadErr != nil && !errors.As(loadErr, &wrong):
		return ctrl.Result{RequeueAfter: afterCrash}, nil
	}
	return ctrl.Result{}, nil
}

// observe reads what a pass needs; nil when there is no Function, or none any more.
func (r *reconciler) observe(ctx context.Context, req ctrl.Request) (*observed, error) {
	o := &observed{function: &functionsv1.Function{}}
	err := r.Get(ctx, req.NamespacedName, o.function)
	if apierrors.IsNotFound(err) || err == nil && o.function.DeletionTimestamp != nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading function %s: %w", req.NamespacedName, err)
	}
	service := &corev1.Service{}
	switch err := r.Get(ctx, req.NamespacedName, service); {
	case err == nil:
		o.service = service
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading service %s: %w", req.NamespacedName, err)
	}
	if o.env, o.envError, err = environment(ctx, r.live, o.function); err != nil {
		return nil, fmt.Errorf("function %s: %w", req.NamespacedName, err)
	}
	return o, nil
}

// load makes run what is to run.
func (r *reconciler) load(ctx context.Context, d decision, k key) error {
	if d.run == nil {
		r.runtime.disable(k)
		return nil
	}
	return r.runtime.load(ctx, *d.run)
}

// write creates or updates a Service, nil: neither. An update is of the version that was read, so that it never undoes
// another's.
func (r *reconciler) write(ctx context.Context, s *corev1.Service) error {
	switch {
	case s == nil:
		return nil
	case s.ResourceVersion == "":
		return r.Create(ctx, s, fieldOwner)
	default:
		return r.Update(ctx, s, fieldOwner)
	}
}

// report writes the status if it says something new.
func (r *reconciler) report(ctx context.Context, f *functionsv1.Function, status functionsv1.FunctionStatus) error {
	if equality.Semantic.DeepEqual(f.Status, status) {
		return nil
	}
	updated := f.DeepCopy()
	updated.Status = status
	if err := r.Status().Patch(ctx, updated, client.MergeFrom(f), fieldOwner); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of function %s/%s: %w", f.Namespace, f.Name, err)
	}
	return nil
}

// outOfDate says when to make a pass again that met what is no news to anybody: the cache was behind, or the namespace
// is being deleted.
func outOfDate(err error) (again ctrl.Result, ok bool) {
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: afterConflict}, true
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ctrl.Result{RequeueAfter: afterTermination}, true
	}
	return ctrl.Result{}, false
}
