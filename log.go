package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// maxLog is how large, in bytes, the log file grows before it is put aside.
const maxLog = 16 << 20

// logs is where the program writes what is not meant for the terminal.
type logs struct {
	file   io.Writer
	logger *slog.Logger
}

// openLog opens the log file in the data directory; on a cluster the log is the standard error, as pods have it. What
// libraries log through controller-runtime, klog or the standard library goes there as well.
func openLog(c config) (logs, func(), error) {
	file, closer := io.Writer(os.Stderr), func() {}
	if c.embedded() {
		f := &logFile{name: filepath.Join(c.dataDir, "log"), max: maxLog}
		if err := f.open(); err != nil {
			return logs{}, nil, fmt.Errorf("opening log: %w", err)
		}
		file, closer = f, f.close
	}
	handler := slog.NewJSONHandler(file, nil)
	logger := slog.New(handler)
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetSlogLogger(logger)
	slog.SetDefault(logger)
	return logs{file, logger}, closer, nil
}

// logFile is a file of bounded size: when it is full it becomes <name>.1, in the place of the one before.
type logFile struct {
	name string
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write implements io.Writer. It may be called by many at once, and after close, when it fails.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, os.ErrClosed
	}
	if l.size > 0 && l.size+int64(len(p)) > l.max {
		l.turn()
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// turn puts the file aside and begins a new one. When that fails the old one goes on.
func (l *logFile) turn() {
	l.size = 0 // the next try is when as much has come again
	old := l.file
	if os.Rename(l.name, l.name+".1") == nil && l.open() == nil {
		_ = old.Close()
	}
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close() // everything is written already
	l.file = nil
}
