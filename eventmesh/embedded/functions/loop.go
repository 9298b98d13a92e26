package functions

import (
	"container/heap"
	"errors"
	"time"

	"github.com/dop251/goja"
)

// errNeverSettles is the end of a call whose promise nothing can settle any more: no timer is left, and a function has
// no other input.
var errNeverSettles = errors.New("main returned a promise that nothing is left to settle")

// timer is one setTimeout, setInterval or setImmediate.
type timer struct {
	id    int64
	at    time.Time
	every time.Duration // 0 when it fires once
	fn    goja.Callable
	args  []goja.Value
	index int // in the queue
}

// timers is a heap by time, and by age for the same time.
type timers []*timer

func (q timers) Len() int { return len(q) }

func (q timers) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].id < q[j].id
	}
	return q[i].at.Before(q[j].at)
}

func (q timers) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *timers) Push(x any) {
	t := x.(*timer)
	t.index = len(*q)
	*q = append(*q, t)
}

func (q *timers) Pop() any {
	old := *q
	t := old[len(old)-1]
	*q = old[:len(old)-1]
	return t
}

// loop runs the timers of a VM, on the goroutine of the call that waits for them; between calls nothing runs.
type loop struct {
	rt    *goja.Runtime
	queue timers
	byID  map[int64]*timer
	last  int64
}

// newLoop gives a VM the timer functions of browsers and Node.js. Identifiers are numbers.
func newLoop(rt *goja.Runtime) *loop {
	l := &loop{rt: rt, byID: map[int64]*timer{}}
	for name, f := range map[string]func(goja.FunctionCall) goja.Value{
		"setTimeout":     func(c goja.FunctionCall) goja.Value { return l.add(c, 2, false) },
		"setInterval":    func(c goja.FunctionCall) goja.Value { return l.add(c, 2, true) },
		"setImmediate":   func(c goja.FunctionCall) goja.Value { return l.add(c, 1, false) },
		"clearTimeout":   l.clear,
		"clearInterval":  l.clear,
		"clearImmediate": l.clear,
	} {
		define(rt, rt.GlobalObject(), name, f)
	}
	return l
}

// add starts a timer; the function's own arguments begin at the given one.
func (l *loop) add(call goja.FunctionCall, args int, repeat bool) goja.Value {
	fn, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(l.rt.NewTypeError("the first argument must be a function"))
	}
	var delay time.Duration
	if args > 1 {
		// At most a month, as everywhere; a call does not live as long.
		delay = time.Duration(min(max(call.Argument(1).ToInteger(), 1), 1<<31-1)) * time.Millisecond
	}
	l.last++
	t := &timer{id: l.last, at: time.Now().Add(delay), fn: fn}
	if repeat {
		t.every = delay
	}
	if len(call.Arguments) > args {
		t.args = call.Arguments[args:]
	}
	heap.Push(&l.queue, t)
	l.byID[t.id] = t
	return l.rt.ToValue(t.id)
}

func (l *loop) clear(call goja.FunctionCall) goja.Value {
	if t, ok := l.byID[call.Argument(0).ToInteger()]; ok {
		delete(l.byID, t.id)
		if t.index < len(l.queue) && l.queue[t.index] == t {
			heap.Remove(&l.queue, t.index)
		}
	}
	return goja.Undefined()
}

// reset forgets all timers, at the end of a call.
func (l *loop) reset() {
	l.queue = nil
	clear(l.byID)
}

// run fires timers in their order until done. It returns the error of the one that throws, errNeverSettles when none is
// left, and errStopped when stop is closed while it waits. idle is told when it begins and ends to wait.
func (l *loop) run(done func() bool, stop <-chan struct{}, idle func(bool)) error {
	for !done() {
		if len(l.queue) == 0 {
			return errNeverSettles
		}
		t := l.queue[0]
		if wait := time.Until(t.at); wait > 0 {
			idle(true)
			stopped := sleep(wait, stop)
			idle(false)
			if stopped {
				return errStopped
			}
		}
		if t.every > 0 {
			t.at = time.Now().Add(t.every)
			heap.Fix(&l.queue, t.index)
		} else {
			heap.Remove(&l.queue, t.index)
			delete(l.byID, t.id)
		}
		if _, err := t.fn(goja.Undefined(), t.args...); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for d, or until stop is closed, which it reports.
func sleep(d time.Duration, stop <-chan struct{}) (stopped bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-stop:
		return true
	}
}
