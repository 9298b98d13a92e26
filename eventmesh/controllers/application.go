package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// ApplicationFinalizer holds an Application back until its HTTPSource and its documents are gone. Kyma's own name.
const ApplicationFinalizer = "finalizer.applicationconnector.kyma-project.io"

// Reasons of an Application's condition Ready, beside those of its HTTPSource.
const (
	reasonSkipped          = "InstallationSkipped"
	reasonPending          = "InstallationPending"
	reasonInstallFailed    = "InstallationFailed"
	descriptionDeployed    = "Install complete"
	reasonSourceNotFound   = "HTTPSourceNotFound"
	reasonSourceNotReady   = "HTTPSourceNotReady"
	messageSourceIsUnknown = "It has not been reconciled yet"
)

// applicationReconciler gives every Application its HTTPSource.
//
// An Application cleans up what was made for it: its HTTPSource, from which Channel and Service hang by owner
// references, and the AsyncAPI documents of its services. It leaves the Subscriptions, which belong to the
// EventActivations of the namespaces: their reconciler reports that the Application is gone.
type applicationReconciler struct {
	writer
}

func (r *applicationReconciler) setup(mgr ctrl.Manager) error {
	return newController(mgr, "application").
		For(&appv1.Application{}).
		Owns(&sourcesv1.HTTPSource{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace)).
		Complete(quiet(r))
}

// ofNamespace finds all Applications when the integration namespace changes: one that somebody deleted has to come back
// with all that was in it.
func (r *applicationReconciler) ofNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	if obj.GetName() != eventmesh.IntegrationNamespace {
		return nil
	}
	var list appv1.ApplicationList
	if err := r.List(ctx, &list); err != nil {
		return nil // the cache has stopped: the process ends
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Reconcile makes one pass over one Application.
func (r *applicationReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var o applicationObserved
	var err error
	if o.app, err = find[appv1.Application](ctx, r, "", req.Name); err != nil || o.app == nil {
		return reconcile.Result{}, err
	}
	if o.namespace, err = find[corev1.Namespace](ctx, r, "", eventmesh.IntegrationNamespace); err != nil {
		return reconcile.Result{}, err
	}
	if o.source, err = find[sourcesv1.HTTPSource](ctx, r, eventmesh.IntegrationNamespace, req.Name); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.act(ctx, o, decideApplication(o))
}

// applicationObserved is all that bears on one Application. What is missing is nil.
type applicationObserved struct {
	app       *appv1.Application
	namespace *corev1.Namespace
	source    *sourcesv1.HTTPSource
}

// applicationPlan is what to do about one Application.
type applicationPlan struct {
	addFinalizer    bool
	fillSpec        bool
	makeNamespace   bool
	source          *manifest // to apply
	deleteSource    bool
	deleteDocuments bool
	letGo           bool // remove the finalizer

	installation appv1.InstallationStatus
	ready        state
}

func decideApplication(o applicationObserved) applicationPlan {
	ours := o.source != nil && metav1.IsControlledBy(o.source, o.app)
	if terminating(o.app) {
		gone := !ours
		held := controllerutil.ContainsFinalizer(o.app, ApplicationFinalizer)
		return applicationPlan{
			deleteSource:    held && ours && !terminating(o.source),
			deleteDocuments: held && gone,
			letGo:           held && gone,
			installation:    o.app.Status.InstallationStatus,
			ready:           unknown(reasonPending, "It is being deleted"),
		}
	}
	p := applicationPlan{
		addFinalizer: !controllerutil.ContainsFinalizer(o.app, ApplicationFinalizer),
		fillSpec:     o.app.Spec.Services == nil || o.app.Spec.AccessLabel != o.app.Name,
	}
	want := sourceManifest(o.app)
	switch {
	case o.app.Spec.SkipInstallation:
		p.deleteSource = ours && !terminating(o.source)
		p.installation = appv1.InstallationStatus{
			Status: appv1.InstallationSkipped, Description: appv1.InstallationSkippedDescription,
		}
		p.ready = failed(reasonSkipped, appv1.InstallationSkippedDescription)
	case o.namespace != nil && terminating(o.namespace):
		p.wait("Namespace " + eventmesh.IntegrationNamespace + " is being deleted; it will be made again")
	case o.source != nil && (terminating(o.source) || orphaned(o.source, o.app, "Application")):
		p.wait("HTTPSource " + o.source.Name + " is being deleted; it will be made again")
	case o.source != nil && controlledByOther(o.source, o.app):
		p.fail(fmt.Sprintf("HTTPSource %s belongs to %s %s", o.source.Name,
			metav1.GetControllerOf(o.source).Kind, metav1.GetControllerOf(o.source).Name))
	default:
		p.makeNamespace = o.namespace == nil
		if o.source == nil || !want.holds(o.source) {
			p.source = want
		}
		p.installation = appv1.InstallationStatus{Status: appv1.InstallationDeployed, Description: descriptionDeployed}
		p.ready = sourceState(o.source)
	}
	return p
}

// wait reports that the installation has to wait for something that is watched.
func (p *applicationPlan) wait(why string) {
	p.installation = appv1.InstallationStatus{Status: appv1.InstallationPending, Description: why}
	p.ready = unknown(reasonPending, why)
}

// fail reports that the installation cannot be made.
func (p *applicationPlan) fail(why string) {
	p.installation = appv1.InstallationStatus{Status: appv1.InstallationFailed, Description: why}
	p.ready = failed(reasonInstallFailed, why)
}

// sourceState is how ready an HTTPSource, nil when there is none, says it is.
func sourceState(source *sourcesv1.HTTPSource) state {
	if source == nil {
		return unknown(reasonSourceNotFound, "The HTTPSource does not exist yet")
	}
	s, ok := stateOf(source.Status.Conditions, sourcesv1.ConditionReady)
	if !ok || source.Status.ObservedGeneration < source.Generation {
		s = unknown(reasonNotReconciled, messageSourceIsUnknown)
	}
	return s.of("HTTPSource "+source.Name, reasonSourceNotReady)
}

// sourceManifest is the HTTPSource that an Application wants.
func sourceManifest(app *appv1.Application) *manifest {
	return &manifest{
		kind:      sourcesv1.GroupVersion.WithKind("HTTPSource"),
		namespace: eventmesh.IntegrationNamespace,
		name:      app.Name,
		labels:    map[string]string{ManagedByLabel: ManagedBy},
		owner:     controllerRef(app, appv1.GroupVersion.WithKind("Application")),
		spec:      map[string]any{"source": app.Name},
	}
}

func (r *applicationReconciler) act(ctx context.Context, o applicationObserved, p applicationPlan) error {
	if terminating(o.app) {
		return r.undo(ctx, o, p)
	}
	app := o.app.DeepCopy()
	if p.addFinalizer {
		if err := r.addFinalizer(ctx, app, ApplicationFinalizer); err != nil {
			return err
		}
	}
	if p.fillSpec {
		if err := r.fillSpec(ctx, app); err != nil {
			return err
		}
	}
	err := r.install(ctx, o, p)
	if err != nil && !apierrors.IsConflict(err) {
		p.fail(err.Error())
	}
	before := app.DeepCopy()
	app.Status.ObservedGeneration = app.Generation
	app.Status.InstallationStatus = p.installation
	p.ready.set(&app.Status.Conditions, appv1.ConditionReady, app.Generation)
	return join(err, r.patchStatus(ctx, before, app))
}

// install makes, or removes, what the plan says outside the Application itself.
func (r *applicationReconciler) install(ctx context.Context, o applicationObserved, p applicationPlan) error {
	if p.deleteSource {
		return r.remove(ctx, o.source)
	}
	if p.makeNamespace {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name:   eventmesh.IntegrationNamespace,
			Labels: map[string]string{ManagedByLabel: ManagedBy},
		}}
		if err := r.Create(ctx, ns, FieldOwner); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating namespace %s: %w", ns.Name, err)
		}
	}
	if p.source == nil {
		return nil
	}
	return r.apply(ctx, o.app, p.source, o.source != nil)
}

// undo carries out the plan for an Application that is being deleted.
func (r *applicationReconciler) undo(ctx context.Context, o applicationObserved, p applicationPlan) error {
	if p.deleteSource {
		if err := r.remove(ctx, o.source); err != nil {
			return err
		}
	}
	if p.deleteDocuments {
		err := r.DeleteAllOf(ctx, &corev1.ConfigMap{},
			client.InNamespace(eventmesh.IntegrationNamespace),
			client.MatchingLabels{eventmesh.ApplicationNameLabel: o.app.Name},
			client.HasLabels{eventmesh.ServiceIDLabel})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the documents of application %s: %w", o.app.Name, err)
		}
	}
	if p.letGo {
		return r.removeFinalizer(ctx, o.app.DeepCopy(), ApplicationFinalizer)
	}
	return nil
}

// fillSpec writes the two fields of the spec that Kyma's operator fills in: no services as the empty list, and the
// access label. The patch is spelled out, because the Go type leaves out an empty list.
func (r *applicationReconciler) fillSpec(ctx context.Context, app *appv1.Application) error {
	spec := map[string]any{"accessLabel": app.Name}
	if app.Spec.Services == nil {
		spec["services"] = []any{}
	}
	// With the version, so that services which somebody registers at this moment are not emptied again.
	meta := map[string]any{"resourceVersion": app.ResourceVersion}
	patch, err := json.Marshal(map[string]any{"metadata": meta, "spec": spec})
	if err != nil {
		return err
	}
	if err := r.Patch(ctx, app, client.RawPatch(types.MergePatchType, patch), FieldOwner); err != nil {
		return fmt.Errorf("filling in the spec of application %s: %w", app.Name, err)
	}
	return nil
}
