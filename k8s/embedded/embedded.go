// Package embedded runs a Kubernetes control plane in this process: etcd, the real kube-apiserver with RBAC and
// admission, the garbage collector and the namespace controller. There are no nodes and no pods; what a cluster would
// run as pods runs beside it in the same process.
//
// All state is under one data directory:
//
//	kubeconfig   for kubectl: loopback address, client certificate of the user "admin" (group system:masters)
//	pki/         the certificate authority and the service-account key, made on the first start
//	etcd/        etcd's store
//	lock         held while a process uses the directory, with its process id
//
// Nothing of it is reachable that should not be: etcd listens on a unix socket inside the directory (mode 0700), the
// API server on loopback with TLS, without anonymous requests, static tokens or profiling.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/rest"
)

// AdmissionPlugin is an admission plugin compiled into the API server. It sees built-in objects and custom resources
// alike; the latter as *unstructured.Unstructured.
type AdmissionPlugin struct {
	// Name is the plugin's name, unique among kube-apiserver's own.
	Name string
	// New makes the plugin. It is called while the API server is assembled, so it must not call the API.
	New func(config io.Reader) (admission.Interface, error)
}

// Options say what Start starts.
type Options struct {
	// DataDir holds all state. It is created with mode 0700 when missing.
	DataDir string
	// Lock is that of DataDir when the caller has it already; when nil, Start acquires it. Stop releases it either way.
	Lock *Lock
	// Plugins are added to kube-apiserver's own admission plugins.
	Plugins []AdmissionPlugin
	// CRDs are installed, and established, before Start returns.
	CRDs []*apiextensionsv1.CustomResourceDefinition
	// Log receives what etcd, the API server and the controllers have to say, as JSON lines. Writes must be safe for
	// concurrent use, as those of an *os.File are.
	Log io.Writer
}

// ControlPlane is a running control plane. It owns its data directory until Stop returns.
type ControlPlane struct {
	config *rest.Config
	lock   *Lock
	etcd   *etcdServer

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	err error
	end chan struct{}
}

// stopGrace is how long an API server that is to be stopped may take to become ready first.
const stopGrace = 20 * time.Second

// Start brings the control plane up and returns when its API answers, its CRDs are established and its controllers
// run. ctx bounds the start only; Stop ends what was started. A data directory in use by another process is an error
// that names the process.
//
// One process runs at most one control plane at a time: Kubernetes keeps feature gates and metrics in globals.
func Start(ctx context.Context, o Options) (_ *ControlPlane, err error) {
	lock := o.Lock
	if lock == nil {
		if lock, err = Acquire(o.DataDir); err != nil {
			return nil, err
		}
	}
	dir := lock.dir
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &ControlPlane{lock: lock, cancel: cancel, end: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()

	redirectLogs(o.Log)
	creds, err := ensureCredentials(filepath.Join(dir, "pki"))
	if err != nil {
		return nil, fmt.Errorf("preparing credentials: %w", err)
	}
	if c.etcd, err = startEtcd(ctx, filepath.Join(dir, "etcd"), o.Log); err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	c.start(func() error { return c.etcd.wait(runCtx) })
	server, err := newAPIServer(runCtx, dir, c.etcd.endpoint, creds, o.Plugins)
	if err != nil {
		return nil, fmt.Errorf("starting kube-apiserver: %w", err)
	}
	c.config = server.config
	c.start(func() error { return server.run(runCtx) })
	if err := c.waitReady(ctx); err != nil {
		return nil, fmt.Errorf("waiting for kube-apiserver: %w", err)
	}
	if err := writeKubeconfig(c.Kubeconfig(), server.address, creds); err != nil {
		return nil, fmt.Errorf("writing kubeconfig: %w", err)
	}
	if err := InstallCRDs(ctx, c.config, o.CRDs); err != nil {
		return nil, fmt.Errorf("installing custom resource definitions: %w", err)
	}
	run, err := newControllers(runCtx, c.config)
	if err != nil {
		return nil, fmt.Errorf("starting controllers: %w", err)
	}
	c.start(func() error { run(runCtx); return nil })
	return c, nil
}

// Config returns a copy of the configuration of a client with all rights. It talks JSON, which custom resources need,
// and has no client-side rate limit: the server is in the same process.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the path of the file that gives kubectl the user "admin".
func (c *ControlPlane) Kubeconfig() string { return filepath.Join(c.lock.dir, "kubeconfig") }

// Done is closed when a part of the control plane has ended, asked to or not; Err then says why.
func (c *ControlPlane) Done() <-chan struct{} { return c.end }

// Err is the reason why a part ended by itself, nil while all run or after an orderly Stop.
func (c *ControlPlane) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stop ends the API server and its controllers, then etcd, and releases the data directory. It may be called again.
func (c *ControlPlane) Stop() error {
	c.cancel()
	c.wg.Wait()
	if c.etcd != nil {
		c.etcd.stop()
	}
	return c.lock.Release()
}

// start runs f until Stop; the first part that ends marks the control plane as ended.
func (c *ControlPlane) start(f func() error) {
	c.wg.Go(func() {
		err := f()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			c.err = err
		}
		select {
		case <-c.end:
		default:
			close(c.end)
		}
	})
}

// waitReady returns when the API server says that it is ready, or has ended. It outlasts an end of ctx, though not for long:
// an API server that is stopped while it starts ends the process, as its hooks take being cut short for fatal.
func (c *ControlPlane) waitReady(ctx context.Context) error {
	client, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return err
	}
	asked := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(asked, func() { time.AfterFunc(stopGrace, cancel) })()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx, client, c.config.Host+"/readyz") {
			return asked.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.end:
			return errors.Join(errors.New("it ended before it was ready"), c.Err())
		case <-tick.C:
		}
	}
}
