package connector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// applications is a Directory of what a test needs.
type applications map[string]func() (Source, error)

func (a applications) Source(_ context.Context, application string) (Source, error) {
	source, ok := a[application]
	if !ok {
		return Source{}, unknownApplication(application)
	}
	return source()
}

// sink is an HTTP server that keeps what it gets.
type sink struct {
	*httptest.Server
	answer http.HandlerFunc

	mu       sync.Mutex
	requests []received
}

// received is one request to a sink.
type received struct {
	Method, Path string
	Header       map[string]string
	Body         string
}

func newSink(t *testing.T, answer http.HandlerFunc) *sink {
	t.Helper()
	s := &sink{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		header := map[string]string{}
		for key, values := range r.Header {
			// What every client sends is of no interest.
			if key != "Accept-Encoding" && key != "Content-Length" && key != "User-Agent" {
				header[key] = strings.Join(values, ", ")
			}
		}
		s.mu.Lock()
		s.requests = append(s.requests, received{r.Method, r.URL.Path, header, string(body)})
		s.mu.Unlock()
		if s.answer == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// connectorTo runs a Connector in which the application shop sends to sink.
func connectorTo(t *testing.T, sinkURL string, o Options) *httptest.Server {
	t.Helper()
	u, err := url.Parse(sinkURL)
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	o.Directory = applications{
		"shop":  func() (Source, error) { return Source{Name: "shop", Sink: u}, nil },
		"early": func() (Source, error) { return Source{}, unavailable("Application %q takes no events yet", "early") },
		"ill":   func() (Source, error) { return Source{}, errors.New("secret detail") },
	}
	server := httptest.NewServer(New(o))
	t.Cleanup(server.Close)
	return server
}

// answer is what a client got.
type answer struct {
	Status      int
	ContentType string
	Body        string
}

// call sends a request and reads the answer. Redirects are not followed.
func call(t *testing.T, method, url string, header http.Header, body io.Reader) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range header {
		r.Header[key] = values
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header.Get("Content-Type"), string(content)}
}

func TestRoutes(t *testing.T) {
	const (
		notFound    = `{"code":404,"error":"Requested resource could not be found."}`
		notAllowed  = `{"code":405,"error":"Method not allowed."}`
		unknown     = `{"code":404,"error":"Application \"nobody\" does not exist"}`
		unavailable = `{"code":503,"error":"Application \"early\" takes no events yet"}`
	)
	server := connectorTo(t, newSink(t, nil).URL, Options{})
	tests := []struct {
		method, path string
		want         answer
	}{
		{"GET", "/healthz", answer{Status: 200}},
		{"GET", "/v1/health", answer{Status: 200}},
		{"GET", "/", answer{404, contentTypeError, notFound}},
		{"POST", "/shop", answer{404, contentTypeError, notFound}},
		{"POST", "/shop/v3/events", answer{404, contentTypeError, notFound}},
		{"POST", "/healthz", answer{405, contentTypeError, notAllowed}},
		{"GET", "/shop/events", answer{405, contentTypeError, notAllowed}},
		{"GET", "/shop/v1/events", answer{405, contentTypeError, notAllowed}},
		{"POST", "/shop/v1/events/subscribed", answer{405, contentTypeError, notAllowed}},
		{"PATCH", "/shop/v1/metadata/services", answer{405, contentTypeError, notAllowed}},
		{"POST", "/shop/v1/metadata/services/1", answer{405, contentTypeError, notAllowed}},
		{"POST", "/nobody/events", answer{404, contentTypeError, unknown}},
		{"POST", "/nobody/v1/events", answer{404, contentTypeError, unknown}},
		{"POST", "/nobody/v2/events", answer{404, contentTypeError, unknown}},
		{"POST", "/early/events", answer{503, contentTypeError, unavailable}},
		{"POST", "/early/v1/events", answer{503, contentTypeError, unavailable}},
		{"POST", "/early/v2/events", answer{Status: 301}},
		{"POST", "/shop/v2/events", answer{Status: 301}},
		{"POST", "/ill/events", answer{500, contentTypeError, `{"code":500,"error":"Internal error"}`}},
		{"POST", "/a%2fb/events", answer{404, contentTypeError, `{"code":404,"error":"Application \"a/b\" does not exist"}`}},
		{"POST", "/a%25zz/events", answer{400, contentTypeError, `{"code":400,"error":"The application's name is not well formed"}`}},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, call(t, tt.method, server.URL+tt.path, nil, nil)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMovedNamesTheNewAddress(t *testing.T) {
	server := connectorTo(t, "http://sink.invalid", Options{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/shop/v2/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Location"); got != "/shop/events" {
		t.Errorf("Location %q", got)
	}
}

// Senders inside the cluster name the application by the host that they call.
func TestSourceHandler(t *testing.T) {
	sink := newSink(t, nil)
	u, err := url.Parse(sink.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{
		Log:       slog.New(slog.DiscardHandler),
		Directory: applications{"shop": func() (Source, error) { return Source{Name: "shop", Sink: u}, nil }},
	})
	server := httptest.NewServer(c.SourceHandler())
	defer server.Close()
	tests := []struct {
		host string
		want int
	}{
		{"shop.kyma-integration", 200},
		{"shop.kyma-integration.svc", 200},
		{"SHOP.kyma-integration.svc.cluster.local:80", 200},
		{"other.kyma-integration.svc.cluster.local", 404},
		{"shop.default.svc.cluster.local", 400},
		{"127.0.0.1", 400},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/any/path", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = tt.host
			r.Header = http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"t"}, "Ce-Source": {"s"}}
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != tt.want {
				t.Errorf("status %d, want %d", response.StatusCode, tt.want)
			}
		})
	}
	if answer := call(t, http.MethodGet, server.URL+"/healthz", nil, nil); answer.Status != 200 {
		t.Errorf("health: %+v", answer)
	}
	if got := len(sink.got()); got != 3 {
		t.Errorf("%d events at the sink, want 3", got)
	}
}
