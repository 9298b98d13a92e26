package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// settleTime is how long a write waits until the caches show it.
const settleTime = 2 * time.Second

// write is something that a user wants written.
type write struct {
	verb, subresource string
	obj               client.Object // of DeleteAllOf, only kind and namespace
	dryRun            bool
	// shown reports whether a hub, which is locked, has seen the write. Nil means that nothing is waited for.
	shown func(*hub) bool
}

// write does w with do, writes the record of it, and waits until the caches show it.
func (u userClient) write(ctx context.Context, w write, do func(client.Client) error) error {
	Uncacheable(ctx)
	start := time.Now()
	err := u.try(w, do)
	u.audit(ctx, w, err, time.Since(start))
	if err != nil || w.dryRun || w.shown == nil {
		return err
	}
	gvk, err := u.GroupVersionKindFor(w.obj)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, f := range []form{typed, untyped, metadataOnly} {
		if h := u.cluster.hub(cached{gvk, f}); h != nil { // else nobody has read it yet, and who does will read what is
			h.await(ctx, w.shown)
		}
	}
	return nil
}

func (u userClient) try(w write, do func(client.Client) error) error {
	if err := u.addressable(w); err != nil {
		return err
	}
	if u.user == nil {
		return do(u.Client)
	}
	c, err := u.cluster.impersonate(u.user)
	if err != nil {
		return err
	}
	return do(c)
}

// addressable refuses an object whose name or namespace cannot stand in a URL. The request would not be sent, and the error
// would not say that it is the caller's: writers are given names as users type them.
func (u userClient) addressable(w write) error {
	namespaced, err := u.IsObjectNamespaced(w.obj)
	if err != nil {
		return err
	}
	if namespaced && w.obj.GetNamespace() == "" {
		return apierrors.NewBadRequest("the namespace must not be empty")
	}
	if w.obj.GetName() == "" && w.verb != "create" && w.verb != "deletecollection" {
		return apierrors.NewBadRequest("the name must not be empty")
	}
	for what, value := range map[string]string{"name": w.obj.GetName(), "namespace": w.obj.GetNamespace()} {
		if problems := path.IsValidPathSegmentName(value); len(problems) > 0 {
			return apierrors.NewBadRequest(fmt.Sprintf("the %s %q %s", what, value, strings.Join(problems, ", ")))
		}
	}
	return nil
}

// audit records who wanted what written and what came of it, and nothing of what objects contain.
func (u userClient) audit(ctx context.Context, w write, err error, took time.Duration) {
	who := []any{}
	if u.user != nil {
		who = append(who, slog.String("name", u.user.GetName()), slog.String("uid", u.user.GetUID()), slog.Any("groups", u.user.GetGroups()))
	}
	gvk, unknown := u.GroupVersionKindFor(w.obj)
	if unknown != nil {
		gvk = schema.GroupVersionKind{Kind: fmt.Sprintf("%T", w.obj)}
	}
	u.cluster.audit.LogAttrs(ctx, slog.LevelInfo, "write",
		slog.Group("user", who...), slog.String("verb", w.verb), slog.String("group", gvk.Group), slog.String("kind", gvk.Kind),
		slog.String("subresource", w.subresource), slog.String("namespace", w.obj.GetNamespace()), slog.String("name", w.obj.GetName()),
		slog.Bool("dryRun", w.dryRun), slog.String("result", result(err)), slog.Duration("took", took))
}

// result is "ok" or the API's reason. Errors have names and values of users in them.
func result(err error) string {
	if err == nil {
		return "ok"
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "Unknown"
}

// written is shown when the caches have obj in the version that it has, or a later one, or when it is gone since.
func written(obj client.Object) func(*hub) bool {
	return func(h *hub) bool {
		version := h.version
		if known, ok := h.objects[client.ObjectKeyFromObject(obj)]; ok {
			version = known.GetResourceVersion()
		}
		return !newer(obj.GetResourceVersion(), version)
	}
}

// deleted is shown when the caches do not have obj, or have it as one that is being deleted.
func deleted(obj client.Object) func(*hub) bool {
	key := client.ObjectKeyFromObject(obj)
	return func(h *hub) bool {
		known, ok := h.objects[key]
		return !ok || known.GetDeletionTimestamp() != nil
	}
}

// Create has the API server make obj, as the user.
func (u userClient) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	var o client.CreateOptions
	o.ApplyOptions(opts)
	return u.write(ctx, write{verb: "create", obj: obj, dryRun: len(o.DryRun) > 0, shown: written(obj)},
		func(c client.Client) error { return c.Create(ctx, obj, opts...) })
}

// Update has the API server replace obj, as the user.
func (u userClient) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	var o client.UpdateOptions
	o.ApplyOptions(opts)
	return u.write(ctx, write{verb: "update", obj: obj, dryRun: len(o.DryRun) > 0, shown: written(obj)},
		func(c client.Client) error { return c.Update(ctx, obj, opts...) })
}

// Patch has the API server change obj, as the user.
func (u userClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	var o client.PatchOptions
	o.ApplyOptions(opts)
	return u.write(ctx, write{verb: "patch", obj: obj, dryRun: len(o.DryRun) > 0, shown: written(obj)},
		func(c client.Client) error { return c.Patch(ctx, obj, patch, opts...) })
}

// Apply has the API server apply obj, as the user.
func (u userClient) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	var o client.ApplyOptions
	o.ApplyOptions(opts)
	return u.apply(ctx, obj, "", len(o.DryRun) > 0, func(c client.Client) error { return c.Apply(ctx, obj, opts...) })
}

// apply writes an apply configuration, a type without the methods of objects.
func (u userClient) apply(ctx context.Context, obj runtime.ApplyConfiguration, subresource string, dryRun bool, do func(client.Client) error) error {
	head := &metav1.PartialObjectMetadata{}
	if err := headOf(obj, head); err != nil {
		return err
	}
	return u.write(ctx, write{verb: "patch", subresource: subresource, obj: head, dryRun: dryRun, shown: written(head)},
		func(c client.Client) error {
			if err := do(c); err != nil {
				return err
			}
			return headOf(obj, head)
		})
}

// headOf reads kind and metadata of an apply configuration.
func headOf(obj runtime.ApplyConfiguration, head *metav1.PartialObjectMetadata) error {
	raw, err := json.Marshal(obj)
	if err == nil {
		err = json.Unmarshal(raw, head)
	}
	if err != nil {
		return fmt.Errorf("reading what to apply: %w", err)
	}
	return nil
}

// Delete has the API server delete obj, as the user.
func (u userClient) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	var o client.DeleteOptions
	o.ApplyOptions(opts)
	return u.write(ctx, write{verb: "delete", obj: obj, dryRun: len(o.DryRun) > 0, shown: deleted(obj)},
		func(c client.Client) error { return c.Delete(ctx, obj, opts...) })
}

// DeleteAllOf has the API server delete the objects of obj's kind that opts select, as the user.
func (u userClient) DeleteAllOf(ctx context.Context, obj client.Object, opts ...client.DeleteAllOfOption) error {
	var o client.DeleteAllOfOptions
	o.ApplyOptions(opts)
	// obj stands for the kind; who asks gives the namespace in an option.
	head := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace}}
	gvk, err := u.GroupVersionKindFor(obj)
	if err != nil {
		return err
	}
	head.SetGroupVersionKind(gvk)
	w := write{verb: "deletecollection", obj: head, dryRun: len(o.DryRun) > 0}
	if o.FieldSelector == nil { // which cannot be evaluated here
		w.shown = func(h *hub) bool {
			for _, known := range h.objects {
				if known.GetDeletionTimestamp() == nil && known.GetNamespace() == o.Namespace &&
					(o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(known.GetLabels()))) {
					return false
				}
			}
			return true
		}
	}
	return u.write(ctx, w, func(c client.Client) error { return c.DeleteAllOf(ctx, obj, opts...) })
}

// Status is the client of status subresources.
func (u userClient) Status() client.SubResourceWriter { return u.SubResource("status") }

// SubResource is the client of one subresource of any object.
func (u userClient) SubResource(name string) client.SubResourceClient {
	return userSubResource{user: u, name: name}
}

// userSubResource reads and writes one subresource, on the API server as the user.
type userSubResource struct {
	user userClient
	name string
}

// Get has the API server read the subresource.
func (s userSubResource) Get(ctx context.Context, obj, sub client.Object, opts ...client.SubResourceGetOption) error {
	Uncacheable(ctx)
	return s.user.try(write{verb: "get", subresource: s.name, obj: obj}, func(c client.Client) error {
		return c.SubResource(s.name).Get(ctx, obj, sub, opts...)
	})
}

// Create has the API server make sub of obj.
func (s userSubResource) Create(ctx context.Context, obj, sub client.Object, opts ...client.SubResourceCreateOption) error {
	var o client.SubResourceCreateOptions
	o.ApplyOptions(opts)
	return s.user.write(ctx, write{verb: "create", subresource: s.name, obj: obj, dryRun: len(o.DryRun) > 0},
		func(c client.Client) error { return c.SubResource(s.name).Create(ctx, obj, sub, opts...) })
}

// Update has the API server replace the subresource.
func (s userSubResource) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	var o client.SubResourceUpdateOptions
	o.ApplyOptions(opts)
	return s.user.write(ctx, s.change("update", obj, o.SubResourceBody, len(o.DryRun) > 0),
		func(c client.Client) error { return c.SubResource(s.name).Update(ctx, obj, opts...) })
}

// Patch has the API server change the subresource.
func (s userSubResource) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	var o client.SubResourcePatchOptions
	o.ApplyOptions(opts)
	return s.user.write(ctx, s.change("patch", obj, o.SubResourceBody, len(o.DryRun) > 0),
		func(c client.Client) error { return c.SubResource(s.name).Patch(ctx, obj, patch, opts...) })
}

// Apply has the API server apply the subresource.
func (s userSubResource) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	var o client.SubResourceApplyOptions
	o.ApplyOpts(opts)
	return s.user.apply(ctx, obj, s.name, len(o.DryRun) > 0,
		func(c client.Client) error { return c.SubResource(s.name).Apply(ctx, obj, opts...) })
}

// change is a write of the subresource. With a body of its own the answer does not tell the version of the object.
func (s userSubResource) change(verb string, obj, body client.Object, dryRun bool) write {
	w := write{verb: verb, subresource: s.name, obj: obj, dryRun: dryRun}
	if body == nil {
		w.shown = written(obj)
	}
	return w
}
