package catalog

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	klogv1 "k8s.io/klog"
)

func TestCachedLists(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.RawQuery }))
	defer server.Close()
	client := &http.Client{Transport: cachedLists{http.DefaultTransport}}

	const classes = "/apis/servicecatalog.k8s.io/v1beta1/namespaces/n/serviceclasses"
	byName := "labelSelector=" + url.QueryEscape("servicecatalog.k8s.io/spec.externalName=abc")
	for _, tc := range []struct{ name, method, path, want string }{
		{"by external name", http.MethodGet, classes + "?" + byName, byName + "&resourceVersion=0"},
		{
			"by external name and class", http.MethodGet,
			classes + "?labelSelector=" + url.QueryEscape("servicecatalog.k8s.io/spec.externalName=a,servicecatalog.k8s.io/spec.serviceClassRef.name=b"),
			"labelSelector=" + url.QueryEscape("servicecatalog.k8s.io/spec.externalName=a,servicecatalog.k8s.io/spec.serviceClassRef.name=b") + "&resourceVersion=0",
		},
		{
			"by broker, to delete", http.MethodGet,
			classes + "?labelSelector=servicecatalog.k8s.io%2Fspec.serviceBrokerName%3Da", "labelSelector=servicecatalog.k8s.io%2Fspec.serviceBrokerName%3Da",
		},
		{"all", http.MethodGet, classes, ""},
		{"at a version", http.MethodGet, classes + "?" + byName + "&resourceVersion=7", byName + "&resourceVersion=7"},
		{"watch", http.MethodGet, classes + "?" + byName + "&watch=true", byName + "&watch=true"},
		{"delete", http.MethodDelete, classes + "?" + byName, byName},
		{"another group", http.MethodGet, "/apis/example.org/v1/things?" + byName, byName},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tc.method, server.URL+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			before := req.URL.RawQuery
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if got != tc.want {
				t.Errorf("query is %q, want %q", got, tc.want)
			}
			if req.URL.RawQuery != before {
				t.Error("the caller's request was changed")
			}
		})
	}
}

func TestRedirectKlog(t *testing.T) {
	var out strings.Builder
	if err := redirectKlog(&out); err != nil {
		t.Fatal(err)
	}
	klogv1.Info("one")
	klogv1.Error("two")
	klogv1.Flush()
	if err := redirectKlog(io.Discard); err != nil { // may be done again
		t.Fatal(err)
	}
	klogv1.Info("three")
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("%d lines were written, want 2:\n%s", got, out.String())
	}
}

func TestCheckFeatures(t *testing.T) {
	if err := checkFeatures(); err != nil {
		t.Error(err)
	}
}
