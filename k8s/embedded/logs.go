package embedded

import (
	"io"
	"log/slog"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// redirectLogs sends what Kubernetes' components log to w. They all log through klog, whose logger is global.
func redirectLogs(w io.Writer) {
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})))
	// Deprecation warnings of the server to its own clients are of no use to anybody here.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
}
