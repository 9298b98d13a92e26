package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Channels are the channels of a Server: an http.Handler that takes events for all of them, and the workers that
// deliver these. Which channels there are and who subscribes to them comes from JetStreamChannels by way of Setup.
type Channels struct {
	opts    Options
	server  *Server
	sender  *sender
	metrics *metrics
	reader  client.Reader // cached; nil without Setup

	lastRefusal atomic.Int64 // when a refused event was last logged, in Unix seconds

	mu       sync.RWMutex
	channels map[types.NamespacedName]*channel
	closed   bool
}

// channel is one channel of this process.
type channel struct {
	key    types.NamespacedName
	uid    types.UID
	stream string
	// open is whether its subscribers have their consumers in the store, so that events may be taken.
	open atomic.Bool

	mu      sync.Mutex // held while subscribers change
	applied bool       // whether the subscribers have been made known since the process started
	gone    bool       // whether it has been removed or closed, and may start no worker
	workers map[types.UID]*worker
}

// newChannels makes the channels of a server known to ServeHTTP: those that its store holds. They take events from
// then on, as their consumers are in the store too; delivering starts with apply.
func newChannels(ctx context.Context, s *Server, o Options) (*Channels, error) {
	o = o.withDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	c := &Channels{opts: o, server: s, sender: newSender(), metrics: m, channels: map[types.NamespacedName]*channel{}}
	streams := s.deliver.ListStreams(ctx)
	for info := range streams.Info() {
		md := info.Config.Metadata
		key := types.NamespacedName{Namespace: md[metadataNamespace], Name: md[metadataName]}
		if key.Name != "" {
			ch := newChannel(key, types.UID(md[metadataUID]))
			ch.open.Store(true)
			c.channels[key] = ch
		}
	}
	if err := streams.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return c, nil
}

func newChannel(key types.NamespacedName, uid types.UID) *channel {
	return &channel{key: key, uid: uid, stream: streamName(key), workers: map[types.UID]*worker{}}
}

// get returns a channel, nil when there is none.
func (c *Channels) get(key types.NamespacedName) *channel {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.channels[key]
}

// known lists the channels that take events, with their UIDs.
func (c *Channels) known() map[types.NamespacedName]types.UID {
	c.mu.RLock()
	defer c.mu.RUnlock()
	known := map[types.NamespacedName]types.UID{}
	for key, ch := range c.channels {
		known[key] = ch.uid
	}
	return known
}

// apply makes the stream of a channel and the consumers of its subscribers what they should be, and starts, changes
// and stops the workers. uid tells a channel from an earlier one of its name, whose events go. keep has subscribers
// that are not in the list, but whose events are not to be forgotten.
//
// The error is that of the channel as a whole; the map has the errors of single subscribers, to whom nothing is
// delivered while there is one. Their events are kept.
func (c *Channels) apply(ctx context.Context, key types.NamespacedName, uid types.UID, subscribers []eventingduckv1.SubscriberSpec, keep []types.UID) (map[types.UID]error, error) {
	if old := c.get(key); old != nil && old.uid != uid {
		if err := c.remove(ctx, key); err != nil {
			return nil, err
		}
	}
	stream, err := c.stream(ctx, key, uid)
	if err != nil {
		return nil, fmt.Errorf("create stream %s: %w", streamName(key), err)
	}
	ch, err := c.add(key, uid)
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.gone {
		return nil, errClosed
	}
	failed, err := c.applySubscribers(ctx, ch, stream, subscribers, keep)
	if err != nil {
		return failed, err
	}
	ch.applied = true
	ch.open.Store(true)
	return failed, nil
}

// stream returns the stream of a channel. It is made, or given its present configuration, once in a process's life.
func (c *Channels) stream(ctx context.Context, key types.NamespacedName, uid types.UID) (jetstream.Stream, error) {
	if c.served(key) {
		stream, err := c.server.deliver.Stream(ctx, streamName(key))
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err
		}
	}
	return c.server.deliver.CreateOrUpdateStream(ctx, c.streamConfig(key, uid))
}

// served reports whether a channel takes events and its subscribers get them.
func (c *Channels) served(key types.NamespacedName) bool {
	ch := c.get(key)
	if ch == nil {
		return false
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.applied
}

// errClosed is returned to those who come too late.
var errClosed = errors.New("the channel is closed")

// add makes a channel known to ServeHTTP, if it is not yet. A new one is not open.
func (c *Channels) add(key types.NamespacedName, uid types.UID) (*channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.channels[key] == nil {
		c.channels[key] = newChannel(key, uid)
	}
	return c.channels[key], nil
}

func (c *Channels) streamConfig(key types.NamespacedName, uid types.UID) jetstream.StreamConfig {
	name := streamName(key)
	return jetstream.StreamConfig{
		Name:        name,
		Description: "JetStreamChannel " + key.String(),
		Subjects:    []string{subjectOf(name)},
		// An event leaves the store when every consumer has acknowledged it.
		Retention: jetstream.InterestPolicy,
		Storage:   jetstream.FileStorage,
		MaxAge:    c.opts.MaxAge,
		MaxBytes:  c.opts.MaxChannelBytes,
		MaxMsgs:   -1,
		// A full channel refuses the new rather than lose the old, which it has promised to keep.
		Discard: jetstream.DiscardNew,
		Metadata: map[string]string{
			metadataNamespace: key.Namespace, metadataName: key.Name, metadataUID: string(uid),
		},
	}
}

func (c *Channels) consumerConfig(subscriber types.UID) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       consumerName(subscriber),
		DeliverPolicy: jetstream.DeliverNewPolicy, // a subscriber gets what is sent after it has subscribed
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.opts.ackWait,
		MaxDeliver:    -1, // our policies count
		// Without a bound: events that wait for their next attempt count as pending, and with the default of 1,000 as
		// many failing ones would hold up all new ones. What is under way is bounded by the worker's slots.
		MaxAckPending: -1,
		Metadata:      map[string]string{metadataSubscriber: string(subscriber)},
	}
}

// applySubscribers carries out the plan for a channel's consumers and workers. ch.mu is held.
func (c *Channels) applySubscribers(ctx context.Context, ch *channel, stream jetstream.Stream, subscribers []eventingduckv1.SubscriberSpec, keep []types.UID) (map[types.UID]error, error) {
	stored, err := consumersOf(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", ch.stream, err)
	}
	running := map[types.UID]eventingduckv1.SubscriberSpec{}
	for uid, w := range ch.workers {
		running[uid] = w.target.Load().spec
	}
	failed := map[types.UID]error{}
	var errs []error
	p := plan(subscribers, keep, stored, running)
	for _, spec := range p.start {
		if spec.UID == "" {
			failed[spec.UID] = errors.New("subscriber has no UID")
			continue
		}
		t, err := newTarget(spec, c.opts)
		if err != nil {
			failed[spec.UID] = err
		}
		errs = append(errs, c.start(ctx, ch, stream, spec.UID, t))
	}
	for _, spec := range p.change {
		t, err := newTarget(spec, c.opts)
		if err != nil {
			failed[spec.UID] = err
			c.stopWorker(ch, spec.UID)
			continue
		}
		ch.workers[spec.UID].target.Store(t)
	}
	for _, uid := range p.stop {
		c.stopWorker(ch, uid)
	}
	for _, uid := range p.remove {
		c.stopWorker(ch, uid)
		if err := stream.DeleteConsumer(ctx, consumerName(uid)); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			errs = append(errs, fmt.Errorf("delete consumer %s of %s: %w", uid, ch.stream, err))
		}
	}
	return failed, errors.Join(errs...)
}

// start makes the consumer of a subscriber, or finds the one it has, and starts its worker. Without a target there is no
// worker, but the consumer keeps the events.
func (c *Channels) start(ctx context.Context, ch *channel, stream jetstream.Stream, subscriber types.UID, t *target) error {
	c.stopWorker(ch, subscriber)
	consumer, err := stream.CreateOrUpdateConsumer(ctx, c.consumerConfig(subscriber))
	if err != nil {
		return fmt.Errorf("create consumer %s of %s: %w", subscriber, ch.stream, err)
	}
	if t != nil {
		ch.workers[subscriber] = newWorker(ch.key, consumer, t, c.sender, c.metrics, c.opts)
	}
	return nil
}

// stopWorker stops the worker of a subscriber, if there is one, at once.
func (c *Channels) stopWorker(ch *channel, uid types.UID) {
	if w := ch.workers[uid]; w != nil {
		w.stop(0)
		delete(ch.workers, uid)
	}
}

// remove deletes a channel with its events. It is no error when there is none.
func (c *Channels) remove(ctx context.Context, key types.NamespacedName) error {
	c.mu.Lock()
	ch := c.channels[key]
	delete(c.channels, key)
	c.mu.Unlock()
	if ch != nil {
		ch.mu.Lock()
		ch.gone = true
		for uid := range ch.workers {
			c.stopWorker(ch, uid)
		}
		ch.mu.Unlock()
	}
	if err := c.server.deliver.DeleteStream(ctx, streamName(key)); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w", streamName(key), err)
	}
	c.metrics.forget(key)
	return nil
}

// removeIf removes a channel if it still has the given UID.
func (c *Channels) removeIf(ctx context.Context, key types.NamespacedName, uid types.UID) error {
	if ch := c.get(key); ch == nil || ch.uid != uid {
		return nil
	}
	return c.remove(ctx, key)
}

// close stops all workers. Events are refused from then on. What was under way goes back to the store.
func (c *Channels) close() {
	c.mu.Lock()
	c.closed = true
	channels := c.channels
	c.channels = map[types.NamespacedName]*channel{}
	c.mu.Unlock()

	var stopping sync.WaitGroup
	for _, ch := range channels {
		ch.mu.Lock()
		ch.gone = true
		for _, w := range ch.workers {
			stopping.Go(func() { w.stop(stopGrace) })
		}
		ch.workers = map[types.UID]*worker{}
		ch.mu.Unlock()
	}
	stopping.Wait()
}

// subscribersInStore lists the subscribers for which the store keeps events of a channel.
func (c *Channels) subscribersInStore(ctx context.Context, key types.NamespacedName) ([]types.UID, error) {
	stream, err := c.server.deliver.Stream(ctx, streamName(key))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", streamName(key), err)
	}
	return consumersOf(ctx, stream)
}

// consumersOf lists the subscribers that have a consumer in the store.
func consumersOf(ctx context.Context, stream jetstream.Stream) ([]types.UID, error) {
	var uids []types.UID
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		uids = append(uids, types.UID(info.Config.Metadata[metadataSubscriber]))
	}
	return uids, consumers.Err()
}
