package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOIDCFlags(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
	issuer := func(name string) string {
		return "- issuer: {url: 'https://" + name + "', audiences: [console]}\n  claimMappings: {username: {claim: sub, prefix: '" + name + ":'}}\n"
	}
	type authentication struct{ Issuers, Algs []string }
	for _, tt := range []struct {
		name string
		args []string
		want authentication
		errs []string // in the error, all of them
	}{
		{"none", nil, authentication{}, nil},
		{
			"one",
			[]string{"--oidc-issuer=https://dex", "--oidc-client-id=kyma-client", "--oidc-signing-algs=RS256,ES256"},
			authentication{[]string{"https://dex"}, []string{"RS256", "ES256"}},
			nil,
		},
		{"no audience", []string{"--oidc-issuer=https://dex"}, authentication{}, []string{"--oidc-", "audiences"}},
		{"no issuer", []string{"--oidc-client-id=c"}, authentication{}, []string{"--oidc-issuer"}},
		{
			"all that is wrong",
			[]string{"--oidc-issuer=http://dex", "--oidc-client-id=c", "--oidc-username-claim=", "--oidc-signing-algs=none"},
			authentication{},
			[]string{"https", "username", `"none"`},
		},
		{"no such certificates", []string{"--oidc-issuer=https://dex", "--oidc-client-id=c", "--oidc-ca-file=/none"}, authentication{}, []string{"--oidc-ca-file", "/none"}},
		{"certificates that are none", []string{"--oidc-issuer=https://dex", "--oidc-client-id=c", "--oidc-ca-file=" + file("ca", "x")}, authentication{}, []string{"certificateAuthority"}},
		{
			"several",
			[]string{"--authentication-config=" + file("two", head+"jwt:\n"+issuer("a")+issuer("b"))},
			authentication{[]string{"https://a", "https://b"}, []string{"ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}},
			nil,
		},
		{"a file and flags", []string{"--authentication-config=f", "--oidc-issuer=https://dex"}, authentication{}, []string{"exclude each other"}},
		{"no such file", []string{"--authentication-config=/none"}, authentication{}, []string{"/none"}},
		{"not the API server's words", []string{"--authentication-config=" + file("strict", head+"issuers: []\n")}, authentication{}, []string{`unknown field "issuers"`}},
		{"the same issuer twice", []string{"--authentication-config=" + file("twice", head+"jwt:\n"+issuer("a")+issuer("a"))}, authentication{}, []string{"Duplicate"}},
		{"another kind", []string{"--authentication-config=" + file("kind", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n")}, authentication{}, []string{"EncryptionConfiguration"}},
		{"anonymous", []string{"--authentication-config=" + file("anonymous", head+"anonymous: {enabled: true}\n")}, authentication{}, []string{"anonymous"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(nil, tt.args...)
			for _, want := range tt.errs {
				if !contains(err, want) {
					t.Errorf("error %v, want %q in it", err, want)
				}
			}
			if len(tt.errs) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			a, err := c.oidc.authentication()
			if err != nil {
				t.Fatal(err)
			}
			got := authentication{Algs: a.SigningAlgs}
			for _, i := range a.Issuers {
				got.Issuers = append(got.Issuers, i.Issuer.URL)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
