package transport

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// busy is a connection whose writer waits for the client to take what was written before.
func busy() *connection {
	return &connection{t: &Websocket{MaxMessage: 1000}, operations: map[string]*operation{}, ready: true, writing: true}
}

// TestUnread holds that a client that only asks cannot have more said to it than it reads.
func TestUnread(t *testing.T) {
	c := busy()
	ping := &frame{Type: typePing, Payload: json.RawMessage(`{"x":"` + strings.Repeat("x", 500) + `"}`)}
	for range 3 {
		c.handle(ping)
	}
	if c.ending != nil || len(c.control) != 3 {
		t.Errorf("%d pongs wait, ended by %v", len(c.control), c.ending)
	}
	for range 1000 {
		c.handle(ping)
	}
	if c.ending == nil || *c.ending != closeUnread || len(c.control) != 0 {
		t.Errorf("%d pongs wait, ended by %v", len(c.control), c.ending)
	}
	c.endTimer.Stop()
}

// TestDropped holds that nothing waits of an operation that was given up, however often that is done.
func TestDropped(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		c := busy()
		c.legacy, c.t.MaxOperations = legacy, 2
		for _, id := range []string{"kept", "1", "1", "1"} {
			op := &operation{c: c, id: id}
			if how, refusal := c.admit(op); how != nil || refusal != nil {
				t.Fatal(how, refusal)
			}
			op.offer(message{payload: []byte("{}")})
			if !legacy && id != "kept" {
				c.complete(id)
			}
		}
		if legacy {
			c.complete("1")
		}
		if len(c.pending) != 1 || c.pending[0].id != "kept" {
			t.Errorf("legacy %v: %d operations wait", legacy, len(c.pending))
		}
	}
}

// TestNothingAfterEnd holds that what happens after the end has begun does not put it off.
func TestNothingAfterEnd(t *testing.T) {
	c := busy()
	op := &operation{c: c, id: "1"}
	c.operations["1"] = op
	op.offer(message{payload: []byte("before")})
	c.end(closeSignedOut)
	op.offer(message{payload: []byte("after")})
	op.finish(nil)
	c.send(&frame{Type: typePing})
	if b := op.take(); !slices.EqualFunc(b.payloads, []string{"before"}, func(p []byte, want string) bool { return string(p) == want }) || b.last != nil {
		t.Errorf("%s and %s are written", b.payloads, b.last)
	}
	if len(c.control) > 0 {
		t.Errorf("%s is written", c.control)
	}
	c.endTimer.Stop()
}
