package jetstream

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of Options.
const (
	DefaultMaxAge          = 24 * time.Hour
	DefaultMaxChannelBytes = 1 << 30
	DefaultMaxEventBytes   = 1 << 20
	DefaultConcurrency     = 32
	DefaultRequestTimeout  = 15 * time.Minute
)

// defaultAckWait is how long the store waits for a sign of life before it takes a delivery for lost. It bounds how late
// an event comes back that was on its way when the process died; deliveries that run longer say so in time.
const defaultAckWait = 10 * time.Second

// Options configures Start and Setup, which take the same value. The zero value of every field but Dir is its default.
type Options struct {
	// Dir holds the store. It is created, mode 0700. One process at a time may use it: the caller sees to that.
	Dir string
	// SyncAlways forces every event to the disk before it is acknowledged, which costs about half the throughput.
	// Without it a killed process loses nothing, but a power cut may lose the last two seconds.
	SyncAlways bool

	// Log gets what a user should know of deliveries: dropped events, channels that cannot be served.
	Log *slog.Logger
	// ServerLog gets the NATS server's own messages; Log when nil.
	ServerLog *slog.Logger
	// Registerer gets the counter kyma_channel_events_total; nobody does when nil.
	Registerer prometheus.Registerer

	// MaxAge is how long a channel keeps an event that it cannot deliver. Changing it takes effect with the next start.
	MaxAge time.Duration
	// MaxChannelBytes bounds the store of one channel; a full one answers 503 and keeps what it has.
	MaxChannelBytes int64
	// MaxEventBytes bounds the body of an incoming request; a larger one is answered 413.
	MaxEventBytes int64
	// Concurrency is how many events are on their way to one subscriber at a time.
	Concurrency int
	// RequestTimeout bounds a delivery whose specification sets no timeout.
	RequestTimeout time.Duration

	// ackWait is shortened by tests.
	ackWait time.Duration
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ServerLog == nil {
		o.ServerLog = o.Log
	}
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.MaxChannelBytes = cmp.Or(o.MaxChannelBytes, DefaultMaxChannelBytes)
	o.MaxEventBytes = cmp.Or(o.MaxEventBytes, DefaultMaxEventBytes)
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, DefaultRequestTimeout)
	o.ackWait = cmp.Or(o.ackWait, defaultAckWait)
	return o
}
