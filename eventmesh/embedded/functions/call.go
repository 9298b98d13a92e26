package functions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dop251/goja"
)

// grace is how long an interrupted call may take to end before its caller is answered without it.
const grace = 100 * time.Millisecond

// call is one call under way. It has the function's turn.
type call struct {
	f     *function
	log   *callLog
	watch *watch

	mu     sync.Mutex
	cause  error         // why it was interrupted
	rt     *goja.Runtime // once there is one
	killed chan struct{} // closed with cause
	done   chan struct{} // closed when out and err are set
	out    *output
	err    error
}

// kill interrupts the call, for the first cause given. It does not wait.
func (c *call) kill(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	close(c.killed)
	if c.rt != nil {
		c.rt.Interrupt(cause)
	}
}

// attach makes kill reach the VM.
func (c *call) attach(rt *goja.Runtime) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rt = rt
	if c.cause != nil {
		rt.Interrupt(c.cause)
	}
}

// detach ends that, and says why the call was interrupted, if it was. The VM of an interrupted call is not to be used
// again: the interruption may still be pending in it.
func (c *call) detach() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rt = nil
	return c.cause
}

// supervise waits for the call's answer and ends the call if it takes too much of anything.
func (c *call) supervise(ctx context.Context) (*output, error) {
	timeout := time.NewTimer(c.f.options.Timeout)
	defer timeout.Stop()
	sample := time.NewTicker(sampling)
	defer sample.Stop()
	for {
		select {
		case <-c.done:
			return c.out, c.err
		case <-ctx.Done():
			c.kill(context.Cause(ctx))
		case <-timeout.C:
			c.kill(errTimeout)
		case <-sample.C:
			c.f.dog.check(c.watch)
			continue
		case <-c.killed:
		}
		return c.end()
	}
}

// end waits a moment for a killed call. What is inside a built-in function goes on; the function has no turn to give
// until it is over.
func (c *call) end() (*output, error) {
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-c.done:
		return c.out, c.err
	case <-t.C:
		return nil, c.explain(c.cause)
	}
}

// run makes the call, on its own goroutine, and says why it was interrupted, if it was.
func (c *call) run(in *input) (cause error) {
	f := c.f
	defer func() {
		if p := recover(); p != nil {
			c.err = c.recovered(p)
			f.vm = nil
		}
		if cause = c.detach(); cause != nil {
			f.vm = nil
			if c.err != nil {
				c.err = c.explain(cause)
			}
		}
		f.dog.end(c.watch)
		c.finish(in)
	}()
	if f.vm == nil {
		if c.err = c.prepare(); c.err != nil {
			f.vm = nil
			return nil
		}
	} else {
		c.attach(f.vm.rt)
	}
	if in != nil {
		c.out, c.err = c.answer(in)
	}
	return nil
}

// recovered is the error of a panic. Overflows and interruptions come as one where Go code calls into JavaScript; anything
// else is a mistake of the engine.
func (c *call) recovered(p any) error {
	var overflow *goja.StackOverflowError
	var interrupted *goja.InterruptedError
	err, _ := p.(error)
	switch {
	case errors.As(err, &overflow):
		return errStackOverflow
	case errors.As(err, &interrupted):
		return errStopped
	}
	c.f.options.Log.Error("the JavaScript engine failed", "namespace", c.f.config.namespace, "name", c.f.config.name, "panic", p, "stack", string(debug.Stack()))
	return fmt.Errorf("the JavaScript engine failed: %v", p)
}

// prepare makes the function's VM.
func (c *call) prepare() (err error) {
	f := c.f
	f.base = readHeap().live
	if f.vm, err = newVM(f.config.env, f.config.memory); err != nil {
		return err
	}
	c.attach(f.vm.rt)
	loading := *c.log
	loading.eventID = ""
	f.vm.log = &loading
	defer f.vm.endCall(c.killed)
	return f.vm.load(f.program)
}

// answer calls main and makes the answer of what it returns.
func (c *call) answer(in *input) (*output, error) {
	m := c.f.vm
	m.log = c.log
	defer m.endCall(c.killed)
	ev, response, err := m.event(in)
	if err != nil {
		return nil, err
	}
	v, err := m.settle(ev, m.context(&c.f.config, c.f.options.Timeout), c.killed, c.watch.idle.Store)
	if err != nil {
		return nil, err
	}
	return m.output(v, response, c.f.options.MaxBody)
}

// finish writes what went wrong into the function's log, and drops a VM that has gathered too much, or that can not be
// trusted.
func (c *call) finish(in *input) {
	f := c.f
	if errors.Is(c.err, errStackOverflow) {
		f.vm = nil
	}
	var thrown *thrownError
	switch {
	case c.err == nil:
	case errors.As(c.err, &thrown):
		c.log.print(thrown.line)
	case in != nil:
		c.log.print(c.err.Error())
	}
	// What the function keeps from call to call counts as well. A new VM forgets it, as a restarted pod would.
	live := readHeap().live
	if f.base = min(f.base, live); live > f.base+uint64(f.config.memory) {
		f.vm = nil
	}
	f.mu.Lock()
	f.current = nil
	f.mu.Unlock()
	close(c.done)
}

// explain words an interruption for the user.
func (c *call) explain(cause error) error {
	switch {
	case errors.Is(cause, errTimeout):
		return fmt.Errorf("the call %w: more than %s", cause, c.f.options.Timeout)
	case errors.Is(cause, errMemory):
		return fmt.Errorf("the call %w: more than %s", cause, formatMemory(c.f.config.memory))
	default:
		return fmt.Errorf("the call was interrupted: %w", cause)
	}
}

// statusOf is the HTTP status of a call that failed. Knative sends the event again unless it is a badInput.
func statusOf(err error) int {
	var bad badInput
	switch {
	case errors.As(err, &bad):
		return bad.status
	case errors.Is(err, errTimeout):
		return http.StatusGatewayTimeout
	case errors.Is(err, errQueueFull), errors.Is(err, errBusy), errors.Is(err, errGone), errors.Is(err, errReplaced):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// context makes main's second argument.
func (m *vm) context(c *config, timeout time.Duration) goja.Value {
	o := m.rt.NewObject()
	must(o.Set("function-name", c.name))
	must(o.Set("namespace", c.namespace))
	must(o.Set("runtime", c.runtime))
	must(o.Set("timeout", timeout.Seconds()))
	must(o.Set("memory-limit", formatMemory(c.memory)))
	return o
}
