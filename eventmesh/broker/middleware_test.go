package broker

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// done is what a request reaches that no middleware stops.
var done = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func do(t *testing.T, h http.Handler, r *http.Request) (int, errorBody) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body errorBody
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("content type is %q", got)
		}
	}
	return w.Code, body
}

func TestVersioned(t *testing.T) {
	for version, want := range map[string]int{
		"2.13": http.StatusTeapot, "2.14": http.StatusTeapot, "2.99": http.StatusTeapot,
		"": http.StatusPreconditionFailed, "2": http.StatusPreconditionFailed, "2.12": http.StatusPreconditionFailed,
		"3.13": http.StatusPreconditionFailed, "2.x": http.StatusPreconditionFailed, "2.+13": http.StatusPreconditionFailed,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(versionHeader, version)
		status, body := do(t, versioned(done), r)
		if status != want {
			t.Errorf("version %q: %d, want %d", version, status, want)
		}
		if want == http.StatusTeapot {
			continue
		}
		wantBody := errorBody{
			"while checking 'X-Broker-API-Version' header, should be 2.13 or later, got " + version,
			"Requests requires the 'X-Broker-API-Version' header specified",
		}
		if body != wantBody {
			t.Errorf("version %q: %+v, want %+v", version, body, wantBody)
		}
	}
}

func TestIdentified(t *testing.T) {
	alice := base64.StdEncoding.EncodeToString([]byte(`{"username":"alice"}`))
	for header, want := range map[string]int{
		"":                      http.StatusTeapot,
		"kubernetes " + alice:   http.StatusTeapot,
		"cloudfoundry " + alice: http.StatusPreconditionFailed,
		"kubernetes":            http.StatusPreconditionFailed,
		"kubernetes %":          http.StatusPreconditionFailed,
		"kubernetes YQ==":       http.StatusPreconditionFailed,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set(identityHeader, header)
		}
		if status, _ := do(t, identified(done), r); status != want {
			t.Errorf("identity %q: %d, want %d", header, status, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(identityHeader, "kubernetes "+alice)
	if got := requester(r); got != "alice" {
		t.Errorf("the requester is %q, want alice", got)
	}
}

func TestMatches(t *testing.T) {
	secret := map[string][]byte{"username": []byte("u"), "password": []byte("p")}
	for _, tc := range []struct {
		secret             map[string][]byte
		username, password string
		want               bool
	}{
		{secret, "u", "p", true},
		{secret, "u", "q", false},
		{secret, "v", "p", false},
		{secret, "u", "", false},
		{secret, "", "", false},
		{nil, "", "", false},
		{map[string][]byte{"username": []byte("u")}, "u", "", false},
	} {
		if got := matches(tc.secret, tc.username, tc.password); got != tc.want {
			t.Errorf("%q %q against %q: %t", tc.username, tc.password, tc.secret, got)
		}
	}
}

func TestRecovered(t *testing.T) {
	var log strings.Builder
	b := &broker{Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	h := b.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret detail") }))
	status, body := do(t, h, httptest.NewRequest(http.MethodGet, "/x", nil))
	if status != http.StatusInternalServerError || strings.Contains(body.Description, "secret") {
		t.Errorf("a panic is answered with %d %+v", status, body)
	}
	if !strings.Contains(log.String(), "secret detail") {
		t.Errorf("the log does not tell of the panic: %s", log.String())
	}
}

func TestNewWithoutObjects(t *testing.T) {
	h := New(Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	for _, path := range []string{"/healthz", "/statusz"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || w.Body.String() != "OK" {
			t.Errorf("%s answers %d %s", path, w.Code, w.Body)
		}
	}
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed},
		{http.MethodGet, "/ns/v2/catalog", http.StatusUnauthorized},
		{http.MethodPut, "/ns/v2/service_instances/i", http.StatusUnauthorized},
		{http.MethodPatch, "/ns/v2/service_instances/i", http.StatusUnauthorized},
		{http.MethodGet, "/ns/v2/service_instances/i", http.StatusUnauthorized},
		{http.MethodDelete, "/ns/v2/service_instances/i", http.StatusUnauthorized},
		{http.MethodGet, "/ns/v2/service_instances/i/last_operation", http.StatusUnauthorized},
		{http.MethodPut, "/ns/v2/service_instances/i/service_bindings/b", http.StatusUnauthorized},
		{http.MethodDelete, "/ns/v2/service_instances/i/service_bindings/b", http.StatusUnauthorized},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
		if w.Code != tc.want {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, w.Code, tc.want)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (tc.want == http.StatusUnauthorized) {
			t.Errorf("%s %s: challenge %q", tc.method, tc.path, challenge)
		}
	}
}

// No Secret is asked for in a namespace that cannot be.
func TestAuthenticatedInNoNamespace(t *testing.T) {
	h := New(Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	for _, path := range []string{"/a%2Fb/v2/catalog", "/../v2/catalog", "/A/v2/catalog"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.SetBasicAuth("u", "p")
		if status, _ := do(t, h, r); status != http.StatusUnauthorized {
			t.Errorf("%s: %d, want %d", path, status, http.StatusUnauthorized)
		}
	}
}

func TestReadInstance(t *testing.T) {
	b := &broker{Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	h := limited(b.handle(func(r *http.Request) (answer, error) {
		_, err := readInstance(r)
		return problem(http.StatusTeapot, "", ""), err
	}))
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"object":        {`{"service_id": "s", "unknown": {}}`, http.StatusTeapot},
		"no JSON":       {`hello`, http.StatusBadRequest},
		"empty":         {``, http.StatusBadRequest},
		"another type":  {`{"service_id": 1}`, http.StatusBadRequest},
		"too large":     {`{"service_id": "` + strings.Repeat("s", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
		"no parameters": {`{"parameters": null}`, http.StatusTeapot},
	} {
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(tc.body))
		if status, _ := do(t, h, r); status != tc.want {
			t.Errorf("%s: %d, want %d", name, status, tc.want)
		}
	}
}

func TestExplain(t *testing.T) {
	activations := schema.GroupResource{Group: "applicationconnector.kyma-project.io", Resource: "eventactivations"}
	terminating := apierrors.NewForbidden(activations, "s", errors.New("namespace is going"))
	terminating.ErrStatus.Details.Causes = append(terminating.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
	for _, tc := range []struct {
		err  error
		want int
	}{
		{terminating, http.StatusForbidden},
		{apierrors.NewForbidden(activations, "s", nil), http.StatusForbidden},
		{apierrors.NewInvalid(schema.GroupKind{}, "s", nil), http.StatusBadRequest},
		{apierrors.NewConflict(activations, "s", nil), http.StatusUnprocessableEntity},
		{apierrors.NewAlreadyExists(activations, "s"), http.StatusUnprocessableEntity},
		{apierrors.NewServiceUnavailable("down"), http.StatusInternalServerError},
		{errors.New("secret detail"), http.StatusInternalServerError},
	} {
		a := explain(tc.err)
		if a.status != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, a.status, tc.want)
		}
		if strings.Contains(a.body.(errorBody).Description, "secret") {
			t.Errorf("%v is passed on: %+v", tc.err, a.body)
		}
	}
}
