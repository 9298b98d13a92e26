package k8s_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// testOwnWrites wants each write read by the same process as soon as it has returned.
func testOwnWrites(t *testing.T, cluster *k8s.Cluster) {
	const rounds = 50 // of four writes
	c := cluster.Client(as(t, admin))
	stale := 0
	read := func(key client.ObjectKey) (string, bool) {
		var o corev1.ConfigMap
		err := c.Get(t.Context(), key, &o)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return o.Data["v"], err == nil
	}
	wants := func(key client.ObjectKey, value string, exists bool) {
		if got, ok := read(key); got != value || ok != exists {
			stale++
		}
	}
	for round := range rounds {
		value := fmt.Sprint(round)
		o := &corev1.ConfigMap{Data: map[string]string{"v": value}}
		o.GenerateName, o.Namespace = "own-", "other"
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		key := client.ObjectKeyFromObject(o)
		wants(key, value, true)
		o.Data["v"] = value + "u"
		if err := c.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wants(key, value+"u", true)
		patched := &corev1.ConfigMap{ObjectMeta: named(o.Name, "other")}
		if err := c.Patch(t.Context(), patched, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"v":"p"}}`))); err != nil {
			t.Fatal(err)
		}
		wants(key, "p", true)
		if err := c.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wants(key, "", false)
	}
	if stale > 0 {
		t.Errorf("%d of %d reads were stale", stale, 4*rounds)
	}
	testOtherWrites(t, c)
}

// testOtherWrites wants the same of rarer ways to write, and nothing waited for that does not come.
func testOtherWrites(t *testing.T, c client.Client) {
	applied := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "own-applied", "namespace": "other", "labels": map[string]any{"own": "1"}},
	}}
	key := client.ObjectKeyFromObject(applied)
	for range 2 { // the second changes nothing
		if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied.DeepCopy()), client.FieldOwner("test")); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), key, &corev1.ConfigMap{}); err != nil {
			t.Errorf("after it was applied: %v", err)
		}
	}
	list := &unstructured.UnstructuredList{} // a cache of its own
	list.SetAPIVersion("v1")
	list.SetKind("ConfigMapList")
	if err := c.List(t.Context(), list, client.HasLabels{"own"}); err != nil || len(list.Items) != 1 {
		t.Fatalf("without a Go type: %d objects, %v", len(list.Items), err)
	}
	o := &corev1.ConfigMap{ObjectMeta: named("own-dry", "other")}
	if err := client.NewDryRunClient(c).Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), &corev1.ConfigMap{}); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry run: %v", err)
	}
	if err := c.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace("other"), client.HasLabels{"own"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), key, &corev1.ConfigMap{}); !apierrors.IsNotFound(err) {
		t.Errorf("after it was deleted with all others: %v", err)
	}
	if err := c.List(t.Context(), list, client.HasLabels{"own"}); err != nil || len(list.Items) != 0 {
		t.Errorf("after it was deleted, without a Go type: %d objects, %v", len(list.Items), err)
	}
	namespace := &corev1.Namespace{ObjectMeta: named("own-namespace")}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), namespace); err != nil { // which takes its time
		t.Fatal(err)
	}
	err := c.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace)
	if err == nil && namespace.DeletionTimestamp == nil || client.IgnoreNotFound(err) != nil {
		t.Errorf("a namespace that was deleted: %v, %+v", err, namespace.ObjectMeta)
	}
}

// testTrackedReads holds for how long an answer may be given again.
func testTrackedReads(t *testing.T, cluster *k8s.Cluster) {
	c := cluster.Client(as(t, admin))
	ada := &user.DefaultInfo{Name: "ada"}
	grant(t, cluster, "other", "ada", "list")
	eventually(t, func() error {
		return cluster.Client(as(t, ada)).List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("other"))
	})
	application := &appv1.Application{ObjectMeta: named("tracked")}
	for _, tt := range []struct {
		name string
		user user.Info
		read client.ObjectList
		then func() error
		want bool
	}{
		{"nothing happens", admin, &appv1.ApplicationList{}, func() error { return nil }, true},
		{"another kind changes", admin, &appv1.ApplicationList{}, func() error { return c.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("tracked")}) }, true},
		{"an object is made", admin, &appv1.ApplicationList{}, func() error { return c.Create(t.Context(), application) }, false},
		{"an object changes", admin, &appv1.ApplicationList{}, func() error {
			return c.Patch(t.Context(), application, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`)))
		}, false},
		{"an object is deleted", admin, &appv1.ApplicationList{}, func() error { return c.Delete(t.Context(), application) }, false},
		{"a mapping would show another Application", ada, &appv1.ApplicationList{}, func() error {
			return c.Create(t.Context(), &appv1.ApplicationMapping{ObjectMeta: named("tracked", "other")})
		}, false},
		{"a namespace would be visible", ada, &corev1.ConfigMapList{}, func() error {
			return c.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("tracked-too")})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, reads := k8s.TrackReads(as(t, tt.user))
			if err := cluster.Client(ctx).List(ctx, tt.read); err != nil {
				t.Fatal(err)
			}
			if !reads.Current() {
				t.Error("not current before anything has happened")
			}
			if err := tt.then(); err != nil {
				t.Fatal(err)
			}
			if got := reads.Current(); got != tt.want {
				t.Errorf("current %v, want %v", got, tt.want)
			}
		})
	}
	ctx, reads := k8s.TrackReads(as(t, admin))
	if err := cluster.Client(ctx).Create(ctx, &corev1.ConfigMap{ObjectMeta: named("tracked", "other")}); err != nil {
		t.Fatal(err)
	}
	if reads.Current() {
		t.Error("current after a write")
	}
	ctx, reads = k8s.TrackReads(as(t, admin))
	if err := cluster.Client(ctx).List(ctx, &rbacv1.RoleList{}); err != nil {
		t.Fatal(err)
	}
	k8s.Uncacheable(ctx)
	if reads.Current() {
		t.Error("current though it was called uncacheable")
	}
}

// audit is where the records of writes go.
type audit struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (a *audit) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(p)
}

// of returns the records about objects of a name, without what differs from run to run.
func (a *audit) of(t *testing.T, name string) (records []map[string]any) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range strings.Lines(a.text.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if took, ok := r["took"].(float64); !ok || took < 0 {
			t.Errorf("a record does not say how long it took: %s", line)
		}
		for _, key := range []string{"time", "level", "msg", "took"} {
			delete(r, key)
		}
		if r["name"] == name {
			records = append(records, r)
		}
	}
	return records
}

// testAudit wants a record of every write, those that are refused as well, and no contents in it.
func testAudit(t *testing.T, cluster *k8s.Cluster, records *audit) {
	agent := &user.DefaultInfo{Name: "admin", UID: "7", Groups: []string{user.SystemPrivilegedGroup}}
	c := cluster.Client(as(t, agent))
	secret := func() *corev1.Secret {
		return &corev1.Secret{ObjectMeta: named("audited", "hers"), StringData: map[string]string{"password": "hunter2"}}
	}
	denied := cluster.Client(as(t, alice)).Create(t.Context(), secret())
	dry := client.NewDryRunClient(c).Create(t.Context(), secret())
	made := c.Create(t.Context(), secret())
	again := c.Create(t.Context(), secret())
	gone := c.Delete(t.Context(), secret())
	if !k8s.Denied(denied) || dry != nil || made != nil || !apierrors.IsAlreadyExists(again) || gone != nil {
		t.Fatal(denied, dry, made, again, gone)
	}
	missing := c.Status().Update(t.Context(), &corev1.Namespace{ObjectMeta: named("audited")})
	if !apierrors.IsNotFound(missing) {
		t.Fatal(missing)
	}
	who := map[string]any{"name": "admin", "uid": "7", "groups": []any{user.SystemPrivilegedGroup}}
	record := func(verb, result string, dryRun bool, u map[string]any) map[string]any {
		return map[string]any{
			"user": u, "verb": verb, "group": "", "kind": "Secret", "subresource": "", "namespace": "hers", "name": "audited",
			"dryRun": dryRun, "result": result,
		}
	}
	ofStatus := record("update", "NotFound", false, who)
	ofStatus["kind"], ofStatus["subresource"], ofStatus["namespace"] = "Namespace", "status", ""
	want := []map[string]any{
		record("create", "Forbidden", false, map[string]any{"name": "alice", "uid": "", "groups": []any{user.AllAuthenticated}}),
		record("create", "ok", true, who),
		record("create", "ok", false, who),
		record("create", "AlreadyExists", false, who),
		record("delete", "ok", false, who),
		ofStatus,
	}
	if diff := cmp.Diff(want, records.of(t, "audited")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if strings.Contains(records.text.String(), "hunter2") {
		t.Error("there is a password in the records")
	}
}

// testMissingKind wants to hear that the cluster lacks a kind.
func testMissingKind(t *testing.T, cluster *k8s.Cluster) {
	ctx, reads := k8s.TrackReads(as(t, admin))
	o := &unstructured.UnstructuredList{}
	o.SetAPIVersion("none.example.com/v1")
	o.SetKind("NoneList")
	if err := cluster.Client(ctx).List(ctx, o); !meta.IsNoMatchError(err) {
		t.Errorf("got %v, want that there is no such kind", err)
	}
	if !reads.Current() {
		t.Error("not current, though all would get the same error")
	}
}

// BenchmarkFirstAccess is what it takes to review somebody for the first time, 16 at once.
func BenchmarkFirstAccess(b *testing.B) {
	cluster := open(b, k8s.Options{})
	if err := cluster.Client(as(b, admin)).List(b.Context(), &corev1.ConfigMapList{}); err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			n++
			u := &user.DefaultInfo{Name: fmt.Sprint("user-", n), Groups: []string{user.SystemPrivilegedGroup}}
			mu.Unlock()
			if err := cluster.Client(as(b, u)).List(b.Context(), &corev1.ConfigMapList{}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accesses/s")
}

// BenchmarkList is what it takes to list a few objects of a namespace, for somebody whose right is known.
func BenchmarkList(b *testing.B) {
	cluster := open(b, k8s.Options{})
	createAll(b, cluster, &corev1.ConfigMap{ObjectMeta: named("one", "default")}, &corev1.ConfigMap{ObjectMeta: named("two", "default")})
	ctx := as(b, admin)
	b.ReportAllocs()
	for b.Loop() {
		if err := cluster.Client(ctx).List(ctx, &corev1.ConfigMapList{}, client.InNamespace("default")); err != nil {
			b.Fatal(err)
		}
	}
}
