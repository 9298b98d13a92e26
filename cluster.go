//go:build cluster

package main

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// local stands for the cluster in this process, which a build for clusters does not carry: neither an API server nor
// Knative's controllers are compiled in.
type local struct {
	config config
	log    logs
}

var errNoCluster = errors.New("this build has no cluster in it: name one with --kubeconfig, or run it in a pod")

func (l *local) claim() error {
	if l.config.embedded() {
		return errNoCluster
	}
	return nil
}

func (*local) start(context.Context) (*rest.Config, error) { return nil, errNoCluster }

func (*local) running() bool { return false }

func (*local) run(context.Context, *errgroup.Group, *k8s.Cluster, net.Listener, net.Listener) error {
	return nil
}

func (*local) functionLogs(string, string) []eventmesh.LogLine { return nil }

func (*local) stop() error { return nil }

func (*local) printReady(func(string, ...any), net.Addr, net.Addr) {}
