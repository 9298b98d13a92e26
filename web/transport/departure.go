package transport

import "sync"

// departure is what has to be done when a reader leaves: each function that it is given, once, however the leaving and what
// the reader still begins meet. The zero value is ready.
type departure struct {
	mu   sync.Mutex
	left bool
	fns  []func()
}

// onLeave has f called when the reader leaves, which may be now.
func (d *departure) onLeave(f func()) {
	d.mu.Lock()
	left := d.left
	if !left {
		d.fns = append(d.fns, f)
	}
	d.mu.Unlock()
	if left {
		f()
	}
}

// leave ends what the reader has begun. Called without locks, for what it calls takes others.
func (d *departure) leave() {
	d.mu.Lock()
	d.left = true
	fns := d.fns
	d.fns = nil
	d.mu.Unlock()
	for _, f := range fns {
		f()
	}
}
