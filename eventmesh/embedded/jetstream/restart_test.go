package jetstream

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"knative.dev/pkg/apis"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
)

// Closing and opening a store again loses no event and no attempt's number.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	sink := newSubscriber(t, nil)
	failing := newSubscriber(t, status(http.StatusInternalServerError))
	good := newSubscriber(t, nil)

	m := startMesh(t, Options{Dir: dir})
	delivery := retries(2, sink)
	delivery.BackoffDelay = new("PT1S") // linear: the second retry waits
	m.subscribe(failing.spec("a", delivery), good.spec("b", nil))
	m.accept("1")
	good.next()
	failing.next()
	failing.next()
	m.stop()

	m = startMesh(t, Options{Dir: dir})
	m.accept("2") // before anybody has told it who subscribes
	good.none()
	m.subscribe(failing.spec("a", delivery), good.spec("b", nil))
	if got := good.next(); got.id != "2" {
		t.Errorf("got %q", got.id)
	}
	sink.collect(2)
	m.drained()
	// Three for each event. Of the one that was on its way no more than that, as its first two counted.
	counts := map[string]int{}
	for len(failing.got) > 0 {
		counts[failing.next().id]++
	}
	if counts["1"] > 1 || counts["2"] != 3 {
		t.Errorf("after the restart: %v", counts)
	}
	good.none()
}

// Events under way when the server is closed in good order come back with the next start.
func TestRestartUnderWay(t *testing.T) {
	dir := t.TempDir()
	hanging := newSubscriber(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	m := startMesh(t, Options{Dir: dir})
	m.subscribe(hanging.spec("a", nil))
	m.accept("1", "2", "3")
	hanging.collect(3)
	m.stop()

	s := newSubscriber(t, nil)
	m = startMesh(t, Options{Dir: dir})
	m.subscribe(s.spec("a", nil))
	s.collect(3)
	m.drained()
}

// TestKill is the promise of a 202: the process that gave it is killed, and the event arrives.
func TestKill(t *testing.T) {
	const (
		perRound = 200
		ackWait  = 2 * time.Second
	)
	if dir := os.Getenv("JETSTREAM_TEST_DIR"); dir != "" {
		killed(t, Options{Dir: dir, ackWait: ackWait})
		return
	}
	dir := t.TempDir()
	hanging := newSubscriber(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	accepted := map[string]bool{}
	for round := range 3 {
		child := startChild(t, dir, hanging.http.URL)
		for i := range perRound {
			id := fmt.Sprintf("%d-%d", round, i)
			if status, err := post(t.Context(), child.url, id); err != nil || status != http.StatusAccepted {
				t.Fatalf("event %s: status %d, %v", id, status, err)
			}
			accepted[id] = true
		}
		hanging.next() // some are under way
		child.kill(t)
	}

	s := newSubscriber(t, nil)
	m := startMesh(t, Options{Dir: dir, ackWait: ackWait})
	m.subscribe(s.spec("up", nil), s.spec("down", nil))
	counts := map[string]int{}
	for range 2 {
		for id, n := range s.collect(len(accepted)) {
			counts[id] += n
		}
		if len(counts) == len(accepted) {
			break
		}
	}
	m.drained()
	for id := range accepted {
		if counts[id] == 0 {
			t.Errorf("event %s is lost", id)
		}
	}
}

// child is a process with a mesh, in which this test runs with JETSTREAM_TEST_DIR set.
type child struct {
	cmd *exec.Cmd
	url string
}

func startChild(t *testing.T, dir, subscriber string) child {
	t.Helper()
	address := filepath.Join(t.TempDir(), "address")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "JETSTREAM_TEST_DIR="+dir, "JETSTREAM_TEST_ADDRESS="+address, "JETSTREAM_TEST_SUBSCRIBER="+subscriber)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(address); err == nil && len(b) > 0 {
			return child{cmd: cmd, url: string(b)}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("the child did not start: %s", out.String())
		}
	}
}

func (c child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// killed is the child's part: it serves until it is killed. One subscriber hangs, one can't be reached.
func killed(t *testing.T, o Options) {
	m := startMesh(t, o)
	up, err := apis.ParseURL(os.Getenv("JETSTREAM_TEST_SUBSCRIBER"))
	if err != nil {
		t.Fatal(err)
	}
	m.subscribe(
		eventingduckv1.SubscriberSpec{UID: "up", SubscriberURI: up},
		eventingduckv1.SubscriberSpec{UID: "down", SubscriberURI: apis.HTTP("127.0.0.1:1")})
	name := os.Getenv("JETSTREAM_TEST_ADDRESS")
	if err := os.WriteFile(name+".tmp", []byte(m.http.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
	select {}
}
