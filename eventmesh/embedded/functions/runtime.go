package functions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// Defaults of Options.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultMaxBody     = 1 << 20
	DefaultMemoryLimit = 128 << 20
	DefaultQueue       = 256
	DefaultLogLines    = 1000
)

// Options bound what functions may take. Zero values stand for the defaults.
type Options struct {
	// Log is where the runtime reports on itself. What functions print goes to Runtime.Logs only. Nil discards it.
	Log *slog.Logger
	// Timeout bounds the wall time of a call, and again the time that it waits for earlier ones. Default 30 s.
	Timeout time.Duration
	// MaxBody bounds a request and an answer, in bytes. Default 1 MiB.
	MaxBody int64
	// MemoryLimit is the limit, in bytes, of a Function without resources.limits.memory. Default 128 MiB.
	MemoryLimit int64
	// Queue is how many calls of one function may wait; more are answered 503. Default 256.
	Queue int
	// LogLines is how many lines are kept of what each function printed. Default 1000.
	LogLines int
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = DefaultMemoryLimit
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.LogLines <= 0 {
		o.LogLines = DefaultLogLines
	}
	return o
}

// errClosed is the answer to loading a function into a runtime that has ended.
var errClosed = errors.New("the function runtime is shut down")

// key names a Function.
type key struct{ namespace, name string }

// entry is what is known of a Function. The log stays while the Function exists, whatever its source.
type entry struct {
	logs *logs
	fn   *function // nil when it does not run
}

// Runtime runs functions and answers their HTTP requests. It is safe for concurrent use.
type Runtime struct {
	options Options
	dog     *watchdog

	mu      sync.RWMutex
	entries map[key]*entry
	closed  bool
}

func newRuntime(o Options) *Runtime {
	return &Runtime{options: o.withDefaults(), dog: newWatchdog(), entries: map[key]*entry{}}
}

// Logs returns the last lines that a function printed, oldest first; nil if there is no such function.
func (r *Runtime) Logs(namespace, name string) []eventmesh.LogLine {
	r.mu.RLock()
	e := r.entries[key{namespace, name}]
	r.mu.RUnlock()
	if e == nil {
		return nil
	}
	return e.logs.all()
}

// Running says whether a function is loaded and answers requests.
func (r *Runtime) Running(namespace, name string) bool { return r.running(key{namespace, name}) != nil }

func (r *Runtime) running(k key) *function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e := r.entries[k]; e != nil {
		return e.fn
	}
	return nil
}

// Close interrupts all calls and stops all functions. Later requests are answered 404. It may be called more than once.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	var running []*function
	for _, e := range r.entries {
		if e.fn != nil {
			running = append(running, e.fn)
			e.fn = nil
		}
	}
	r.mu.Unlock()
	var all sync.WaitGroup
	for _, f := range running {
		all.Go(f.stop)
	}
	all.Wait()
}

// load makes a function run as c says, in place of what ran before. If it cannot, nothing runs in its place: what a
// Function does must not depend on what its source was before. Loading what runs already changes nothing.
//
// Only one load or unload of a function may be under way.
func (r *Runtime) load(ctx context.Context, c config) error {
	k := key{c.namespace, c.name}
	if c.memory <= 0 {
		c.memory = r.options.MemoryLimit
	}
	if f := r.running(k); f != nil && f.config.equal(&c) {
		return nil
	}
	f, err := newFunction(ctx, c, &r.options, r.dog, r.entry(k).logs)
	if err == nil {
		err = r.replace(k, f)
	} else {
		r.disable(k)
	}
	if err != nil {
		return fmt.Errorf("loading function %s/%s: %w", c.namespace, c.name, err)
	}
	r.options.Log.Debug("function loaded", "namespace", c.namespace, "name", c.name)
	return nil
}

// entry returns what is known of a Function, from now on something.
func (r *Runtime) entry(k key) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[k]
	if e == nil {
		e = &entry{logs: newLogs(r.options.LogLines)}
		r.entries[k] = e
	}
	return e
}

// replace puts f in the place of what ran before.
func (r *Runtime) replace(k key, f *function) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	e := r.entries[k]
	if e.fn != nil {
		e.fn.retire()
	}
	e.fn = f
	return nil
}

// disable takes a function out of service and lets its running call end. Its log stays.
func (r *Runtime) disable(k key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[k]; e != nil && e.fn != nil {
		e.fn.retire()
		e.fn = nil
	}
}

// unload forgets a function and interrupts its calls.
func (r *Runtime) unload(k key) {
	r.mu.Lock()
	var f *function
	if e := r.entries[k]; e != nil {
		f = e.fn
	}
	delete(r.entries, k)
	r.mu.Unlock()
	if f != nil {
		f.stop()
		r.options.Log.Debug("function unloaded", "namespace", k.namespace, "name", k.name)
	}
}

// ServeHTTP calls the function that the request's Host names, such as orders.shop.svc.cluster.local, with the request:
// a CloudEvent in binary or structured mode, or anything else. Errors are JSON, {"error": message}:
//
//	400  the event or its JSON data is not well-formed
//	404  the function does not exist, or does not run
//	413  the request is longer than Options.MaxBody
//	500  the function threw, or took more memory than its limit
//	503  too many calls wait, or the function ends
//	504  the call took longer than Options.Timeout
func (r *Runtime) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name, namespace, ok := eventmesh.ParseServiceHost(req.Host)
	k := key{namespace, name}
	if !ok || r.running(k) == nil {
		writeUnknown(w, req.Host, k)
		return
	}
	in, err := readInput(req, r.options.MaxBody)
	if err != nil {
		writeError(w, statusOf(err), err.Error())
		return
	}
	for {
		f := r.running(k)
		if f == nil {
			writeUnknown(w, req.Host, k)
			return
		}
		out, err := f.call(req.Context(), in)
		switch {
		case errors.Is(err, errReplaced):
			continue // by one with another source, which is the one to call
		case err != nil:
			writeError(w, statusOf(err), err.Error())
		default:
			if err := out.write(req.Context(), w, in.replyOnly); err != nil {
				r.options.Log.Debug("answer not sent", "namespace", namespace, "name", name, "error", err)
			}
		}
		return
	}
}

func writeUnknown(w http.ResponseWriter, host string, k key) {
	if k.name == "" {
		writeError(w, http.StatusNotFound, fmt.Sprintf("host %q is not the name of a function's service", host))
		return
	}
	writeError(w, http.StatusNotFound, fmt.Sprintf("function %q in namespace %q does not exist or is not running", k.name, k.namespace))
}
