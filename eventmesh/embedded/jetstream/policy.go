package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/rickb777/date/period"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/kncloudevents"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

const (
	defaultBackoff    = 200 * time.Millisecond
	maxDefaultBackoff = 60 * time.Second
)

// never is longer than any age; sums made with it don't overflow.
const never = time.Duration(math.MaxInt64 / 2)

// untilTooOld, as a number of retries, means to go on for as long as the store keeps the event.
const untilTooOld = -1

// policy is a subscriber's delivery specification, read and with its defaults.
type policy struct {
	retries int // after the first attempt, or untilTooOld
	backoff backoff
	timeout time.Duration // of one request
	// retryAfterMax bounds what a Retry-After header may ask for; nil ignores the header.
	retryAfterMax *time.Duration
	maxAge        time.Duration // of an event
	deadLetter    bool          // whether there is a dead letter sink
}

// backoff says how long to wait between attempts.
type backoff struct {
	linear bool
	delay  time.Duration
	max    time.Duration // 0 for none
}

// target is where the events of one subscriber go, and how.
type target struct {
	spec        eventingduckv1.SubscriberSpec
	destination duckv1.Addressable
	reply       *duckv1.Addressable
	deadLetter  *duckv1.Addressable
	format      *eventingduckv1.FormatType
	policy      policy
}

// newTarget reads the specification of a subscriber. Its error is for the subscriber's status: nothing is delivered
// while there is one.
func newTarget(spec eventingduckv1.SubscriberSpec, o Options) (*target, error) {
	t := &target{spec: spec}
	if spec.SubscriberURI != nil {
		t.destination = duckv1.Addressable{URL: spec.SubscriberURI, CACerts: spec.SubscriberCACerts, Audience: spec.SubscriberAudience}
	}
	if spec.ReplyURI != nil {
		t.reply = &duckv1.Addressable{URL: spec.ReplyURI, CACerts: spec.ReplyCACerts, Audience: spec.ReplyAudience}
	}
	switch {
	case t.destination.URL == nil && t.reply == nil:
		return nil, errors.New("neither subscriberUri nor replyUri is set")
	case t.destination.URL == nil:
		// Without a subscriber the event itself is the reply.
		t.destination, t.reply = *t.reply, nil
	}
	if d := spec.Delivery; d != nil {
		t.format = d.Format
		if d.DeadLetterSink != nil {
			if d.DeadLetterSink.URI == nil {
				return nil, errors.New("delivery.deadLetterSink has no URI")
			}
			t.deadLetter = &duckv1.Addressable{URL: d.DeadLetterSink.URI, CACerts: d.DeadLetterSink.CACerts, Audience: d.DeadLetterSink.Audience}
		}
	}
	var err error
	t.policy, err = newPolicy(spec.Delivery, o)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	return t, nil
}

// newPolicy reads a delivery specification, nil for none, as the package comment says.
func newPolicy(d *eventingduckv1.DeliverySpec, o Options) (policy, error) {
	p := policy{
		retries: untilTooOld,
		backoff: backoff{delay: defaultBackoff, max: maxDefaultBackoff},
		timeout: o.RequestTimeout,
		maxAge:  o.MaxAge,
	}
	if d == nil {
		return p, nil
	}
	parsed, err := kncloudevents.RetryConfigFromDeliverySpec(*d)
	if err != nil {
		return policy{}, err
	}
	if d.DeadLetterSink != nil {
		p.deadLetter, p.retries = true, 0
	}
	if d.Retry != nil {
		p.retries = max(0, int(*d.Retry))
	}
	if parsed.RequestTimeout > 0 {
		p.timeout = parsed.RequestTimeout
	}
	p.retryAfterMax = parsed.RetryAfterMaxDuration
	if d.BackoffPolicy != nil {
		p.backoff.linear = *d.BackoffPolicy == eventingduckv1.BackoffPolicyLinear
		p.backoff.max = 0
	}
	if d.BackoffDelay != nil {
		delay, err := period.Parse(*d.BackoffDelay)
		if err != nil {
			return policy{}, fmt.Errorf("backoffDelay: %w", err)
		}
		p.backoff.delay, _ = delay.Duration()
		p.backoff.max = 0
	}
	return p, nil
}

// wait is how long to wait after the n-th attempt, n ≥ 1, has failed.
func (b backoff) wait(n uint64) time.Duration {
	if n == 0 {
		n = 1
	}
	if b.delay <= 0 { // which times infinity is no number
		return 0
	}
	factor := float64(n - 1)
	if !b.linear {
		factor = math.Exp2(factor)
	}
	d := float64(b.delay) * factor
	wait := never
	if d < float64(never) {
		wait = time.Duration(d)
	}
	if b.max > 0 {
		return min(wait, b.max)
	}
	return wait
}

// action is what becomes of an event after an attempt to deliver it.
type action int

const (
	actionAck        action = iota // delivered
	actionRetry                    // give it back to the store
	actionDeadLetter               // send it to the dead letter sink
	actionDrop                     // give it up
)

// result is what came of an attempt.
type result struct {
	err        error // nil when delivered
	status     int   // HTTP status of the failing request, 500 when there was no answer
	retryAfter time.Duration
	attempt    uint64 // 1 for the first
	age        time.Duration
}

// verdict is the action with its circumstances.
type verdict struct {
	action action
	delay  time.Duration // before the next attempt
	reason string        // why there is none
}

// decide says what to do after an attempt.
func (p policy) decide(r result) verdict {
	if r.err == nil {
		return verdict{action: actionAck}
	}
	reason := ""
	switch {
	case p.retries == untilTooOld:
	case !retryable(r.status):
		reason = fmt.Sprintf("status %d is not retried", r.status)
	case r.attempt > uint64(p.retries):
		reason = fmt.Sprintf("failed after %d retries", p.retries)
	}
	if reason == "" {
		delay := p.backoff.wait(r.attempt)
		if p.retries == untilTooOld {
			delay = max(delay, defaultBackoff) // as it may go on for a day
		}
		if p.retryAfterMax != nil && (r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable) {
			delay = max(delay, min(r.retryAfter, *p.retryAfterMax))
		}
		if v, ok := p.later(r.age, delay); ok {
			return v
		}
		reason = fmt.Sprintf("still failing at the age of %s", r.age.Round(time.Second))
	}
	if p.deadLetter {
		return verdict{action: actionDeadLetter, reason: reason}
	}
	return verdict{action: actionDrop, reason: reason}
}

// decideDeadLetter says what to do after the n-th attempt, n ≥ 1, to reach the dead letter sink for an event of the
// given age. Nothing but its age ends it: the sink is the last place where the event can be kept.
func (p policy) decideDeadLetter(err error, n uint64, age time.Duration) verdict {
	if err == nil {
		return verdict{action: actionAck}
	}
	backoff := backoff{delay: defaultBackoff, max: maxDefaultBackoff}
	if v, ok := p.later(age, backoff.wait(n)); ok {
		return v
	}
	return verdict{action: actionDrop, reason: "the dead letter sink failed until the event was too old"}
}

// later is the verdict to try again after delay; ok is false when the store would not keep the event so long.
func (p policy) later(age, delay time.Duration) (v verdict, ok bool) {
	return verdict{action: actionRetry, delay: delay}, age+delay < p.maxAge
}

// retryable says whether a failure may be mended by trying again, by Knative's own rule.
func retryable(status int) bool {
	retry, _ := kncloudevents.SelectiveRetry(context.Background(), &http.Response{StatusCode: status}, nil)
	return retry
}

// parseRetryAfter reads the header that a subscriber may ask for a pause with: seconds or a date. It is 0 for none.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
