package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// envPrefix begins the environment variable of every flag: --data-dir is KYMA_CONSOLE_DATA_DIR.
const envPrefix = "KYMA_CONSOLE_"

// config is what the command line and the environment say.
type config struct {
	listen           string
	connectorListen  string
	brokerListen     string
	dataDir          string
	kubeconfig       string
	anonymousUser    string
	connectorService string
	demo             bool
	oidc             oidcFlags
}

// command runs the command line args.
func command(ctx context.Context, args []string, out io.Writer) error {
	var c config
	serve := func(cmd *cobra.Command, _ []string) error {
		if err := c.validate(); err != nil {
			return err
		}
		return run(cmd.Context(), c, out)
	}
	root := &cobra.Command{
		Use:           "kyma-console",
		Short:         "The Kyma Console's backend and its Knative event mesh",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: serve,
	}
	c.addFlags(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve the console (the default)", Args: cobra.NoArgs, RunE: serve},
		&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(out, version())
			return err
		}},
	)
	root.SetArgs(args)
	root.SetOut(out)
	if err := fromEnvironment(root.PersistentFlags(), os.LookupEnv); err != nil {
		return err
	}
	return root.ExecuteContext(ctx)
}

func (c *config) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.listen, "listen", "127.0.0.1:3000", "address of the console: GraphQL, playground, health")
	f.StringVar(&c.connectorListen, "connector-listen", "127.0.0.1:3001", "address of the Application Connector, which takes the events of applications")
	f.StringVar(&c.brokerListen, "broker-listen", "127.0.0.1:3002", "address of the Application Broker, which Service Catalog calls")
	f.StringVar(&c.dataDir, "data-dir", ".kyma-console", "directory of all state of the embedded cluster, with its kubeconfig and log")
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "file that names an existing cluster to serve instead of the embedded one")
	f.StringVar(&c.anonymousUser, "anonymous-user", "admin", "user that a request without a token acts as, in the embedded cluster and on loopback only; empty refuses such requests")
	f.StringVar(&c.connectorService, "connector-service", "", "URL of Kyma's Connector Service, which gives applications their certificates")
	f.BoolVar(&c.demo, "demo", false, "make a small shop application with a function, and send it an event every few seconds")
	c.oidc.addFlags(f)
}

// fromEnvironment sets every flag whose environment variable is set. The command line is parsed later and wins.
func fromEnvironment(f *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	f.VisitAll(func(flag *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		flag.Usage += " [" + name + "]"
		if value, ok := lookup(name); ok {
			if err := flag.Value.Set(value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// validate says what is wrong with c, all of it.
func (c *config) validate() error {
	var errs []error
	for _, address := range c.addresses() {
		host, _, err := net.SplitHostPort(address)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("address %q: %w", address, err))
		case c.embedded() && !loopbackHost(host):
			// The connector knows an application by its path and the console a person by the machine: both are only
			// safe where nobody else can connect.
			errs = append(errs, fmt.Errorf("address %q is not on loopback: the embedded cluster is for this machine alone", address))
		}
	}
	if u, err := url.Parse(c.connectorService); c.connectorService != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		errs = append(errs, fmt.Errorf("--connector-service %q must be a URL that starts with http:// or https://", c.connectorService))
	}
	if c.embedded() && c.dataDir == "" {
		errs = append(errs, errors.New("--data-dir must not be empty"))
	}
	if !c.embedded() && c.demo {
		errs = append(errs, errors.New("--demo is for the embedded cluster"))
	}
	if _, err := c.oidc.authentication(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addresses are those to listen on, in the order of the ports. On an existing cluster only the console listens.
func (c *config) addresses() []string {
	if !c.embedded() {
		return []string{c.listen}
	}
	return []string{c.listen, c.connectorListen, c.brokerListen}
}

// embedded reports whether the cluster is in this process.
func (c *config) embedded() bool { return c.kubeconfig == "" && !k8s.InCluster() }

// anonymous is who a request without a token acts as, nil for nobody. Only the embedded cluster has such a user.
func (c *config) anonymous() user.Info {
	if !c.embedded() || c.anonymousUser == "" {
		return nil
	}
	groups := []string{user.AllAuthenticated}
	if c.anonymousUser == "admin" {
		groups = append(groups, user.SystemPrivilegedGroup) // the same user as in the kubeconfig
	}
	return &user.DefaultInfo{Name: c.anonymousUser, Groups: groups}
}

// relative is path as the user would write it here, in a shell.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			path = rel
		}
	}
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// version is the version that the binary was built as.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
