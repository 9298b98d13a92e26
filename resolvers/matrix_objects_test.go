package resolvers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// makeMatrix makes the objects of testdata/matrix unless they are there, and returns them. Kinds that the cluster of the
// tests lacks are passed over; TestMatrixQueries complains where that leaves nothing to see.
func makeMatrix(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	installAll(t)
	for _, part := range []struct{ file, namespace string }{
		{"testdata/matrix/cluster.yaml", ""}, {"testdata/matrix/namespace.yaml", here}, {"testdata/matrix/namespace.yaml", there},
	} {
		text, err := os.ReadFile(part.file)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("NS"), []byte(part.namespace))
		for _, obj := range decodeAll(t, text) {
			switch err := makeOrPatch(t.Context(), obj); {
			case meta.IsNoMatchError(err):
				t.Logf("not in this cluster: %s", obj.GetKind())
			case err != nil:
				t.Fatalf("%s %s: %v", obj.GetKind(), obj.GetName(), err)
			default:
				objects = append(objects, obj)
			}
		}
	}
	// The API server's own cache of roles is a moment behind, and a refusal would be remembered.
	awaitRight(t, reader, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "secrets"})
	awaitRight(t, owner, authorizationv1.ResourceAttributes{Verb: "delete", Resource: "secrets", Namespace: here})
	return objects
}

// installAll makes all kinds of other programs that the tests know.
func installAll(t *testing.T) {
	t.Helper()
	for _, file := range filesOf(t, "testdata/crds/*.yaml", "testdata/*/crds.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, crd := range decodeAll(t, text) {
			if err := makeOrPatch(t.Context(), crd); err != nil {
				t.Fatalf("%s: %v", crd.GetName(), err)
			}
			awaitKind(t, crd)
		}
	}
}

func filesOf(t testing.TB, patterns ...string) (files []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// awaitKind waits until the API server serves the kind that a CustomResourceDefinition defines, and the API knows it.
func awaitKind(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, crd); err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Group: crd.Spec.Group, Version: crd.Spec.Versions[0].Name, Kind: crd.Spec.Names.Kind}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk)
	var err error
	settles(t, func() bool {
		if err = shared.admin.List(t.Context(), list); err == nil {
			_, err = shared.cluster.Manager().GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		}
		return err == nil
	})
	if err != nil {
		t.Fatalf("%s: %v", crd.Name, err)
	}
}

// makeOrPatch makes obj, or puts what it says into the object that is there.
func makeOrPatch(ctx context.Context, obj *unstructured.Unstructured) error {
	wanted, err := obj.MarshalJSON()
	if err != nil {
		return err
	}
	err = shared.admin.Patch(ctx, obj, client.RawPatch(types.MergePatchType, wanted))
	if apierrors.IsNotFound(err) {
		return shared.admin.Create(ctx, obj)
	}
	return err
}

func decodeAll(t *testing.T, text []byte) (objects []*unstructured.Unstructured) {
	t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(obj)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, obj)
	}
}

// awaitRight waits until the API server lets a user do something.
func awaitRight(t *testing.T, user string, right authorizationv1.ResourceAttributes) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &right}}
		err := shared.admin.Create(ctx, review)
		return review.Status.Allowed, err
	})
	if err != nil {
		t.Fatalf("%s may not %s %s: %v", user, right.Verb, right.Resource, err)
	}
}

// versions are those of every object of the matrix, and of those that operations might make.
func versions(t *testing.T) map[string]string {
	t.Helper()
	kinds, err := discovery.NewDiscoveryClientForConfigOrDie(shared.cluster.Config()).ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, group := range kinds {
		for _, kind := range group.APIResources {
			// The garbage collector writes events when it pleases.
			if slices.Contains(kind.Verbs, "list") && slices.Contains(kind.Verbs, "create") && kind.Kind != "Event" {
				addVersions(t, all, schema.FromAPIVersionAndKind(group.GroupVersion, kind.Kind))
			}
		}
	}
	return all
}

func addVersions(t *testing.T, all map[string]string, gvk schema.GroupVersionKind) {
	t.Helper()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk)
	if err := shared.admin.List(t.Context(), list); err != nil {
		t.Fatalf("%v: %v", gvk, err)
	}
	for i := range list.Items {
		if o := &list.Items[i]; strings.HasPrefix(o.Namespace, "matrix") || strings.HasPrefix(o.Name, "matrix") {
			all[gvk.Kind+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
		}
	}
}
