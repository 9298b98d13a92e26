package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// apiServer is kube-apiserver, assembled and not yet running.
type apiServer struct {
	address string
	config  *rest.Config
	run     func(context.Context) error
}

// newAPIServer assembles kube-apiserver the way its own command does, from the same flags. Its watches of etcd begin
// here, so ctx must live as long as the server.
func newAPIServer(ctx context.Context, dir, etcd string, creds *credentials, plugins []AdmissionPlugin) (_ *apiServer, err error) {
	ln, err := listenLoopback(lastAddress(filepath.Join(dir, "kubeconfig")))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = ln.Close()
		}
	}()
	address := ln.Addr().(*net.TCPAddr)

	s := options.NewServerRunOptions()
	registerPlugins(s, plugins)
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range s.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(apiServerFlags(dir, etcd, creds)); err != nil {
		return nil, err
	}
	s.SecureServing.Listener, s.SecureServing.BindPort = ln, address.Port
	s.SecureServing.BindAddress, s.SecureServing.ExternalAddress = address.IP, address.IP
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	completed, err := s.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	config, err := app.NewConfig(completed)
	if err != nil {
		return nil, err
	}
	completedConfig, err := config.Complete()
	if err != nil {
		return nil, err
	}
	chain, err := app.CreateServerChain(completedConfig)
	if err != nil {
		return nil, err
	}
	prepared, err := chain.PrepareRun()
	if err != nil {
		return nil, err
	}
	loopback := rest.CopyConfig(completedConfig.KubeAPIs.ControlPlane.Generic.LoopbackClientConfig)
	loopback.ContentType, loopback.AcceptContentTypes = "application/json", "application/json"
	return &apiServer{address: address.String(), config: loopback, run: prepared.Run}, nil
}

// apiServerFlags are kube-apiserver's flags where its defaults are meant for a cluster of machines.
func apiServerFlags(dir, etcd string, creds *credentials) []string {
	return []string{
		"--etcd-servers=" + etcd,
		"--cert-dir=" + filepath.Join(dir, "pki"),
		"--tls-cert-file=" + creds.serverCert,
		"--tls-private-key-file=" + creds.serverKey,
		"--client-ca-file=" + creds.caFile,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + creds.serviceAccountKey,
		"--service-account-signing-key-file=" + creds.serviceAccountKey,
		"--service-cluster-ip-range=10.0.0.0/16",
		"--authorization-mode=RBAC",
		"--anonymous-auth=false",
		"--profiling=false",
		// There are no pods, so no controller makes the service accounts that this plugin would wait for.
		"--disable-admission-plugins=ServiceAccount",
		// Nothing in the process looks for the API server by its endpoints, and a loopback address may not be one.
		"--endpoint-reconciler-type=none",
		// Fairness between clients is for shared servers; here it costs goroutines and a queue in every request.
		"--enable-priority-and-fairness=false",
	}
}

// registerPlugins adds plugins to those that s knows, after the built-in mutating ones and before the webhooks'
// successors, where the API server's own order puts plugins that default.
func registerPlugins(s *options.ServerRunOptions, plugins []AdmissionPlugin) {
	generic := s.Admission.GenericAdmission
	// The order is a package variable of Kubernetes: never append in place.
	order := slices.Clone(generic.RecommendedPluginOrder)
	at := slices.Index(order, "MutatingAdmissionPolicy")
	for _, p := range plugins {
		generic.Plugins.Register(p.Name, p.New)
		order = slices.Insert(order, at, p.Name)
		at++
	}
	generic.RecommendedPluginOrder = order
}

// listenLoopback listens on preferred when that is a free loopback address, else on a free port.
func listenLoopback(preferred string) (net.Listener, error) {
	if host, _, err := net.SplitHostPort(preferred); err == nil && net.ParseIP(host).IsLoopback() {
		if ln, err := net.Listen("tcp", preferred); err == nil {
			return ln, nil
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	return ln, nil
}

// ready reports whether url answers 200.
func ready(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	return errors.Join(res.Body.Close()) == nil && res.StatusCode == http.StatusOK
}
