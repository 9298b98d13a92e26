package k8s

import (
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	usagesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/servicecatalog/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
	uiv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/ui/v1alpha1"
)

// NewScheme knows every kind that the program works with: Kubernetes' own, Knative Eventing's, Service Catalog's,
// ours, and those of Rafter and Kyma that a cluster may have.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme,
		apiextensionsv1.AddToScheme,
		eventingv1.AddToScheme,
		messagingv1.AddToScheme,
		scv1.AddToScheme,
		appv1.AddToScheme,
		sourcesv1.AddToScheme,
		functionsv1.AddToScheme,
		kymamessagingv1.AddToScheme,
		rafterv1.AddToScheme,
		usagesv1.AddToScheme,
		uiv1.AddToScheme,
	} {
		// Adding a kind fails only when two Go types claim it: a mistake of this list.
		utilruntime.Must(add(s))
	}
	return s
}
