package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/dynamic"
)

// PluginName is the name under which the plugin is known to the API server, its metrics and its flags.
const PluginName = "ServiceCatalog"

// plugin defaults and validates Service Catalog's objects. It sees every request that creates or updates something,
// so what is not its business leaves it at the first line.
type plugin struct {
	*admission.Handler

	// client and authorizer are the API server's own, given to it before the first request.
	client     dynamic.Interface
	authorizer authorizer.Authorizer
}

var (
	_ admission.MutationInterface    = (*plugin)(nil)
	_ admission.ValidationInterface  = (*plugin)(nil)
	_ initializer.WantsDynamicClient = (*plugin)(nil)
	_ initializer.WantsAuthorizer    = (*plugin)(nil)
)

// NewPlugin makes the admission plugin; it has no configuration. It is ready once the API server has given it a
// client and an authorizer, as it does to all plugins that ask.
func NewPlugin(io.Reader) (admission.Interface, error) {
	return &plugin{Handler: admission.NewHandler(admission.Create, admission.Update)}, nil
}

// SetDynamicClient implements [initializer.WantsDynamicClient].
func (p *plugin) SetDynamicClient(c dynamic.Interface) { p.client = c }

// SetAuthorizer implements [initializer.WantsAuthorizer].
func (p *plugin) SetAuthorizer(a authorizer.Authorizer) { p.authorizer = a }

// ValidateInitialization implements [admission.InitializationValidator].
func (p *plugin) ValidateInitialization() error {
	if p.client == nil || p.authorizer == nil {
		return errors.New(PluginName + " needs a client and an authorizer")
	}
	return nil
}

// Admit defaults the object of a in place.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	r, err := read(a)
	if r == nil || err != nil {
		return err
	}
	before := r.obj.DeepCopyObject().(metav1.Object)
	if err := p.setDefaults(ctx, r); err != nil {
		return admission.NewForbidden(a, err)
	}
	if err := writeBack(r.raw, before, r.obj); err != nil {
		return apierrors.NewInternalError(fmt.Errorf("writing defaults of %s: %w", a.GetResource().Resource, err))
	}
	return nil
}

// Validate refuses what Service Catalog would not accept.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	r, err := read(a)
	if r == nil || err != nil {
		return err
	}
	// Rules are about spec. What is stored may break one that is newer than it; it can still be labelled, and its
	// finalizers be removed.
	if r.old != nil && equality.Semantic.DeepEqual(specOf(r.old), specOf(r.obj)) {
		return nil
	}
	if errs := validate(r); len(errs) > 0 {
		return admission.NewForbidden(a, errs.ToAggregate())
	}
	if err := p.review(ctx, r); err != nil {
		return admission.NewForbidden(a, err)
	}
	return nil
}

// request is what the plugin works on.
type request struct {
	raw       *unstructured.Unstructured
	obj, old  typed // old is nil on create.
	namespace string
	user      user.Info
}

// typed is an object of Service Catalog's Go types.
type typed interface {
	runtime.Object
	metav1.Object
}

// read is the request in a, nil if it is none of ours.
func read(a admission.Attributes) (*request, error) {
	if a.GetResource().Group != scv1.GroupName || a.GetSubresource() != "" {
		return nil, nil
	}
	raw, ok := a.GetObject().(*unstructured.Unstructured)
	if !ok || newTyped(raw.GetKind()) == nil {
		return nil, nil
	}
	r := &request{raw: raw, obj: newTyped(raw.GetKind()), namespace: a.GetNamespace(), user: a.GetUserInfo()}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Object, r.obj); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s %q cannot be decoded: %v", raw.GetKind(), raw.GetName(), err))
	}
	if a.GetOperation() != admission.Update {
		return r, nil
	}
	old, ok := a.GetOldObject().(*unstructured.Unstructured)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("old object is a %T", a.GetOldObject()))
	}
	r.old = newTyped(raw.GetKind())
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(old.Object, r.old); err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("decoding stored object: %w", err))
	}
	return r, nil
}

// newTyped is a new object of a kind, nil for kinds that the plugin leaves alone.
func newTyped(kind string) typed {
	switch kind {
	case "ServiceBroker":
		return &scv1.ServiceBroker{}
	case "ClusterServiceBroker":
		return &scv1.ClusterServiceBroker{}
	case "ServiceClass":
		return &scv1.ServiceClass{}
	case "ClusterServiceClass":
		return &scv1.ClusterServiceClass{}
	case "ServicePlan":
		return &scv1.ServicePlan{}
	case "ClusterServicePlan":
		return &scv1.ClusterServicePlan{}
	case "ServiceInstance":
		return &scv1.ServiceInstance{}
	case "ServiceBinding":
		return &scv1.ServiceBinding{}
	}
	return nil
}

// stored is old as the type of the second argument, nil on create.
func stored[T any](old typed, _ *T) *T {
	t, _ := any(old).(*T)
	return t
}

func (p *plugin) setDefaults(ctx context.Context, r *request) error {
	switch obj := r.obj.(type) {
	case *scv1.ServiceBroker:
		defaultServiceBroker(stored(r.old, obj), obj)
	case *scv1.ClusterServiceBroker:
		defaultClusterServiceBroker(stored(r.old, obj), obj)
	case *scv1.ServiceClass:
		defaultServiceClass(stored(r.old, obj), obj)
	case *scv1.ClusterServiceClass:
		defaultClusterServiceClass(stored(r.old, obj), obj)
	case *scv1.ServicePlan:
		defaultServicePlan(stored(r.old, obj), obj)
	case *scv1.ClusterServicePlan:
		defaultClusterServicePlan(stored(r.old, obj), obj)
	case *scv1.ServiceInstance:
		old := stored(r.old, obj)
		if old == nil || old.Spec.PlanReference != obj.Spec.PlanReference {
			if err := defaultPlan(ctx, p.client, r.namespace, &obj.Spec.PlanReference); err != nil {
				return err
			}
		}
		defaultServiceInstance(old, obj, userInfo(r.user), uuid.NewString)
	case *scv1.ServiceBinding:
		defaultServiceBinding(stored(r.old, obj), obj, userInfo(r.user), uuid.NewString)
	}
	return nil
}

// validate lists what is wrong with an object by itself.
func validate(r *request) field.ErrorList {
	switch obj := r.obj.(type) {
	case *scv1.ServiceBroker:
		return validateServiceBroker(stored(r.old, obj), obj)
	case *scv1.ClusterServiceBroker:
		return validateClusterServiceBroker(stored(r.old, obj), obj)
	case *scv1.ServiceClass:
		return validateServiceClass(obj)
	case *scv1.ClusterServiceClass:
		return validateClusterServiceClass(obj)
	case *scv1.ServicePlan:
		return validateServicePlan(stored(r.old, obj), obj)
	case *scv1.ClusterServicePlan:
		return validateClusterServicePlan(stored(r.old, obj), obj)
	case *scv1.ServiceInstance:
		return validateServiceInstance(stored(r.old, obj), obj)
	case *scv1.ServiceBinding:
		return validateServiceBinding(obj)
	}
	return nil
}

// userInfo is u as a spec records it.
func userInfo(u user.Info) *scv1.UserInfo {
	if u == nil {
		return nil
	}
	info := &scv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	for key, values := range u.GetExtra() {
		if info.Extra == nil {
			info.Extra = map[string]scv1.ExtraValue{}
		}
		info.Extra[key] = values
	}
	return info
}
