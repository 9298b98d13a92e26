package resolvers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

const asyncAPI = `{"asyncapi": "2.0.0", "channels": {"order/created/v1": {"subscribe": {"message": {"summary": "An order", "payload": {"type": "object"}}}}}}`

// storage serves documents as Rafter's store does: one that is good, and all that can be wrong with one.
func storage(t *testing.T) (address string, requests *atomic.Int32) {
	requests = &atomic.Int32{}
	mux := http.NewServeMux()
	mux.HandleFunc("/good/asyncapi.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, asyncAPI) })
	mux.HandleFunc("/old/asyncapi.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"asyncapi": "1.0.0"}`) })
	mux.HandleFunc("/large/asyncapi.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, strings.Repeat(" ", maxFetch), asyncAPI)
	})
	mux.Handle("/elsewhere/asyncapi.json", http.RedirectHandler("/good/asyncapi.json", http.StatusFound))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

func TestDocuments(t *testing.T) {
	address, requests := storage(t)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	asset := func(name, base string) *rafterv1.ClusterAsset {
		a := &rafterv1.ClusterAsset{}
		a.Name, a.UID, a.ResourceVersion = name, types.UID(name), "1"
		a.Status.AssetRef = rafterv1.AssetStatusRef{BaseURL: base, Files: []rafterv1.AssetFile{{Name: "asyncapi.json"}}}
		return a
	}
	var d documents
	for name, reason := range map[string]string{
		"old":       "asset old: not supported version",
		"large":     "too large",
		"elsewhere": "302 Found",
		"nothing":   "404 Not Found",
		"closed":    "connection refused",
		"odd":       "unsupported protocol scheme",
	} {
		base := address + "/" + name
		switch name {
		case "closed":
			base = closed.URL
		case "odd":
			base = "file:///etc"
		}
		_, err := d.eventTypes(t.Context(), asset(name, base))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: got %v, want an error with %q", name, err, reason)
		}
		if _, _, known := lookup(err); known {
			t.Errorf("%s: the error is in the table, as if it were the cluster's", name)
		}
	}

	before := requests.Load()
	good := asset("good", address+"/good")
	for range 3 {
		got, err := d.eventTypes(t.Context(), good)
		if err != nil || len(got) != 1 || got[0].Type != "order.created" {
			t.Errorf("got %v, %v", got, err)
		}
		if _, err := d.eventTypes(t.Context(), asset("large", "unused")); err == nil {
			t.Error("a failure was forgotten")
		}
	}
	if n := requests.Load() - before; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	good.ResourceVersion = "2"
	if _, err := d.eventTypes(t.Context(), good); err != nil {
		t.Error(err)
	}
	if n := requests.Load() - before; n != 2 {
		t.Errorf("%d requests after the asset changed, want 2", n)
	}
}

// TestEventsFromRafter asks for the events of services that have their document in Rafter, in a ConfigMap or nowhere.
func TestEventsFromRafter(t *testing.T) {
	address, _ := storage(t)
	shared.install(t, []string{"rafter"})
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: rafter-events}}`)
	for _, name := range []string{"good", "old", "pending", "bare"} {
		made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: EventActivation, metadata: {name: rafter-`+name+
			`, namespace: rafter-events}, spec: {displayName: `+name+`, sourceId: shop}}`)
	}
	asset := func(name, kind, phase, folder string) {
		made(t, `{apiVersion: rafter.kyma-project.io/v1beta1, kind: ClusterAsset, metadata: {name: rafter-`+name+`-`+strings.ToLower(kind)+
			`, labels: {rafter.kyma-project.io/asset-group: rafter-`+name+`, rafter.kyma-project.io/type: `+kind+
			`}}, spec: {}, status: {phase: `+phase+`, assetRef: {baseUrl: "`+address+`/`+folder+`", files: [{name: asyncapi.json}]}}}`)
	}
	asset("good", "markdown", "Ready", "old")
	asset("good", "asyncApiSpec", "Ready", "good")
	asset("old", "asyncapi", "Ready", "old")
	asset("pending", "asyncapi", "Pending", "good")

	want := `{
  "data": {
    "eventActivations": [
      {
        "events": null,
        "name": "rafter-bare"
      },
      {
        "events": [
          {
            "description": "An order",
            "eventType": "order.created",
            "schema": {
              "type": "object"
            },
            "version": "v1"
          }
        ],
        "name": "rafter-good"
      },
      {
        "events": null,
        "name": "rafter-old"
      },
      {
        "events": null,
        "name": "rafter-pending"
      }
    ]
  }
}
`
	got := playStep(t, `{ eventActivations(namespace: "rafter-events") { name events { eventType version description schema } } }`, want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
