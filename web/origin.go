package web

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// hostChecked refuses requests whose Host header does not name this machine, when that is what sign-in rests on (see
// Config.Loopback).
func (s *server) hostChecked(next http.Handler) http.Handler {
	if !s.Loopback {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostName(r.Host)
		if !isLoopbackName(host) && !slices.ContainsFunc(s.AllowedHosts, func(a string) bool { return hostName(a) == host }) {
			writeError(w, http.StatusForbidden, codeForbidden,
				fmt.Sprintf("host %q is not allowed here: use localhost, or start the server with this name allowed", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Local guards a handler that trusts whoever is on this machine, on a loopback listener, against the pages that a browser on
// this machine shows: the Host header must name this machine, and what changes something must not come from a page of
// another origin. Clients other than browsers notice nothing.
func Local(next http.Handler) http.Handler {
	var sameOrigin http.CrossOriginProtection
	s := &server{Config: Config{Loopback: true}}
	return s.hostChecked(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sameOrigin.Check(r) != nil {
			refuseOrigin(w, r.Header.Get("Origin"))
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// hostName returns the host of a Host header: lower case, without port, brackets or the dot of a full name.
func hostName(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// isLoopbackName reports whether only this machine can be meant: a page of another host cannot have this name.
func isLoopbackName(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// originChecked keeps other people's web pages from acting as the user. A page can make the browser send a form to any
// server and open a websocket to it, with nothing to stop it but the server: so both must come from our own pages or
// from allowed ones, and a POST must have a content type that no form can produce. Clients other than browsers send
// neither Origin nor Sec-Fetch-Site and pass. A cross-origin GET is harmless: it changes nothing, and without CORS
// headers the page cannot read the answer.
func (s *server) originChecked(next http.Handler) http.Handler {
	var sameOrigin http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		allowed := s.allowedOrigin(origin)
		w.Header().Add("Vary", "Origin")
		if allowed {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", requestIDHeader)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			preflight(w, r, allowed)
			return
		}

		acting := r
		if isUpgrade(r) { // a GET, but one that leads to mutations
			acting = r.Clone(r.Context())
			acting.Method = http.MethodPost
		}
		if !allowed && sameOrigin.Check(acting) != nil {
			refuseOrigin(w, origin)
			return
		}
		if !isSafe(r.Method) && !isJSON(r.Header.Get("Content-Type")) {
			writeError(w, http.StatusUnsupportedMediaType, codeBadRequest, "Content-Type must be application/json")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowedOrigin reports whether origin is one of the configured ones; the server's own is not among them.
func (s *server) allowedOrigin(origin string) bool {
	return origin != "" && slices.ContainsFunc(s.AllowedOrigins, func(a string) bool {
		return strings.EqualFold(strings.TrimSuffix(a, "/"), origin)
	})
}

// preflight answers the browser's question whether a page of another origin may send a request. Any header is fine: what
// matters is who asks.
func preflight(w http.ResponseWriter, r *http.Request, allowed bool) {
	if !allowed {
		refuseOrigin(w, r.Header.Get("Origin"))
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Max-Age", "600") // seconds
	w.WriteHeader(http.StatusNoContent)
}

// refuseOrigin tells a page's developer what to change.
func refuseOrigin(w http.ResponseWriter, origin string) {
	writeError(w, http.StatusForbidden, codeForbidden,
		fmt.Sprintf("requests from pages of origin %q are not allowed: the server must be started with this origin allowed", origin))
}

// isSafe reports whether the method changes nothing.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// isJSON reports whether a content type is that of a GraphQL request. None of the three that a form can send
// (url-encoded, multipart, text/plain) is, nor is a missing one.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == "application/json"
}
