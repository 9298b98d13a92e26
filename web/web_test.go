package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kyma-eventmesh/kyma-console/web"
)

// byToken signs in "Bearer alice" as alice, finds "Bearer expired" invalid, and knows nobody else.
func byToken(r *http.Request) (user.Info, bool, error) {
	switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); token {
	case "":
		return nil, false, nil
	case "alice", "bob":
		return &user.DefaultInfo{Name: token, Groups: []string{"developers"}}, true, nil
	default:
		return nil, false, errors.New("token has expired")
	}
}

// whoAmI answers with what a GraphQL handler would see of the request.
func whoAmI(w http.ResponseWriter, r *http.Request) {
	u, _ := request.UserFrom(r.Context())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"user":     u.GetName(),
		"header":   r.Header.Get("Authorization"),
		"protocol": r.Header.Get("Sec-WebSocket-Protocol"),
		"body":     string(body),
	})
}

// config is a working configuration for tests to change.
func config() web.Config {
	return web.Config{
		Authenticate: byToken,
		GraphQL:      http.HandlerFunc(whoAmI),
		Schema:       []byte("type Query { ok: Boolean }\n"),
		Playground:   true,
		Ready:        func(context.Context) error { return nil },
		Metrics:      prometheus.NewRegistry(),
	}
}

// ask makes a request with headers given as name, value pairs; "Host" sets the host.
func ask(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// answer lets h answer r.
func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// errorCode returns extensions.code of the only error in a GraphQL answer, "" if there is none.
func errorCode(t *testing.T, body []byte) string {
	t.Helper()
	var got struct {
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("not JSON: %q: %v", body, err)
	}
	if len(got.Errors) == 0 {
		return ""
	}
	if got.Errors[0].Message == "" {
		t.Error("error without a message")
	}
	return got.Errors[0].Extensions.Code
}

func TestRoutes(t *testing.T) {
	h := web.New(config())
	for _, tc := range []struct {
		name, method, path string
		headers            []string
		status             int
		contentType        string
		want               string // the body contains it
	}{
		{"start page", "GET", "/", nil, 302, "text/html; charset=utf-8", "/playground"},
		{"alive", "GET", "/healthz", nil, 200, "application/json; charset=utf-8", "ok"},
		{"ready", "GET", "/readyz", nil, 200, "application/json; charset=utf-8", "ready"},
		{"head", "HEAD", "/healthz", nil, 200, "application/json; charset=utf-8", ""},
		{"schema", "GET", "/schema.graphqls", nil, 200, "text/plain; charset=utf-8", "type Query"},
		{"playground", "GET", "/playground", nil, 200, "text/html; charset=utf-8", "<title>"},
		{"playground with a slash", "GET", "/playground/", nil, 302, "text/html; charset=utf-8", "/playground"},
		{"metrics", "GET", "/metrics", []string{"Authorization", "Bearer alice"}, 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", ""},
		{"metrics need sign-in", "GET", "/metrics", nil, 401, "application/json; charset=utf-8", "UNAUTHENTICATED"},
		{"query by GET", "GET", "/graphql", []string{"Authorization", "Bearer alice"}, 200, "application/json", "alice"},
		{"nothing there", "GET", "/nothing", nil, 404, "application/json; charset=utf-8", "NOT_FOUND"},
		{"no such playground file", "GET", "/playground/index.html", nil, 404, "application/json; charset=utf-8", "NOT_FOUND"},
		{"no such method", "DELETE", "/graphql", []string{"Content-Type", "application/json"}, 405, "application/json; charset=utf-8", "not possible"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := answer(h, ask(tc.method, tc.path, "", tc.headers...))
			if w.Code != tc.status {
				t.Errorf("status %d, want %d", w.Code, tc.status)
			}
			if diff := cmp.Diff(tc.contentType, w.Header().Get("Content-Type")); diff != "" {
				t.Errorf("content type (-want +got):\n%s", diff)
			}
			if !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("body %q does not contain %q", w.Body, tc.want)
			}
			if w.Header().Get("X-Request-Id") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers missing: %v", w.Header())
			}
		})
	}
}

// TestHidden holds that what is not to be seen is not there.
func TestHidden(t *testing.T) {
	c := config()
	c.Schema, c.Playground = nil, false
	h := web.New(c)
	for _, path := range []string{"/schema.graphqls", "/playground", "/playground/", "/playground/graphiql.min.js", "/"} {
		if w := answer(h, ask("GET", path, "")); w.Code != http.StatusNotFound || errorCode(t, w.Body.Bytes()) != "NOT_FOUND" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestNotReady(t *testing.T) {
	c := config()
	c.Ready = func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("readiness is asked without a deadline")
		}
		return errors.New("caches are not synced")
	}
	w := answer(web.New(c), ask("GET", "/readyz", ""))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", w.Code)
	}
	want := `{"reason":"caches are not synced","status":"not ready"}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestNewRequires(t *testing.T) {
	for name, change := range map[string]func(*web.Config){
		"Authenticate": func(c *web.Config) { c.Authenticate = nil },
		"GraphQL":      func(c *web.Config) { c.GraphQL = nil },
		"Ready":        func(c *web.Config) { c.Ready = nil },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, name) {
					t.Errorf("panic %q does not name %s", got, name)
				}
			}()
			c := config()
			change(&c)
			web.New(c)
		})
	}
}

func TestPanicIsAnswered(t *testing.T) {
	var log bytes.Buffer
	c := config()
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	c.GraphQL = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of luck") })

	w := answer(web.New(c), ask("GET", "/graphql?query=secret", "", "Authorization", "Bearer alice", "X-Request-Id", "abc-1"))
	if w.Code != http.StatusInternalServerError || errorCode(t, w.Body.Bytes()) != "INTERNAL" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), "luck") {
		t.Errorf("the answer holds internals: %s", w.Body)
	}
	for _, want := range []string{"out of luck", "request=abc-1", "web_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("log holds the query:\n%s", &log)
	}
}

func TestRequestID(t *testing.T) {
	h := web.New(config())
	for _, tc := range []struct {
		name, id string
		kept     bool
	}{
		{"the client's", "4bf92f35-77b3", true},
		{"none", "", false},
		{"one that would forge a log line", "1\nlevel=ERROR", false},
		{"one that is too long", strings.Repeat("a", 129), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := answer(h, ask("GET", "/healthz", "", "X-Request-Id", tc.id)).Header().Get("X-Request-Id")
			if got == "" || (got == tc.id) != tc.kept {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	c := config()
	c.MaxBody = 8
	h := web.New(c)
	for _, tc := range []struct {
		name   string
		body   string
		length int64 // -1: not announced
		status int
	}{
		{"as large as allowed", "12345678", 8, 200},
		{"announced as too large", "123456789", 9, 413},
		{"turns out too large", "123456789", -1, 413},
		{"fits without announcement", "1234", -1, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := ask("POST", "/graphql", tc.body, "Authorization", "Bearer alice", "Content-Type", "application/json")
			r.ContentLength = tc.length
			if w := answer(h, r); w.Code != tc.status {
				t.Errorf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
		})
	}
}
