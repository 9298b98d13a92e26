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
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/resolvers"
	"github.com/kyma-eventmesh/kyma-console/web"
)

//go:embed schema.graphqls
var schema []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, which the stores survive
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kyma-console:", err)
		os.Exit(1)
	}
}

// run starts what c asks for, prints where it is once it can be used, and returns when ctx has ended and everything has
// stopped, or when a part failed.
func run(ctx context.Context, c config, out io.Writer) error {
	// What else may be in use comes first, so that it is found out before anything has started: the data directory, whose
	// error names the other process, then the ports.
	here := &local{config: c}
	if err := here.claim(); err != nil {
		return err
	}
	ports, err := listen(c.addresses()...)
	if err != nil {
		return errors.Join(err, here.stop())
	}
	defer ports.close()
	log, closeLog, err := openLog(c)
	if err != nil {
		return errors.Join(err, here.stop())
	}
	defer closeLog()
	here.log = log

	err = serveAll(ctx, here, ports, out)
	if err != nil && ctx.Err() != nil {
		log.logger.Info("stopping", "interrupted", err) // asked to stop, maybe while it started: no failure
		err = nil
	}
	return errors.Join(err, here.stop())
}

// serveAll opens the cluster and serves everything on ports until ctx ends or a part fails. The cluster in this process, if
// it is one, is then for the caller to stop.
func serveAll(ctx context.Context, here *local, ports listeners, out io.Writer) error {
	c, log := here.config, here.log
	authentication, err := c.oidc.authentication()
	if err != nil {
		return err
	}
	api, err := c.api() // before anything starts that takes long
	if err != nil {
		return err
	}
	cluster, err := k8s.Open(ctx, k8s.Options{
		Kubeconfig:     c.kubeconfig,
		Anonymous:      c.anonymous(),
		Authentication: authentication,
		Audit:          log.logger.With("log", "audit"),
		Fallback: func(ctx context.Context) (*rest.Config, error) {
			fmt.Fprintln(out, "Starting Kubernetes, Knative Eventing and Service Catalog in this process ...")
			return here.start(ctx)
		},
	})
	if err != nil {
		return err
	}

	if err := resolvers.SetupIndexes(ctx, cluster.Manager().GetFieldIndexer()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	root := &resolvers.Resolver{Cluster: cluster, ConnectorService: c.connectorService, Log: log.logger}
	if here.running() {
		root.FunctionLogs = here.functionLogs
		if err := here.run(ctx, g, cluster, ports[connectorPort], ports[brokerPort]); err != nil {
			return err // before anything runs
		}
	}
	console := web.New(web.Config{
		Authenticate:   cluster.Authenticate,
		GraphQL:        resolvers.NewHandler(root, api),
		Schema:         c.shownSchema(),
		Playground:     c.showsPlayground(),
		Ready:          cluster.Ready,
		Metrics:        metrics.Registry,
		Log:            log.logger,
		Loopback:       isLoopback(ports[consolePort].Addr()),
		AllowedHosts:   c.allowedHosts,
		AllowedOrigins: c.allowedOrigins,
		MaxBody:        c.limits.Body,
	})
	g.Go(func() error { return serve(ctx, "console", ports[consolePort], console, log.logger) })
	g.Go(func() error { return cluster.Run(ctx) })
	g.Go(func() error {
		if waitReady(ctx, cluster) == nil { // else it ended before, for a reason that another part returns
			printReady(out, here, ports)
		}
		return nil
	})
	return g.Wait()
}

// serve answers on ln with h until ctx ends. what is the name of it, for a person.
func serve(ctx context.Context, what string, ln net.Listener, h http.Handler, log *slog.Logger) error {
	if err := web.Serve(ctx, ln, h, web.ServeOptions{Log: log}); err != nil {
		return fmt.Errorf("serving the %s: %w", what, err)
	}
	return nil
}

// printReady tells the user where everything is.
func printReady(out io.Writer, here *local, ports listeners) {
	w := func(format string, a ...any) { fmt.Fprintf(out, format+"\n", a...) }
	console := ports[consolePort].Addr()
	w("")
	w("kyma-console is ready.")
	w("  GraphQL       http://%s/graphql", console)
	if here.config.showsPlayground() {
		w("  Playground    http://%s/playground", console)
	}
	if !here.running() {
		w("  Sign in       with a bearer token of the cluster, as of: kubectl create token <service account>")
		return
	}
	here.printReady(w, console, ports[connectorPort].Addr())
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

// listeners are the open ports, in the order of config.addresses.
type listeners []net.Listener

const (
	consolePort = iota
	connectorPort
	brokerPort
)

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
