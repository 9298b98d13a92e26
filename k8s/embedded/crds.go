package embedded

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/utils/ptr"
)

// fieldManager owns the fields of what this package applies.
const fieldManager = "kyma-console"

// InstallCRDs applies crds and returns when the API server serves them all. It may be called again.
func InstallCRDs(ctx context.Context, config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, crd := range crds {
		g.Go(func() error {
			if err := installCRD(ctx, client, crd); err != nil {
				return fmt.Errorf("%s: %w", crd.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func installCRD(ctx context.Context, client apiextensions.Interface, crd *apiextensionsv1.CustomResourceDefinition) error {
	api := client.ApiextensionsV1().CustomResourceDefinitions()
	manifest := crd.DeepCopy()
	manifest.TypeMeta = metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"}
	data, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	applied, err := api.Patch(ctx, crd.Name, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: fieldManager, Force: ptr.To(true)})
	if err != nil || apihelpers.IsCRDConditionTrue(applied, apiextensionsv1.Established) {
		return err
	}
	lw := cache.NewFilteredListWatchFromClient(client.ApiextensionsV1().RESTClient(), "customresourcedefinitions", "",
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", crd.Name).String()
		})
	_, err = watchtools.UntilWithSync(ctx, lw, &apiextensionsv1.CustomResourceDefinition{}, nil, established)
	return err
}

// established is the condition that the API server serves a definition's kind.
func established(e watch.Event) (bool, error) {
	crd, ok := e.Object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok || e.Type == watch.Deleted {
		return false, apierrors.NewInternalError(fmt.Errorf("definition deleted while waiting for it"))
	}
	return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established), nil
}
