package k8s_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

// TestIndex makes an index while objects are there already, side by side, and of a kind that is not installed.
func TestIndex(t *testing.T) {
	cluster := open(t, k8s.Options{})
	ctx := as(t, admin)
	c := cluster.Client(ctx)
	for name, color := range map[string]string{"index-sky": "blue", "index-grass": "green"} {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{"color": color}}
		if err := client.IgnoreAlreadyExists(c.Create(ctx, cm)); err != nil {
			t.Fatal(err)
		}
	}
	byColor := func(o client.Object) []string { return []string{o.(*corev1.ConfigMap).Data["color"]} }
	errs := make(chan error)
	for range 3 {
		go func() { errs <- cluster.Index(ctx, &corev1.ConfigMap{}, "color", byColor) }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() error {
		var list corev1.ConfigMapList
		if err := c.List(ctx, &list, client.InNamespace("default"), client.MatchingFields{"color": "blue"}); err != nil {
			return err
		}
		var names []string
		for _, cm := range list.Items {
			names = append(names, cm.Name)
		}
		if diff := cmp.Diff([]string{"index-sky"}, names); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	none := func(client.Object) []string { return nil }
	if err := cluster.Index(ctx, &rafterv1.ClusterAsset{}, "none", none); !meta.IsNoMatchError(err) {
		t.Errorf("a kind that is not installed: got %v, want NoMatch", err)
	}
}
