package k8s

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
)

const (
	// mappingTTL is how long it is believed which resource a kind is, or that the cluster does not have the kind.
	mappingTTL = 10 * time.Second
	// maxMappings is of how many kinds that is remembered: more than are used here. Users name kinds, too, of which there
	// is no end.
	maxMappings = 256
)

// mapper remembers the answers of another one, also that there is none: asking for a kind that the cluster does not have
// would else go to the API server every time.
type mapper struct {
	meta.RESTMapper
	answers *utilcache.LRUExpireCache // of answer, by kind
}

type answer struct {
	mapping *meta.RESTMapping
	err     error
}

func newMapper(m meta.RESTMapper) *mapper {
	return &mapper{RESTMapper: m, answers: utilcache.NewLRUExpireCache(maxMappings)}
}

// RESTMapping returns the resource of a kind. The result is shared and must not be changed.
func (m *mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if len(versions) > 1 {
		return m.RESTMapper.RESTMapping(gk, versions...)
	}
	gvk := gk.WithVersion(strings.Join(versions, "")) // "" for the cluster's own choice
	if known, ok := m.answers.Get(gvk); ok {
		a := known.(answer)
		return a.mapping, a.err
	}
	mapping, err := m.RESTMapper.RESTMapping(gk, versions...)
	if err == nil || meta.IsNoMatchError(err) {
		m.answers.Add(gvk, answer{mapping, err}, mappingTTL)
	}
	return mapping, err
}
