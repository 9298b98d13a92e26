package transport

import (
	"context"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// A message is one answer of a GraphQL subscription, encoded. It is shared by all who asked the same and never changed.
type message struct {
	payload []byte
	label   Label // zero for an answer that is about no object
}

// Label says what an event of a GraphQL subscription is about, so that an older state of an object that waits for a slow
// reader can be replaced by a newer one.
type Label struct {
	// Key identifies the object within the stream. Events with an empty one are all kept.
	Key string
	// Kind says what happened to the object. Updates replace one another; additions and deletions are kept.
	Kind LabelKind
	// At is when the change became known. A reader that has joined later is not sent it: what it reads then shows the
	// change already. The zero time is sent to everybody.
	At time.Time
}

// LabelKind is what happened to an object.
type LabelKind int

// What can happen to an object.
const (
	Updated LabelKind = iota
	Added
	Deleted
)

// labels are what a stream's resolver has said about the events that it has sent and that have not been encoded yet, in
// order.
type labels struct {
	mu      sync.Mutex
	waiting []Label
}

type labelsKey struct{}

// Announce tells the transport what the event is about that the resolver of a GraphQL subscription sends next. ctx is the
// resolver's. Resolvers announce every event or none. Outside of a stream it does nothing.
func Announce(ctx context.Context, l Label) {
	if ls, ok := ctx.Value(labelsKey{}).(*labels); ok {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		ls.waiting = append(ls.waiting, l)
	}
}

// next is the label of the event that has just been encoded, zero if it has none.
func (ls *labels) next() Label {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(ls.waiting) == 0 {
		return Label{}
	}
	l := ls.waiting[0]
	ls.waiting = ls.waiting[1:]
	return l
}

// ending is why a stream ended by itself.
type ending struct {
	mu   sync.Mutex
	errs gqlerror.List
}

func (e *ending) set(errs gqlerror.List) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs = errs
}

func (e *ending) get() gqlerror.List {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.errs
}

type endingKey struct{}

// EndStream has the clients of a GraphQL subscription told err, after which its resolver closes the channel. ctx is the
// resolver's. Outside of a stream it does nothing.
func EndStream(ctx context.Context, err *gqlerror.Error) {
	if e, ok := ctx.Value(endingKey{}).(*ending); ok {
		e.set(gqlerror.List{err})
	}
}

// A reader takes the messages of one operation. Neither method may block.
type reader interface {
	offer(m message)
	// finish says that nothing will follow. errs is nil at a regular end.
	finish(errs []byte)
}

// Fanout runs each GraphQL subscription once for all who have asked for the same with the same rights: an event is
// resolved and encoded once, and every reader is handed the same bytes. The zero value is ready.
//
// Who has the same rights is decided by identity: the key that readers join with must contain the document, its variables
// and everything about the user that access is decided by.
type Fanout struct {
	mu      sync.Mutex
	streams map[string]*stream
}

// stream is one running subscription.
type stream struct {
	fanout *Fanout
	key    string
	cancel context.CancelFunc

	mu      sync.Mutex
	readers map[reader]time.Time // since when
}

// join adds r to the stream of key if there is one.
func (f *Fanout) join(key string, r reader) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[key]
	if s == nil {
		return nil, false
	}
	return s.add(r), true
}

// start adds r to the stream of key, which begins if there is none: run dispatches the operation in a context that ends
// with the last reader.
func (f *Fanout) start(ctx context.Context, exec graphql.GraphExecutor, key string, r reader, dispatch func(context.Context) (graphql.ResponseHandler, context.Context)) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.streams[key]; s != nil {
		return s.add(r)
	}
	// The stream outlives the reader that happens to be the first, but keeps its user.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &stream{fanout: f, key: key, cancel: cancel, readers: map[reader]time.Time{}}
	if f.streams == nil {
		f.streams = map[string]*stream{}
	}
	f.streams[key] = s
	leave = s.add(r) // before the first event
	go s.run(ctx, exec, dispatch)
	return leave
}

// add is called with the fanout's lock held, so that a stream is never joined after its last reader has left.
func (s *stream) add(r reader) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[r] = time.Now()
	return func() { s.leave(r) }
}

func (s *stream) leave(r reader) {
	s.fanout.mu.Lock()
	defer s.fanout.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
	if len(s.readers) == 0 {
		s.remove()
	}
}

// remove takes the stream off the fanout and ends it. Both locks are held.
func (s *stream) remove() {
	if s.fanout.streams[s.key] == s {
		delete(s.fanout.streams, s.key)
	}
	s.cancel()
}

func (s *stream) run(ctx context.Context, exec graphql.GraphExecutor, dispatch func(context.Context) (graphql.ResponseHandler, context.Context)) {
	ls, end := &labels{}, &ending{}
	ctx = context.WithValue(context.WithValue(ctx, labelsKey{}, ls), endingKey{}, end)
	defer func() {
		if p := recover(); p != nil {
			end.set(panicked(ctx, exec, p))
		}
		s.finish(end.get())
	}()
	responses, ctx := dispatch(ctx)
	for response := responses(ctx); response != nil; response = responses(ctx) {
		s.publish(message{payload: encode(response), label: ls.next()})
	}
}

// publish hands m to all readers. It never waits for one.
func (s *stream) publish(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, since := range s.readers {
		if m.label.At.IsZero() || !m.label.At.Before(since) {
			r.offer(m)
		}
	}
}

// finish tells the readers that the stream has ended. Whoever comes later starts another.
func (s *stream) finish(errs gqlerror.List) {
	s.fanout.mu.Lock()
	s.mu.Lock()
	s.remove()
	readers := s.readers
	s.readers = nil
	s.mu.Unlock()
	s.fanout.mu.Unlock()
	var payload []byte
	if errs != nil {
		payload = encodeErrors(errs)
	}
	for r := range readers {
		r.finish(payload)
	}
}
