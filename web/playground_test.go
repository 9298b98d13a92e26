package web_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/kyma-eventmesh/kyma-console/web"
)

// TestPlaygroundPage follows every link of the page and holds that nothing in it needs more than the policy allows.
func TestPlaygroundPage(t *testing.T) {
	h := web.New(config())
	page := answer(h, ask("GET", "/playground", ""))

	policy := page.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	for _, never := range []string{"unsafe", "http:", "https:", "*"} {
		if strings.Contains(policy, never) {
			t.Errorf("policy %q has %q", policy, never)
		}
	}

	html := page.Body.String()
	for name, bad := range map[string]string{
		"inline script": `<script[^>]*>[^<]`, "inline style": `<style|style=`, "handler": ` on[a-z]+=`, "other host": `(src|href)="(https?:)?//`,
	} {
		if found := regexp.MustCompile(bad).FindString(html); found != "" {
			t.Errorf("%s in the page: %s", name, found)
		}
	}

	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	if len(links) < 7 {
		t.Fatalf("links: %v", links)
	}
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
		".graphqls": "text/plain; charset=utf-8",
	}
	for _, link := range links {
		w := answer(h, ask("GET", "/"+link[1], "", "Accept-Encoding", "gzip, br"))
		if want := types[filepath.Ext(link[1])]; w.Code != 200 || w.Header().Get("Content-Type") != want {
			t.Errorf("%s: %d %s, want %s", link[1], w.Code, w.Header().Get("Content-Type"), want)
		}
	}
}

func TestPlaygroundEncoding(t *testing.T) {
	h := web.New(config())
	const path = "/playground/graphiql.min.js"
	for _, tc := range []struct {
		accept  string
		gzipped bool
	}{
		{"gzip", true},
		{"br, GZIP;q=0.5", true},
		{"", false},
		{"br", false},
		{"gzip;q=0, br", false},
	} {
		t.Run(tc.accept, func(t *testing.T) {
			w := answer(h, ask("GET", path, "", "Accept-Encoding", tc.accept))
			if got := w.Header().Get("Content-Encoding") == "gzip"; got != tc.gzipped {
				t.Fatalf("Content-Encoding %q", w.Header().Get("Content-Encoding"))
			}
			body := plain(t, w.Body.Bytes(), tc.gzipped)
			if !bytes.Contains(body, []byte(".GraphiQL=")) {
				t.Errorf("not GraphiQL: %.80q", body)
			}
		})
	}

	etag := answer(h, ask("GET", path, "", "Accept-Encoding", "gzip")).Header().Get("ETag")
	w := answer(h, ask("GET", path, "", "Accept-Encoding", "gzip", "If-None-Match", "W/"+etag))
	if etag == "" || w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("with ETag %s: status %d, %d bytes", etag, w.Code, w.Body.Len())
	}
}

// plain returns content as it was before gzip.
func plain(t *testing.T, content []byte, gzipped bool) []byte {
	t.Helper()
	if !gzipped {
		return content
	}
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestPlaygroundDist holds that the third-party files are what refresh.sh fetched: no more, no less, unchanged.
func TestPlaygroundDist(t *testing.T) {
	const dist = "playground/dist"
	sums, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	got := map[string]string{}
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "SHA256SUMS" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dist, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name, gzipped := strings.CutSuffix(e.Name(), ".gz")
		sum := sha256.Sum256(plain(t, content, gzipped))
		got[name] = hex.EncodeToString(sum[:])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-SHA256SUMS +dist):\n%s", diff)
	}
}

// TestPlaygroundExamples holds that the examples can be sent as they stand.
func TestPlaygroundExamples(t *testing.T) {
	var tabs []struct{ Query string }
	body := answer(web.New(config()), ask("GET", "/playground/examples.json", "")).Body.Bytes()
	if err := json.Unmarshal(body, &tabs); err != nil || len(tabs) != 4 {
		t.Fatalf("%v: %s", err, body)
	}
	text, err := os.ReadFile("../schema.graphqls")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no schema beside this package")
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range tabs {
		if _, errs := gqlparser.LoadQueryWithRules(schema, tab.Query, rules.NewDefaultRules()); len(errs) > 0 {
			t.Errorf("%s\n%v", tab.Query, errs)
		}
	}
}
