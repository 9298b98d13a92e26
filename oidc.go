package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/apis/apiserver"

	"github.com/kyma-eventmesh/kyma-console/k8s"
)

// oidcFlags say whose tokens are honoured besides those of the cluster: one issuer's by flags, or several by a file.
type oidcFlags struct {
	issuer         string
	clientID       string
	caFile         string
	usernameClaim  string
	usernamePrefix string
	groupsClaim    string
	groupsPrefix   string
	signingAlgs    string // separated by commas
	file           string
}

func (o *oidcFlags) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.issuer, "oidc-issuer", "", "https URL of an OpenID Connect issuer whose tokens are honoured besides those of the cluster")
	f.StringVar(&o.clientID, "oidc-client-id", "", "audience that tokens of the issuer must have")
	f.StringVar(&o.caFile, "oidc-ca-file", "", "file with the certificates, in PEM, that the issuer's must be signed by; empty means those of this machine")
	f.StringVar(&o.usernameClaim, "oidc-username-claim", "email", "claim that is the user's name; an email must not be unverified")
	f.StringVar(&o.usernamePrefix, "oidc-username-prefix", "", "what is put before the user's name")
	f.StringVar(&o.groupsClaim, "oidc-groups-claim", "groups", "claim with the user's groups; empty means none")
	f.StringVar(&o.groupsPrefix, "oidc-groups-prefix", "", "what is put before the name of each group")
	f.StringVar(&o.signingAlgs, "oidc-signing-algs", "RS256", "algorithms, separated by commas, that tokens may be signed with")
	f.StringVar(&o.file, "authentication-config", "", "file with the API server's AuthenticationConfiguration, for several issuers; instead of --oidc-issuer")
}

// authentication is what the flags say, checked as the API server checks it.
func (o *oidcFlags) authentication() (k8s.Authentication, error) {
	switch {
	case o.file != "" && o.issuer != "":
		return k8s.Authentication{}, errors.New("--authentication-config and --oidc-issuer exclude each other")
	case o.file != "":
		return k8s.ReadAuthentication(o.file)
	case o.issuer == "" && o.clientID != "":
		return k8s.Authentication{}, errors.New("--oidc-client-id needs --oidc-issuer")
	case o.issuer == "":
		return k8s.Authentication{}, nil
	}
	issuer, err := o.jwt()
	if err != nil {
		return k8s.Authentication{}, err
	}
	a := k8s.Authentication{Issuers: []apiserver.JWTAuthenticator{issuer}, SigningAlgs: strings.Split(o.signingAlgs, ",")}
	if err := a.Validate(); err != nil {
		return k8s.Authentication{}, fmt.Errorf("--oidc-*: %w", err)
	}
	return a, nil
}

// jwt is the issuer of the flags. It cannot make anybody one of Kubernetes' own users and groups, which system:masters is
// among; who wants that has the file.
func (o *oidcFlags) jwt() (apiserver.JWTAuthenticator, error) {
	issuer := apiserver.JWTAuthenticator{
		Issuer: apiserver.Issuer{URL: o.issuer, Audiences: []string{o.clientID}},
		ClaimMappings: apiserver.ClaimMappings{
			Username: apiserver.PrefixedClaimOrExpression{Claim: o.usernameClaim, Prefix: &o.usernamePrefix},
		},
		UserValidationRules: []apiserver.UserValidationRule{
			{Expression: `!user.username.startsWith("system:")`, Message: "names of users must not begin with system:"},
			{Expression: `user.groups.all(group, !group.startsWith("system:"))`, Message: "names of groups must not begin with system:"},
		},
	}
	if o.groupsClaim != "" {
		issuer.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: o.groupsClaim, Prefix: &o.groupsPrefix}
	}
	if o.caFile != "" {
		ca, err := os.ReadFile(o.caFile)
		if err != nil {
			return issuer, fmt.Errorf("--oidc-ca-file: %w", err)
		}
		issuer.Issuer.CertificateAuthority = string(ca)
	}
	return issuer, nil
}
