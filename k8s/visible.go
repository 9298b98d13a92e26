package k8s

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

const (
	// maxSpaces is for how many combinations of user, verb and kind it is remembered which namespaces are visible.
	maxSpaces = 4096
	// reviewsAtOnce is how many namespaces are reviewed at once for one user and kind.
	reviewsAtOnce = 16
)

// seenThrough says which kinds without namespaces are seen through which with: who may list the objects of the latter in a
// namespace sees the objects of the former that have the same names. An ApplicationMapping has the name of its Application.
var seenThrough = map[schema.GroupKind]func() client.ObjectList{
	appv1.GroupVersion.WithKind("Application").GroupKind(): func() client.ObjectList { return &appv1.ApplicationMappingList{} },
}

// sight is what a user may see of a kind: everything, or what is in some namespaces, or what has one of some names.
type sight struct {
	everything bool
	namespaces sets.Set[string]
	names      sets.Set[string] // of a kind without namespaces; then namespaces is nil
}

func (s sight) sees(o client.Object) bool {
	switch {
	case s.everything:
		return true
	case s.names != nil:
		return s.names.Has(o.GetName())
	default:
		return s.namespaces.Has(o.GetNamespace())
	}
}

func (s sight) equal(o sight) bool {
	return s.everything == o.everything && s.namespaces.Equal(o.namespaces) && s.names.Equal(o.names)
}

// sightOf is what u may list or watch, as verb says, of objects of k in namespace, or in all. Who has no right in all
// namespaces sees what is visible from those in which there is one. Nothing at all is the refusal of the right in all.
func (c *Cluster) sightOf(ctx context.Context, u user.Info, verb string, k kind, namespace string) (sight, error) {
	refusal := c.review(ctx, u, verb, k, namespace, "")
	if namespace != "" || !Denied(refusal) {
		return sight{everything: true}, refusal
	}
	var s sight
	var from sets.Set[string]
	var err error
	switch through := seenThrough[k.GroupKind()]; {
	case k.isNamespace():
		from, err = c.visibleFrom(ctx, u, "get", k)
		s = sight{names: from}
	case k.namespaced:
		from, err = c.visibleFrom(ctx, u, verb, k)
		s = sight{namespaces: from}
	case through != nil:
		s.names, from, err = c.namesThrough(ctx, u, verb, through())
	}
	if err == nil && from.Len() == 0 {
		err = refusal
	}
	return s, err
}

// namesThrough are the names of the objects of list's kind in those namespaces, from, in which u may do verb with them.
func (c *Cluster) namesThrough(ctx context.Context, u user.Info, verb string, list client.ObjectList) (names, from sets.Set[string], err error) {
	k, err := c.kindOf(list)
	if meta.IsNoMatchError(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if from, err = c.visibleFrom(ctx, u, verb, k); err != nil || from.Len() == 0 {
		return nil, nil, err
	}
	if err := c.list(ctx, k, list); err != nil {
		return nil, nil, err
	}
	names = sets.New[string]()
	err = meta.EachListItem(list, func(item runtime.Object) error {
		if o, ok := item.(client.Object); ok && from.Has(o.GetNamespace()) {
			names.Insert(o.GetName())
		}
		return nil
	})
	return names, from, err
}

// space remembers in which namespaces one user may do one thing with one kind.
type space struct {
	mu         sync.Mutex
	generation uint64 // of the namespaces that were reviewed
	reviewed   map[string]bool
	visible    sets.Set[string] // never changed, only replaced
}

// visibleFrom are the namespaces in which u may do verb with objects of k; with the kind of namespaces itself, those with
// which u may. The result is shared. A namespace that is new is reviewed at once, others every visibleTTL.
func (c *Cluster) visibleFrom(ctx context.Context, u user.Info, verb string, k kind) (sets.Set[string], error) {
	namespaces, err := c.kindOf(&corev1.Namespace{})
	if err != nil {
		return nil, err
	}
	h, err := c.noted(ctx, namespaces)
	if err != nil {
		return nil, err
	}
	s, err := c.spaceOf(u, verb, k)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	generation := h.generation.Load() // before the list: what comes later is for the next call
	if s.visible != nil && s.generation == generation {
		return s.visible, nil
	}
	var list corev1.NamespaceList
	if err := c.list(ctx, namespaces, &list); err != nil {
		return nil, err
	}
	if err := c.reviewIn(ctx, u, verb, k, list.Items, s.reviewed); err != nil {
		return nil, err
	}
	visible := sets.New[string]()
	for i := range list.Items {
		if name := list.Items[i].Name; s.reviewed[name] {
			visible.Insert(name)
		}
	}
	s.visible, s.generation = visible, generation
	return visible, nil
}

// reviewIn reviews verb on k in those namespaces that are not in reviewed, and puts them there.
func (c *Cluster) reviewIn(ctx context.Context, u user.Info, verb string, k kind, namespaces []corev1.Namespace, reviewed map[string]bool) error {
	allowed := make([]bool, len(namespaces))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reviewsAtOnce)
	for i := range namespaces {
		namespace, name := namespaces[i].Name, ""
		if _, ok := reviewed[namespace]; ok {
			continue
		}
		if k.isNamespace() {
			name = namespace
		}
		g.Go(func() error {
			err := c.review(ctx, u, verb, k, namespace, name)
			if allowed[i] = err == nil; Denied(err) {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range namespaces {
		if name := namespaces[i].Name; !reviewed[name] {
			reviewed[name] = allowed[i]
		}
	}
	return nil
}

func (c *Cluster) spaceOf(u user.Info, verb string, k kind) (*space, error) {
	id, err := identity(u)
	if err != nil {
		return nil, err
	}
	key := [...]string{id, verb, k.Group, k.Kind}
	if s, ok := c.spaces.Get(key); ok {
		return s.(*space), nil
	}
	s := &space{reviewed: map[string]bool{}}
	c.spaces.Add(key, s, visibleTTL)
	return s, nil
}

// keep leaves in list those items, at most limit unless that is 0, that s sees.
func (s sight) keep(list client.ObjectList, limit int64) error {
	items, err := meta.ExtractList(list)
	if err != nil {
		return err
	}
	kept := items[:0]
	for _, item := range items {
		if o, ok := item.(client.Object); ok && s.sees(o) && (limit == 0 || int64(len(kept)) < limit) {
			kept = append(kept, item)
		}
	}
	return meta.SetList(list, kept)
}
