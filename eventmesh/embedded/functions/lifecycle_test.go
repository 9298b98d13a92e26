package functions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSerial: calls of one function come one after the other, and of several at once.
func TestSerial(t *testing.T) {
	r, url := start(t, Options{}, `let n = 0, inside = 0
		exports.main = async () => { if (inside++) throw 'two at once'; await new Promise(r => setTimeout(r, 0)); inside--; return ++n }`, nil)
	const others = 4
	for i := range others {
		if err := r.load(t.Context(), config{namespace: "other", name: fmt.Sprint("f", i), source: main("let x = 0; for (let i = 0; i < 1000; i++) x += i; return x")}); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range 100 {
		all.Go(func() {
			q := request{}
			if i%2 == 1 {
				q.host = fmt.Sprintf("f%d.other", i%others)
			}
			got, err := send(t.Context(), url, q)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(got.Status, " ", got.Body)]++
		})
	}
	all.Wait()
	want := map[string]int{"200 499500": 50}
	for i := range 50 {
		want[fmt.Sprint("200 ", i+1)] = 1
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// blocked starts calls until n of them wait or run, and returns how they end.
func blocked(t *testing.T, r *Runtime, url string, n int) <-chan reply {
	t.Helper()
	out := make(chan reply, n)
	f := r.running(key{testNamespace, testName})
	for range n {
		go func() {
			got, err := send(context.WithoutCancel(t.Context()), url, request{header: map[string]string{"Content-Type": "text/plain"}, body: "block"})
			if err != nil {
				t.Error(err)
			}
			out <- got
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); len(f.queue) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d calls came", len(f.queue), n)
		}
	}
	return out
}

const blocking = "if (event.data == 'block') return new Promise(r => setTimeout(() => r('old'), 1e6)); return 'old'"

func TestQueueFull(t *testing.T) {
	r, url := start(t, Options{Queue: 2}, main(blocking), nil)
	calls := blocked(t, r, url, 3)
	want := failure(http.StatusServiceUnavailable, errQueueFull.Error())
	want.Header = map[string]string{"Retry-After": "1"}
	if diff := cmp.Diff(want, mustSend(t, url, request{}, "Retry-After")); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	r.Close()
	for range 3 {
		if got := <-calls; got.Status != http.StatusServiceUnavailable {
			t.Errorf("got %+v", got)
		}
	}
}

// TestUnload: a function that is unloaded ends at once, with what it is doing.
func TestUnload(t *testing.T) {
	for name, unload := range map[string]func(*Runtime){
		"deleted":  func(r *Runtime) { r.unload(key{testNamespace, testName}) },
		"shutdown": func(r *Runtime) { r.Close(); r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r, url := start(t, Options{}, main(blocking), nil)
			calls := blocked(t, r, url, 3)
			unload(r)
			got := map[string]int{}
			for range 3 {
				c := <-calls
				got[fmt.Sprint(c.Status, " ", c.Body)]++
			}
			want := map[string]int{
				`503 {"error":"the call was interrupted: the function was stopped"}`: 1,
				`503 {"error":"the function was stopped"}`:                           2,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if r.Running(testNamespace, testName) {
				t.Error("still running")
			}
			if got := mustSend(t, url, request{}); got.Status != http.StatusNotFound {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestReplace: a new source takes over without a lost call; a wrong one takes the function out of service.
func TestReplace(t *testing.T) {
	r, url := start(t, Options{}, main("if (event.data == 'block') return new Promise(r => setTimeout(() => r('old'), 50)); return 'old'"), nil)
	calls := blocked(t, r, url, 3)
	c := config{namespace: testNamespace, name: testName, source: main("console.log('new'); return 'new'")}
	if err := r.load(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for range 3 {
		got[(<-calls).Body]++
	}
	if diff := cmp.Diff(map[string]int{"old": 1, "new": 2}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	same := r.running(key{testNamespace, testName})
	if err := r.load(t.Context(), c); err != nil || r.running(key{testNamespace, testName}) != same {
		t.Errorf("loading the same again: %v", err)
	}
	c.source = "module.exports = {"
	if err := r.load(t.Context(), c); err == nil || r.Running(testNamespace, testName) {
		t.Errorf("loading a wrong source: %v", err)
	}
	if got := mustSend(t, url, request{}); got.Status != http.StatusNotFound {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff([]string{"new", "new"}, messages(r)); diff != "" {
		t.Errorf("the log is kept (-want +got):\n%s", diff)
	}
}

// TestCallerGone: nobody waits for the answer, so the call ends.
func TestCallerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(Options{})
		if err := r.load(t.Context(), config{namespace: testNamespace, name: testName, source: main("return new Promise(r => setTimeout(r, 1e9))")}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		_, err := r.running(key{testNamespace, testName}).call(ctx, &input{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		r.Close()
	})
}

// TestLeak: what a function keeps from call to call is forgotten when it has become too much.
func TestLeak(t *testing.T) {
	_, url := start(t, Options{MemoryLimit: 8 << 20}, "const kept = []; exports.main = () => { kept.push(Buffer.alloc(1 << 20, 1)); return kept.length }", nil)
	for i := range 1000 {
		got := mustSend(t, url, request{})
		if got.Status != 200 {
			t.Fatalf("got %+v", got)
		}
		if i > 0 && got.Body == "1" {
			return
		}
	}
	t.Error("kept 1000 MiB")
}
