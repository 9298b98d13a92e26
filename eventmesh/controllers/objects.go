package controllers

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// FieldOwner is the field manager of everything that this package writes.
	FieldOwner = client.FieldOwner("kyma-console")

	// ManagedByLabel, set to ManagedBy, marks the objects that this package makes.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of ManagedByLabel.
	ManagedBy = "kyma-console"
)

// Reasons of the Kubernetes Events that report what was made. Kyma's own.
const (
	eventCreate       = "Create"
	eventUpdate       = "Update"
	eventFailedCreate = "FailedCreate"
	eventFailedUpdate = "FailedUpdate"
)

// find reads an object; nil means that there is none.
func find[T any, P interface {
	*T
	client.Object
}](ctx context.Context, r client.Reader, namespace, name string) (P, error) {
	obj := P(new(T))
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %T %s: %w", *obj, client.ObjectKey{Namespace: namespace, Name: name}, err)
	}
	return obj, nil
}

// manifest is the part of an object that this package wants: what server-side apply sends, no more, so that every other
// field stays whoever's it is.
type manifest struct {
	kind        schema.GroupVersionKind
	namespace   string
	name        string
	labels      map[string]string
	owner       *metav1.OwnerReference
	spec        map[string]any // of JSON values only; nil wants nothing of the spec
	annotations map[string]string
}

// unstructured is the manifest as an object.
func (m *manifest) unstructured() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(m.kind)
	u.SetNamespace(m.namespace)
	u.SetName(m.name)
	if len(m.labels) > 0 {
		u.SetLabels(m.labels)
	}
	if len(m.annotations) > 0 {
		u.SetAnnotations(m.annotations)
	}
	if m.owner != nil {
		u.SetOwnerReferences([]metav1.OwnerReference{*m.owner})
	}
	if m.spec != nil {
		u.Object["spec"] = runtime.DeepCopyJSON(m.spec)
	}
	return u
}

// controllerRef is the reference by which owner controls what is made for it: the garbage collector removes that after
// owner.
func controllerRef(owner client.Object, kind schema.GroupVersionKind) *metav1.OwnerReference {
	return metav1.NewControllerRef(owner, kind)
}

// controlledByOther reports whether obj has a controller that is not owner.
func controlledByOther(obj, owner client.Object) bool {
	ref := metav1.GetControllerOfNoCopy(obj)
	return ref != nil && ref.UID != owner.GetUID()
}

// orphaned reports whether obj is what an earlier object with owner's name left: the garbage collector is about to
// remove it.
func orphaned(obj, owner client.Object, kind string) bool {
	ref := metav1.GetControllerOfNoCopy(obj)
	return ref != nil && ref.UID != owner.GetUID() && ref.Kind == kind && ref.Name == owner.GetName()
}

// terminating reports whether obj is being deleted.
func terminating(obj client.Object) bool { return !obj.GetDeletionTimestamp().IsZero() }

// holds reports whether the object observed already has all that m wants.
func (m *manifest) holds(observed client.Object) bool {
	if !subset(observed.GetLabels(), m.labels) || !subset(observed.GetAnnotations(), m.annotations) {
		return false
	}
	if m.owner != nil && !hasOwner(observed, m.owner) {
		return false
	}
	if m.spec == nil {
		return true
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(observed)
	if err != nil {
		return false // applying once too often is harmless, and says what is wrong
	}
	return covers(content["spec"], m.spec)
}

func hasOwner(obj client.Object, owner *metav1.OwnerReference) bool {
	for _, ref := range obj.GetOwnerReferences() {
		if equality.Semantic.DeepEqual(ref, *owner) {
			return true
		}
	}
	return false
}

func subset(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// covers reports whether have, a JSON value, says all that want says. It may say more in its objects: defaults, and the
// fields of others. Lists must have the same length.
func covers(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return len(want) == 0
		}
		for k, v := range want {
			if !covers(have[k], v) {
				return false
			}
		}
		return true
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			return false
		}
		for i := range want {
			if !covers(have[i], want[i]) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(have, want)
	}
}

// writer is what reconcilers write with.
type writer struct {
	client.Client
	events events.EventRecorder
}

// apply makes the object what m wants, by server-side apply, and tells the user in an Event of about.
func (w writer) apply(ctx context.Context, about client.Object, m *manifest, exists bool) error {
	kind := m.kind.Kind
	err := w.Apply(ctx, client.ApplyConfigurationFromUnstructured(m.unstructured()), FieldOwner, client.ForceOwnership)
	switch {
	case err == nil && exists:
		w.event(about, corev1.EventTypeNormal, eventUpdate, "Updated %s %q", kind, m.name)
	case err == nil:
		w.event(about, corev1.EventTypeNormal, eventCreate, "Created %s %q", kind, m.name)
	case apierrors.IsConflict(err):
	case exists:
		w.event(about, corev1.EventTypeWarning, eventFailedUpdate, "Update failed for %s %q", kind, m.name)
	default:
		w.event(about, corev1.EventTypeWarning, eventFailedCreate, "Creation failed for %s %q", kind, m.name)
	}
	if err != nil {
		return lasting(fmt.Errorf("applying %s %s/%s: %w", kind, m.namespace, m.name, err))
	}
	return nil
}

// event tells the user something about an object.
func (w writer) event(about client.Object, kind, reason, format string, args ...any) {
	w.events.Eventf(about, nil, kind, reason, reason, format, args...)
}

// remove deletes the very object that was observed, never a later one of the same name.
func (w writer) remove(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	uid := obj.GetUID()
	opts = append(opts, client.Preconditions{UID: &uid})
	err := w.Delete(ctx, obj, opts...)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %T %s: %w", obj, client.ObjectKeyFromObject(obj), err)
	}
	return nil
}

// addFinalizer makes obj wait, when it is deleted, until what was made for it is undone.
func (w writer) addFinalizer(ctx context.Context, obj client.Object, finalizer string) error {
	before := obj.DeepCopyObject().(client.Object)
	if !controllerutil.AddFinalizer(obj, finalizer) {
		return nil
	}
	return w.patchFinalizers(ctx, before, obj)
}

// removeFinalizer lets go of obj.
func (w writer) removeFinalizer(ctx context.Context, obj client.Object, finalizer string) error {
	before := obj.DeepCopyObject().(client.Object)
	if !controllerutil.RemoveFinalizer(obj, finalizer) {
		return nil
	}
	return client.IgnoreNotFound(w.patchFinalizers(ctx, before, obj))
}

// patchFinalizers writes the finalizers of after. A merge patch replaces the whole list, hence the lock: another's
// finalizer that came since must not get lost.
func (w writer) patchFinalizers(ctx context.Context, before, after client.Object) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := w.Patch(ctx, after, patch, FieldOwner); err != nil {
		return fmt.Errorf("patching finalizers of %T %s: %w", after, client.ObjectKeyFromObject(after), err)
	}
	return nil
}

// patchStatus writes the status of after if it says anything new.
func (w writer) patchStatus(ctx context.Context, before, after client.Object) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	err := w.Status().Patch(ctx, after, client.MergeFrom(before), FieldOwner)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patching status of %T %s: %w", after, client.ObjectKeyFromObject(after), err)
	}
	return nil
}

// lasting marks an error that the same request would meet again, so that it is not retried: the API server finds the
// object itself wrong. A change of any watched object tries again.
func lasting(err error) error {
	if apierrors.IsInvalid(err) {
		return reconcile.TerminalError(err)
	}
	return err
}
