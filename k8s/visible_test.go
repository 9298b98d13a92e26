package k8s_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	machinery "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// named is the metadata of an object without a namespace, or in one.
func named(name string, namespace ...string) metav1.ObjectMeta {
	o := metav1.ObjectMeta{Name: name}
	if len(namespace) > 0 {
		o.Namespace = namespace[0]
	}
	return o
}

func createAll(t testing.TB, cluster *k8s.Cluster, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := cluster.Client(as(t, admin)).Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// namesOf are the names of what a list has, sorted.
func namesOf(t *testing.T, list client.ObjectList) []string {
	t.Helper()
	names := []string{}
	err := meta.EachListItem(list, func(o machinery.Object) error {
		names = append(names, o.(client.Object).GetName())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// testVisible holds what people get of all namespaces who have rights in some.
func testVisible(t *testing.T, cluster *k8s.Cluster) {
	labelled := &corev1.ConfigMap{ObjectMeta: named("v-labelled", "hers")}
	labelled.Labels = map[string]string{"v": "1"}
	createAll(
		t, cluster, labelled,
		&corev1.ConfigMap{ObjectMeta: named("v-plain", "hers")},
		&corev1.ConfigMap{ObjectMeta: named("v-plain", "other")},
		&appv1.Application{ObjectMeta: named("v-mapped")},
		&appv1.Application{ObjectMeta: named("v-elsewhere")},
		&appv1.ApplicationMapping{ObjectMeta: named("v-mapped", "hers")},
		&appv1.ApplicationMapping{ObjectMeta: named("v-elsewhere", "other")},
	)
	carol := &user.DefaultInfo{Name: "carol"}
	bob := &user.DefaultInfo{Name: "bob"}
	index := client.MatchingFields{"name": "v-plain"}
	for _, tt := range []struct {
		name string
		user user.Info
		list client.ObjectList
		opts []client.ListOption
		want []string // nil: denied
	}{
		{"everything", admin, &corev1.ConfigMapList{}, []client.ListOption{index}, []string{"v-plain", "v-plain"}},
		{"by index", alice, &corev1.ConfigMapList{}, []client.ListOption{index}, []string{"v-plain"}},
		{"by label", alice, &corev1.ConfigMapList{}, []client.ListOption{client.HasLabels{"v"}}, []string{"v-labelled"}},
		{"nothing of what is visible", alice, &corev1.ConfigMapList{}, []client.ListOption{client.HasLabels{"none"}}, []string{}},
		{"a part", alice, &corev1.ConfigMapList{}, []client.ListOption{index, client.Limit(1)}, []string{"v-plain"}},
		{"her namespaces", alice, &corev1.NamespaceList{}, nil, []string{"hers"}},
		{"her Applications", alice, &appv1.ApplicationList{}, nil, []string{"v-mapped"}},
		{"a kind that is in no namespace", alice, &corev1.NodeList{}, nil, nil},
		{"a kind that she may not list", alice, &corev1.SecretList{}, nil, nil},
		{"empty is not denied", carol, &corev1.ConfigMapList{}, nil, []string{}},
		{"no Application, and not denied", carol, &appv1.ApplicationList{}, nil, []string{}},
		{"to list is not to get", carol, &corev1.NamespaceList{}, nil, nil},
		{"nobody's config maps", bob, &corev1.ConfigMapList{}, nil, nil},
		{"nobody's namespaces", bob, &corev1.NamespaceList{}, nil, nil},
		{"nobody's Applications", bob, &appv1.ApplicationList{}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := cluster.Client(as(t, tt.user)).List(t.Context(), tt.list, tt.opts...)
			if tt.want == nil {
				if !k8s.Denied(err) {
					t.Errorf("got %v, %v; want denied", namesOf(t, tt.list), err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, namesOf(t, tt.list)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	for name, denied := range map[string]bool{"v-mapped": false, "v-elsewhere": true, "v-none": true} {
		err := cluster.Client(as(t, alice)).Get(t.Context(), client.ObjectKey{Name: name}, &appv1.Application{})
		if k8s.Denied(err) != denied || (err != nil && !denied) {
			t.Errorf("getting Application %s: %v, want denied %v", name, err, denied)
		}
	}
}

// story is what a watch has told so far.
type story[T client.Object] struct {
	t      *testing.T
	events <-chan k8s.Event[T]
}

func watchAll[T client.Object](t *testing.T, cluster *k8s.Cluster, u user.Info, obj T) story[T] {
	t.Helper()
	events, err := k8s.Watch(as(t, u), cluster, obj)
	if err != nil {
		t.Fatal(err)
	}
	return story[T]{t, events}
}

// wants that the next events are these, such as "ADD hers/a".
func (s story[T]) wants(want ...string) {
	s.t.Helper()
	for _, w := range want {
		e, ok := <-s.events
		if !ok || e.Err != nil {
			s.t.Fatalf("ended with %v, want %s", e.Err, w)
		}
		if got := fmt.Sprint(e.Type, " ", client.ObjectKeyFromObject(e.Object)); got != w {
			s.t.Errorf("got %s, want %s", got, w)
		}
	}
}

// wantsEnd wants that the watch ends as denied, with nothing more before than deletions.
func (s story[T]) wantsEnd() {
	s.t.Helper()
	for e := range s.events {
		switch {
		case e.Err == nil && e.Type != k8s.Deleted:
			s.t.Errorf("got %s %s, want the end", e.Type, client.ObjectKeyFromObject(e.Object))
		case e.Err != nil && !k8s.Denied(e.Err):
			s.t.Errorf("ended with %v, want denied", e.Err)
		}
	}
}

// testRightsComeAndGo holds that granting shows objects to who watches, and revoking hides them. It takes as long as an
// answer of the authorizer is believed.
func testRightsComeAndGo(t *testing.T, cluster *k8s.Cluster) {
	for _, name := range []string{"r-kept", "r-lost", "r-won", "r-last"} {
		createAll(t, cluster, &corev1.Namespace{ObjectMeta: named(name)})
	}
	dora, emil := &user.DefaultInfo{Name: "dora"}, &user.DefaultInfo{Name: "emil"}
	verbs := []string{"get", "list", "watch"}
	grant(t, cluster, "r-kept", "dora", verbs...)
	grant(t, cluster, "r-lost", "dora", verbs...)
	grant(t, cluster, "r-last", "emil", verbs...)
	createAll(
		t, cluster,
		&appv1.Application{ObjectMeta: named("r-app")},
		&corev1.ConfigMap{ObjectMeta: named("before", "r-lost")},
		&corev1.ConfigMap{ObjectMeta: named("before", "r-won")},
	)
	eventually(t, func() error { // the API server has read the roles
		_, err := k8s.Watch(as(t, emil), cluster, &corev1.ConfigMap{})
		if err == nil {
			_, err = k8s.Watch(as(t, dora), cluster, &corev1.ConfigMap{}, client.InNamespace("r-lost"))
		}
		return err
	})
	maps, namespaces := watchAll(t, cluster, dora, &corev1.ConfigMap{}), watchAll(t, cluster, dora, &corev1.Namespace{})
	apps := watchAll(t, cluster, dora, &appv1.Application{})
	last := watchAll(t, cluster, emil, &corev1.ConfigMap{})

	createAll(
		t, cluster,
		&corev1.ConfigMap{ObjectMeta: named("unseen", "r-won")},
		&corev1.ConfigMap{ObjectMeta: named("seen", "r-kept")},
		&appv1.ApplicationMapping{ObjectMeta: named("r-app", "r-won")},
		&appv1.ApplicationMapping{ObjectMeta: named("r-app", "r-kept")},
	)
	maps.wants("ADD r-kept/seen")
	apps.wants("ADD /r-app") // the mapping shows it
	mapping := &appv1.ApplicationMapping{ObjectMeta: named("r-app", "r-kept")}
	if err := cluster.Client(as(t, admin)).Delete(t.Context(), mapping); err != nil {
		t.Fatal(err)
	}
	apps.wants("DELETE /r-app")

	grant(t, cluster, "r-won", "dora", verbs...)
	for _, lost := range []*rbacv1.RoleBinding{{ObjectMeta: named("dora", "r-lost")}, {ObjectMeta: named("emil", "r-last")}} {
		if err := cluster.Client(as(t, admin)).Delete(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
	}
	last.wantsEnd()
	got := map[string]bool{}
	for range 3 { // in no order
		e := <-maps.events
		if e.Err != nil {
			t.Fatal(e.Err)
		}
		got[fmt.Sprint(e.Type, " ", client.ObjectKeyFromObject(e.Object))] = true
	}
	want := map[string]bool{"DELETE r-lost/before": true, "ADD r-won/before": true, "ADD r-won/unseen": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config maps (-want +got):\n%s", diff)
	}
	got = map[string]bool{}
	for range 2 {
		e := <-namespaces.events
		if e.Err != nil {
			t.Fatal(e.Err)
		}
		got[fmt.Sprint(e.Type, " ", e.Object.Name)] = true
	}
	if diff := cmp.Diff(map[string]bool{"DELETE r-lost": true, "ADD r-won": true}, got); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	apps.wants("ADD /r-app") // by the mapping in r-won

	for _, name := range []string{"r-won", "r-kept"} {
		if err := cluster.Client(as(t, admin)).Delete(t.Context(), &corev1.Namespace{ObjectMeta: named(name)}); err != nil {
			t.Fatal(err)
		}
	}
	maps.wantsEnd()
	apps.wantsEnd()
}

// testWatchUnderLoad has hundreds of readers come, go and stall while the API server changes objects. Who stays sees every
// deletion, and nobody leaves anything behind.
func testWatchUnderLoad(t *testing.T, cluster *k8s.Cluster) {
	const readers, rounds, objects = 300, 8, 10
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(as(t, admin))
	defer cancel()
	watch := func(ctx context.Context) <-chan k8s.Event[*corev1.ConfigMap] {
		events, err := k8s.Watch(ctx, cluster, &corev1.ConfigMap{}, client.InNamespace("empty"))
		if err != nil {
			t.Error(err)
		}
		return events
	}
	var staying, going sync.WaitGroup
	for i := range readers {
		switch i % 3 {
		case 0: // stalls
			watch(ctx)
		case 1: // stays
			events := watch(ctx)
			staying.Go(func() { deletions(t, events, objects) })
		default: // comes and goes
			going.Go(func() {
				for ctx.Err() == nil {
					ctx, leave := context.WithCancel(ctx)
					<-watch(ctx)
					leave()
				}
			})
		}
	}
	var writing sync.WaitGroup
	for i := range objects {
		writing.Go(func() { writeRounds(t, cluster, fmt.Sprint("load-", i), rounds) })
	}
	writing.Wait()
	staying.Wait()
	cancel()
	going.Wait()
	eventually(t, func() error {
		if after := runtime.NumGoroutine(); after > before+10 { // connections of the writers
			return fmt.Errorf("%d goroutines, %d before", after, before)
		}
		return nil
	})
}

// deletions returns when the last of so many objects is deleted for good.
func deletions(t *testing.T, events <-chan k8s.Event[*corev1.ConfigMap], objects int) {
	gone := map[string]bool{}
	for e := range events {
		if e.Err != nil {
			t.Error(e.Err)
			return
		}
		if e.Type == k8s.Deleted && e.Object.Data["round"] == "last" {
			gone[e.Object.Name] = true
		}
		if len(gone) == objects {
			return
		}
	}
	t.Errorf("%d of %d deletions seen", len(gone), objects)
}

// writeRounds makes, changes and deletes an object again and again.
func writeRounds(t *testing.T, cluster *k8s.Cluster, name string, rounds int) {
	c := cluster.Manager().GetClient() // as some controller does
	for round := range rounds {
		o := &corev1.ConfigMap{ObjectMeta: named(name, "empty"), Data: map[string]string{"round": "first"}}
		if err := c.Create(t.Context(), o); err != nil {
			t.Error(err)
			return
		}
		for change := range 5 {
			o.Data["round"] = fmt.Sprint(round, " ", change)
			if change == 4 && round == rounds-1 {
				o.Data["round"] = "last"
			}
			if err := c.Update(t.Context(), o); err != nil {
				t.Error(err)
				return
			}
		}
		if err := c.Delete(t.Context(), o); err != nil {
			t.Error(err)
			return
		}
	}
}
