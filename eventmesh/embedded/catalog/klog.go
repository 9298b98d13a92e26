package catalog

import (
	"flag"
	"fmt"
	"io"
	"sync"

	klogv1 "k8s.io/klog"
)

// klogFlags turns off what klog v1, which upstream logs with, does on its own: writing to standard error and to files
// in the temporary directory. It is a logger with globals and no API but flags; nothing else in the process uses it.
var klogFlags = sync.OnceValue(func() error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klogv1.InitFlags(flags)
	return flags.Parse([]string{"-logtostderr=false", "-stderrthreshold=FATAL", "-v=0"})
})

// redirectKlog sends what upstream logs to w, for the whole process.
func redirectKlog(w io.Writer) error {
	if err := klogFlags(); err != nil {
		return fmt.Errorf("setting up klog: %w", err)
	}
	// A line is written for its severity and again for each lower one: the lowest gets them all.
	klogv1.SetOutput(io.Discard)
	klogv1.SetOutputBySeverity("INFO", w)
	return nil
}
