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

// queue holds what one reader has yet to read: for each object at most one deletion and the state after it.
type queue struct {
	wants func(client.Object) bool
	sight sight         // changed by the reader only, while the hub is locked
	wake  chan struct{} // holds a token when something waits, and maybe when not

	mu      sync.Mutex
	pending map[types.NamespacedName]*pending
	order   []types.NamespacedName // of the first change that waits
	err     error
}

type pending struct{ deleted, latest *change }

type change struct {
	kind   EventType
	object client.Object
	at     time.Time // of the latest state
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
	switch {
	case c.kind == Deleted:
		p.deleted, p.latest = &c, nil
	case p.latest != nil:
		p.latest.object, p.latest.at = c.object, c.at // an unread addition stays an addition
	default:
		p.latest = &c
	}
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
	p := q.pending[key]
	c := p.deleted
	if c != nil && p.latest != nil {
		p.deleted = nil // what has come after it is next
		return c, nil
	}
	if c == nil {
		c = p.latest
	}
	q.order = q.order[1:]
	delete(q.pending, key)
	return c, nil
}
