package k8s

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	unionrequest "k8s.io/apiserver/pkg/authentication/request/union"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	uniontoken "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

// tokenTTL is how long a token that was found good is believed, so that its groups are not worked out for each request.
const tokenTTL = 10 * time.Second

// Authentication says which OpenID Connect issuers' tokens are honoured, in the words of the API server's
// AuthenticationConfiguration. The zero value is none.
type Authentication struct {
	Issuers []apiserver.JWTAuthenticator
	// SigningAlgs are the JOSE algorithms that tokens may be signed with. None means RS256.
	SigningAlgs []string
}

// ReadAuthentication reads an AuthenticationConfiguration as the API server does, which allows several issuers and
// expressions over claims, with all algorithms.
func ReadAuthentication(file string) (Authentication, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Authentication{}, fmt.Errorf("reading authentication configuration: %w", err)
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	obj, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(), raw)
	if err != nil {
		return Authentication{}, fmt.Errorf("authentication configuration %s: %w", file, err)
	}
	config, ok := obj.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return Authentication{}, fmt.Errorf("authentication configuration %s: it is %T", file, obj)
	}
	if config.Anonymous != nil {
		return Authentication{}, fmt.Errorf("authentication configuration %s: anonymous: it is not for this file to say who nobody is", file)
	}
	a := Authentication{config.JWT, oidc.AllValidSigningAlgorithms()}
	if err := a.Validate(); err != nil {
		return Authentication{}, fmt.Errorf("authentication configuration %s: %w", file, err)
	}
	return a, nil
}

// Validate says what is wrong with a, all of it.
func (a Authentication) Validate() error {
	config := &apiserver.AuthenticationConfiguration{JWT: a.Issuers}
	err := validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), config, nil).ToAggregate()
	errs := []error{}
	if err != nil {
		errs = append(errs, err)
	}
	known := map[string]bool{}
	for _, alg := range oidc.AllValidSigningAlgorithms() {
		known[alg] = true
	}
	for _, alg := range a.SigningAlgs {
		if !known[alg] {
			errs = append(errs, fmt.Errorf("signing algorithm %q: it must be one of %v", alg, oidc.AllValidSigningAlgorithms()))
		}
	}
	return errors.Join(errs...)
}

// newAuthenticator honours tokens of a's issuers and those that the API server reviews. An issuer that cannot be reached is
// asked again every ten seconds until ctx ends; tokens of others are honoured meanwhile.
func newAuthenticator(ctx context.Context, a Authentication, reviews authenticationclient.AuthenticationV1Interface, backoff wait.Backoff) (authenticator.Request, error) {
	reviewed, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient:  reviews,
		TokenAccessReviewTimeout: 10 * time.Second,
		WebhookRetryBackoff:      &backoff,
		CacheTTL:                 tokenTTL,
	}.New()
	if err != nil || len(a.Issuers) == 0 {
		return reviewed, err
	}
	var issuers []authenticator.Token
	for _, issuer := range a.Issuers {
		o := oidc.Options{JWTAuthenticator: issuer, SupportedSigningAlgs: a.SigningAlgs}
		if ca := issuer.Issuer.CertificateAuthority; ca != "" {
			if o.CAContentProvider, err = dynamiccertificates.NewStaticCAContent("oidc-authenticator", []byte(ca)); err != nil {
				return nil, fmt.Errorf("issuer %s: %w", issuer.Issuer.URL, err)
			}
		}
		t, err := oidc.New(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", issuer.Issuer.URL, err)
		}
		issuers = append(issuers, t)
	}
	tokens := tokencache.New(uniontoken.New(issuers...), false, tokenTTL, 0)
	return group.NewAuthenticatedGroupAdder(unionrequest.New(bearertoken.New(tokens), reviewed)), nil
}

// Authenticate tells who makes a request by its bearer token, which an issuer of Options has signed or the cluster reviews.
// A request without one is the anonymous user of Options, when there is one. ok is false for a request that nobody stands
// behind; err is a failure to find out.
func (c *Cluster) Authenticate(r *http.Request) (u user.Info, ok bool, err error) {
	if r.Header.Get("Authorization") == "" && c.anonymous != nil {
		return c.anonymous, true, nil
	}
	// The authenticator removes the header it used, so that nothing behind it can leak the token.
	res, ok, err := c.authenticator.AuthenticateRequest(r)
	if err != nil || !ok {
		return nil, false, err
	}
	u, err = identify(res.User)
	return u, err == nil, err
}
