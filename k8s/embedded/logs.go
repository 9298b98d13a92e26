package embedded

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/grpclog"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// terminal replaces what would print to the terminal. It is global because what it replaces is.
var terminal struct {
	once sync.Once
	grpc atomic.Pointer[io.Writer]
}

// redirectLogs sends what Kubernetes' components log to w. They all log through klog, whose logger is global.
func redirectLogs(w io.Writer) {
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})))
	// Deprecation warnings of the server to its own clients are of no use to anybody here.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	terminal.grpc.Store(&w)
	// Neither may be set while something runs that uses it.
	terminal.once.Do(func() {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, grpcErrors{}))
		// Rather than exit without a word.
		klog.OsExit = func(int) { panic("Kubernetes cannot go on: the last lines of the log say why") }
	})
}

// grpcErrors writes gRPC's errors to the log of the control plane that started last.
type grpcErrors struct{}

func (grpcErrors) Write(p []byte) (int, error) { return (*terminal.grpc.Load()).Write(p) }
