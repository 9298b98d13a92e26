package main

import (
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestConsolePages loads what a browser loads, all of it from this server, and holds the page to running nothing else.
func TestConsolePages(t *testing.T) {
	page, header := exchange(t, http.MethodGet, shared.console+"/playground", nil, nil)
	if page.Status != 200 || page.ContentType != "text/html; charset=utf-8" {
		t.Fatalf("playground: %+v", page)
	}
	policy := map[string]string{}
	for directive := range strings.SplitSeq(header.Get("Content-Security-Policy"), ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		policy[name] = sources
	}
	want := map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:", "font-src": "'self' data:",
		"connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
	}
	if diff := cmp.Diff(want, policy); diff != "" {
		t.Errorf("Content-Security-Policy (-want +got):\n%s", diff)
	}
	// What the policy forbids must not be there either: the page would not work.
	if inline := regexp.MustCompile(`<script>|<style|\sstyle=|\son[a-z]+=|javascript:`).FindString(page.Body); inline != "" {
		t.Errorf("the page has %q", inline)
	}
	files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body, -1)
	if len(files) < 4 {
		t.Errorf("the page loads only %q", files)
	}
	base, err := url.Parse(shared.console + "/playground")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".graphqls": "text/plain; charset=utf-8",
	}
	for _, file := range files {
		u, err := base.Parse(file[1])
		if err != nil || u.Host != base.Host {
			t.Errorf("the page loads %s, error %v", file[1], err)
			continue
		}
		got, header := exchange(t, http.MethodGet, u.String(), nil, nil)
		if got.Status != 200 || got.ContentType != types[path.Ext(u.Path)] || got.Body == "" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %s, %d bytes", u, got.Status, got.ContentType, len(got.Body))
		}
	}
	schema, err := os.ReadFile("schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	const jsonUTF8 = "application/json; charset=utf-8"
	for target, want := range map[string]httpAnswer{
		"/schema.graphqls":                {200, "text/plain; charset=utf-8", string(schema)},
		"/readyz":                         {200, jsonUTF8, `{"status":"ready"}` + "\n"},
		"/healthz":                        {200, jsonUTF8, `{"status":"ok"}` + "\n"},
		"/nothing":                        {404, jsonUTF8, `{"errors":[{"message":"there is nothing at /nothing","extensions":{"code":"NOT_FOUND"}}]}` + "\n"},
		"/graphql?query=%7B__typename%7D": {200, jsonUTF8, `{"data":{"__typename":"Query"}}`},
	} {
		wantAnswer(t, http.MethodGet, shared.console+target, nil, "", want)
	}
	if got, header := exchange(t, http.MethodGet, shared.console+"/", nil, nil); got.Status != 302 || header.Get("Location") != "/playground" {
		t.Errorf("/: %+v, Location %q", got, header.Get("Location"))
	}
}

// TestForeignPagesAreRefused keeps web pages from using a browser on this machine as their way in.
func TestForeignPagesAreRefused(t *testing.T) {
	const document = `{"query":"{ __typename }"}`
	graphql, services := shared.console+"/graphql", shared.connector+"/no-such-application/v1/metadata/services"
	for _, tt := range []struct {
		name, method, target, host string
		header                     http.Header
		want                       int
	}{
		{"a client that is no browser", "POST", graphql, "", http.Header{"Content-Type": {jsonType}}, 200},
		{"our own page", "POST", graphql, "", http.Header{"Content-Type": {jsonType}, "Origin": {shared.console}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"by the name localhost", "POST", graphql, "localhost:3000", http.Header{"Content-Type": {jsonType}}, 200},
		{"a page of another origin", "POST", graphql, "", http.Header{"Content-Type": {jsonType}, "Origin": {"http://evil.example"}}, 403},
		{"a page of another port", "POST", graphql, "", http.Header{"Content-Type": {jsonType}, "Origin": {"http://127.0.0.1:1"}}, 403},
		{"a sandboxed page", "POST", graphql, "", http.Header{"Content-Type": {jsonType}, "Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"another site", "POST", graphql, "", http.Header{"Content-Type": {jsonType}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a form", "POST", graphql, "", http.Header{"Content-Type": {"text/plain"}}, 415},
		{"a page that asks first", "OPTIONS", graphql, "", http.Header{"Origin": {"http://evil.example"}, "Access-Control-Request-Method": {"POST"}}, 403},
		{"a name that leads here", "POST", graphql, "evil.example", http.Header{"Content-Type": {jsonType}}, 403},
		{
			"a page of that name", "POST", graphql, "evil.example:3000",
			http.Header{"Content-Type": {jsonType}, "Origin": {"http://evil.example:3000"}, "Sec-Fetch-Site": {"same-origin"}},
			403,
		},
		{"a name that leads here, for a page", "GET", shared.console + "/playground", "evil.example", http.Header{}, 403},
		{"a name that leads here, for metrics", "GET", shared.console + "/metrics", "evil.example", http.Header{}, 403},
		{"metrics", "GET", shared.console + "/metrics", "", http.Header{}, 200},
		{"the connector", "POST", services, "", http.Header{}, 400},
		{"the connector, for a form of another origin", "POST", services, "", http.Header{"Content-Type": {"text/plain"}, "Origin": {"http://evil.example"}}, 403},
		{"the connector, for another site", "POST", services, "", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"the connector, by a name that leads here", "GET", services, "evil.example", http.Header{}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tt.method, tt.target, strings.NewReader(document))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = tt.header.Clone()
			r.Host = tt.host
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != tt.want {
				t.Errorf("got %s, want %d", response.Status, tt.want)
			}
			if allowed := response.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
				t.Errorf("origin %s is allowed to read", allowed)
			}
		})
	}
}
