package k8s_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/utils/ptr"

	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// issuer is an OpenID Connect issuer: what it says about itself, its keys, and its tokens.
type issuer struct {
	*httptest.Server

	mu  sync.Mutex
	key *rsa.PrivateKey
	id  int // of the key
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(t, w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		answer(t, w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": fmt.Sprint(i.id),
			"n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes()),
		}}})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

func answer(t *testing.T, w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Error(err)
	}
}

// rotate replaces the issuer's key, without notice.
func (i *issuer) rotate(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = key
	i.id++
}

// token signs claims, with what every token has unless they say otherwise.
func (i *issuer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	all := map[string]any{"iss": i.URL, "aud": "console", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(map[string]any{"alg": "RS256", "kid": fmt.Sprint(i.id)}) + "." + part(all)
	hash := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// trust honours people of the first issuer by their email, and machines of the second by their subject.
func trust(people, machines *issuer) k8s.Authentication {
	one := func(i *issuer, username, usernamePrefix, groups, groupsPrefix string) apiserver.JWTAuthenticator {
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
		return apiserver.JWTAuthenticator{
			Issuer: apiserver.Issuer{URL: i.URL, Audiences: []string{"console"}, CertificateAuthority: string(ca)},
			ClaimMappings: apiserver.ClaimMappings{
				Username: apiserver.PrefixedClaimOrExpression{Claim: username, Prefix: ptr.To(usernamePrefix)},
				Groups:   apiserver.PrefixedClaimOrExpression{Claim: groups, Prefix: ptr.To(groupsPrefix)},
			},
		}
	}
	return k8s.Authentication{Issuers: []apiserver.JWTAuthenticator{one(people, "email", "", "groups", "dex:"), one(machines, "sub", "ci:", "roles", "")}}
}

// signIn says as whom a token is accepted.
func signIn(t *testing.T, cluster *k8s.Cluster, token string) (name string, groups []string, err error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/graphql", nil).WithContext(t.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	u, ok, err := cluster.Authenticate(r)
	if !ok {
		return "", nil, err
	}
	return u.GetName(), u.GetGroups(), nil
}

func testIssuers(t *testing.T, cluster *k8s.Cluster, people, machines *issuer) {
	for _, first := range []string{people.token(t, map[string]any{"email": "first@x"}), machines.token(t, map[string]any{"sub": "first"})} {
		eventually(t, func() error { _, _, err := signIn(t, cluster, first); return err }) // the issuer has been asked for its keys
	}
	stranger := newIssuer(t)
	for _, tt := range []struct {
		name   string
		issuer *issuer
		claims map[string]any
		user   string // "": refused
		groups []string
	}{
		{"a person", people, map[string]any{"email": "ann@x", "groups": []string{"devs", "ops"}}, "ann@x", []string{"dex:devs", "dex:ops", "system:authenticated"}},
		{"one group, no list", people, map[string]any{"email": "ann@x", "groups": "devs"}, "ann@x", []string{"dex:devs", "system:authenticated"}},
		{"no groups", people, map[string]any{"email": "ann@x"}, "ann@x", []string{"system:authenticated"}},
		{"one audience of several", people, map[string]any{"email": "ann@x", "aud": []string{"other", "console"}}, "ann@x", []string{"system:authenticated"}},
		{"a clock that is a little ahead", people, map[string]any{"email": "ann@x", "nbf": time.Now().Add(time.Minute).Unix()}, "ann@x", []string{"system:authenticated"}},
		{"a machine", machines, map[string]any{"sub": "build", "roles": []string{"r"}}, "ci:build", []string{"r", "system:authenticated"}},
		{"no name", people, map[string]any{"sub": "ann"}, "", nil},
		{"an email that is not verified", people, map[string]any{"email": "ann@x", "email_verified": false}, "", nil},
		{"another audience", people, map[string]any{"email": "ann@x", "aud": "other"}, "", nil},
		{"expired", people, map[string]any{"email": "ann@x", "exp": time.Now().Add(-time.Second).Unix()}, "", nil},
		{"not yet", people, map[string]any{"email": "ann@x", "nbf": time.Now().Add(time.Hour).Unix()}, "", nil},
		{"in the name of the other issuer", machines, map[string]any{"email": "ann@x", "iss": people.URL}, "", nil},
		{"an issuer that nobody knows", stranger, map[string]any{"email": "ann@x"}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, groups, err := signIn(t, cluster, tt.issuer.token(t, tt.claims))
			slices.Sort(groups)
			if diff := cmp.Diff(tt.groups, groups); name != tt.user || diff != "" {
				t.Errorf("accepted as %q, want %q; error %v; groups (-want +got):\n%s", name, tt.user, err, diff)
			}
		})
	}
	before := people.token(t, map[string]any{"email": "before@x"})
	people.rotate(t)
	if name, _, err := signIn(t, cluster, people.token(t, map[string]any{"email": "after@x"})); name != "after@x" {
		t.Errorf("with a new key: %q, %v", name, err)
	}
	if name, _, _ := signIn(t, cluster, before); name != "" {
		t.Errorf("with a key that was withdrawn: accepted as %q", name)
	}
}
