package functions

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// sampling is how often a call's memory is looked at while it runs. A call that is shorter is not looked at.
const sampling = 10 * time.Millisecond

// watchdog finds calls that take too much memory. It can only see what the whole process takes: when that has grown, in
// live objects after a collection, by more than a call's limit since the call began, then one of the calls that
// compute is blamed, the one that began last, and interrupted; and again at the next sample if that was not enough.
//
// It starts no goroutine: the calls ask, whenever they are looked after.
type watchdog struct {
	collecting sync.Mutex // held by who looks at the heap

	mu      sync.Mutex
	watched map[*watch]struct{}
	began   uint64
}

// watch is one call under the watchdog's eyes.
type watch struct {
	limit uint64        // bytes
	base  atomic.Uint64 // the fewest live bytes there were since it began
	order uint64
	idle  atomic.Bool // it waits for a timer, and allocates nothing
	kill  func()
}

func newWatchdog() *watchdog { return &watchdog{watched: map[*watch]struct{}{}} }

// begin watches a call that may take limit bytes more than there are now. kill interrupts it; it must not block.
func (d *watchdog) begin(limit int64, kill func()) *watch {
	w := &watch{limit: uint64(max(limit, 0)), kill: kill}
	w.base.Store(readHeap().live)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.began++
	w.order = d.began
	d.watched[w] = struct{}{}
	return w
}

// end stops watching a call.
func (d *watchdog) end(w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.watched, w)
}

// check looks at the heap on behalf of a call, and kills the call that is to blame if it has grown too much.
func (d *watchdog) check(w *watch) {
	if !d.suspicious(w) || !d.collecting.TryLock() {
		return // if another call looks right now, that will do
	}
	defer d.collecting.Unlock()
	if !d.suspicious(w) {
		return
	}
	// What lies on the heap may be garbage of anybody's; only what survives a collection counts.
	runtime.GC()
	d.mu.Lock()
	defer d.mu.Unlock()
	if blamed := d.blame(readHeap().live); blamed != nil {
		blamed.kill()
		delete(d.watched, blamed)
	}
}

// suspicious says whether a collection is worth its while: the heap has grown by more than the limit, and by a part of it
// since the last collection.
func (d *watchdog) suspicious(w *watch) bool {
	if w.idle.Load() {
		return false
	}
	now := readHeap()
	if now.live < w.base.Load() { // something that was on its way out when the call began is gone
		w.base.Store(now.live)
	}
	return now.objects > w.base.Load()+w.limit && now.objects > now.live+w.limit/4
}

// blame returns the call to interrupt when so many bytes are live: of those that compute, and since whose beginning more
// than their limit has come, the youngest. Fast growth is young.
func (d *watchdog) blame(live uint64) *watch {
	var youngest *watch
	for w := range d.watched {
		if !w.idle.Load() && live > w.base.Load()+w.limit && (youngest == nil || w.order > youngest.order) {
			youngest = w
		}
	}
	return youngest
}

// heapSize is what the heap of this process has.
type heapSize struct {
	objects uint64 // live objects, and dead ones not swept yet; bytes
	live    uint64 // what the last collection found to be alive; bytes
}

// readHeap reads the size of the heap.
func readHeap() heapSize {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return heapSize{objects: samples[0].Value.Uint64(), live: samples[1].Value.Uint64()}
}
