package resolvers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	utilcache "k8s.io/apimachinery/pkg/util/cache"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	rafterv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/rafter/v1beta1"
)

const (
	// fetchTimeout is how long the fetch of a document may take. A query waits for it, but only the first of a while.
	fetchTimeout = 5 * time.Second
	// maxFetch is how large a document may be, in bytes: as large as one in a ConfigMap.
	maxFetch = 1 << 20
	// fetchTTL is how long a document is used, or not asked for again when it could not be had. What changes an asset
	// makes another document of it at once.
	fetchTTL = time.Minute
	// maxDocuments is how many documents are kept.
	maxDocuments = 1000
)

// asyncAPITypes are the types of assets that are AsyncAPI documents, in lower case.
var asyncAPITypes = []string{"asyncapi", "asyncapispec", "async-api", "events"}

// documents fetches AsyncAPI documents that Rafter serves, and remembers what they say. The zero value is ready for use.
type documents struct {
	once    sync.Once
	client  *http.Client
	fetched *utilcache.LRUExpireCache // of document
}

type document struct {
	types []eventmesh.EventType
	err   error
}

// assetEventTypes are the event types of the service of that id, as its AsyncAPI document in Rafter describes them; nil
// when it has none there, or there is no Rafter. A document that cannot be had or read is an error unknown to the table.
func (r *Resolver) assetEventTypes(ctx context.Context, id string) ([]eventmesh.EventType, error) {
	assets, err := ifInstalled(r.clusterAssetsOf(ctx, id))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(assets, func(a rafterv1.ClusterAsset) bool {
		return slices.Contains(asyncAPITypes, strings.ToLower(a.Labels[rafterv1.TypeLabel])) &&
			a.Status.Phase == rafterv1.PhaseReady && len(a.Status.AssetRef.Files) > 0
	})
	if i < 0 {
		return nil, nil
	}
	return r.documents.eventTypes(ctx, &assets[i])
}

// eventTypes are those of the first file of an asset that has files.
func (d *documents) eventTypes(ctx context.Context, a *rafterv1.ClusterAsset) ([]eventmesh.EventType, error) {
	d.once.Do(func() {
		// The address is another program's word: who could make it redirect must not send this process elsewhere.
		noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		d.client = &http.Client{Timeout: fetchTimeout, CheckRedirect: noRedirects}
		d.fetched = utilcache.NewLRUExpireCache(maxDocuments)
	})
	key := string(a.UID) + " " + a.ResourceVersion
	if known, ok := d.fetched.Get(key); ok {
		return known.(document).types, known.(document).err
	}
	types, err := d.read(ctx, fileURL(a.Status.AssetRef.BaseURL, a.Status.AssetRef.Files[0].Name))
	if ctx.Err() != nil {
		return nil, ctx.Err() // which says nothing of the document
	}
	if err != nil {
		// Not wrapped: a refused connection, say, is not the cluster's.
		err = fmt.Errorf("asset %s: %v", a.Name, err)
	}
	d.fetched.Add(key, document{types, err}, fetchTTL)
	return types, err
}

func (d *documents) read(ctx context.Context, url string) ([]eventmesh.EventType, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET %s: %w", url, err)
	case len(body) > maxFetch:
		return nil, errors.New("GET " + url + ": the document is too large")
	}
	return eventmesh.ParseAsyncAPI(body)
}
