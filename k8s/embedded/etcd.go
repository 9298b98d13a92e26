package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"

	"go.etcd.io/etcd/server/v3/embed"
)

// maxSocketPath is the longest path of a unix socket, in bytes, that both Linux (107) and macOS (103) take.
const maxSocketPath = 103

// plainPath is a path that means the same in a URL and in a comma-separated flag, in both of which etcd's address travels.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9/._~-]+$`)

type etcdServer struct {
	server   *embed.Etcd
	endpoint string
	temp     string // directory of the sockets when dir's path will not do for them
}

// startEtcd starts a single-member etcd with its store in dir. It listens on unix sockets in a directory that only
// this user can enter, so it needs no client certificates.
func startEtcd(ctx context.Context, dir string, log io.Writer) (_ *etcdServer, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	e := &etcdServer{}
	defer func() {
		if err != nil {
			e.stop()
		}
	}()
	sockets := dir
	if len(dir)+len("/client.sock") > maxSocketPath || !plainPath.MatchString(dir) {
		if e.temp, err = os.MkdirTemp("", "kyma-console-"); err != nil {
			return nil, err
		}
		sockets = e.temp
	}
	client := url.URL{Scheme: "unix", Path: filepath.Join(sockets, "client.sock")}
	// etcd reads the path of the peers' socket from the host part; without one it would take an abstract socket, which
	// every user of the machine can open.
	peer := url.URL{Scheme: "unix", Host: filepath.Join(sockets, "peer.sock")}
	for _, path := range []string{client.Path, peer.Host} {
		// A socket file outlives a process that was killed; the lock on the data directory says nobody uses it.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}

	cfg := embed.NewConfig()
	cfg.Name = "kyma-console"
	cfg.Dir = dir
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{client}, []url.URL{peer}
	// What a member advertises must look like a host and port. Nobody dials it, as there is no other member.
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// One member has no follower to catch up: a short log keeps some 30 MB out of memory.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 2000, 100
	// embed leaves it zero, which would log every request as too slow.
	cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newZapLogger(log))
	if e.server, err = embed.StartEtcd(cfg); err != nil {
		return nil, err
	}
	select {
	case <-e.server.Server.ReadyNotify():
	case err := <-e.server.Err():
		return nil, err
	case <-ctx.Done():
		return nil, fmt.Errorf("not ready: %w", ctx.Err())
	}
	e.endpoint = client.String()
	return e, nil
}

// wait returns why etcd ended by itself, or nil when ctx ends.
func (e *etcdServer) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.server.Err():
		return fmt.Errorf("etcd ended: %w", err)
	case <-e.server.Server.StopNotify():
		return errors.New("etcd ended")
	}
}

// stop ends etcd; its store is consistent on disk afterwards, as it is after a crash.
func (e *etcdServer) stop() {
	if e.server != nil {
		e.server.Close()
		e.server = nil // closing twice panics
	}
	if e.temp != "" {
		_ = os.RemoveAll(e.temp) // sockets only; the operating system clears what is left
	}
}
