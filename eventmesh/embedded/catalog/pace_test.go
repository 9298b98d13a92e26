package catalog

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	osb "github.com/kubernetes-sigs/go-open-service-broker-client/v2"
)

func inProgress(description string) *osb.LastOperationResponse {
	return &osb.LastOperationResponse{State: osb.StateInProgress, Description: &description}
}

func TestPacePause(t *testing.T) {
	start := time.Unix(0, 0)
	for _, tc := range []struct {
		name        string
		asked, then time.Duration // since the first poll: the last poll, and now
		want        time.Duration
	}{
		{"at once", 0, 0, 0},
		{"eager", 1900 * time.Millisecond, 1950 * time.Millisecond, 0},
		{"a tenth of 3 s has not passed", 2800 * time.Millisecond, 3 * time.Second, 100 * time.Millisecond},
		{"a tenth of 3 s has passed", 2700 * time.Millisecond, 3 * time.Second, 0},
		{"a second has not passed", 999*time.Second + time.Millisecond, 1000 * time.Second, time.Millisecond},
		{"a second has passed", 999 * time.Second, 1000 * time.Second, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPace(1, nil)
			p.note("a", start, inProgress("wait"), nil)
			p.note("a", start.Add(tc.asked), inProgress("wait"), nil)
			if got := p.pause("a", start.Add(tc.then)); got != tc.want {
				t.Errorf("pause is %v, want %v", got, tc.want)
			}
			if got := p.pause("b", start.Add(tc.then)); got > 0 {
				t.Errorf("pause of an operation never polled is %v", got)
			}
		})
	}
}

func TestPaceHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		p := newPace(1, done)
		held := make(chan bool)
		go func() { held <- p.hold(time.Second) }()
		synctest.Wait()
		if p.hold(time.Second) {
			t.Error("a second worker was held back")
		}
		start := time.Now()
		if !<-held || time.Since(start) != time.Second {
			t.Errorf("held for %v, want 1s", time.Since(start))
		}
		go func() { held <- p.hold(time.Hour) }()
		synctest.Wait()
		close(done)
		if <-held {
			t.Error("a worker was not let go at the end")
		}
	})
}

func TestPaceDescription(t *testing.T) {
	p := newPace(1, nil)
	now := time.Unix(0, 0)
	for i, step := range []struct {
		description string
		passed      bool
	}{{"one", true}, {"one", false}, {"two", true}, {"two", false}, {"one", true}} {
		response := inProgress(step.description)
		p.note("a", now, response, nil)
		if got := response.Description != nil; got != step.passed {
			t.Errorf("step %d: description passed on is %t, want %t", i, got, step.passed)
		}
	}
	first := inProgress("")
	p.note("b", now, first, nil)
	if first.Description == nil {
		t.Error("the first description, empty, was not passed on")
	}
}

func TestPaceForgets(t *testing.T) {
	p := newPace(1, nil)
	now := time.Unix(0, 0)
	p.note("done", now, inProgress("wait"), nil)
	p.note("done", now, &osb.LastOperationResponse{State: osb.StateSucceeded}, nil)
	p.note("gone", now, inProgress("wait"), nil)
	p.note("gone", now, nil, osb.HTTPStatusCodeError{StatusCode: http.StatusGone})
	p.note("given up", now, inProgress("wait"), nil)
	p.note("new", now.Add(forgotten+time.Second), inProgress("wait"), nil)
	if len(p.operations) != 1 {
		t.Errorf("remembered are %v, want the new one only", p.operations)
	}
}

// A broker that does not answer is asked less and less often too.
func TestPaceOfFailures(t *testing.T) {
	p := newPace(1, nil)
	start := time.Unix(0, 0)
	for _, after := range []time.Duration{0, 3 * time.Second} {
		p.note("a", start.Add(after), nil, errors.New("connection refused"))
	}
	if got, want := p.pause("a", start.Add(3*time.Second)), 300*time.Millisecond; got != want {
		t.Errorf("pause is %v, want %v", got, want)
	}
}
