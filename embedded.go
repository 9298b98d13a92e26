//go:build !cluster

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/broker"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/connector"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/controllers"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/demo"
	mesh "github.com/kyma-eventmesh/kyma-console/eventmesh/embedded"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/catalog"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
	"github.com/kyma-eventmesh/kyma-console/web"
)

// local is the cluster in this process: a control plane and the event mesh on it. Builds with the tag cluster have none.
type local struct {
	config config
	log    logs
	lock   *embedded.Lock
	plane  *embedded.ControlPlane
	mesh   *mesh.Mesh
}

// claim takes the data directory, if the cluster is to be in this process.
func (l *local) claim() (err error) {
	if l.config.embedded() {
		l.lock, err = embedded.Acquire(l.config.dataDir)
	}
	return err
}

// start starts Kubernetes with every kind that the program uses, and Service Catalog's admission in it, and returns how
// to reach it. It is the fallback of k8s.Open.
func (l *local) start(ctx context.Context) (*rest.Config, error) {
	ours, err := apis.CRDs()
	if err != nil {
		return nil, fmt.Errorf("reading definitions: %w", err)
	}
	theirs, err := mesh.CRDs()
	if err != nil {
		return nil, fmt.Errorf("reading definitions: %w", err)
	}
	l.plane, err = embedded.Start(ctx, embedded.Options{
		DataDir: l.config.dataDir, Lock: l.lock, Log: l.log.file, CRDs: append(ours, theirs...),
		Plugins: []embedded.AdmissionPlugin{{Name: catalog.PluginName, New: catalog.NewPlugin}},
	})
	if err != nil {
		return nil, err
	}
	return l.plane.Config(), nil
}

// running reports whether the cluster is in this process.
func (l *local) running() bool { return l.plane != nil }

// run adds the event mesh to the parts that g runs: the mesh's own programs, the reconcilers, the Application Connector on
// events and the Application Broker on services.
func (l *local) run(ctx context.Context, g *errgroup.Group, cluster *k8s.Cluster, events, services net.Listener) (err error) {
	manager, log := cluster.Manager(), l.log.logger
	ingress := connector.New(connector.Options{Client: manager.GetClient(), Log: log})
	l.mesh, err = mesh.New(mesh.Options{
		Manager: manager, Config: l.plane.Config(), DataDir: l.config.dataDir, Sources: ingress.SourceHandler(),
		Metrics: metrics.Registry, Log: l.log.file,
	})
	if err != nil {
		return err
	}
	err = controllers.Setup(manager, controllers.Options{BrokerURL: "http://" + services.Addr().String(), Adapter: l.mesh})
	if err != nil {
		return err
	}
	cluster.AddCheck("event mesh", l.mesh.Ready)
	offers := broker.New(broker.Options{Client: manager.GetClient(), Live: manager.GetAPIReader(), Log: log})
	g.Go(func() error { return serve(ctx, "Application Connector", events, web.Local(ingress), log) })
	g.Go(func() error { return serve(ctx, "Application Broker", services, offers, log) })
	g.Go(func() error { return l.mesh.Run(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-l.plane.Done():
			return errors.Join(errors.New("the control plane ended"), l.plane.Err())
		}
	})
	if l.config.demo {
		g.Go(func() error {
			if waitReady(ctx, cluster) != nil {
				return nil // ended before it was ready, for a reason that another part returns
			}
			return demo.Run(ctx, demo.Options{Client: manager.GetClient(), Connector: "http://" + events.Addr().String(), Log: log})
		})
	}
	return nil
}

// functionLogs returns the last lines that a Function wrote, oldest first.
func (l *local) functionLogs(namespace, name string) []eventmesh.LogLine {
	return l.mesh.FunctionLogs(namespace, name)
}

// stop stops what claim, start and run have begun, in reverse, when everything that run added has returned.
func (l *local) stop() (err error) {
	if l.mesh != nil {
		err = l.mesh.Close()
	}
	if l.plane != nil {
		err = errors.Join(err, l.plane.Stop())
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Release())
	}
	return err
}

// printReady tells the user where the cluster is and what to do next.
func (l *local) printReady(w func(format string, a ...any), console, connector net.Addr) {
	kubeconfig := relative(l.plane.Kubeconfig())
	w("  Connector     http://%s/<application>/events", connector)
	w("  kubectl       kubectl --kubeconfig %s get applications", kubeconfig)
	w("  Log           %s", relative(filepath.Join(l.config.dataDir, "log")))
	w("")
	if l.config.demo {
		w("Next: open the playground and run the query meshStatus, or")
		w("  kubectl --kubeconfig %s get triggers,functions -A", kubeconfig)
		return
	}
	w("Next, in another terminal: bring an application's event to a function")
	w("  KYMA_CONSOLE=http://%s CONNECTOR=http://%s examples/order-created.sh", console, connector)
}
