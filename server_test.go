package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// patience is how long a test waits for what should happen in milliseconds. It is long because it is only spent when the
// program is broken.
const patience = time.Minute

// shared is the program that most tests use, each in namespaces of its own. Starting one takes seconds, more under the
// race detector.
var shared *program

// scratch is a directory that is removed when all tests have ended.
var scratch string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if dir := os.Getenv(estateDir); dir != "" { // not to test, but to be measured
		if err := serveEstate(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	var err error
	if scratch, err = os.MkdirTemp("", "kyma-console-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	dir := filepath.Join(scratch, "shared")
	shared, err = startProgram(context.Background(), dir)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		fmt.Fprintf(os.Stderr, "starting the program: %v\n%s\n", err, tail(log, 4000))
		return 1
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the program:", err)
		return 1
	}
	if code != 0 {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		fmt.Fprintf(os.Stderr, "end of the program's log:\n%s\n", tail(log, 4000))
	}
	return code
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// program is a running kyma-console, in this process or in another, as a user sees it.
type program struct {
	console, connector string // URLs
	kube               client.WithWatch
	config             *rest.Config // of kubectl's user
	stop               func() error
}

// startProgram runs the program in this process, on free ports and with its state in dir, until its stop is called.
func startProgram(ctx context.Context, dir string, args ...string) (*program, error) {
	ctx, cancel := context.WithCancel(ctx)
	out := &output{}
	done := make(chan error, 1)
	go func() { done <- command(ctx, append(freePorts(dir), args...), out) }()
	p, err := newProgram(dir, out, done)
	if err != nil {
		cancel()
		return nil, err
	}
	p.stop = func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("it does not stop")
		}
	}
	return p, nil
}

func freePorts(dir string) []string {
	return []string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--connector-listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"}
}

// newProgram waits until the program whose output is out says where it is.
func newProgram(dir string, out *output, done <-chan error) (*program, error) {
	select {
	case <-out.contains("  Log "):
	case err := <-done:
		return nil, fmt.Errorf("ended before it was ready: %w\n%s", err, out)
	case <-time.After(2 * patience):
		return nil, fmt.Errorf("not ready after %v\n%s", 2*patience, out)
	}
	p := &program{console: out.find(`GraphQL +(\S+)/graphql`), connector: out.find(`Connector +(\S+)/<application>/events`)}
	var err error
	if p.config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig")); err != nil {
		return nil, err
	}
	p.config.QPS = -1
	p.kube, err = client.NewWithWatch(p.config, client.Options{Scheme: k8s.NewScheme()})
	return p, err
}

// output is what the program prints.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	want  string
	found chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	o.check()
	return len(p), nil
}

// contains returns a channel that is closed once the output has text in it.
func (o *output) contains(text string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.want, o.found = text, make(chan struct{})
	o.check()
	return o.found
}

func (o *output) check() {
	if o.want != "" && strings.Contains(o.text.String(), o.want) {
		o.want = ""
		close(o.found)
	}
}

func (o *output) find(pattern string) string {
	match := regexp.MustCompile(pattern).FindStringSubmatch(o.String())
	if match == nil {
		return ""
	}
	return match[1]
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// query sends a GraphQL document and decodes its data into out, which may be nil. Errors in the answer are an error.
func (p *program) query(ctx context.Context, document string, variables map[string]any, out any) error {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.console+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%s: %s", res.Status, raw)
	}
	if len(answer.Errors) > 0 {
		return fmt.Errorf("%s: %s", res.Status, raw)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, out)
}

// mustQuery is query for a document that has to succeed.
func (p *program) mustQuery(t testing.TB, document string, variables map[string]any, out any) {
	t.Helper()
	if err := p.query(t.Context(), document, variables, out); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
}

// eventually returns once holds is nil, and fails the test with its last error when that does not happen.
func eventually(t testing.TB, holds func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("after %v: %v", patience, err)
		case <-tick.C:
		}
	}
}
