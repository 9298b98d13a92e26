// Command kyma-console is the backend of the Kyma Console: one GraphQL API over Applications, Event ServiceClasses,
// Namespaces, Brokers and Triggers, and the Knative event mesh behind it. Without arguments it runs everything in this
// process, the Kubernetes API included; see the README.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kyma-eventmesh/kyma-console/eventmesh/broker"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/connector"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/controllers"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/demo"
	mesh "github.com/kyma-eventmesh/kyma-console/eventmesh/embedded"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/catalog"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
	"github.com/kyma-eventmesh/kyma-console/resolvers"
	"github.com/kyma-eventmesh/kyma-console/web"
)

//go:embed schema.graphqls
var schema []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kyma-console:", err)
		os.Exit(1)
	}
}

// run starts what c asks for, prints where it is once it can be used, and returns when ctx has ended and everything has
// stopped, or when a part failed.
func run(ctx context.Context, c config, out io.Writer) (err error) {
	log, closeLog, err := openLog(c)
	if err != nil {
		return err
	}
	defer closeLog()

	// Listening comes first: a port that is taken is found out before anything has started.
	ports, err := listen(c.listen, c.connectorListen, c.brokerListen)
	if err != nil {
		return err
	}
	defer ports.close()
	console, events, services := ports[0], ports[1], ports[2]

	var plane *embedded.ControlPlane
	defer func() {
		if plane != nil {
			err = errors.Join(err, plane.Stop())
		}
	}()
	cluster, err := k8s.Open(ctx, k8s.Options{
		Kubeconfig: c.kubeconfig,
		Anonymous:  c.anonymous(),
		Fallback: func(ctx context.Context) (*rest.Config, error) {
			fmt.Fprintln(out, "Starting Kubernetes, Knative Eventing and Service Catalog in this process ...")
			if plane, err = startControlPlane(ctx, c.dataDir, log); err != nil {
				return nil, err
			}
			return plane.Config(), nil
		},
	})
	if err != nil {
		return err
	}
	root := &resolvers.Resolver{Cluster: cluster, Log: log.logger}
	g, ctx := errgroup.WithContext(ctx)
	serve := func(name string, ln net.Listener, h http.Handler) {
		g.Go(func() error {
			if err := web.Serve(ctx, ln, h, web.ServeOptions{Log: log.logger}); err != nil {
				return fmt.Errorf("serving the %s: %w", name, err)
			}
			return nil
		})
	}

	if plane != nil {
		manager := cluster.Manager()
		ingress := connector.New(connector.Options{Client: manager.GetClient(), Log: log.logger})
		m, err := mesh.New(mesh.Options{
			Manager: manager, Config: plane.Config(), DataDir: c.dataDir, Sources: ingress.SourceHandler(), Log: log.file,
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
		brokerURL := "http://" + services.Addr().String()
		if err := controllers.Setup(manager, controllers.Options{BrokerURL: brokerURL, Adapter: m}); err != nil {
			return err
		}
		root.FunctionLogs = m.FunctionLogs
		cluster.AddCheck("event mesh", m.Ready)
		serve("Application Connector", events, ingress)
		serve("Application Broker", services, broker.New(broker.Options{
			Client: manager.GetClient(), Live: manager.GetAPIReader(), Log: log.logger,
		}))
		g.Go(func() error { return m.Run(ctx) })
		g.Go(func() error { return watchControlPlane(ctx, plane) })
		if c.demo {
			g.Go(func() error {
				if err := waitReady(ctx, cluster); err != nil {
					return nil // as below
				}
				return demo.Run(ctx, demo.Options{
					Client: manager.GetClient(), Connector: "http://" + events.Addr().String(), Log: log.logger,
				})
			})
		}
	}
	if err := resolvers.SetupIndexes(ctx, cluster.Manager().GetFieldIndexer()); err != nil {
		return err
	}
	serve("console", console, web.New(web.Config{
		Authenticate: cluster.Authenticate,
		GraphQL:      resolvers.NewHandler(root, resolvers.Limits{}),
		Schema:       schema,
		Ready:        cluster.Ready,
		Metrics:      metrics.Registry,
		Log:          log.logger,
		Loopback:     isLoopback(console.Addr()),
	}))
	g.Go(func() error { return cluster.Run(ctx) })
	g.Go(func() error {
		if err := waitReady(ctx, cluster); err != nil {
			return nil // ended before it was ready, for a reason that another part returns
		}
		c.printReady(out, plane, console.Addr(), events.Addr())
		return nil
	})
	return g.Wait()
}

// startControlPlane starts Kubernetes with every kind that the program uses, and Service Catalog's admission in it.
func startControlPlane(ctx context.Context, dataDir string, log logs) (*embedded.ControlPlane, error) {
	ours, err := apis.CRDs()
	if err != nil {
		return nil, fmt.Errorf("reading definitions: %w", err)
	}
	theirs, err := mesh.CRDs()
	if err != nil {
		return nil, fmt.Errorf("reading definitions: %w", err)
	}
	return embedded.Start(ctx, embedded.Options{
		DataDir: dataDir, Log: log.file, CRDs: append(ours, theirs...),
		Plugins: []embedded.AdmissionPlugin{{Name: catalog.PluginName, New: catalog.NewPlugin}},
	})
}

// watchControlPlane returns when ctx ends, or with the reason why the control plane did.
func watchControlPlane(ctx context.Context, plane *embedded.ControlPlane) error {
	select {
	case <-ctx.Done():
		return nil
	case <-plane.Done():
		return fmt.Errorf("the control plane ended: %w", plane.Err())
	}
}

// waitReady returns nil once the cluster can be worked with.
func waitReady(ctx context.Context, cluster *k8s.Cluster) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for cluster.Ready(ctx) != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// listeners are the open ports, in the order in which they were asked for.
type listeners []net.Listener

func listen(addresses ...string) (listeners, error) {
	var all listeners
	for _, address := range addresses {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("listening on %s: %w", address, err)
		}
		all = append(all, ln)
	}
	return all, nil
}

// close closes those that nobody serves; closing one again does nothing.
func (l listeners) close() {
	for _, ln := range l {
		_ = ln.Close()
	}
}

// logs is where the program writes what is not meant for the terminal.
type logs struct {
	file   io.Writer
	logger *slog.Logger
}

// openLog opens the log file in the data directory; on a cluster the log is the standard error, as pods have it.
func openLog(c config) (logs, func(), error) {
	file, closer := io.Writer(os.Stderr), func() {}
	if c.embedded() {
		if err := os.MkdirAll(c.dataDir, 0o700); err != nil {
			return logs{}, nil, fmt.Errorf("creating data directory: %w", err)
		}
		f, err := os.OpenFile(filepath.Join(c.dataDir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return logs{}, nil, fmt.Errorf("opening log: %w", err)
		}
		file, closer = f, func() { _ = f.Close() }
	}
	handler := slog.NewJSONHandler(file, nil)
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	return logs{file, slog.New(handler)}, closer, nil
}
