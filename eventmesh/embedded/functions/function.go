package functions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// What ends a call before main does, or keeps it from beginning. Repeating it later may help with each.
var (
	errTimeout   = errors.New("took too long")
	errReplaced  = errors.New("the function was replaced")
	errGone      = errors.New("the function was stopped")
	errQueueFull = errors.New("too many calls are waiting for the function")
	errBusy      = errors.New("the function was busy with other calls for too long")
	errMemory    = errors.New("took too much memory")
)

// config is a function as it is to run.
type config struct {
	namespace, name string
	source          string
	runtime         string
	env             map[string]string
	memory          int64 // bytes, 0 for the default
}

func (c *config) equal(o *config) bool {
	return c.namespace == o.namespace && c.name == o.name && c.source == o.source && c.runtime == o.runtime &&
		c.memory == o.memory && maps.Equal(c.env, o.env)
}

// function is one function, loaded. Its calls come one after the other, in one VM.
type function struct {
	config  config
	options *Options
	program *program
	logs    *logs
	dog     *watchdog

	queue chan struct{} // a place for each call that waits or runs
	turn  chan struct{} // taken by the call that runs
	vm    *vm           // belongs to who has the turn; nil: to be made
	base  uint64        // live bytes of the process when vm was made

	retired chan struct{} // closed when no call may begin any more
	once    sync.Once
	stopped atomic.Pointer[error] // why running calls are to end

	mu      sync.Mutex
	current *call
}

// newFunction compiles and loads a function, running its top level code. The error is a *sourceError if the source is
// wrong.
func newFunction(ctx context.Context, c config, o *Options, dog *watchdog, l *logs) (*function, error) {
	if c.memory <= 0 {
		c.memory = o.MemoryLimit
	}
	p, err := compile(c.source)
	if err != nil {
		return nil, err
	}
	f := &function{
		config: c, options: o, program: p, logs: l, dog: dog,
		queue: make(chan struct{}, o.Queue+1), turn: make(chan struct{}, 1), retired: make(chan struct{}),
	}
	if _, err := f.call(ctx, nil); err != nil {
		return nil, err
	}
	return f, nil
}

// retire lets the running call end and no other begin.
func (f *function) retire() { f.once.Do(func() { close(f.retired) }) }

// stop ends the function at once, and waits a moment for the running call to be over.
func (f *function) stop() {
	f.stopped.Store(&errGone)
	f.retire()
	f.mu.Lock()
	if f.current != nil {
		f.current.kill(errGone)
	}
	f.mu.Unlock()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case f.turn <- struct{}{}: // never given back: nothing runs any more
	case <-t.C:
	}
}

// call calls main, or only loads the source if in is nil. It returns when the answer is known, which may be before an
// interrupted call has ended; the next call waits for that.
func (f *function) call(ctx context.Context, in *input) (*output, error) {
	if err := f.take(ctx); err != nil {
		return nil, err
	}
	c := &call{f: f, killed: make(chan struct{}), done: make(chan struct{}), log: &callLog{logs: f.logs}}
	if in != nil {
		c.log.eventID = in.eventID()
	}
	c.watch = f.dog.begin(f.config.memory, func() { c.kill(errMemory) })
	f.mu.Lock()
	f.current = c
	f.mu.Unlock()
	if cause := f.stopped.Load(); cause != nil {
		c.kill(*cause)
	}
	go func() {
		defer f.give()
		if cause := c.run(in); errors.Is(cause, errMemory) {
			runtime.GC() // or what it took would be there when the next calls begin, and they could take as much again
		}
	}()
	return c.supervise(ctx)
}

// take waits for the caller's turn.
func (f *function) take(ctx context.Context) error {
	select {
	case <-f.retired:
		return f.cause()
	default:
	}
	select {
	case f.queue <- struct{}{}:
	default:
		return errQueueFull
	}
	t := time.NewTimer(f.options.Timeout)
	defer t.Stop()
	var err error
	select {
	case f.turn <- struct{}{}:
		select {
		case <-f.retired:
			err = f.cause()
			<-f.turn
		default:
			return nil
		}
	case <-f.retired:
		err = f.cause()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-t.C:
		err = errBusy
	}
	<-f.queue
	return err
}

// give ends the caller's turn.
func (f *function) give() {
	<-f.turn
	<-f.queue
}

func (f *function) cause() error {
	if cause := f.stopped.Load(); cause != nil {
		return *cause
	}
	return errReplaced
}

// formatMemory writes a number of bytes as Kubernetes does.
func formatMemory(n int64) string {
	units := []string{"", "Ki", "Mi", "Gi"}
	i := 0
	for ; i < len(units)-1 && n >= 1024 && n%1024 == 0; i++ {
		n /= 1024
	}
	return fmt.Sprintf("%d%s", n, units[i])
}
