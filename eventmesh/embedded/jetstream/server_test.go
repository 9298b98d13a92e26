package jetstream

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestStartFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no directory":           {},
		"a file":                 {Dir: file},
		"a file in the way":      {Dir: broken},
		"events of two gigabyte": {Dir: t.TempDir(), MaxEventBytes: 2 << 30},
	} {
		if s, err := Start(o); err == nil {
			s.Close()
			t.Errorf("%s: started", name)
		} else {
			t.Log(err)
		}
	}
}

// Nothing of a mesh is left when it has been closed, and nobody can reach it from outside while it runs.
func TestStop(t *testing.T) {
	m := startMesh(t, Options{Dir: t.TempDir()})
	s := newSubscriber(t, nil)
	m.subscribe(s.spec("a", nil))
	m.accept("1")
	s.next()
	if addr := m.server.nats.Addr(); addr != nil && addr.(*net.TCPAddr) != nil {
		t.Errorf("the server listens on %s", addr)
	}
	m.stop()
	m.eventually("all goroutines have ended", func() bool {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		for _, frame := range []string{"nats-server/v2/server.", "nats.go.", "jetstream.(*worker)"} {
			if strings.Contains(stacks, frame) {
				return false
			}
		}
		return true
	})
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 { // a second run counts on
		m := startMesh(t, Options{Dir: t.TempDir(), Registerer: registry})
		good, bad := newSubscriber(t, nil), newSubscriber(t, status(http.StatusBadRequest))
		m.subscribe(good.spec("a", nil), bad.spec("b", retries(0, nil)))
		m.accept("1")
		m.drained()
		m.stop()
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "result" {
					got[label.GetValue()] = metric.GetCounter().GetValue()
				}
			}
		}
	}
	for _, result := range []string{resultAccepted, resultDelivered, resultDropped} {
		if got[result] != 2 {
			t.Errorf("%s: %v, want 2", result, got[result])
		}
	}
}
