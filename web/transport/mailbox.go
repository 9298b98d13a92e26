package transport

import "slices"

// maxWaiting is how many messages may wait for one reader of one stream. They are shared, so that this bounds time more
// than memory.
const maxWaiting = 10_000

// mailbox holds what one reader of one stream has yet to take. Of each object at most three messages wait: its deletion,
// its addition after that, and its latest state. The zero value is empty.
type mailbox struct {
	objects map[string]*waiting
	order   []*waiting // by the first message of each that waits
}

// waiting are the messages about one object, nil for those that there are none of.
type waiting struct {
	deleted, added, latest []byte
}

// put adds m, unless too many wait: then it reports false, and the reader has lost a message for good.
func (b *mailbox) put(m message) bool {
	w := b.objects[m.label.Key]
	if w == nil || m.label.Key == "" {
		if len(b.order) == maxWaiting {
			return false
		}
		w = &waiting{}
		b.order = append(b.order, w)
		if m.label.Key != "" {
			if b.objects == nil {
				b.objects = map[string]*waiting{}
			}
			b.objects[m.label.Key] = w
		}
	}
	switch m.label.Kind {
	case Deleted:
		*w = waiting{deleted: m.payload}
	case Added:
		w.added, w.latest = m.payload, nil
	case Updated:
		w.latest = m.payload
	}
	return true
}

// take empties the mailbox. The messages of an object are in their order; between objects the order is that in which
// their first messages came.
func (b *mailbox) take() [][]byte {
	payloads := make([][]byte, 0, len(b.order))
	for _, w := range b.order {
		payloads = append(payloads, w.deleted, w.added, w.latest)
	}
	*b = mailbox{}
	return slices.DeleteFunc(payloads, func(p []byte) bool { return p == nil })
}
