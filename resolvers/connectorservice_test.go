package resolvers

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestConnectorService answers in the place of Kyma's Connector Service, which is another program.
func TestConnectorService(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		answer string
		want   string
	}{
		{"token", http.StatusCreated, `{"url":"https://connector/v1/applications/signingRequests/info?token=t","token":"t"}`, `"url": "https://connector/v1/applications/signingRequests/info?token=t"`},
		{"failure", http.StatusInternalServerError, `{"code":500,"error":"secret"}`, `"message": "the Connector Service does not answer"`},
		{"no JSON", http.StatusOK, `<html>`, `"code": "UNAVAILABLE"`},
		{"no URL", http.StatusCreated, `{}`, `"code": "UNAVAILABLE"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/base/v1/applications/tokens" || r.Header.Get("Application") != "shop" {
					t.Errorf("got %s %s for %q", r.Method, r.URL, r.Header.Get("Application"))
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer srv.Close()
			api := &world{handler: NewHandler(&Resolver{Cluster: shared.cluster, ConnectorService: srv.URL + "/base/", Log: slog.New(slog.DiscardHandler)}, Options{})}
			got := api.ask(t, "admin", `{ connectorService(application: "shop") { url } }`)
			if !strings.Contains(got, tt.want) || strings.Contains(got, "secret") {
				t.Errorf("got %s, want %s in it", got, tt.want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		api := &world{handler: NewHandler(&Resolver{Cluster: shared.cluster, ConnectorService: srv.URL, Log: slog.New(slog.DiscardHandler)}, Options{})}
		if got := api.ask(t, "admin", `{ connectorService(application: "shop") { url } }`); !strings.Contains(got, `"code": "UNAVAILABLE"`) {
			t.Errorf("got %s, want UNAVAILABLE", got)
		}
	})
}
