package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/kyma-eventmesh/kyma-console/resolvers"
)

// parse is what command does before it runs.
func parse(environment map[string]string, args ...string) (config, error) {
	var c config
	flags := pflag.NewFlagSet("kyma-console", pflag.ContinueOnError)
	c.addFlags(flags)
	lookup := func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}
	if err := fromEnvironment(flags, lookup); err != nil {
		return c, err
	}
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	return c, c.validate()
}

func TestConfig(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	defaults := config{
		listen: "127.0.0.1:3000", connectorListen: "127.0.0.1:3001", brokerListen: "127.0.0.1:3002",
		dataDir: ".kyma-console", anonymousUser: "admin",
		playground: "embedded", introspection: true, limits: resolvers.DefaultLimits(),
		oidc: oidcFlags{usernameClaim: "email", groupsClaim: "groups", signingAlgs: "RS256"},
	}
	with := func(change func(*config)) config {
		c := defaults
		change(&c)
		return c
	}
	type env = map[string]string
	for _, tt := range []struct {
		name string
		env  env
		args []string
		want config
		errs []string // in the error, all of them
	}{
		{"defaults", nil, nil, defaults, nil},
		{
			"the environment",
			env{"KYMA_CONSOLE_LISTEN": "[::1]:1", "KYMA_CONSOLE_CONNECTOR_LISTEN": "localhost:0", "KYMA_CONSOLE_DATA_DIR": "/d", "KYMA_CONSOLE_DEMO": "true"},
			nil,
			with(func(c *config) { c.listen, c.connectorListen, c.dataDir, c.demo = "[::1]:1", "localhost:0", "/d", true }),
			nil,
		},
		{
			"the command line wins over the environment",
			env{"KYMA_CONSOLE_DATA_DIR": "/d", "KYMA_CONSOLE_DEMO": "true"},
			[]string{"--data-dir=/e", "--demo=false"},
			with(func(c *config) { c.dataDir = "/e" }), nil,
		},
		{
			"an issuer",
			env{"KYMA_CONSOLE_OIDC_ISSUER": "https://dex", "KYMA_CONSOLE_OIDC_SIGNING_ALGS": "RS512"},
			[]string{"--oidc-client-id=c", "--oidc-username-claim=sub", "--oidc-username-prefix=u:", "--oidc-groups-claim=g", "--oidc-groups-prefix=g:", "--oidc-signing-algs=ES256"},
			with(func(c *config) {
				c.oidc = oidcFlags{
					issuer: "https://dex", clientID: "c", usernameClaim: "sub", usernamePrefix: "u:",
					groupsClaim: "g", groupsPrefix: "g:", signingAlgs: "ES256",
				}
			}),
			nil,
		},
		{"nobody is anonymous", env{"KYMA_CONSOLE_ANONYMOUS_USER": ""}, nil, with(func(c *config) { c.anonymousUser = "" }), nil},
		{
			"an existing cluster may be served to the network", nil,
			[]string{"--kubeconfig=k", "--listen=:80", "--connector-listen=nonsense"},
			with(func(c *config) { c.kubeconfig, c.listen, c.connectorListen = "k", ":80", "nonsense" }), nil,
		},
		{
			"who may use the API",
			env{"KYMA_CONSOLE_ALLOWED_ORIGINS": "https://a.example, http://localhost:8080/", "KYMA_CONSOLE_PLAYGROUND": "never"},
			[]string{"--allowed-hosts=console.test,", "--introspection=false", "--documents=d.json", "--only-stored-documents"},
			with(func(c *config) {
				c.allowedOrigins, c.allowedHosts = names{"https://a.example", "http://localhost:8080/"}, names{"console.test"}
				c.playground, c.introspection, c.documents, c.onlyStoredDocuments = "never", false, "d.json", true
			}), nil,
		},
		{
			"origins of the command line win, all of them",
			env{"KYMA_CONSOLE_ALLOWED_ORIGINS": "https://a.example"},
			[]string{"--allowed-origins=https://b.example"},
			with(func(c *config) { c.allowedOrigins = names{"https://b.example"} }), nil,
		},
		{
			"limits",
			env{"KYMA_CONSOLE_MAX_DEPTH": "7", "KYMA_CONSOLE_INIT_TIMEOUT": "3s"},
			[]string{
				"--max-body=1", "--max-tokens=2", "--max-cost=3", "--max-aliases=4", "--max-batch=5", "--max-operations=6", "--max-websockets=8",
				"--keep-alive=9s", "--max-answers=-1",
			},
			with(func(c *config) {
				c.limits.Body, c.limits.Tokens, c.limits.Cost, c.limits.Aliases, c.limits.Batch = 1, 2, 3, 4, 5
				c.limits.Operations, c.limits.Depth, c.limits.Websockets, c.limits.InitTimeout = 6, 7, 8, 3*time.Second
				c.limits.Alive, c.limits.Answers = 9*time.Second, -1
			}), nil,
		},
		{
			"limits that let nothing through", nil,
			[]string{"--max-body=0", "--max-batch=-1", "--init-timeout=0s"},
			defaults,
			[]string{"--max-body", "--max-batch", "--init-timeout"},
		},
		{
			"origins that are none", nil,
			[]string{"--allowed-origins=*,https://*.example.com,console.example.com,https://a.example/path,ftp://a.example"},
			defaults,
			[]string{`"*"`, `"https://*.example.com"`, `"console.example.com"`, `"https://a.example/path"`, `"ftp://a.example"`},
		},
		{"a playground that may be", nil, []string{"--playground=maybe"}, defaults, []string{`"maybe"`}},
		{"no document could be sent", nil, []string{"--only-stored-documents"}, defaults, []string{"--documents"}},
		{"malformed environment", env{"KYMA_CONSOLE_DEMO": "perhaps"}, nil, defaults, []string{"KYMA_CONSOLE_DEMO", "perhaps"}},
		{"all interfaces", nil, []string{"--listen=:3000"}, defaults, []string{`":3000" is not on loopback`}},
		{"a name that may be anything", nil, []string{"--listen=example.com:1"}, defaults, []string{"example.com:1"}},
		{
			"all that is wrong", nil,
			[]string{"--connector-listen=0.0.0.0:1", "--broker-listen=3002", "--data-dir="},
			defaults,
			[]string{`"0.0.0.0:1"`, `"3002"`, "--data-dir"},
		},
		{
			"a Connector Service", nil,
			[]string{"--connector-service=https://connector.example.com:8080/base"},
			with(func(c *config) { c.connectorService = "https://connector.example.com:8080/base" }), nil,
		},
		{"a Connector Service without a scheme", nil, []string{"--connector-service=connector:8080"}, defaults, []string{`"connector:8080"`, "http://"}},
		{"a demo on an existing cluster", nil, []string{"--kubeconfig=k", "--demo"}, defaults, []string{"--demo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.env, tt.args...)
			for _, want := range tt.errs {
				if !contains(err, want) {
					t.Errorf("error %v, want %q in it", err, want)
				}
			}
			if len(tt.errs) > 0 {
				return
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(config{}, oidcFlags{})); diff != "" || err != nil {
				t.Errorf("error %v, (-want +got):\n%s", err, diff)
			}
		})
	}
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// TestAnonymous holds that a request without a token is somebody only where nobody else can send one.
func TestAnonymous(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	privileged := []string{user.AllAuthenticated, user.SystemPrivilegedGroup}
	for _, tt := range []struct {
		name string
		args []string
		want user.Info
	}{
		{"kubectl's user", nil, &user.DefaultInfo{Name: "admin", Groups: privileged}},
		{"another one", []string{"--anonymous-user=eve"}, &user.DefaultInfo{Name: "eve", Groups: []string{user.AllAuthenticated}}},
		{"nobody", []string{"--anonymous-user="}, nil},
		{"an existing cluster", []string{"--kubeconfig=k"}, nil},
		{"an existing cluster, asked for", []string{"--kubeconfig=k", "--anonymous-user=admin"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(nil, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, c.anonymous()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDocuments holds that a document that is not stored is refused, and that one that cannot be used stops the program
// before it has begun.
func TestDocuments(t *testing.T) {
	const stored, other = "{ applications { name } }", "{ __typename }"
	manifest := filepath.Join(t.TempDir(), "documents.json")
	write := func(document string) {
		t.Helper()
		if err := os.WriteFile(manifest, []byte(`{"stored": "`+document+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(stored)
	c, err := parse(nil, "--documents="+manifest, "--only-stored-documents")
	if err != nil {
		t.Fatal(err)
	}
	api, err := c.api()
	if err != nil {
		t.Fatal(err)
	}
	for query, refused := range map[string]bool{stored: false, other: true} {
		if err := api.Documents.MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query}); (err != nil) != refused {
			t.Errorf("%s: %v, want it refused: %v", query, err, refused)
		}
	}
	write("{ nothing }")
	if _, err := c.api(); !contains(err, "--documents") || !contains(err, `"nothing"`) {
		t.Errorf("a document that does not fit the schema: %v", err)
	}
}

func TestShowsPlayground(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for args, want := range map[string]bool{
		"": true, "--playground=never": false, "--kubeconfig=k": false, "--kubeconfig=k --playground=always": true,
	} {
		c, err := parse(nil, strings.Fields(args)...)
		if got := c.showsPlayground(); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", args, got, err, want)
		}
	}
}

// TestInPod holds that a pod never takes the way of the embedded cluster, with its anonymous user.
func TestInPod(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	c, err := parse(nil, "--listen=:80")
	if err != nil || c.embedded() || c.anonymous() != nil || len(c.addresses()) != 1 {
		t.Errorf("in a pod: %v, embedded %v, anonymous %v, addresses %v", err, c.embedded(), c.anonymous(), c.addresses())
	}
}

func TestRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(wd, "data", "kubeconfig"): "data/kubeconfig",
		"/elsewhere/kubeconfig":                 "/elsewhere/kubeconfig",
		filepath.Join(wd, "my data"):            "'my data'",
		filepath.Join(wd, "it's"):               `'it'\''s'`,
		filepath.Join(wd, "..data"):             "..data",
	} {
		if got := relative(path); got != want {
			t.Errorf("relative(%q) = %s, want %s", path, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := command(t.Context(), []string{"version"}, &out); err != nil || strings.TrimSpace(out.String()) == "" {
		t.Errorf("version: %q, %v", out.String(), err)
	}
}
