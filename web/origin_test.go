package web_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kyma-eventmesh/kyma-console/web"
)

func TestHost(t *testing.T) {
	for _, tc := range []struct {
		name, host string
		loopback   bool
		status     int
	}{
		{"localhost", "localhost:3000", true, 200},
		{"localhost without port", "localhost", true, 200},
		{"localhost in capitals, full name", "LOCALHOST.:3000", true, 200},
		{"IPv4", "127.0.0.1:3000", true, 200},
		{"IPv6", "[::1]:3000", true, 200},
		{"IPv6 without port", "[::1]", true, 200},
		{"configured", "console.test:8080", true, 200},
		{"a page that points its name at us", "evil.example:3000", true, 403},
		{"a name that only begins like ours", "localhost.evil.example", true, 403},
		{"an address that is not ours", "10.0.0.1:3000", true, 403},
		{"none", "", true, 403},
		{"any, where a token is needed", "console.example.com", false, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config()
			c.Loopback = tc.loopback
			c.AllowedHosts = []string{"console.test"}
			w := answer(web.New(c), ask("GET", "/healthz", "", "Host", tc.host))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			if tc.status != 200 && errorCode(t, w.Body.Bytes()) != "FORBIDDEN" {
				t.Errorf("got %s", w.Body)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	const own, other, allowed = "http://localhost:3000", "https://evil.example", "https://console.example.com"
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket"}
	post := []string{"Content-Type", "application/json"}
	for _, tc := range []struct {
		name    string
		method  string
		headers []string
		status  int
	}{
		{"script without origin", "POST", post, 200},
		{"own page", "POST", append(post, "Origin", own, "Sec-Fetch-Site", "same-origin"), 200},
		{"own page, old browser", "POST", append(post, "Origin", own), 200},
		{"allowed page", "POST", append(post, "Origin", allowed, "Sec-Fetch-Site", "cross-site"), 200},
		{"other page", "POST", append(post, "Origin", other, "Sec-Fetch-Site", "cross-site"), 403},
		{"other page, old browser", "POST", append(post, "Origin", other), 403},
		{"same host, other port", "POST", append(post, "Origin", "http://localhost:8080"), 403},
		{"page without an origin", "POST", append(post, "Origin", "null"), 403},
		{"page that hides its origin", "POST", append(post, "Sec-Fetch-Site", "cross-site"), 403},
		{"websocket of a script", "GET", upgrade, 200},
		{"websocket of our page", "GET", append(upgrade, "Origin", own), 200},
		{"websocket of an allowed page", "GET", append(upgrade, "Origin", allowed), 200},
		{"websocket of another page", "GET", append(upgrade, "Origin", other), 403},
		{"query by GET from another page", "GET", []string{"Origin", other}, 200}, // which cannot read the answer

		{"form", "POST", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"form with files", "POST", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"text", "POST", []string{"Content-Type", "text/plain"}, 415},
		{"no content type", "POST", nil, 415},
		{"JSON that is text to the browser", "POST", []string{"Content-Type", "text/plain; application/json"}, 415},
		{"JSON with charset", "POST", []string{"Content-Type", "Application/JSON; charset=utf-8"}, 200},
		{"GraphQL's own type, which is for answers", "POST", []string{"Content-Type", "application/graphql-response+json"}, 415},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config()
			c.AllowedOrigins = []string{allowed + "/"}
			headers := append([]string{"Host", "localhost:3000", "Authorization", "Bearer alice"}, tc.headers...)
			w := answer(web.New(c), ask(tc.method, "/graphql", "{}", headers...))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			if tc.status != 200 && errorCode(t, w.Body.Bytes()) == "" {
				t.Errorf("refused without a code: %s", w.Body)
			}
		})
	}
}

func TestLocal(t *testing.T) {
	h := web.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, tc := range []struct {
		name, method, host string
		headers            []string
		status             int
	}{
		{"a program", "POST", "127.0.0.1:3001", nil, 204},
		{"a program, by name", "POST", "localhost:3001", nil, 204},
		{"our own page", "POST", "localhost:3001", []string{"Origin", "http://localhost:3001"}, 204},
		{"a page of another origin", "POST", "127.0.0.1:3001", []string{"Origin", "https://evil.example"}, 403},
		{"a form of another site", "POST", "127.0.0.1:3001", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a link of another site", "GET", "127.0.0.1:3001", []string{"Sec-Fetch-Site", "cross-site"}, 204},
		{"a name that leads here", "GET", "evil.example:3001", nil, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := answer(h, ask(tc.method, "/", "", append(tc.headers, "Host", tc.host)...))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	c := config()
	c.AllowedOrigins = []string{"https://console.example.com"}
	h := web.New(c)
	asks := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"}

	w := answer(h, ask(http.MethodOptions, "/graphql", "", append(asks, "Origin", "https://console.example.com")...))
	got := map[string]string{}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"} {
		got[name] = w.Header().Get(name)
	}
	want := map[string]string{
		"Access-Control-Allow-Origin":  "https://console.example.com",
		"Access-Control-Allow-Methods": "GET, POST",
		"Access-Control-Allow-Headers": "authorization,content-type",
	}
	if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusNoContent {
		t.Errorf("preflight: status %d, headers (-want +got):\n%s", w.Code, diff)
	}

	w = answer(h, ask(http.MethodOptions, "/graphql", "", append(asks, "Origin", "https://evil.example")...))
	if w.Code != http.StatusForbidden || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another page: status %d, headers %v", w.Code, w.Header())
	}

	// The page must be able to read that its token is no good.
	w = answer(h, ask("POST", "/graphql", "{}", "Origin", "https://console.example.com", "Content-Type", "application/json"))
	if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("refused sign-in: status %d, headers %v", w.Code, w.Header())
	}
}
