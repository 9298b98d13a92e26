package catalog

import (
	"testing"
	"time"

	osb "github.com/kubernetes-sigs/go-open-service-broker-client/v2"
)

func inProgress(description string) *osb.LastOperationResponse {
	return &osb.LastOperationResponse{State: osb.StateInProgress, Description: &description}
}

func TestPaceDue(t *testing.T) {
	start := time.Unix(0, 0)
	for _, tc := range []struct {
		name        string
		asked, then time.Duration // since the first poll: the last poll, and now
		want        bool
	}{
		{"at once", 0, 0, true},
		{"eager", 1900 * time.Millisecond, 1950 * time.Millisecond, true},
		{"a tenth of 3 s has not passed", 2800 * time.Millisecond, 3 * time.Second, false},
		{"a tenth of 3 s has passed", 2700 * time.Millisecond, 3 * time.Second, true},
		{"a second has not passed", 999*time.Second + time.Millisecond, 1000 * time.Second, false},
		{"a second has passed", 999 * time.Second, 1000 * time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPace()
			p.note("a", start, inProgress("wait"))
			p.note("a", start.Add(tc.asked), inProgress("wait"))
			if got := p.due("a", start.Add(tc.then)); got != tc.want {
				t.Errorf("due is %t", got)
			}
			if !p.due("b", start.Add(tc.then)) {
				t.Error("an operation never polled is not due")
			}
		})
	}
}

func TestPaceDescription(t *testing.T) {
	p := newPace()
	now := time.Unix(0, 0)
	for i, step := range []struct {
		description string
		passed      bool
	}{{"one", true}, {"one", false}, {"two", true}, {"two", false}, {"one", true}} {
		response := inProgress(step.description)
		p.note("a", now, response)
		if got := response.Description != nil; got != step.passed {
			t.Errorf("step %d: description passed on is %t, want %t", i, got, step.passed)
		}
	}
	first := inProgress("")
	p.note("b", now, first)
	if first.Description == nil {
		t.Error("the first description, empty, was not passed on")
	}
}

func TestPaceForgets(t *testing.T) {
	p := newPace()
	now := time.Unix(0, 0)
	p.note("done", now, inProgress("wait"))
	p.note("done", now, &osb.LastOperationResponse{State: osb.StateSucceeded})
	p.note("failed", now, inProgress("wait"))
	p.note("failed", now, nil)
	p.note("given up", now, inProgress("wait"))
	p.note("new", now.Add(forgotten+time.Second), inProgress("wait"))
	if len(p.operations) != 1 {
		t.Errorf("remembered are %v, want the new one only", p.operations)
	}
}
