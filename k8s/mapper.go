package k8s

import (
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// mappingTTL is how long it is believed which resource a kind is, or that the cluster does not have the kind.
const mappingTTL = 10 * time.Second

// mapper remembers the answers of another one, also that there is none: asking for a kind that the cluster does not have
// would else go to the API server every time.
type mapper struct {
	meta.RESTMapper

	mu      sync.RWMutex
	answers map[schema.GroupVersionKind]answer
}

type answer struct {
	mapping *meta.RESTMapping
	err     error
	until   time.Time
}

func newMapper(m meta.RESTMapper) *mapper {
	return &mapper{RESTMapper: m, answers: map[schema.GroupVersionKind]answer{}}
}

// RESTMapping returns the resource of a kind. The result is shared and must not be changed.
func (m *mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if len(versions) > 1 {
		return m.RESTMapper.RESTMapping(gk, versions...)
	}
	gvk := gk.WithVersion(strings.Join(versions, "")) // "" for the cluster's own choice
	m.mu.RLock()
	a, ok := m.answers[gvk]
	m.mu.RUnlock()
	if ok && time.Now().Before(a.until) {
		return a.mapping, a.err
	}
	mapping, err := m.RESTMapper.RESTMapping(gk, versions...)
	if err == nil || meta.IsNoMatchError(err) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.answers[gvk] = answer{mapping, err, time.Now().Add(mappingTTL)}
	}
	return mapping, err
}
