package jetstream

import (
	"errors"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

func TestNewPolicy(t *testing.T) {
	linear, exponential := eventingduckv1.BackoffPolicyLinear, eventingduckv1.BackoffPolicyExponential
	sink := &duckv1.Destination{URI: apis.HTTP("sink")}
	byDefault := backoff{delay: 200 * time.Millisecond, max: time.Minute}
	o := Options{}.withDefaults()
	for _, tc := range []struct {
		name     string
		delivery *eventingduckv1.DeliverySpec
		want     policy
	}{
		{"none", nil, policy{retries: untilTooOld, backoff: byDefault, timeout: 15 * time.Minute}},
		{"empty", &eventingduckv1.DeliverySpec{}, policy{retries: untilTooOld, backoff: byDefault, timeout: 15 * time.Minute}},
		{
			"only a dead letter sink", &eventingduckv1.DeliverySpec{DeadLetterSink: sink},
			policy{retries: 0, backoff: byDefault, timeout: 15 * time.Minute, deadLetter: true},
		},
		{
			"only retries", &eventingduckv1.DeliverySpec{Retry: new(int32(3))},
			policy{retries: 3, backoff: byDefault, timeout: 15 * time.Minute},
		},
		{
			"no retries", &eventingduckv1.DeliverySpec{Retry: new(int32(0))},
			policy{retries: 0, backoff: byDefault, timeout: 15 * time.Minute},
		},
		{
			"negative retries", &eventingduckv1.DeliverySpec{Retry: new(int32(-4))},
			policy{retries: 0, backoff: byDefault, timeout: 15 * time.Minute},
		},
		{
			"only a delay", &eventingduckv1.DeliverySpec{BackoffDelay: new("PT2S")},
			policy{retries: untilTooOld, backoff: backoff{delay: 2 * time.Second}, timeout: 15 * time.Minute},
		},
		{
			"only a policy", &eventingduckv1.DeliverySpec{BackoffPolicy: &linear},
			policy{retries: untilTooOld, backoff: backoff{linear: true, delay: 200 * time.Millisecond}, timeout: 15 * time.Minute},
		},
		{"everything", &eventingduckv1.DeliverySpec{
			DeadLetterSink: sink, Retry: new(int32(10)), BackoffPolicy: &exponential, BackoffDelay: new("PT0.5S"),
			Timeout: new("PT1M30S"), RetryAfterMax: new("PT10S"),
		}, policy{
			retries: 10, backoff: backoff{delay: 500 * time.Millisecond}, timeout: 90 * time.Second,
			retryAfterMax: new(10 * time.Second), deadLetter: true,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := newPolicy(tc.delivery, o)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.maxAge = DefaultMaxAge
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(policy{}, backoff{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, delivery := range map[string]*eventingduckv1.DeliverySpec{
		"delay":         {BackoffDelay: new("1s")},
		"timeout":       {Timeout: new("soon")},
		"retryAfterMax": {RetryAfterMax: new("never")},
	} {
		if p, err := newPolicy(delivery, o); err == nil {
			t.Errorf("bad %s: got %+v", name, p)
		}
	}
}

func TestBackoffWait(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name string
		b    backoff
		want map[uint64]time.Duration
	}{
		{"by default", backoff{delay: 200 * time.Millisecond, max: time.Minute}, map[uint64]time.Duration{
			0: s / 5, 1: s / 5, 2: 2 * s / 5, 3: 4 * s / 5, 9: 51*s + s/5, 10: time.Minute, 64: time.Minute, math.MaxUint64: time.Minute,
		}},
		{"exponential", backoff{delay: s}, map[uint64]time.Duration{1: s, 2: 2 * s, 5: 16 * s, 100: never}},
		{"linear", backoff{linear: true, delay: s}, map[uint64]time.Duration{1: 0, 2: s, 5: 4 * s, math.MaxUint64: never}},
		{"none", backoff{}, map[uint64]time.Duration{1: 0, 9: 0, 5000: 0}},
		{"negative", backoff{delay: -s}, map[uint64]time.Duration{1: 0, 5000: 0}},
	} {
		for n, want := range tc.want {
			if got := tc.b.wait(n); got != want {
				t.Errorf("%s: after attempt %d %s, want %s", tc.name, n, got, want)
			}
		}
	}
}

func TestDecide(t *testing.T) {
	failed := errors.New("failed")
	forever := policy{retries: untilTooOld, backoff: backoff{delay: time.Second, max: time.Minute}, maxAge: time.Hour}
	twice := policy{retries: 2, backoff: backoff{delay: time.Second}, maxAge: time.Hour}
	deadLetter := twice
	deadLetter.deadLetter = true
	patient := twice
	patient.retryAfterMax = new(10 * time.Second)
	for _, tc := range []struct {
		name string
		p    policy
		r    result
		want verdict
	}{
		{"delivered", twice, result{attempt: 3}, verdict{action: actionAck}},
		{"first failure", twice, result{err: failed, status: 500, attempt: 1}, verdict{action: actionRetry, delay: time.Second}},
		{"second failure", twice, result{err: failed, status: 404, attempt: 2}, verdict{action: actionRetry, delay: 2 * time.Second}},
		{"last failure", twice, result{err: failed, status: 500, attempt: 3}, verdict{action: actionDrop, reason: "failed after 2 retries"}},
		{"attempts that crashes cut short", twice, result{err: failed, status: 500, attempt: 9}, verdict{action: actionDrop, reason: "failed after 2 retries"}},
		{"last failure with a sink", deadLetter, result{err: failed, status: 500, attempt: 3}, verdict{action: actionDeadLetter, reason: "failed after 2 retries"}},
		{"final status", twice, result{err: failed, status: 400, attempt: 1}, verdict{action: actionDrop, reason: "status 400 is not retried"}},
		{"final status with a sink", deadLetter, result{err: failed, status: 422, attempt: 1}, verdict{action: actionDeadLetter, reason: "status 422 is not retried"}},
		{"no request could be made", twice, result{err: failed, status: -1, attempt: 1}, verdict{action: actionRetry, delay: time.Second}},
		{"final status, but no end is set", forever, result{err: failed, status: 400, attempt: 50}, verdict{action: actionRetry, delay: time.Minute}},
		{
			"no wait, and no end",
			policy{retries: untilTooOld, maxAge: time.Hour},
			result{err: failed, status: 500, attempt: 5000},
			verdict{action: actionRetry, delay: 200 * time.Millisecond},
		},
		{
			"too old after the next wait", forever,
			result{err: failed, status: 500, attempt: 50, age: time.Hour - time.Minute},
			verdict{action: actionDrop, reason: "still failing at the age of 59m0s"},
		},
		{
			"too old with a sink", deadLetter,
			result{err: failed, status: 500, attempt: 1, age: time.Hour},
			verdict{action: actionDeadLetter, reason: "still failing at the age of 1h0m0s"},
		},
		{
			"a wait beyond all ages",
			policy{retries: 100, backoff: backoff{delay: time.Second}, maxAge: time.Hour},
			result{err: failed, status: 500, attempt: 99, age: time.Minute},
			verdict{action: actionDrop, reason: "still failing at the age of 1m0s"},
		},
		{"Retry-After ignored", twice, result{err: failed, status: 503, attempt: 1, retryAfter: 5 * time.Second}, verdict{action: actionRetry, delay: time.Second}},
		{"Retry-After", patient, result{err: failed, status: 503, attempt: 1, retryAfter: 5 * time.Second}, verdict{action: actionRetry, delay: 5 * time.Second}},
		{"Retry-After of a 500", patient, result{err: failed, status: 500, attempt: 1, retryAfter: 5 * time.Second}, verdict{action: actionRetry, delay: time.Second}},
		{"long Retry-After", patient, result{err: failed, status: 429, attempt: 1, retryAfter: time.Minute}, verdict{action: actionRetry, delay: 10 * time.Second}},
		{"short Retry-After", patient, result{err: failed, status: 429, attempt: 2, retryAfter: time.Second}, verdict{action: actionRetry, delay: 2 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.p.decide(tc.r), cmp.AllowUnexported(verdict{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecideDeadLetter(t *testing.T) {
	p := policy{deadLetter: true, maxAge: time.Hour}
	for _, tc := range []struct {
		err  error
		n    uint64
		age  time.Duration
		want verdict
	}{
		{nil, 0, 0, verdict{action: actionAck}},
		{errors.New("failed"), 1, 0, verdict{action: actionRetry, delay: 200 * time.Millisecond}},
		{errors.New("failed"), 50, 0, verdict{action: actionRetry, delay: time.Minute}},
		{errors.New("failed"), 50, time.Hour - time.Minute, verdict{action: actionDrop, reason: "the dead letter sink failed until the event was too old"}},
	} {
		if diff := cmp.Diff(tc.want, p.decideDeadLetter(tc.err, tc.n, tc.age), cmp.AllowUnexported(verdict{})); diff != "" {
			t.Errorf("attempt %d at the age of %s: %s", tc.n, tc.age, diff)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0,
		"Wed, 01 May 2024 12:00:30 GMT": 30 * time.Second, "Wed, 01 May 2024 11:00:00 GMT": 0,
	} {
		h := http.Header{}
		h.Set("Retry-After", value)
		if got := parseRetryAfter(h, now); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
	if got := parseRetryAfter(nil, now); got != 0 {
		t.Errorf("no header: got %s", got)
	}
}
