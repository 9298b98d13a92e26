package k8s

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// absentTTL is how long a kind is believed to be absent: what is installed is noticed no later.
const absentTTL = 5 * time.Second

// Review says nil when the user in ctx may do verb on obj, of which kind, namespace and name count. It is for what is done
// by other means than Client and Watch, which review by themselves.
func (c *Cluster) Review(ctx context.Context, verb string, obj client.Object) error {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return apierrors.NewUnauthorized("no user")
	}
	return c.review(ctx, u, verb, obj, obj.GetNamespace(), obj.GetName())
}

// Serves reports whether the cluster has a kind. That is no secret, so there is no review. Asking is cheap: what there is
// is remembered, and for some seconds also what there is not.
func (c *Cluster) Serves(kind schema.GroupKind) (bool, error) {
	c.mu.Lock()
	absent := time.Now().Before(c.absent[kind])
	c.mu.Unlock()
	if absent {
		return false, nil
	}
	switch _, err := c.manager.GetRESTMapper().RESTMapping(kind); {
	case err == nil:
		return true, nil
	case !meta.IsNoMatchError(err):
		return false, fmt.Errorf("looking for the kind %s: %w", kind, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.absent[kind] = time.Now().Add(absentTTL)
	return false, nil
}
