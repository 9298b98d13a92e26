package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// services is a cluster with a Service that this process answers for, one that leads outside, and one without anything
// behind it.
func services(outside string) func(context.Context, string, string) (target, error) {
	return func(_ context.Context, name, namespace string) (target, error) {
		switch eventmesh.ServiceHost(name, namespace) {
		case "here.test.svc.cluster.local":
			return target{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "here, for ", r.Host)
			})}, nil
		case "outside.test.svc.cluster.local":
			return target{address: outside}, nil
		default:
			return target{}, fmt.Errorf("service %q in namespace %q does not exist", name, namespace)
		}
	}
}

// TestDial holds which names lead where, in every form that resolves in a cluster.
func TestDial(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "outside") }))
	t.Cleanup(elsewhere.Close)
	host, port, err := net.SplitHostPort(elsewhere.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(services(host))
	go func() { _ = n.run(t.Context()) }()
	client := &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	t.Cleanup(client.CloseIdleConnections)

	for _, tt := range []struct{ name, url, want, wantErr string }{
		{"full name", "http://here.test.svc.cluster.local/", "here, for here.test.svc.cluster.local", ""},
		{"with a port", "http://here.test.svc.cluster.local:80/", "here, for here.test.svc.cluster.local:80", ""},
		{"with the root's dot", "http://here.test.svc.cluster.local./", "here, for here.test.svc.cluster.local.", ""},
		{"without the domain", "http://here.test.svc/", "here, for here.test.svc", ""},
		{"name and namespace", "http://here.test/", "here, for here.test", ""},
		{"ExternalName", "http://outside.test.svc.cluster.local:" + port + "/", "outside", ""},
		{"no such Service", "http://nobody.test.svc.cluster.local/", "", `service "nobody" in namespace "test" does not exist`},
		{"no such Service, with the root's dot", "http://nobody.test.svc.cluster.local./", "", `service "nobody" in namespace "test" does not exist`},
		{"an address outside", elsewhere.URL, "outside", ""},
		{"may be a Service, is a name outside", "http://nobody.invalid/", "", "lookup nobody.invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := get(t, client, tt.url, "")
			if got != tt.want || !contains(err, tt.wantErr) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.wantErr)
			}
		})
	}

	// On a connection that is open already, the Host of each request counts.
	t.Run("a Service that went", func(t *testing.T) {
		_, err := get(t, client, "http://here.test.svc.cluster.local/", "nobody.test.svc.cluster.local")
		if !contains(err, `404 service "nobody" in namespace "test" does not exist`) {
			t.Errorf("got %v, want 404 and why", err)
		}
	})
	t.Run("a Service that leads outside now", func(t *testing.T) {
		_, err := get(t, client, "http://here.test.svc.cluster.local/", "outside.test.svc.cluster.local")
		if !contains(err, `404 service "outside" in namespace "test" has left this process`) {
			t.Errorf("got %v, want 404 and why", err)
		}
	})
}

// TestDefaultTransport holds what clients without a transport of their own reach, with and without a mesh.
func TestDefaultTransport(t *testing.T) {
	if err := patchTransport(); err != nil {
		t.Fatal(err)
	}
	const service, short = "http://here.test.svc.cluster.local/", "http://here.test/"
	if _, err := get(t, http.DefaultClient, service, ""); !errors.Is(err, errNoMesh) {
		t.Errorf("without a mesh: %v, want %v", err, errNoMesh)
	}

	ctx, cancel := context.WithCancel(t.Context())
	n := newNetwork(services("localhost"))
	current.Store(n) // as run does, but for sure before the first request
	ended := make(chan error)
	go func() { ended <- n.run(ctx) }()
	if got, err := get(t, http.DefaultClient, service, ""); err != nil || !strings.HasPrefix(got, "here") {
		t.Errorf("with a mesh: %q, %v", got, err)
	}
	transport := http.DefaultTransport.(*http.Transport)
	for _, address := range []string{service, short} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if !isService(t.Context(), u.Host) {
			t.Errorf("%s is not known to be a Service: a proxy would be asked for it", address)
		}
		if proxy, err := transport.Proxy(&http.Request{URL: u}); proxy != nil || err != nil {
			t.Errorf("proxy for %s: %v, %v; want none", address, proxy, err)
		}
	}
	if isService(t.Context(), "www.example.com") || isService(t.Context(), "example.com") {
		t.Error("example.com is taken for a Service")
	}

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := get(t, http.DefaultClient, service, ""); !errors.Is(err, errNoMesh) {
		t.Errorf("after the mesh: %v, want %v", err, errNoMesh)
	}
}

// get returns the body of a 200, and an error with status and body of anything else.
func get(t *testing.T, client *http.Client, address, host string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%d %s", res.StatusCode, body)
	}
	return string(body), err
}

// contains reports whether err has want in its text, or is nil for "".
func contains(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}
