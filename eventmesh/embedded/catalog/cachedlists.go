package catalog

import (
	"net/http"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
)

// cachedLists lets the API server answer from its watch cache, as it is, when the controller looks for a class or plan
// by external name. Otherwise each such list waits for etcd's next progress notification, up to 100 ms, twice per
// instance. The price is that a class younger than the cache is found a retry later.
//
// Other lists stay as they are: from those the controller concludes what to delete.
type cachedLists struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t cachedLists) RoundTrip(req *http.Request) (*http.Response, error) {
	query := req.URL.Query()
	if req.Method != http.MethodGet ||
		!strings.HasPrefix(req.URL.Path, "/apis/"+scv1.GroupName+"/") ||
		!strings.Contains(query.Get("labelSelector"), label(scv1.FilterSpecExternalName)) ||
		query.Has("resourceVersion") || query.Has("watch") {
		return t.RoundTripper.RoundTrip(req)
	}
	// A round tripper must not change the request it is given.
	req = req.Clone(req.Context())
	query.Set("resourceVersion", "0")
	req.URL.RawQuery = query.Encode()
	return t.RoundTripper.RoundTrip(req)
}
