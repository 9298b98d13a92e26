package k8s

import (
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxPending is how many objects may wait for one reader.
const maxPending = 10_000

// errSlow ends the watch of a reader for whom more than maxPending objects wait. It is of the kind that clients know.
var errSlow = apierrors.NewTooManyRequestsError(fmt.Sprintf("the reader is too slow, more than %d changed objects wait for it", maxPending))

// queue holds what one reader has yet to read: for each object at most a deletion, an addition and the state after it.
type queue struct {
	wants func(client.Object) bool
	sight sight         // changed by the reader only, while the hub is locked
	wake  chan struct{} // holds a token when something waits, and maybe when not

	mu      sync.Mutex
	pending map[types.NamespacedName]*pending
	order   []types.NamespacedName // of the first change that waits
	err     error
}

// pending is what waits of one object. An addition and the state after it are two changes, since a stream that several
// share may have readers who came in between.
type pending struct{ deleted, added, latest *change }

type change struct {
	kind   EventType
	object client.Object
	at     time.Time // when it was seen
}

func newQueue(s sight, wants func(client.Object) bool) *queue {
	return &queue{sight: s, wants: wants, pending: map[types.NamespacedName]*pending{}, wake: make(chan struct{}, 1)}
}

// put adds a change of an object that the reader sees and wants.
func (q *queue) put(kind EventType, obj client.Object) {
	if q.sight.sees(obj) && q.wants(obj) {
		q.add(kind, obj)
	}
}

// add adds a change. It never blocks.
func (q *queue) add(kind EventType, obj client.Object) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	p, ok := q.pending[key]
	switch {
	case q.err != nil:
		return
	case !ok && len(q.pending) == maxPending:
		q.err = errSlow
	case !ok:
		p = &pending{}
		q.pending[key] = p
		q.order = append(q.order, key)
		fallthrough
	default:
		p.add(change{kind, obj, time.Now()})
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (p *pending) add(c change) {
	switch c.kind {
	case Deleted:
		*p = pending{deleted: &c}
	case Added:
		p.added, p.latest = &c, nil
	case Updated:
		p.latest = &c
	}
}

// take takes the earliest change, and reports whether it was the last.
func (p *pending) take() (c *change, last bool) {
	for _, waiting := range []**change{&p.deleted, &p.added, &p.latest} {
		if c != nil && *waiting != nil {
			return c, false
		}
		if c == nil {
			c, *waiting = *waiting, nil
		}
	}
	return c, true
}

// next takes the change that has waited longest, nil when none waits, with the reason if none will follow.
func (q *queue) next() (*change, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		q.order = nil // gives back the memory of what was a long queue
		return nil, q.err
	}
	key := q.order[0]
	c, last := q.pending[key].take()
	if last {
		q.order = q.order[1:]
		delete(q.pending, key)
	}
	return c, nil
}
