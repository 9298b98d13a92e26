package embedded

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// TestCredentials holds what lives as long as the directory and what is made afresh, and that neither a crash in the
// middle of writing nor an open mode of an older file does harm.
func TestCredentials(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"ca.key.new", "ca.crt.new", "service-account.key.new"} { // of a crash
		if err := os.WriteFile(filepath.Join(dir, left), []byte("-----BEGIN"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first, err := ensureCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(first.serviceAccountKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(first.serverKey, 0o644); err != nil {
		t.Fatal(err)
	}
	second, err := ensureCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(second.serviceAccountKey)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.caPEM, second.caPEM) || !bytes.Equal(key, again) {
		t.Error("the second start made a new authority or service-account key")
	}
	if bytes.Equal(first.adminCert, second.adminCert) {
		t.Error("the second start gave out the first one's client certificate")
	}
	checkPrivate(t, dir)
}

// TestLastAddress holds that the server keeps its address, and that a kubeconfig that says nothing is no obstacle.
func TestLastAddress(t *testing.T) {
	creds, err := ensureCredentials(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if got := lastAddress(file); got != "" {
		t.Errorf("without a kubeconfig: %q", got)
	}
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := lastAddress(file); got != "" {
		t.Errorf("of a broken kubeconfig: %q", got)
	}
	if err := writeKubeconfig(file, "127.0.0.1:6443", creds); err != nil {
		t.Fatal(err)
	}
	checkPrivate(t, file)
	if got := lastAddress(file); got != "127.0.0.1:6443" {
		t.Errorf("got %q, want what was written", got)
	}
	if _, err := clientcmd.BuildConfigFromFlags("", file); err != nil {
		t.Errorf("kubectl could not read it: %v", err)
	}
}

// TestListenLoopback holds that no kubeconfig, which a user may have edited, makes the server listen elsewhere.
func TestListenLoopback(t *testing.T) {
	taken, err := listenLoopback("")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, preferred := range []string{"", "nonsense", "0.0.0.0:0", "example.com:1", taken.Addr().String()} {
		ln, err := listenLoopback(preferred)
		if err != nil {
			t.Errorf("%q: %v", preferred, err)
			continue
		}
		if host, _, err := net.SplitHostPort(ln.Addr().String()); host != "127.0.0.1" || err != nil {
			t.Errorf("%q: listens on %s", preferred, ln.Addr())
		}
		_ = ln.Close()
	}
}
