package embedded

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"
	_ "k8s.io/apiserver/pkg/storage/storagebackend/factory" // has etcdClientLogger
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// etcdClientLogger is the logger of the API server's clients of etcd. It writes to the terminal, and there is no other way
// to change that.
//
//go:linkname etcdClientLogger k8s.io/apiserver/pkg/storage/storagebackend/factory.etcd3ClientLogger
var etcdClientLogger *zap.Logger

// chatter is what would print to the terminal, sent to the log of the control plane that started last. It is global
// because what it redirects is.
var chatter struct {
	once sync.Once
	log  atomic.Pointer[io.Writer]
}

// redirectLogs sends what Kubernetes' components log to w. They nearly all log through klog, whose logger is global.
func redirectLogs(w io.Writer) {
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})))
	// Deprecation warnings of the server to its own clients are of no use to anybody here.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	chatter.log.Store(&w)
	// None of these may be set while something runs that uses it.
	chatter.once.Do(func() {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, chatterWriter{}))
		if etcdClientLogger != nil { // else the linker found none: it has another name now
			etcdClientLogger = newZapLogger(chatterWriter{}).Named("etcd-client")
		}
		// Rather than exit without a word.
		klog.OsExit = func(int) { panic("Kubernetes cannot go on: the last lines of the log say why") }
	})
}

// newZapLogger returns a logger of etcd's type that writes warnings and errors to w. A fatal one panics, rather than end the
// process without a word.
func newZapLogger(w io.Writer) *zap.Logger {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(w), zapcore.WarnLevel)
	return zap.New(core, zap.WithFatalHook(zapcore.WriteThenPanic))
}

type chatterWriter struct{}

func (chatterWriter) Write(p []byte) (int, error) { return (*chatter.log.Load()).Write(p) }
