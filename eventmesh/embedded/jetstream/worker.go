package jetstream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go/jetstream"
	"k8s.io/apimachinery/pkg/types"
)

// stopGrace is how long deliveries that are under way may go on once a worker is asked to stop.
const stopGrace = 2 * time.Second

// maxFailures bounds what a worker remembers while a dead letter sink is down. When there is more it forgets all, with
// the same effect as a restart.
const maxFailures = 10_000

// worker delivers the events of one consumer to one subscriber.
type worker struct {
	channel    types.NamespacedName
	subscriber types.UID
	consumer   jetstream.Consumer
	sender     *sender
	metrics    *metrics
	log        *slog.Logger
	slots      chan struct{} // one for each event under way
	ackWait    time.Duration

	target atomic.Pointer[target]

	mu       sync.Mutex
	inFlight map[uint64]jetstream.Msg // by number of the delivery
	// failures holds what to tell the dead letter sink, for events that it has not taken yet, by sequence in the stream.
	// After a restart such an event is tried once more with its subscriber.
	failures map[uint64]*failure

	stopFetching context.CancelFunc
	abort        context.CancelFunc
	done         chan struct{}
}

// newWorker starts a worker. It ends by stop only.
func newWorker(channel types.NamespacedName, consumer jetstream.Consumer, t *target, s *sender, m *metrics, o Options) *worker {
	w := &worker{
		channel:    channel,
		subscriber: t.spec.UID,
		consumer:   consumer,
		sender:     s,
		metrics:    m,
		log:        o.Log,
		slots:      make(chan struct{}, o.Concurrency),
		ackWait:    o.ackWait,
		inFlight:   map[uint64]jetstream.Msg{},
		failures:   map[uint64]*failure{},
		done:       make(chan struct{}),
	}
	w.target.Store(t)
	var fetchCtx, sendCtx context.Context
	sendCtx, w.abort = context.WithCancel(context.Background())
	fetchCtx, w.stopFetching = context.WithCancel(sendCtx)
	go w.run(fetchCtx, sendCtx)
	return w
}

// stop ends the worker and waits for it. Deliveries under way get the grace; what they leave undone goes back to the
// store at once.
func (w *worker) stop(grace time.Duration) {
	w.stopFetching()
	timer := time.AfterFunc(grace, w.abort)
	<-w.done
	timer.Stop()
	w.abort()
}

func (w *worker) run(fetchCtx, sendCtx context.Context) {
	defer close(w.done)
	var heartbeat, handlers sync.WaitGroup
	heartbeat.Go(func() { w.heartbeat(sendCtx) })
	for {
		free := w.reserve(fetchCtx)
		if free == 0 {
			break
		}
		used, err := w.fetch(fetchCtx, free, func(msg jetstream.Msg) {
			handlers.Go(func() {
				defer w.release(1)
				w.handle(sendCtx, msg)
			})
		})
		w.release(free - used)
		if err != nil && fetchCtx.Err() == nil {
			w.log.Debug("fetching events", "channel", w.channel.String(), "subscriber", w.subscriber, "err", err)
			pause(fetchCtx, time.Second)
		}
	}
	handlers.Wait()
	w.abort()
	heartbeat.Wait()
}

// reserve waits for a free slot and takes it with all others that are free. It returns 0 when ctx has ended.
//
// Slots are taken before events are asked for, so that no event waits here unseen: its time to be acknowledged would
// run out, and another copy come.
func (w *worker) reserve(ctx context.Context) int {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case w.slots <- struct{}{}:
		default:
			return n
		}
	}
}

func (w *worker) release(n int) {
	for range n {
		<-w.slots
	}
}

// fetch hands up to n events to handle as they come, and returns how many there were.
func (w *worker) fetch(ctx context.Context, n int, handle func(jetstream.Msg)) (int, error) {
	batch, err := w.consumer.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return 0, err
	}
	got := 0
	for msg := range batch.Messages() {
		got++
		handle(msg)
	}
	return got, batch.Error()
}

// heartbeat tells the store, for each event under way, that somebody is at work on it.
func (w *worker) heartbeat(ctx context.Context) {
	ticker := time.NewTicker(w.ackWait / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		for _, msg := range w.inFlight {
			// A failure means that it has just been settled, or that the connection is gone: then it comes again.
			_ = msg.InProgress()
		}
		w.mu.Unlock()
	}
}

// handle makes one attempt with one event and settles it.
func (w *worker) handle(ctx context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.log.Error("message without metadata", "channel", w.channel.String(), "err", err)
		return
	}
	seq := meta.Sequence.Stream
	w.track(meta.Sequence.Consumer, msg)
	defer w.untrack(meta.Sequence.Consumer)

	e, header, err := decode(msg.Headers(), msg.Data())
	if err != nil { // the file is damaged, or of a version that wrote something else
		w.settle(msg, seq, &event.Event{}, verdict{action: actionDrop, reason: err.Error()}, err)
		return
	}
	v, err := w.attempt(ctx, e, header, meta)
	if err != nil && ctx.Err() != nil {
		// Cut short by us, which says nothing about the subscriber.
		// With a delay, as the store forgets over a restart that one without was given back.
		_ = msg.NakWithDelay(time.Millisecond)
		return
	}
	w.settle(msg, seq, e, v, err)
}

// attempt sends an event to the subscriber, or to the dead letter sink when the subscriber has been given up. The
// error is the one that led to the verdict.
func (w *worker) attempt(ctx context.Context, e *event.Event, h http.Header, meta *jetstream.MsgMetadata) (verdict, error) {
	t := w.target.Load()
	seq, age := meta.Sequence.Stream, w.sender.now().Sub(meta.Timestamp)
	f := w.failureOf(seq)
	if f == nil || t.deadLetter == nil {
		r, failed := w.sender.deliver(ctx, t, w.channel.Namespace, e, h)
		r.attempt, r.age = meta.NumDelivered, age
		v := t.policy.decide(r)
		if v.action != actionDeadLetter || ctx.Err() != nil {
			return v, r.err
		}
		f = &failed
		w.log.Debug("dead letter", "channel", w.channel.String(), "subscriber", w.subscriber, "id", e.ID(), "reason", v.reason, "err", r.err)
	}
	err := w.sender.deadLetter(ctx, t, w.channel.Namespace, e, h, *f)
	if err == nil {
		w.metrics.count(w.channel, resultDeadLettered)
		return verdict{action: actionDeadLetter}, nil
	}
	f.tries++
	w.setFailure(seq, f)
	return t.policy.decideDeadLetter(err, f.tries, age), err
}

// settle tells the store what became of an event.
func (w *worker) settle(msg jetstream.Msg, seq uint64, e *event.Event, v verdict, cause error) {
	var err error
	switch v.action {
	case actionRetry:
		w.metrics.count(w.channel, resultRetried)
		err = msg.NakWithDelay(v.delay)
	case actionDrop:
		w.metrics.count(w.channel, resultDropped)
		w.log.Error("event dropped",
			"channel", w.channel.String(), "subscriber", string(w.subscriber), "name", w.name(),
			"id", e.ID(), "type", e.Type(), "source", e.Source(), "reason", v.reason, "err", cause)
		err = msg.Ack()
	case actionAck:
		w.metrics.count(w.channel, resultDelivered)
		err = msg.Ack()
	case actionDeadLetter: // taken by the sink, and counted
		err = msg.Ack()
	}
	if v.action != actionRetry {
		w.setFailure(seq, nil)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		// It will be delivered once more.
		w.log.Debug("acknowledge", "channel", w.channel.String(), "subscriber", w.subscriber, "err", err)
	}
}

// name is the name of the Subscription, "" when it is not known.
func (w *worker) name() string {
	if name := w.target.Load().spec.Name; name != nil {
		return *name
	}
	return ""
}

func (w *worker) track(delivery uint64, msg jetstream.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight[delivery] = msg
}

func (w *worker) untrack(delivery uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.inFlight, delivery)
}

func (w *worker) failureOf(seq uint64) *failure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures[seq]
}

func (w *worker) setFailure(seq uint64, f *failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f == nil {
		delete(w.failures, seq)
		return
	}
	if len(w.failures) >= maxFailures {
		clear(w.failures)
	}
	w.failures[seq] = f
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
