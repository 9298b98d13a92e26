package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// Headers of the Open Service Broker API.
const (
	versionHeader  = "X-Broker-API-Version"
	identityHeader = "X-Broker-API-Originating-Identity"
)

// recovered answers 500 to a request whose handling panics, and logs where.
func (b *broker) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				b.Log.ErrorContext(r.Context(), "broker request panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				problem(http.StatusInternalServerError, "InternalError", "the broker failed; its log says why").write(w)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// authenticated lets those pass that know the user and password kept in the namespace of the path.
func (b *broker) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, given := r.BasicAuth()
		var valid bool
		// What cannot be a namespace would only be an error of the request that asks for its Secret.
		if namespace := chi.URLParam(r, "namespace"); given && len(validation.IsDNS1123Label(namespace)) == 0 {
			var err error
			if valid, err = b.knows(r.Context(), namespace, username, password); err != nil {
				b.failure(r, err).write(w)
				return
			}
		}
		if !valid {
			w.Header().Set("WWW-Authenticate", `Basic realm="application-broker", charset="UTF-8"`)
			problem(http.StatusUnauthorized, "Unauthorized", "the user and password of the namespace are required").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knows reports whether username and password are those in the Secret of namespace. No Secret knows nobody.
func (b *broker) knows(ctx context.Context, namespace, username, password string) (bool, error) {
	var secret corev1.Secret
	err := b.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: eventmesh.BrokerAuthSecret}, &secret)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return matches(secret.Data, username, password), nil
}

// matches compares in a time that tells nothing about where they differ. Empty credentials match nobody.
func matches(secret map[string][]byte, username, password string) bool {
	wantUser, wantPassword := secret[corev1.BasicAuthUsernameKey], secret[corev1.BasicAuthPasswordKey]
	if len(wantUser) == 0 || len(wantPassword) == 0 {
		return false
	}
	return same(wantUser, username)&same(wantPassword, password) == 1
}

// same compares digests, which are of one length.
func same(want []byte, got string) int {
	a, b := sha256.Sum256(want), sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(a[:], b[:])
}

// versioned lets requests of version 2.13 and later of the API pass.
func versioned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version := r.Header.Get(versionHeader)
		if !supported(version) {
			problem(http.StatusPreconditionFailed,
				"while checking '"+versionHeader+"' header, should be 2.13 or later, got "+version,
				"Requests requires the '"+versionHeader+"' header specified").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func supported(version string) bool {
	major, minor, ok := strings.Cut(version, ".")
	n, err := strconv.ParseUint(minor, 10, 16)
	return ok && err == nil && major == "2" && n >= 13
}

// identified refuses identities of other platforms than Kubernetes. The header says on whose behalf Service Catalog
// acts; it is information for the log, what is allowed was decided before.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get(identityHeader)
		if _, ok := identity(header); header != "" && !ok {
			problem(http.StatusPreconditionFailed,
				"while checking '"+identityHeader+"' header, should be kubernetes and a base64-encoded JSON object, got "+header,
				"Requests requires the '"+identityHeader+"' header to name a user of Kubernetes").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// identity is the user's name in a header "kubernetes <base64 of a JSON object>".
func identity(header string) (username string, ok bool) {
	platform, encoded, ok := strings.Cut(header, " ")
	if !ok || platform != "kubernetes" {
		return "", false
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	var user struct {
		Username string `json:"username"`
	}
	return user.Username, json.Unmarshal(data, &user) == nil
}

// requester is the name of the user on whose behalf r is made, "" if it does not say.
func requester(r *http.Request) string {
	username, _ := identity(r.Header.Get(identityHeader))
	return username
}

// limited bounds the body.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}
