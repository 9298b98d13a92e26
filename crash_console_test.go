package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crashSeed is the environment variable that repeats the random moments of an earlier run.
const crashSeed = "CRASH_SEED"

// crashRandom is a source of random numbers that can be had again.
func crashRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv(crashSeed); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("%s: %v", crashSeed, err)
		}
	}
	t.Logf("repeat with %s=%d", crashSeed, seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// crashDir is a data directory whose log is shown when the test fails.
func crashDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("end of the program's log:\n%s", tail(log, 8000))
		}
	})
	return dir
}

// consoleBinary builds the program as users have it, without the race detector, once for all tests.
var consoleBinary = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(scratch, "kyma-console")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

// console is the program in a process of its own, so that it can be killed.
type console struct {
	*program // nil until it is ready
	dir      string
	out      *output
	process  *os.Process
	done     chan error // gets how the process ended, then is closed
	killed   atomic.Bool
}

// launchConsole starts the program on dir.
func launchConsole(t *testing.T, dir string) *console {
	t.Helper()
	binary, err := consoleBinary()
	if err != nil {
		t.Fatal(err)
	}
	c := &console{dir: dir, out: &output{}, done: make(chan error, 1)}
	cmd := exec.Command(binary, freePorts(dir)...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.process = cmd.Process
	go func() {
		c.done <- cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.process.Kill()
		for range c.done { // its directory can be removed when it has ended
		}
	})
	return c
}

// startConsole starts the program on dir and waits until it is ready.
func startConsole(t *testing.T, dir string) *console {
	t.Helper()
	c := launchConsole(t, dir)
	p, err := newProgram(dir, c.out, c.done)
	if err != nil {
		t.Fatal(err)
	}
	c.program = p
	return c
}

// kill ends the process in the middle of whatever it does.
func (c *console) kill(t *testing.T) {
	t.Helper()
	c.killed.Store(true)
	if err := c.process.Kill(); err != nil {
		t.Fatalf("killing the program: %v\n%s", err, c.out)
	}
	if err := <-c.done; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the program ended by itself: %v\n%s", err, c.out)
	}
}

// killAfter kills the program a while later.
func (c *console) killAfter(t *testing.T, d time.Duration) {
	t.Helper()
	c.killDuring(t, d)
	t.Logf("killed again after %v", d)
}

// killDuring starts the tasks and kills the program a while later.
func (c *console) killDuring(t *testing.T, after time.Duration, tasks ...*crashTask) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for _, task := range tasks {
		clients.Go(func() {
			if err := task.run(ctx, c.program); err != nil && !c.killed.Load() {
				t.Errorf("before the program was killed: %v", err)
			}
		})
	}
	<-time.After(after)
	c.kill(t)
	cancel()
	clients.Wait()
}

// finish carries out what is left of the tasks, all at once.
func (c *console) finish(t *testing.T, tasks ...*crashTask) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var clients sync.WaitGroup
	for _, task := range tasks {
		clients.Go(func() {
			if err := task.run(ctx, c.program); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// crashTask is what a client has to do. When it has no answer for a step, because the program was killed, it takes that
// step again; it does not repeat what has been answered.
type crashTask struct {
	name     string
	steps    []crashStep
	answered atomic.Int32
}

type crashStep struct {
	name string
	do   func(context.Context, *program) error
}

func (k *crashTask) run(ctx context.Context, p *program) error {
	for int(k.answered.Load()) < len(k.steps) {
		step := k.steps[k.answered.Load()]
		if err := step.do(ctx, p); err != nil {
			return fmt.Errorf("%s, %s: %w", k.name, step.name, err)
		}
		k.answered.Add(1)
	}
	return nil
}

// String is the step that comes next.
func (k *crashTask) String() string {
	if n := int(k.answered.Load()); n < len(k.steps) {
		return k.steps[n].name
	}
	return "done"
}

// crashPoll waits until holds is nil.
func crashPoll(ctx context.Context, holds func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
