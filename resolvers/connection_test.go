package resolvers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

var (
	byAge     = &graph.ConnectionOrder{Field: graph.ConnectionOrderFieldAge}
	nameDown  = &graph.ConnectionOrder{Field: graph.ConnectionOrderFieldName, Direction: ptr(graph.OrderDirectionDesc)}
	ageDown   = &graph.ConnectionOrder{Field: graph.ConnectionOrderFieldAge, Direction: ptr(graph.OrderDirectionDesc)}
	firstPods = []string{"a/x", "b/x", "a/y", "a/z"} // by name, then namespace
)

func ptr[T any](v T) *T { return &v }

// pods are objects "namespace/name", of which each is a second younger than the one before it.
func pods(names ...string) []corev1.Pod {
	var out []corev1.Pod
	for i, n := range names {
		namespace, name, _ := strings.Cut(n, "/")
		out = append(out, corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{"app": name}, CreationTimestamp: metav1.NewTime(time.Unix(int64(1000+i), 0)),
		}})
	}
	return out
}

// pageOf connects pods and tells the page as "<" if something precedes it, the names, and ">" if something follows, then
// how many there are.
func pageOf(items []corev1.Pod, args pageArgs) (string, error) {
	edges, info, total, err := connect(items, args, search[*corev1.Pod]{words: func(p *corev1.Pod) []string { return []string{p.Name} }},
		func(_ string, p *corev1.Pod) string { return p.Namespace + "/" + p.Name })
	if err != nil {
		return "", err
	}
	if (len(edges) == 0) != (info.StartCursor == nil) || (len(edges) == 0) != (info.EndCursor == nil) {
		return "", fmt.Errorf("%d edges, but cursors %v and %v", len(edges), info.StartCursor, info.EndCursor)
	}
	out := strings.Join(edges, " ")
	if info.HasPreviousPage {
		out = "<" + out
	}
	if info.HasNextPage {
		out += ">"
	}
	return fmt.Sprintf("%s (%d)", out, total), nil
}

// at is the cursor of a pod of firstPods, or of one that is gone.
func at(t *testing.T, o *graph.ConnectionOrder, name string) *string {
	t.Helper()
	all := append(firstPods[:4:4], "a/yy")
	for i, n := range all {
		if n == name {
			p := pods(all...)[i]
			return ptr(orderOf(o).encode(placeOf(&p)))
		}
	}
	t.Fatalf("no pod %s", name)
	return nil
}

func TestConnect(t *testing.T) {
	for _, tt := range []struct {
		name string
		args pageArgs
		want string
	}{
		{"everything", pageArgs{}, "a/x b/x a/y a/z (4)"},
		{"first", pageArgs{first: ptr(2)}, "a/x b/x> (4)"},
		{"first of as many", pageArgs{first: ptr(4)}, "a/x b/x a/y a/z (4)"},
		{"first none", pageArgs{first: ptr(0)}, "> (4)"},
		{"last", pageArgs{last: ptr(1)}, "<a/z (4)"},
		{"last of fewer", pageArgs{last: ptr(9)}, "a/x b/x a/y a/z (4)"},
		{"first and last", pageArgs{first: ptr(3), last: ptr(1)}, "<a/y> (4)"},
		{"after", pageArgs{after: at(t, nil, "b/x")}, "<a/y a/z (4)"},
		{"after the last", pageArgs{after: at(t, nil, "a/z")}, "< (4)"},
		{"first after", pageArgs{first: ptr(1), after: at(t, nil, "a/x")}, "<b/x> (4)"},
		{"before", pageArgs{before: at(t, nil, "a/y")}, "a/x b/x> (4)"},
		{"last before", pageArgs{last: ptr(1), before: at(t, nil, "a/y")}, "<b/x> (4)"},
		{"before the first", pageArgs{before: at(t, nil, "a/x")}, "> (4)"},
		{"between", pageArgs{after: at(t, nil, "a/x"), before: at(t, nil, "a/z")}, "<b/x a/y> (4)"},
		{"between in the wrong order", pageArgs{after: at(t, nil, "a/z"), before: at(t, nil, "a/x")}, "< (4)"},
		{"after what is gone", pageArgs{after: at(t, nil, "a/yy")}, "<a/z (4)"},
		{"before what is gone", pageArgs{before: at(t, nil, "a/yy")}, "a/x b/x a/y> (4)"},
		{"by name, down", pageArgs{orderBy: nameDown, first: ptr(2)}, "a/z a/y> (4)"},
		{"by name, down, after what is gone", pageArgs{orderBy: nameDown, after: at(t, nil, "a/yy")}, "<a/y b/x a/x (4)"},
		{"by age", pageArgs{orderBy: byAge}, "a/z a/y b/x a/x (4)"},
		{"by age, after", pageArgs{orderBy: byAge, after: at(t, byAge, "a/y")}, "<b/x a/x (4)"},
		{"by age, down, before", pageArgs{orderBy: ageDown, before: at(t, byAge, "a/y")}, "a/x b/x> (4)"},
		{"text", pageArgs{filter: &graph.ConnectionFilter{Text: ptr("X")}}, "a/x b/x (2)"},
		{"labels", pageArgs{filter: &graph.ConnectionFilter{LabelSelector: ptr("app in (y,z)")}}, "a/y a/z (2)"},
		{"text and labels", pageArgs{filter: &graph.ConnectionFilter{LabelSelector: ptr("app=y"), Text: ptr("x")}}, " (0)"},
		{"empty filter", pageArgs{filter: &graph.ConnectionFilter{LabelSelector: ptr(""), Text: ptr("")}}, "a/x b/x a/y a/z (4)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pageOf(pods(firstPods...), tt.args)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestConnectRefuses(t *testing.T) {
	for name, args := range map[string]pageArgs{
		"negative":         {first: ptr(-1)},
		"too many":         {last: ptr(maxPage + 1)},
		"no cursor":        {after: ptr("?")},
		"empty cursor":     {before: ptr("")},
		"no JSON":          {after: ptr("MQ")},
		"other version":    {after: ptr("eyJ2IjoyLCJieSI6Ik5BTUUiLCJuIjoieCJ9")},
		"long":             {after: ptr(strings.Repeat("A", maxCursor+1))},
		"of another order": {after: at(t, byAge, "a/x")},
		"bad selector":     {filter: &graph.ConnectionFilter{LabelSelector: ptr("=")}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := pageOf(pods(firstPods...), args); !apierrors.IsBadRequest(err) {
				t.Errorf("got %q and %v, want a bad request", got, err)
			}
		})
	}
}

func TestDefaultPage(t *testing.T) {
	var names []string
	for i := range 2*defaultPage + 1 {
		names = append(names, fmt.Sprintf("a/%03d", i))
	}
	for name, tt := range map[string]struct {
		args  pageArgs
		first string
	}{
		"from the start": {pageArgs{}, "a/000"},
		"from the end, where only before is given": {pageArgs{before: ptr(order{field: graph.ConnectionOrderFieldName}.encode(place{name: "100", namespace: "a"}))}, "<a/050"},
	} {
		got, err := pageOf(pods(names...), tt.args)
		if err != nil {
			t.Fatal(err)
		}
		if fields := strings.Fields(got); len(fields) != defaultPage+1 || fields[0] != tt.first {
			t.Errorf("%s: got %d objects, %s", name, len(fields)-1, got)
		}
	}
}

// TestPagesMissNothing goes through all pages while objects come and go: what was there all the time is seen once.
func TestPagesMissNothing(t *testing.T) {
	var seen []string
	var after *string
	for _, now := range [][]string{
		{"a/b", "a/d", "a/f", "a/h"},
		{"a/a", "a/c", "a/d", "a/f", "a/h"}, // a/b, where the first page ended, is gone
		{"a/f", "a/g", "a/h"},
		{"a/h"},
	} {
		edges, info, _, err := connect(pods(now...), pageArgs{first: ptr(1), after: after},
			search[*corev1.Pod]{}, func(_ string, p *corev1.Pod) string { return p.Name })
		if err != nil {
			t.Fatal(err)
		}
		seen, after = append(seen, edges...), info.EndCursor
	}
	if diff := cmp.Diff([]string{"b", "c", "f", "h"}, seen); diff != "" { // a/d was gone before its page
		t.Errorf("-want +got\n%s", diff)
	}
}

// FuzzCursor wants every string to be refused as bad input, or to be the one cursor of its place.
func FuzzCursor(f *testing.F) {
	for _, o := range []order{{field: graph.ConnectionOrderFieldName}, {field: graph.ConnectionOrderFieldAge}} {
		f.Add(o.encode(place{1, "n", "ns"}))
		f.Add(o.encode(place{name: "n"}))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		for _, o := range []order{{field: graph.ConnectionOrderFieldName}, {field: graph.ConnectionOrderFieldAge}} {
			p, err := o.decode(s)
			if err != nil && !apierrors.IsBadRequest(err) {
				t.Errorf("%q: %v", s, err)
			}
			if err == nil && o.encode(p) != s {
				t.Errorf("%q is the cursor of %v, but so is %q", s, p, o.encode(p))
			}
		}
	})
}
