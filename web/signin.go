package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// protocolHeader lists the sub-protocols that the client of a websocket offers.
const protocolHeader = "Sec-Websocket-Protocol"

// isSubprotocol reports whether s names one of GraphQL's two websocket sub-protocols: the Kyma Console's and today's.
func isSubprotocol(s string) bool {
	return s == transport.LegacyWS || s == transport.TransportWS
}

// tokenFromSubprotocol takes a websocket's token from where the Kyma Console puts it: browsers cannot set headers there,
// so it offers two sub-protocols, "graphql-ws, <token>". The second becomes the Authorization header, unless there is one,
// and is removed, so that it is neither chosen nor logged. Two real sub-protocols are an offer without a token. Lists that
// are neither are refused, as they always were.
func tokenFromSubprotocol(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offered := strings.Join(r.Header.Values(protocolHeader), ",")
		if !isUpgrade(r) || offered == "" {
			next.ServeHTTP(w, r)
			return
		}
		protocol, token, ok := splitSubprotocols(offered)
		if !ok {
			writeError(w, http.StatusBadRequest, codeBadRequest, "sec-websocket-protocol malformed")
			return
		}
		if token != "" {
			r = r.Clone(r.Context())
			r.Header.Set(protocolHeader, protocol)
			if r.Header.Get("Authorization") == "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// splitSubprotocols finds the token in a list of sub-protocols; ok is false if the list makes no sense.
func splitSubprotocols(offered string) (protocol, token string, ok bool) {
	parts := strings.Split(offered, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
		if parts[i] == "" {
			return "", "", false
		}
	}
	switch {
	case len(parts) == 1:
		return parts[0], "", true // an unknown one is the upgrader's to refuse
	case len(parts) > 2 || !isSubprotocol(parts[0]):
		return "", "", false
	case isSubprotocol(parts[1]):
		return parts[0], "", true
	}
	return parts[0], parts[1], true
}

// signedIn lets nobody pass unknown. The user goes into the context, the token stays here: what is not in the headers
// further down cannot be logged or sent on by mistake.
func (s *server) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credentials := r.Clone(r.Context())
		u, ok := s.identify(credentials)
		if isUpgrade(r) {
			r = r.WithContext(transport.WithSignIn(r.Context(), s.signInLater(credentials)))
		}
		if !ok && mayGreetLater(r) {
			next.ServeHTTP(w, r)
			return
		}
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, http.StatusUnauthorized, codeUnauthenticated, "Unauthorized")
			return
		}
		ctx := request.WithUser(r.Context(), u)
		if isStream(r) {
			var cancel context.CancelCauseFunc
			ctx, cancel = context.WithCancelCause(ctx)
			defer cancel(nil)
			go s.keepSignedIn(ctx, cancel, credentials, u)
		}
		r = r.Clone(ctx)
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r)
	})
}

// mayGreetLater reports whether the request is for a websocket of the API whose client can still say who it is: browsers
// cannot send headers with it, so clients of graphql-transport-ws put the token into their first message. Those of the older
// sub-protocol are refused at the door, as they always were, and nothing but the API asks again.
func mayGreetLater(r *http.Request) bool {
	return isUpgrade(r) && r.URL.Path == graphqlPath && r.Header.Get("Authorization") == "" && r.Header.Get(protocolHeader) == transport.TransportWS
}

// signInLater signs in by a token that comes in the first message of a websocket, whose request r was.
func (s *server) signInLater(r *http.Request) transport.SignIn {
	return func(ctx context.Context, token string) (context.Context, context.CancelFunc, bool) {
		credentials := r.Clone(r.Context())
		credentials.Header.Set("Authorization", "Bearer "+token)
		u, ok := s.identify(credentials)
		if !ok {
			return nil, nil, false
		}
		ctx, cancel := context.WithCancelCause(request.WithUser(ctx, u))
		go s.keepSignedIn(ctx, cancel, credentials, u)
		return ctx, func() { cancel(nil) }, true
	}
}

// identify asks who sent the request and logs why that could not be said. It works on a copy: authenticators are allowed
// to take the credentials out of a request.
func (s *server) identify(r *http.Request) (user.Info, bool) {
	u, ok, err := s.Authenticate(r.Clone(r.Context()))
	if err != nil {
		s.Log.InfoContext(r.Context(), "sign-in refused", "error", err, "path", r.URL.Path, "client", r.RemoteAddr)
		return nil, false
	}
	return u, ok && u != nil
}

// keepSignedIn ends a stream when its token expires. Until then, or until ctx ends, it repeats the sign-in, and ends the
// stream when that fails or gives another user than u, or the same one with other groups, by which rights are decided. A
// client that still has the right to be here connects again.
func (s *server) keepSignedIn(ctx context.Context, cancel context.CancelCauseFunc, credentials *http.Request, u user.Info) {
	tick := time.NewTicker(s.Recheck)
	defer tick.Stop()
	var expired <-chan time.Time // never, for a token that does not say
	if at, ok := expiry(credentials); ok {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-expired:
			cancel(transport.ErrSignedOut)
			return
		case <-tick.C:
			if now, ok := s.identify(credentials); !ok || !same(now, u) {
				cancel(transport.ErrSignedOut)
				return
			}
		}
	}
}

// same reports whether two users have the same name, UID and groups.
func same(a, b user.Info) bool {
	return a.GetName() == b.GetName() && a.GetUID() == b.GetUID() && sets.New(a.GetGroups()...).Equal(sets.New(b.GetGroups()...))
}

// expiry is when the token of r, which has been found good, expires; ok is false when it does not say. The claim is read
// without a look at the signature: that is why it must not be used before sign-in.
func expiry(r *http.Request) (at time.Time, ok bool) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	parts := strings.Split(strings.TrimSpace(token), ".")
	if !strings.EqualFold(scheme, "Bearer") || len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp *float64 `json:"exp"` // seconds, which may have a fraction
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Exp == nil {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(*claims.Exp * 1000)), true
}
