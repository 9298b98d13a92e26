package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestLogFile holds that the log is the owner's alone, keeps whole lines and never grows beyond its bound.
func TestLogFile(t *testing.T) {
	const line, writers, each = "0123456789\n", 8, 200
	f := &logFile{name: filepath.Join(t.TempDir(), "log"), max: 1000}
	if err := os.WriteFile(f.name, []byte("of the last run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				if _, err := f.Write([]byte(line)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	f.close()
	if _, err := f.Write([]byte(line)); err == nil {
		t.Error("written after close")
	}

	for _, name := range []string{f.name, f.name + ".1"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || info.Size() > f.max {
			t.Errorf("%s: mode %v, %d bytes; want 0600 and at most %d", name, info.Mode(), info.Size(), f.max)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if rest := strings.ReplaceAll(string(text), line, ""); rest != "" {
			t.Errorf("%s has broken lines: %q", name, rest)
		}
	}
}

// terminal is all that a user may see.
var terminal = regexp.MustCompile(`^(Starting Kubernetes, .*|kyma-console is ready\.|Next.*|  .*|)$`)

// interrupt asks the program to stop, as Ctrl-C does, and returns when it has, successfully and without a word.
func (c *console) interrupt(t *testing.T) {
	t.Helper()
	if err := c.process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.done:
		if err != nil {
			t.Errorf("interrupted: %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("it does not stop\n%s", c.out)
	}
	for line := range strings.Lines(c.out.String()) {
		if !terminal.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("on the terminal: %s", line)
		}
	}
}

// TestTerminal holds that all chatter goes to the log, that Ctrl-C ends the program well whenever it comes, and that
// nobody else can read what it leaves.
func TestTerminal(t *testing.T) {
	dir := crashDir(t)
	c := launchConsole(t, dir)
	<-c.out.contains("Starting ")
	c.interrupt(t)

	c = startConsole(t, dir)
	c.mustQuery(t, `mutation { createNamespace(name: "terminal") { name } }`, nil, nil)
	if err := c.query(t.Context(), `{ nonsense }`, nil, nil); err == nil {
		t.Error("nonsense was answered")
	}
	checkPrivate(t, dir)
	c.interrupt(t)
	checkPrivate(t, dir)

	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{"Starting workers", "nats: ", "service-catalog controller"} {
		if !strings.Contains(string(log), of) {
			t.Errorf("the log has nothing of %q", of)
		}
	}
}

// checkPrivate fails for what group or others can use. Sockets are protected by their directory.
func checkPrivate(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root || entry.Type() == fs.ModeSocket {
			return err // root is the user's to make
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSecondProcess holds that a data directory in use is refused before anything else, naming who uses it.
func TestSecondProcess(t *testing.T) {
	dir := filepath.Join(scratch, "shared")
	address := strings.TrimPrefix(shared.console, "http://")
	for name, args := range map[string][]string{
		"with other ports":    freePorts(dir),
		"with the same ports": append(freePorts(dir), "--listen", address),
	} {
		t.Run(name, func(t *testing.T) {
			out := &output{}
			err := command(t.Context(), args, out)
			want := fmt.Sprintf("data directory %s is in use by process %d; stop it or choose another --data-dir", dir, os.Getpid())
			if err == nil || err.Error() != want || out.String() != "" {
				t.Errorf("got %v, having printed %q; want %s", err, out, want)
			}
		})
	}
}

// TestPortInUse holds that a port that is taken is found out before anything starts, and leaves the directory free.
func TestPortInUse(t *testing.T) {
	dir := t.TempDir()
	address := strings.TrimPrefix(shared.console, "http://")
	for range 2 {
		out := &output{}
		err := command(t.Context(), append(freePorts(dir), "--listen", address), out)
		if !contains(err, address) || !contains(err, "address already in use") || out.String() != "" {
			t.Errorf("got %v, having printed %q; want the port named", err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd")); err == nil {
		t.Error("etcd has been started")
	}
}
