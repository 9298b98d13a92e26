package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// target is what a cluster-local name stands for: a handler in this process, or an address outside of it.
type target struct {
	handler http.Handler
	address string
}

// network is the cluster's network as far as there is one: names of Services lead to handlers in this process, through
// connections in memory, which nobody else on the machine can open.
type network struct {
	listener *memory
	// resolve says what the Service name in namespace is; the error says for a person why it is nothing.
	resolve func(ctx context.Context, name, namespace string) (target, error)
	dialer  net.Dialer
}

// current is the network of this process. It is global because http.DefaultTransport is, whose clones Knative keeps for
// the life of the process: they must find the network of the mesh that runs now.
var current atomic.Pointer[network]

// errNoMesh answers connections to cluster-local names while no mesh runs.
var errNoMesh = errors.New("the mesh does not run")

func newNetwork(resolve func(ctx context.Context, name, namespace string) (target, error)) *network {
	return &network{
		listener: newMemory(), resolve: resolve,
		dialer: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second},
	}
}

// run serves the cluster-local names until ctx ends.
func (n *network) run(ctx context.Context) error {
	current.Store(n)
	defer current.CompareAndSwap(n, nil)
	server := &http.Server{
		Handler: http.HandlerFunc(n.route), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving cluster-local names: %w", err)
	}
	return nil
}

// route hands a request to the handler that its Host names.
func (n *network) route(w http.ResponseWriter, r *http.Request) {
	name, namespace, _ := eventmesh.ParseServiceHost(r.Host)
	t, err := n.resolve(r.Context(), name, namespace)
	if err == nil && t.handler == nil {
		err = fmt.Errorf("service %q in namespace %q has left this process", name, namespace)
	}
	if err != nil {
		// The name was good when the connection was made; 404 is retried by the mesh, as the Service may come back.
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	t.handler.ServeHTTP(w, r)
}

// dial connects to address ("host:port"): in memory for a Service, by the machine's network for all else.
func (n *network) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	name, namespace, ok := eventmesh.ParseServiceHost(address)
	if !ok {
		return n.dialer.DialContext(ctx, protocol, address)
	}
	t, err := n.resolve(ctx, name, namespace)
	switch {
	case err != nil && !isClusterLocal(address):
		// "name.namespace" may be a Service, and otherwise is a name like any other on the internet.
		return n.dialer.DialContext(ctx, protocol, address)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", address, err)
	case t.handler == nil:
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return n.dialer.DialContext(ctx, protocol, net.JoinHostPort(t.address, port))
	default:
		return n.listener.dial(ctx)
	}
}

// isClusterLocal reports whether address ("host:port" or "host") can only be the name of a Service.
func isClusterLocal(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	host = strings.TrimSuffix(host, ".")
	return strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local")
}

// isService reports whether host is the name of a Service, by its form or because there is one of this name.
func isService(ctx context.Context, host string) bool {
	if isClusterLocal(host) {
		return true
	}
	name, namespace, ok := eventmesh.ParseServiceHost(host)
	n := current.Load()
	if !ok || n == nil {
		return false
	}
	_, err := n.resolve(ctx, name, namespace)
	return err == nil
}

// patchTransport makes http.DefaultTransport, and so every client that has none of its own, reach cluster-local names.
// Knative clones it at its first event, so this comes before. A proxy is never asked for the name of a Service. It is done
// once, as a transport must not change while it is in use.
var patchTransport = sync.OnceValue(func() error {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return fmt.Errorf("http.DefaultTransport is a %T", http.DefaultTransport)
	}
	outside := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	transport.DialContext = func(ctx context.Context, protocol, address string) (net.Conn, error) {
		if n := current.Load(); n != nil {
			return n.dial(ctx, protocol, address)
		}
		if isClusterLocal(address) {
			return nil, errNoMesh
		}
		return outside.DialContext(ctx, protocol, address)
	}
	transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if isService(r.Context(), r.URL.Host) {
			return nil, nil
		}
		return http.ProxyFromEnvironment(r)
	}
	return nil
})

// memory is a listener for connections within the process.
//
// They are net.Pipe's, whose deadlines can be relied upon: the HTTP server sets a past one after every request, and takes
// one that fires late for the end of the connection, at which it cancels the next request. (grpc's bufconn fires late.)
type memory struct {
	dialed chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newMemory() *memory { return &memory{dialed: make(chan net.Conn), closed: make(chan struct{})} }

// dial returns the near end of a connection once its far end has been accepted.
func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case m.dialed <- far:
		return near, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.dialed:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr implements net.Listener.
func (m *memory) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }
