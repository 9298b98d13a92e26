package k8s

import (
	"context"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// offered allows one list that refusal has refused: that of the documents of a service, by who sees the service offered or
// activated. Both a ServiceClass and an EventActivation have the id of their service as their name, and what is offered to
// somebody comes with its description, as it did in Kyma. Only a list that is selected by the id is let through, so that
// nothing else of the namespace is.
func (c *Cluster) offered(ctx context.Context, u user.Info, k kind, o client.ListOptions, refusal error) (bool, error) {
	if k.GroupKind() != corev1.SchemeGroupVersion.WithKind("ConfigMap").GroupKind() || o.Namespace != appv1.DocumentNamespace || o.LabelSelector == nil {
		return false, refusal
	}
	id, ok := o.LabelSelector.RequiresExactMatch(appv1.ServiceIDLabel)
	if !ok || id == "" {
		return false, refusal
	}
	for _, through := range []client.ObjectList{&scv1.ServiceClassList{}, &appv1.EventActivationList{}} {
		names, _, err := c.namesThrough(ctx, u, "list", through)
		if err != nil {
			return false, err
		}
		if names.Has(id) {
			return true, nil
		}
	}
	return false, refusal
}
