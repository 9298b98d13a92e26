package catalog

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckedDeletions(t *testing.T) {
	const (
		api       = "/apis/servicecatalog.k8s.io/v1beta1/"
		namespace = api + "namespaces/n/"
		options   = `{"kind":"DeleteOptions","apiVersion":"servicecatalog.k8s.io/v1beta1"}`
		precise   = `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u","resourceVersion":"7"}}`
		broker    = `{"metadata": {"name": "b"}}`
		going     = `{"metadata": {"name": "b", "deletionTimestamp": "2020-05-05T10:00:00Z"}}`
	)
	object := func(removed bool, spec string) string {
		return fmt.Sprintf(`{"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {%s}, "status": {"removedFromBrokerCatalog": %t}}`, spec, removed)
	}
	for _, tc := range []struct {
		name    string
		path    string
		objects map[string]string // by path
		status  int
		deleted string // with these options
	}{
		{
			"removed", namespace + "serviceplans/p",
			map[string]string{namespace + "serviceplans/p": object(true, `"serviceBrokerName": "b"`), namespace + "servicebrokers/b": broker},
			http.StatusOK, precise,
		},
		{
			"offered again", namespace + "serviceplans/p",
			map[string]string{namespace + "serviceplans/p": object(false, `"serviceBrokerName": "b"`), namespace + "servicebrokers/b": broker},
			http.StatusConflict, "",
		},
		{
			"offered, but its broker is going", namespace + "serviceclasses/c",
			map[string]string{namespace + "serviceclasses/c": object(false, `"serviceBrokerName": "b"`), namespace + "servicebrokers/b": going},
			http.StatusOK, precise,
		},
		{
			"offered, but its broker is gone", namespace + "serviceclasses/c",
			map[string]string{namespace + "serviceclasses/c": object(false, `"serviceBrokerName": "b"`)},
			http.StatusOK, precise,
		},
		{
			"of a cluster, offered again", api + "clusterserviceclasses/c",
			map[string]string{api + "clusterserviceclasses/c": object(false, `"clusterServiceBrokerName": "b"`), api + "clusterservicebrokers/b": broker},
			http.StatusConflict, "",
		},
		{"gone already", namespace + "serviceplans/p", nil, http.StatusOK, options},
		{"of another kind", namespace + "servicebindings/b", nil, http.StatusOK, options},
		{"of another group", "/api/v1/namespaces/n/secrets/s", nil, http.StatusOK, options},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var deleted string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					body, _ := io.ReadAll(r.Body)
					deleted = string(body)
					return
				}
				if r.Header.Get("Authorization") != "Bearer x" || tc.objects[r.URL.Path] == "" {
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = io.WriteString(w, tc.objects[r.URL.Path])
			}))
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, server.URL+tc.path, strings.NewReader(options))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer x")
			res, err := (&http.Client{Transport: checkedDeletions{http.DefaultTransport}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if diff := cmp.Diff(tc.deleted, deleted); diff != "" || res.StatusCode != tc.status {
				t.Errorf("%s, want %d; deleted with (-want +got):\n%s", res.Status, tc.status, diff)
			}
		})
	}
}
