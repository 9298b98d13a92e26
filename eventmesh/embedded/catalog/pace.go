package catalog

import (
	"maps"
	"sync"
	"time"

	osb "github.com/kubernetes-sigs/go-open-service-broker-client/v2"
)

const (
	// eager is how long an operation is polled at full pace. Most are done by then.
	eager = 2 * time.Second
	// longestPause is the longest time between two polls of an operation that takes longer.
	longestPause = time.Second
	// forgotten is how long after the last poll an operation is no longer remembered.
	forgotten = 10 * time.Minute
)

// pace keeps operations that take long from costing much. The controller polls at one pace for ever, reads a Secret for
// each poll, and writes the instance's status and an Event whenever the answer has a description: a sixth of a core for
// one instance that waits for something a person has to do.
//
// So the broker is asked less often the longer an operation takes, and a description is passed on when it is a new one.
// Until it is time to ask, the controller's worker is held back; but never more than some of them, and what comes on top
// is told that the operation is still in progress.
type pace struct {
	done    <-chan struct{}
	holding chan struct{}

	mu         sync.Mutex
	operations map[string]polled
}

// polled is what pace remembers of an operation.
type polled struct {
	first, last time.Time
	description string
}

// newPace makes a pace that holds back at most so many workers, and none once done is closed.
func newPace(workers int, done <-chan struct{}) *pace {
	return &pace{done: done, holding: make(chan struct{}, workers), operations: map[string]polled{}}
}

// client makes clients like create's that keep to the pace.
func (p *pace) client(create osb.CreateFunc) osb.CreateFunc {
	return func(c *osb.ClientConfiguration) (osb.Client, error) {
		client, err := create(c)
		if err != nil {
			return nil, err
		}
		return pacedClient{client, p}, nil
	}
}

type pacedClient struct {
	osb.Client
	pace *pace
}

// PollLastOperation implements [osb.Client].
func (c pacedClient) PollLastOperation(r *osb.LastOperationRequest) (*osb.LastOperationResponse, error) {
	key := r.InstanceID
	if r.OperationKey != nil {
		key += "/" + string(*r.OperationKey)
	}
	if pause := c.pace.pause(key, time.Now()); pause > 0 && !c.pace.hold(pause) {
		return &osb.LastOperationResponse{State: osb.StateInProgress}, nil
	}
	response, err := c.Client.PollLastOperation(r)
	c.pace.note(key, time.Now(), response, err)
	return response, err
}

// hold returns true after pause, or false at once if no more workers can be spared.
func (p *pace) hold(pause time.Duration) bool {
	select {
	case p.holding <- struct{}{}:
		defer func() { <-p.holding }()
	default:
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.done:
		return false
	}
}

// pause is how long to wait before asking for the operation again, not positive when it is time.
func (p *pace) pause(key string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, known := p.operations[key]
	waited := now.Sub(o.first)
	if !known || waited < eager {
		return 0
	}
	return min(waited/10, longestPause) - now.Sub(o.last)
}

// note remembers an answer, and takes its description away if the last one had the same. One that says that the operation
// has ended ends the memory. A failure to answer does not: the controller asks again, and has more to write about it.
func (p *pace) note(key string, now time.Time, response *osb.LastOperationResponse, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if osb.IsGoneError(err) || err == nil && response.State != osb.StateInProgress {
		delete(p.operations, key)
		return
	}
	o, known := p.operations[key]
	if !known {
		maps.DeleteFunc(p.operations, func(_ string, o polled) bool { return now.Sub(o.last) > forgotten })
		o.first = now
	}
	o.last = now
	if err == nil && response.Description != nil {
		if known && *response.Description == o.description {
			response.Description = nil
		} else {
			o.description = *response.Description
		}
	}
	p.operations[key] = o
}
