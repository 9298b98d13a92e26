package k8s

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Index lets List select objects of obj's kind by client.MatchingFields{field: value}; extract says the values that an
// object is found by. It is for kinds of other programs, which may be installed while this one runs: call it before each
// such List. Only the first call for a kind and field does something. A kind that the cluster does not have is a NoMatch
// error.
//
// Indexes of our own kinds are set up with the manager's field indexer, before Run.
func (c *Cluster) Index(ctx context.Context, obj client.Object, field string, extract client.IndexerFunc) error {
	gvk, err := c.manager.GetClient().GroupVersionKindFor(obj)
	if err != nil {
		return err
	}
	key := gvk.String() + " " + field
	c.indexing.Lock()
	made := c.indexes[key]
	c.indexing.Unlock()
	if made {
		return nil
	}
	// Outside the lock, because this waits until the objects are there.
	if _, err := c.manager.GetCache().GetInformer(ctx, obj); err != nil {
		return fmt.Errorf("watching %s: %w", gvk.Kind, err)
	}
	c.indexing.Lock()
	defer c.indexing.Unlock()
	if c.indexes[key] {
		return nil
	}
	if err := c.manager.GetFieldIndexer().IndexField(ctx, obj, field, extract); err != nil {
		return fmt.Errorf("indexing %s by %s: %w", gvk.Kind, field, err)
	}
	if c.indexes == nil {
		c.indexes = map[string]bool{}
	}
	c.indexes[key] = true
	return nil
}
