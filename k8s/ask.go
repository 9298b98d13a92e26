package k8s

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Review says nil when the user in ctx may do verb on obj, of which kind, namespace and name count. It is for what is done
// by other means than Client and Watch, which review by themselves.
func (c *Cluster) Review(ctx context.Context, verb string, obj client.Object) error {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return apierrors.NewUnauthorized("no user")
	}
	k, err := c.kindOf(obj)
	if err != nil {
		return err
	}
	return c.review(ctx, u, verb, k, obj.GetNamespace(), obj.GetName())
}

// Serves reports whether the cluster has a kind. That is no secret, so there is no review. Asking is cheap: the answer is
// remembered for some seconds.
func (c *Cluster) Serves(kind schema.GroupKind) (bool, error) {
	_, err := c.manager.GetRESTMapper().RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the kind %s: %w", kind, err)
	}
	return true, nil
}
