package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout bounds the start of the server, which reads back what its store holds.
const startTimeout = 30 * time.Second

// syncInterval is how often the store is forced to the disk when not after every write.
const syncInterval = 2 * time.Second

// envelopeBytes is what a stored event needs beside its data: attributes and passed-on headers.
const envelopeBytes = 1 << 20

// Server is a NATS server with JetStream in this process. It has no port, no signal handlers and no account but the
// one its own connections use.
type Server struct {
	nats *natsserver.Server
	// Two connections, so that a burst of deliveries doesn't delay the answers to senders.
	publishConn, deliverConn *nats.Conn
	publish, deliver         jetstream.JetStream

	closeOnce sync.Once
}

// Start starts the server on the store in o.Dir and returns when it takes requests. The caller closes it, after
// everything that was set up on it has ended.
func Start(o Options) (_ *Server, err error) {
	o = o.withDefaults()
	if o.Dir == "" {
		return nil, errors.New("start JetStream: no directory given")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start JetStream: %w", err)
	}
	// Data that is neither JSON nor text is stored in base64.
	maxPayload := o.MaxEventBytes*4/3 + envelopeBytes
	if maxPayload > math.MaxInt32 {
		return nil, fmt.Errorf("start JetStream: events of %d bytes are too large for it", o.MaxEventBytes)
	}
	server, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "kyma-console",
		DontListen: true,
		NoSigs:     true,
		// Nobody monitors it; the internal accounts' subscriptions and timers are not needed.
		NoSystemAccount: true,
		JetStream:       true,
		StoreDir:        o.Dir,
		// The limits that count are those of the streams. A sum of them here would be a reservation: with 1 GiB for a
		// channel the next one could not be made on a disk that has room for all that is really stored.
		JetStreamMaxStore:      math.MaxInt64 / 2,
		JetStreamMaxMemory:     1 << 20,
		DisableJetStreamBanner: true,
		SyncInterval:           syncInterval,
		SyncAlways:             o.SyncAlways,
		MaxPayload:             int32(maxPayload),
		// A client that is this far behind is cut off. Ours is only ever behind by what the workers have asked for.
		MaxPending: 1 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("start JetStream: %w", err)
	}
	s := &Server{nats: server}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	log := &natsLog{log: o.ServerLog}
	server.SetLoggerV2(log, false, false, false)
	server.Start()
	// A server that could not open its store runs on without JetStream, having told only its log.
	if err := log.fatalError(); err != nil {
		return nil, fmt.Errorf("start JetStream in %s: %w", o.Dir, err)
	}
	if !server.ReadyForConnections(startTimeout) || !server.JetStreamEnabled() {
		return nil, fmt.Errorf("start JetStream in %s: not ready in time", o.Dir)
	}
	if s.publishConn, s.publish, err = connect(server, o.Log, "publish"); err != nil {
		return nil, err
	}
	if s.deliverConn, s.deliver, err = connect(server, o.Log, "deliver"); err != nil {
		return nil, err
	}
	return s, nil
}

func connect(server *natsserver.Server, log *slog.Logger, name string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect("",
		nats.InProcessServer(server),
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("JetStream connection", "connection", name, "err", err)
		}))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to JetStream: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("connect to JetStream: %w", err)
	}
	return conn, js, nil
}

// Close stops the server. The store is consistent on disk afterwards, as it is after a crash. Closing twice is safe.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		for _, conn := range []*nats.Conn{s.publishConn, s.deliverConn} {
			if conn != nil {
				_ = conn.FlushTimeout(time.Second) // acknowledgements on their way; lost ones only cost a duplicate
				conn.Close()
			}
		}
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	})
}

// natsLog passes the server's messages to a slog.Logger, and keeps the last fatal one: the server hands it to nobody.
type natsLog struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal string
}

func (l *natsLog) Noticef(format string, v ...any) { l.log.Info("nats: " + fmt.Sprintf(format, v...)) }
func (l *natsLog) Warnf(format string, v ...any)   { l.log.Warn("nats: " + fmt.Sprintf(format, v...)) }
func (l *natsLog) Errorf(format string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }
func (l *natsLog) Debugf(format string, v ...any)  { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l *natsLog) Tracef(format string, v ...any)  { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }

// Fatalf does not exit, as the server's own logger would: Start reports what happened.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.fatal = fmt.Sprintf(format, v...)
	l.mu.Unlock()
	l.log.Error("nats: " + fmt.Sprintf(format, v...))
}

func (l *natsLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		return nil
	}
	return errors.New(l.fatal)
}
