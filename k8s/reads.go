package k8s

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Reads are the kinds of which objects were read with a context, each in the state before the first read. They tell for
// how long an answer that was made of these objects, for the same user, would come out the same.
type Reads struct {
	until time.Time

	mu          sync.Mutex
	generations map[*hub]uint64
	uncacheable bool
}

// readsKey is the key of Reads in a context.
type readsKey struct{}

// TrackReads returns a context with which all reads through Client are noted, and where.
func TrackReads(ctx context.Context) (context.Context, *Reads) {
	r := &Reads{until: time.Now().Add(reviewTTL), generations: map[*hub]uint64{}}
	return context.WithValue(ctx, readsKey{}, r), r
}

// Uncacheable says that something has come into an answer that is not known by its Reads, so that they are not current:
// the time, a log, a write. It does nothing when reads are not tracked.
func Uncacheable(ctx context.Context) {
	if r, ok := ctx.Value(readsKey{}).(*Reads); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.uncacheable = true
	}
}

// Current reports whether since the first read of each kind no object of the kind has changed. It is about what the
// handlers of the informers have seen, which is some microseconds behind the caches: a change that is not noticed yet was
// not acknowledged to whoever made it through Client either. After reviewTTL reads are never current: rights may have
// changed, and so may which kinds the cluster has.
func (r *Reads) Current() bool {
	if !time.Now().Before(r.until) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uncacheable {
		return false
	}
	for h, generation := range r.generations {
		if h.generation.Load() != generation {
			return false
		}
	}
	return true
}

// noted returns the hub of k, whose informer it starts if it is the first to need it, and notes in ctx that objects of k
// are about to be read. A cache is changed before its handler knows, so a generation that is noted before a read is never
// newer than what is read.
func (c *Cluster) noted(ctx context.Context, k kind) (*hub, error) {
	h := c.hub(k.cached)
	if h == nil {
		var err error
		if h, err = c.synced(ctx, k); err != nil {
			return nil, err
		}
	}
	if r, ok := ctx.Value(readsKey{}).(*Reads); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, ok := r.generations[h]; !ok {
			r.generations[h] = h.generation.Load()
		}
	}
	return h, nil
}

// doubt makes the answer of ctx uncacheable if err is not what everybody would get who asks again.
func doubt(ctx context.Context, err error) error {
	if err != nil && !Denied(err) && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) && !apierrors.IsUnauthorized(err) {
		Uncacheable(ctx)
	}
	return err
}
