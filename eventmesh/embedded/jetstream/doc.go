// Package jetstream is the durable channel of the embedded mesh: a NATS server with JetStream in this process, without
// a port, whose streams stand behind the JetStreamChannels of the API server, and the dispatcher that delivers their
// events by Knative's rules.
//
//	POST http://<name>-kn-jetstream.<namespace>.svc.cluster.local
//	       │ ServeHTTP: validate, store, answer 202
//	       ▼
//	 stream <namespace>_<name> ──▶ durable consumer, one per subscriber ──▶ worker ──▶ subscriber ──▶ reply
//	 (file store under Options.Dir)                                           └─ given up ──▶ dead letter sink
//
// # What a 202 means
//
// The event is in the file of the stream. It leaves the store when every subscriber that the channel had when it was
// accepted has answered 2xx, has had it dead-lettered, or has given it up by its own delivery specification; or when
// it is older than Options.MaxAge. A channel without subscribers accepts and forgets, as Knative says. When a channel
// holds Options.MaxChannelBytes it answers 503 and keeps what it has. A process that is killed loses nothing; a power
// cut may lose the last two seconds, unless Options.SyncAlways is set.
//
// # Delivery
//
// At least once, in no order. There is no de-duplication: a sender that uses an id twice gets both events delivered.
// An event that was on its way when the process died comes back about ten seconds later. Each subscriber is served on
// its own, Options.Concurrency events at a time, so that one that fails or hangs delays no other.
//
// A failed delivery is repeated as spec.subscribers[].delivery says. Where it says nothing, this is the rule:
//
//   - retry not set and no dead letter sink: every failure, whatever its status, is retried with exponential backoff
//     from 200 ms, capped at 60 s, until the event is older than MaxAge. Nothing accepted is lost because a function
//     was broken overnight. Kyma's NATS Streaming channel did so, once a minute. A shorter wait than 200 ms, which a
//     specification may ask for, is not granted here.
//   - retry not set, with a dead letter sink: no retry, as Knative has it; a failed event goes there at once.
//   - retry set: so many retries after the first attempt, for the failures that Knative retries (no answer, 404, 408,
//     409, 429 and 5xx). Other failures are final. Then the dead letter sink, with Knative's knativeerrordest,
//     knativeerrorcode and knativeerrordata extensions; without one the event is dropped, counted and logged.
//   - backoffPolicy or backoffDelay not set: exponential from 200 ms, capped at 60 s when neither is. A retry without a
//     pause would be used up while a subscriber restarts.
//   - timeout not set: 15 minutes, as in Knative's in-memory channel.
//
// The n-th retry waits as long as in Knative's in-memory channel: backoffDelay·2^(n-1), or backoffDelay·(n-1). Waiting
// happens in the store (a negative acknowledgement with a delay) and the number of the attempt is kept there, so a
// restart continues where it was. An attempt that a crash cut short counts. A reply that cannot be delivered fails the
// delivery. A dead letter sink that fails is retried until MaxAge.
//
// OIDC tokens are not attached: there is no token provider in this process.
//
// # Who may remove what
//
// Knative's Subscription controller writes spec.subscribers by patching the whole list from its cache, without a
// resourceVersion. Both errors this can make are mended here. A subscriber whose Subscription is gone is removed from
// the list; and a subscriber that vanished from the list while its Subscription lives keeps its consumer, and thereby
// its events, until it is back. Both are decided by a read from the API server, not from a cache.
package jetstream
