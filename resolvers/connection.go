package resolvers

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/graph"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

const (
	// defaultPage and maxPage are how many objects a page has at most, when the client does not say and at all.
	defaultPage = 50
	maxPage     = 1000
	// cursorVersion is written into cursors, so that their form can change.
	cursorVersion = 1
	// maxCursor is longer, in bytes, than any cursor of a Kubernetes object.
	maxCursor = 1024
)

// pageArgs are the arguments that every connection has.
type pageArgs struct {
	first   *int
	after   *string
	last    *int
	before  *string
	filter  *graph.ConnectionFilter
	orderBy *graph.ConnectionOrder
}

// connect makes a page of items: it filters and orders them, and cuts out what args ask for, as
// https://relay.dev/graphql/connections.htm says. by tells what args may search, edge makes an edge of the connection's
// own type. It sorts items in place; the objects themselves are only read.
func connect[T any, P object[T], E any](items []T, args pageArgs, by search[P], edge func(cursor string, node P) E) (edges []E, info *graph.PageInfo, total int, err error) {
	matches, err := matcher(args.filter, by)
	if err != nil {
		return nil, nil, 0, err
	}
	items = slices.DeleteFunc(items, func(item T) bool { return !matches(P(&item)) })
	o := orderOf(args.orderBy)
	sortObjects(items, func(a, b P) int { return o.compare(placeOf(a), placeOf(b)) })
	from, to, err := window(len(items), args, func(cursor string) (int, bool, error) {
		at, err := o.decode(cursor)
		if err != nil {
			return 0, false, err
		}
		i, found := slices.BinarySearchFunc(items, at, func(item T, at place) int { return o.compare(placeOf(P(&item)), at) })
		return i, found, nil
	})
	if err != nil {
		return nil, nil, 0, err
	}
	edges = []E{}
	info = &graph.PageInfo{HasPreviousPage: from > 0, HasNextPage: to < len(items)}
	for i := from; i < to; i++ {
		node := P(&items[i])
		cursor := o.encode(placeOf(node))
		info.StartCursor, info.EndCursor = cmp.Or(info.StartCursor, &cursor), &cursor
		edges = append(edges, edge(cursor, node))
	}
	return edges, info, len(items), nil
}

// window decides which of n ordered objects are on the page: those from from up to, and without, to. locate finds where a
// cursor is among them: the index of its object or, if that is gone, of what would follow it.
func window(n int, args pageArgs, locate func(cursor string) (i int, found bool, err error)) (from, to int, err error) {
	first, last, err := args.sizes()
	if err != nil {
		return 0, 0, err
	}
	to = n
	if args.after != nil {
		i, found, err := locate(*args.after)
		if err != nil {
			return 0, 0, fmt.Errorf("after: %w", err)
		}
		if from = i; found {
			from++
		}
	}
	if args.before != nil {
		if to, _, err = locate(*args.before); err != nil {
			return 0, 0, fmt.Errorf("before: %w", err)
		}
		to = max(from, to)
	}
	if first != nil {
		to = min(to, from+*first)
	}
	if last != nil {
		from = max(from, to-*last)
	}
	return from, to, nil
}

// sizes are first and last, at least one of them given.
func (a *pageArgs) sizes() (first, last *int, err error) {
	for _, size := range []struct {
		name string
		n    *int
	}{{"first", a.first}, {"last", a.last}} {
		if n := size.n; n != nil && (*n < 0 || *n > maxPage) {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("%s must be between 0 and %d, not %d", size.name, maxPage, *n))
		}
	}
	n := defaultPage
	switch {
	case a.first != nil || a.last != nil:
		return a.first, a.last, nil
	case a.before != nil && a.after == nil:
		return nil, &n, nil
	default:
		return &n, nil, nil
	}
}

// search says what of an object a filter looks at.
type search[P client.Object] struct {
	words  func(P) []string
	labels func(P) map[string]string // nil for the labels of the Kubernetes object
}

// matcher makes a predicate of a filter.
func matcher[P client.Object](filter *graph.ConnectionFilter, by search[P]) (func(P) bool, error) {
	if filter == nil {
		return everything[P], nil
	}
	selector, err := labels.Parse(deref(filter.LabelSelector))
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("filter.labelSelector: %v", err))
	}
	if by.labels == nil {
		by.labels = func(o P) map[string]string { return o.GetLabels() }
	}
	text := strings.ToLower(deref(filter.Text))
	return func(o P) bool {
		return selector.Matches(labels.Set(by.labels(o))) &&
			(text == "" || slices.ContainsFunc(by.words(o), func(word string) bool { return strings.Contains(strings.ToLower(word), text) }))
	}, nil
}

// place is where an object is in an order. It outlives the object.
type place struct {
	created         int64 // Unix seconds, which is as exact as Kubernetes is
	name, namespace string
}

func placeOf(o client.Object) place {
	return place{o.GetCreationTimestamp().Unix(), o.GetName(), o.GetNamespace()}
}

// order is how a connection is ordered.
type order struct {
	field      graph.ConnectionOrderField
	descending bool
}

func orderOf(o *graph.ConnectionOrder) order {
	if o == nil {
		return order{field: graph.ConnectionOrderFieldName}
	}
	return order{o.Field, deref(o.Direction) == graph.OrderDirectionDesc}
}

// compare orders two places. No two objects are equal.
func (o order) compare(a, b place) int {
	if o.descending {
		a, b = b, a
	}
	younger := 0
	if o.field == graph.ConnectionOrderFieldAge {
		younger = cmp.Compare(b.created, a.created)
	}
	return cmp.Or(younger, cmp.Compare(a.name, b.name), cmp.Compare(a.namespace, b.namespace))
}

// payload is what is in a cursor. Clients must not look into it.
type payload struct {
	Version   int                        `json:"v"`
	Field     graph.ConnectionOrderField `json:"by"`
	Created   int64                      `json:"t,omitempty"` // only where the order goes by it
	Name      string                     `json:"n"`
	Namespace string                     `json:"ns,omitempty"`
}

// encode makes the cursor of a place in the order. Turning the order round does not change it.
func (o order) encode(p place) string {
	c := payload{Version: cursorVersion, Field: o.field, Name: p.name, Namespace: p.namespace}
	if o.field == graph.ConnectionOrderFieldAge {
		c.Created = p.created
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Errorf("encoding a cursor: %w", err)) // there is nothing in it that JSON does not know
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// decode reads a cursor. It takes exactly what encode makes.
func (o order) decode(s string) (place, error) {
	invalid := apierrors.NewBadRequest("this is not a cursor that a connection gave")
	if len(s) > maxCursor {
		return place{}, invalid
	}
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return place{}, invalid
	}
	var c payload
	if err := json.Unmarshal(text, &c); err != nil || c.Version != cursorVersion {
		return place{}, invalid
	}
	p := place{c.Created, c.Name, c.Namespace}
	if (order{field: c.Field}).encode(p) != s {
		return place{}, invalid
	}
	if c.Field != o.field {
		return place{}, apierrors.NewBadRequest(fmt.Sprintf("this is a cursor of the order by %s, not by %s", c.Field, o.field))
	}
	return p, nil
}

func (r queryResolver) ApplicationsConnection(ctx context.Context, first *int, after *string, last *int, before *string, filter *graph.ConnectionFilter, orderBy *graph.ConnectionOrder) (*graph.ApplicationConnection, error) {
	var list appv1.ApplicationList
	if err := r.Cluster.Client(ctx).List(ctx, &list); err != nil {
		return nil, err
	}
	edges, info, total, err := connect(list.Items, pageArgs{first, after, last, before, filter, orderBy},
		search[*appv1.Application]{
			words:  func(a *appv1.Application) []string { return []string{a.Name, a.Spec.Description} },
			labels: func(a *appv1.Application) map[string]string { return a.Spec.Labels },
		},
		func(cursor string, a *appv1.Application) graph.ApplicationEdge {
			return graph.ApplicationEdge{Cursor: cursor, Node: a}
		})
	return &graph.ApplicationConnection{Edges: edges, PageInfo: info, TotalCount: total}, err
}

func (r queryResolver) NamespacesConnection(ctx context.Context, withSystem, withInactive *bool, first *int, after *string, last *int, before *string, filter *graph.ConnectionFilter, orderBy *graph.ConnectionOrder) (*graph.NamespaceConnection, error) {
	namespaces, err := r.Namespaces(ctx, withSystem, withInactive)
	if err != nil {
		return nil, err
	}
	edges, info, total, err := connect(namespaces, pageArgs{first, after, last, before, filter, orderBy},
		search[*corev1.Namespace]{words: func(n *corev1.Namespace) []string { return []string{n.Name} }},
		func(cursor string, n *corev1.Namespace) graph.NamespaceEdge {
			return graph.NamespaceEdge{Cursor: cursor, Node: n}
		})
	return &graph.NamespaceConnection{Edges: edges, PageInfo: info, TotalCount: total}, err
}

func (r queryResolver) ServiceInstancesConnection(ctx context.Context, namespace *string, first *int, after *string, last *int, before *string, filter *graph.ConnectionFilter, orderBy *graph.ConnectionOrder) (*graph.ServiceInstanceConnection, error) {
	var list scv1.ServiceInstanceList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(deref(namespace))); err != nil {
		return nil, err
	}
	edges, info, total, err := connect(list.Items, pageArgs{first, after, last, before, filter, orderBy},
		search[*scv1.ServiceInstance]{words: func(i *scv1.ServiceInstance) []string {
			return []string{i.Name, i.Spec.GetSpecifiedServiceClass(), i.Spec.GetSpecifiedClusterServiceClass(), i.Annotations[tagsAnnotation]}
		}},
		func(cursor string, i *scv1.ServiceInstance) graph.ServiceInstanceEdge {
			return graph.ServiceInstanceEdge{Cursor: cursor, Node: i}
		})
	return &graph.ServiceInstanceConnection{Edges: edges, PageInfo: info, TotalCount: total}, err
}

func (r queryResolver) TriggersConnection(ctx context.Context, namespace *string, first *int, after *string, last *int, before *string, filter *graph.ConnectionFilter, orderBy *graph.ConnectionOrder) (*graph.TriggerConnection, error) {
	var list eventingv1.TriggerList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(deref(namespace))); err != nil {
		return nil, err
	}
	edges, info, total, err := connect(list.Items, pageArgs{first, after, last, before, filter, orderBy},
		search[*eventingv1.Trigger]{words: wordsOfTrigger},
		func(cursor string, t *eventingv1.Trigger) graph.TriggerEdge {
			return graph.TriggerEdge{Cursor: cursor, Node: t}
		})
	return &graph.TriggerConnection{Edges: edges, PageInfo: info, TotalCount: total}, err
}

func wordsOfTrigger(t *eventingv1.Trigger) []string {
	service, _, _ := eventmesh.ServiceOfDestination(&t.Spec.Subscriber, t.Namespace)
	words := []string{t.Name, t.Spec.Broker, service}
	if t.Spec.Filter != nil {
		for _, value := range t.Spec.Filter.Attributes {
			words = append(words, value)
		}
	}
	return words
}

func (r queryResolver) BrokersConnection(ctx context.Context, namespace *string, first *int, after *string, last *int, before *string, filter *graph.ConnectionFilter, orderBy *graph.ConnectionOrder) (*graph.BrokerConnection, error) {
	var list eventingv1.BrokerList
	if err := r.Cluster.Client(ctx).List(ctx, &list, client.InNamespace(deref(namespace))); err != nil {
		return nil, err
	}
	edges, info, total, err := connect(list.Items, pageArgs{first, after, last, before, filter, orderBy},
		search[*eventingv1.Broker]{words: func(b *eventingv1.Broker) []string { return []string{b.Name} }},
		func(cursor string, b *eventingv1.Broker) graph.BrokerEdge {
			return graph.BrokerEdge{Cursor: cursor, Node: b}
		})
	return &graph.BrokerConnection{Edges: edges, PageInfo: info, TotalCount: total}, err
}
