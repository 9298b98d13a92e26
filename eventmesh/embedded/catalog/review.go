package catalog

import (
	"context"
	"errors"
	"fmt"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// review applies the rules that take more than the object: the requester's rights and other objects. Its errors are
// for the user.
func (p *plugin) review(ctx context.Context, r *request) error {
	switch obj := r.obj.(type) {
	case *scv1.ServiceBroker:
		return p.reviewSecret(ctx, r, r.namespace, secretOf(obj.Spec.AuthInfo))
	case *scv1.ClusterServiceBroker:
		namespace, name := clusterSecretOf(obj.Spec.AuthInfo)
		return p.reviewSecret(ctx, r, namespace, name)
	case *scv1.ServiceInstance:
		return p.reviewPlanChange(ctx, stored(r.old, obj), obj)
	case *scv1.ServiceBinding:
		if r.old == nil {
			return p.reviewBinding(ctx, r.namespace, obj)
		}
	}
	return nil
}

// reviewSecret keeps users from having the controller read a Secret for them, and send it to a URL of their choice,
// that they may not read themselves. An empty name is no Secret.
func (p *plugin) reviewSecret(ctx context.Context, r *request, namespace, name string) error {
	if name == "" {
		return nil
	}
	decision, reason, err := p.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: r.user, Verb: "get", APIVersion: "v1", Resource: "secrets",
		Namespace: namespace, Name: name, ResourceRequest: true,
	})
	if decision == authorizer.DecisionAllow {
		return nil
	}
	evaluation := ""
	if err != nil {
		evaluation = err.Error()
	}
	return fmt.Errorf("broker forbidden access to auth secret (%s): Reason: %s, EvaluationError: %s", name, reason, evaluation)
}

func secretOf(auth *scv1.ServiceBrokerAuthInfo) string {
	var ref *scv1.LocalObjectReference
	switch {
	case auth == nil:
	case auth.Basic != nil:
		ref = auth.Basic.SecretRef
	case auth.Bearer != nil:
		ref = auth.Bearer.SecretRef
	}
	if ref == nil {
		return ""
	}
	return ref.Name
}

func clusterSecretOf(auth *scv1.ClusterServiceBrokerAuthInfo) (namespace, name string) {
	var ref *scv1.ObjectReference
	switch {
	case auth == nil:
	case auth.Basic != nil:
		ref = auth.Basic.SecretRef
	case auth.Bearer != nil:
		ref = auth.Bearer.SecretRef
	}
	if ref == nil {
		return "", ""
	}
	return ref.Namespace, ref.Name
}

// reviewPlanChange refuses another plan of a cluster class whose broker says that plans cannot change. Classes of a
// namespace are not asked, as upstream: their brokers answer for themselves.
func (p *plugin) reviewPlanChange(ctx context.Context, old, obj *scv1.ServiceInstance) error {
	ref := obj.Spec.ClusterServiceClassRef
	if old == nil || ref == nil || !planChanged(&old.Spec.PlanReference, &obj.Spec.PlanReference, true) {
		return nil
	}
	class, err := p.client.Resource(resource("clusterserviceclasses")).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if updatable, _, _ := unstructured.NestedBool(class.Object, "spec", "planUpdatable"); !updatable {
		return errors.New("The Service Class " + ref.Name + " does not allow plan changes.")
	}
	return nil
}

// reviewBinding refuses a binding to an instance on its way out. An instance that does not exist yet is none of its
// business: the controller waits for it.
func (p *plugin) reviewBinding(ctx context.Context, namespace string, obj *scv1.ServiceBinding) error {
	name := obj.Spec.InstanceRef.Name
	instance, err := p.client.Resource(resource("serviceinstances")).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the instance: %w", err)
	}
	if instance.GetDeletionTimestamp() != nil {
		return errors.New("ServiceBinding " + namespace + "/" + obj.Name +
			" references a ServiceInstance that is being deleted: " + namespace + "/" + name)
	}
	return nil
}
