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
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/resolvers"
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

	allowedOrigins      names
	allowedHosts        names
	playground          string
	introspection       bool
	documents           string
	onlyStoredDocuments bool
	limits              resolvers.Limits
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
	c.addAPIFlags(f)
}

// addAPIFlags adds the flags that say who may use the API how much.
func (c *config) addAPIFlags(f *pflag.FlagSet) {
	f.Var(&c.allowedOrigins, "allowed-origins", "origins, such as https://console.example.com, whose pages may use the API from a browser, besides this server's own; separated by commas")
	f.Var(&c.allowedHosts, "allowed-hosts", "names, besides localhost, by which the embedded cluster's console may be called; separated by commas")
	f.StringVar(&c.playground, "playground", "embedded", "where the GraphQL playground is served: always, never, or embedded, which is with the embedded cluster only")
	f.BoolVar(&c.introspection, "introspection", true, "show the schema: to introspection, at /schema.graphqls, and in suggestions of errors")
	f.StringVar(&c.documents, "documents", "", "stored documents, which requests can name by documentId: a directory of *.graphql files, or a manifest in JSON (documents by id, or Apollo's)")
	f.BoolVar(&c.onlyStoredDocuments, "only-stored-documents", false, "refuse every document that is not stored")
	c.limits = resolvers.DefaultLimits()
	f.Int64Var(&c.limits.Body, "max-body", c.limits.Body, "largest request or websocket message, in bytes")
	f.IntVar(&c.limits.Tokens, "max-tokens", c.limits.Tokens, "how many tokens a GraphQL document may have")
	f.IntVar(&c.limits.Depth, "max-depth", c.limits.Depth, "how many levels of fields a document may nest")
	f.IntVar(&c.limits.Cost, "max-cost", c.limits.Cost, "how many fields the answer to a document may have, a list counted by its argument first, else as 10 items")
	f.IntVar(&c.limits.Aliases, "max-aliases", c.limits.Aliases, "how many fields a document may rename")
	f.IntVar(&c.limits.Batch, "max-batch", c.limits.Batch, "how many requests one POST may carry")
	f.IntVar(&c.limits.Operations, "max-operations", c.limits.Operations, "how many operations a user may have running at once, GraphQL subscriptions included")
	f.IntVar(&c.limits.Websockets, "max-websockets", c.limits.Websockets, "how many websockets and event streams a user may have open, counted together")
	f.DurationVar(&c.limits.Alive, "keep-alive", c.limits.Alive, "how often a websocket or event stream is sent a sign of life; a websocket that has not answered three is cut off")
	f.IntVar(&c.limits.Answers, "max-answers", c.limits.Answers, "how many bytes of answers are remembered to be repeated while they hold; negative none")
	f.DurationVar(&c.limits.InitTimeout, "init-timeout", c.limits.InitTimeout, "how long a websocket may take to send connection_init")
}

// names is a flag with several values, separated by commas. Given again, it begins anew: the command line wins over the
// environment.
type names []string

// String is the flag's value.
func (n *names) String() string { return strings.Join(*n, ",") }

// Set takes the flag's value.
func (n *names) Set(value string) error {
	*n = nil
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			*n = append(*n, name)
		}
	}
	return nil
}

// Type is what the usage calls the value.
func (n *names) Type() string { return "names" }

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
	return errors.Join(append(errs, c.validateAPI())...)
}

// validateAPI says what is wrong with the flags of addAPIFlags.
func (c *config) validateAPI() error {
	var errs []error
	for _, origin := range c.allowedOrigins {
		// Anything more than this is never what a browser sends, and would silently allow nobody.
		if u, err := url.Parse(origin); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") ||
			strings.TrimSuffix(origin, "/") != u.Scheme+"://"+u.Host || strings.Contains(u.Host, "*") {
			errs = append(errs, fmt.Errorf("--allowed-origins: %q is not an origin like https://console.example.com", origin))
		}
	}
	if !slices.Contains([]string{"always", "never", "embedded"}, c.playground) {
		errs = append(errs, fmt.Errorf("--playground: %q is none of always, never and embedded", c.playground))
	}
	if c.onlyStoredDocuments && c.documents == "" {
		errs = append(errs, errors.New("--only-stored-documents needs --documents"))
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"max-body", c.limits.Body},
		{"max-tokens", int64(c.limits.Tokens)},
		{"max-depth", int64(c.limits.Depth)},
		{"max-cost", int64(c.limits.Cost)},
		{"max-aliases", int64(c.limits.Aliases)},
		{"max-batch", int64(c.limits.Batch)},
		{"max-operations", int64(c.limits.Operations)},
		{"max-websockets", int64(c.limits.Websockets)},
		{"init-timeout", int64(c.limits.InitTimeout)},
		{"keep-alive", int64(c.limits.Alive)},
	} {
		if limit.value < 1 {
			errs = append(errs, fmt.Errorf("--%s must be positive", limit.name))
		}
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

// api is how the API is served.
func (c *config) api() (resolvers.Options, error) {
	o := resolvers.Options{Limits: c.limits, NoIntrospection: !c.introspection}
	if c.documents == "" {
		return o, nil
	}
	var err error
	if o.Documents, err = resolvers.LoadDocuments(c.documents, c.onlyStoredDocuments); err != nil {
		return o, fmt.Errorf("--documents: %w", err)
	}
	return o, nil
}

// shownSchema is what is served of the schema.
func (c *config) shownSchema() []byte {
	if !c.introspection {
		return nil
	}
	return schema
}

// showsPlayground reports whether the playground is served.
func (c *config) showsPlayground() bool {
	return c.playground == "always" || (c.playground == "embedded" && c.embedded())
}

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
