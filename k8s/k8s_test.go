package k8s_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
)

var (
	admin = &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}}
	alice = &user.DefaultInfo{Name: "alice", Groups: []string{user.AllAuthenticated}}
)

// open opens the cluster that $KUBECONFIG names, or an embedded one of its own, with our kinds and as o says.
func open(t testing.TB, o k8s.Options) *k8s.Cluster {
	t.Helper()
	o.Kubeconfig = os.Getenv("KUBECONFIG")
	o.Anonymous = admin
	o.Fallback = func(ctx context.Context) (*rest.Config, error) {
		crds, err := apis.CRDs()
		if err != nil {
			return nil, err
		}
		plane, err := embedded.Start(ctx, embedded.Options{DataDir: t.TempDir(), Log: t.Output(), CRDs: crds})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = plane.Stop() })
		return plane.Config(), nil
	}
	cluster, err := k8s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.Manager().GetFieldIndexer().IndexField(t.Context(), &corev1.ConfigMap{}, "name", func(o client.Object) []string { return []string{o.GetName()} })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cluster.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	eventually(t, func() error { return cluster.Ready(t.Context()) })
	return cluster
}

func as(t testing.TB, u user.Info) context.Context { return request.WithUser(t.Context(), u) }

func eventually(t testing.TB, holds func() error) {
	t.Helper()
	deadline, tick := time.NewTimer(time.Minute), time.NewTicker(20*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// TestCluster is one test, as it needs a control plane: who may read, write and watch what.
func TestCluster(t *testing.T) {
	dex, ci := newIssuer(t), newIssuer(t)
	var records audit
	cluster := open(t, k8s.Options{
		Authentication: trust(dex, ci), ReviewInterval: 100 * time.Millisecond, Audit: slog.New(slog.NewJSONHandler(&records, nil)),
	})
	for _, name := range []string{"hers", "other", "empty"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := cluster.Client(as(t, admin)).Create(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
	}
	grant(t, cluster, "hers", "alice", "get", "list", "watch", "create")
	grant(t, cluster, "empty", "carol", "list")

	t.Run("nobody", func(t *testing.T) { testNobody(t, cluster) })
	t.Run("reads", func(t *testing.T) { testReads(t, cluster) })
	t.Run("writes", func(t *testing.T) { testWrites(t, cluster) })
	t.Run("watch", func(t *testing.T) { testWatch(t, cluster) })
	t.Run("visible", func(t *testing.T) { testVisible(t, cluster) })
	t.Run("own writes", func(t *testing.T) { testOwnWrites(t, cluster) })
	t.Run("tracked reads", func(t *testing.T) { testTrackedReads(t, cluster) })
	t.Run("missing kind", func(t *testing.T) { testMissingKind(t, cluster) })
	t.Run("audit", func(t *testing.T) { testAudit(t, cluster, &records) })
	t.Run("review", func(t *testing.T) { testReview(t, cluster) })
	t.Run("serves", func(t *testing.T) { testServes(t, cluster) })
	t.Run("authenticate", func(t *testing.T) { testAuthenticate(t, cluster) })
	t.Run("issuers", func(t *testing.T) { testIssuers(t, cluster, dex, ci) })
	t.Run("watch under load", func(t *testing.T) { testWatchUnderLoad(t, cluster) })
	t.Run("rights come and go", func(t *testing.T) { testRightsComeAndGo(t, cluster) })
	t.Run("checks", func(t *testing.T) {
		cluster.AddCheck("test", func(context.Context) error { return errors.New("missing") })
		if err := cluster.Ready(t.Context()); err == nil || err.Error() != "test: missing" {
			t.Errorf("Ready: got %v, want what the check says", err)
		}
	})
}

// grant lets name do verbs on config maps and ApplicationMappings in namespace, and on the namespace.
func grant(t testing.TB, cluster *k8s.Cluster, namespace, name string, verbs ...string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: name, Namespace: namespace}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			Verbs: verbs, APIGroups: []string{"", appv1.GroupVersion.Group}, Resources: []string{"configmaps", "namespaces", "applicationmappings"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
		},
	} {
		if err := cluster.Client(as(t, admin)).Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

func testNobody(t *testing.T, cluster *k8s.Cluster) {
	c := cluster.Client(t.Context())
	key := client.ObjectKey{Namespace: "hers", Name: "a"}
	_, watchErr := k8s.Watch(t.Context(), cluster, &corev1.ConfigMap{})
	for name, err := range map[string]error{
		"get":    c.Get(t.Context(), key, &corev1.ConfigMap{}),
		"list":   c.List(t.Context(), &corev1.ConfigMapList{}),
		"create": c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "hers"}}),
		"delete": c.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "hers"}}),
		"status": c.Status().Update(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "hers"}}),
		"update": c.Update(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "hers"}}),
		"patch":  c.Patch(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "hers"}}, client.RawPatch(types.MergePatchType, []byte("{}"))),
		"watch":  watchErr,
		"review": cluster.Review(t.Context(), "create", &corev1.ConfigMap{}),
	} {
		if !apierrors.IsUnauthorized(err) {
			t.Errorf("%s without a user: got %v, want Unauthorized", name, err)
		}
	}
}

func testReads(t *testing.T, cluster *k8s.Cluster) {
	for _, tt := range []struct {
		name   string
		user   user.Info
		read   func(client.Reader) error
		denied bool
	}{
		{"admin lists all", admin, func(r client.Reader) error { return r.List(t.Context(), &corev1.ConfigMapList{}) }, false},
		{"alice lists hers", alice, func(r client.Reader) error {
			return r.List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("hers"))
		}, false},
		{"alice lists secrets", alice, func(r client.Reader) error { return r.List(t.Context(), &corev1.SecretList{}) }, true},
		{"alice lists other", alice, func(r client.Reader) error {
			return r.List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("other"))
		}, true},
		{"alice gets what is not there", alice, func(r client.Reader) error {
			return client.IgnoreNotFound(r.Get(t.Context(), client.ObjectKey{Namespace: "hers", Name: "none"}, &corev1.ConfigMap{}))
		}, false},
		{"alice gets a secret", alice, func(r client.Reader) error {
			return r.Get(t.Context(), client.ObjectKey{Namespace: "hers", Name: "none"}, &corev1.Secret{})
		}, true},
		{"alice gets her namespace by a role in it", alice, func(r client.Reader) error {
			return r.Get(t.Context(), client.ObjectKey{Name: "hers"}, &corev1.Namespace{})
		}, false},
		{"alice gets another namespace", alice, func(r client.Reader) error {
			return r.Get(t.Context(), client.ObjectKey{Name: "other"}, &corev1.Namespace{})
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.read(cluster.Client(as(t, tt.user)))
			if k8s.Denied(err) != tt.denied || (err != nil && !tt.denied) {
				t.Errorf("got %v, want denied %v", err, tt.denied)
			}
		})
	}
}

func testWrites(t *testing.T, cluster *k8s.Cluster) {
	c := cluster.Client(as(t, alice))
	if err := c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "made", Namespace: "hers"}}); err != nil {
		t.Errorf("creating where she may: %v", err)
	}
	if err := c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "made", Namespace: "other"}}); !k8s.Denied(err) {
		t.Errorf("creating where she may not: got %v, want denied", err)
	}
	if err := c.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "made", Namespace: "hers"}}); !k8s.Denied(err) {
		t.Errorf("deleting, which she may not: got %v, want denied", err)
	}
	err := cluster.Client(as(t, admin)).Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "Not A Name"}})
	if err == nil || k8s.Denied(err) {
		t.Errorf("an object that admission refuses: got %v, want an error that is no denial", err)
	}
	for _, key := range []client.ObjectKey{{Name: "n"}, {Namespace: "hers"}, {Namespace: "hers", Name: "a/b"}, {Namespace: "..", Name: "n"}} {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace}}
		for verb, err := range map[string]error{
			"deleting": c.Delete(t.Context(), o),
			"updating": c.Update(t.Context(), o),
			"patching": c.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte("{}"))),
		} {
			if !apierrors.IsBadRequest(err) {
				t.Errorf("%s %q, which is no name: got %v, want a bad request", verb, key, err)
			}
		}
	}
}

func testWatch(t *testing.T, cluster *k8s.Cluster) {
	if _, err := k8s.Watch(as(t, alice), cluster, &corev1.ConfigMap{}, client.InNamespace("other")); !k8s.Denied(err) {
		t.Errorf("watching where she may not: got %v, want denied", err)
	}
	ctx, cancel := context.WithCancel(as(t, alice))
	events, err := k8s.Watch(ctx, cluster, &corev1.ConfigMap{}, client.InNamespace("hers"))
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Client(as(t, admin))
	elsewhere := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Namespace: "other"}}
	seen := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "seen", Namespace: "hers"}}
	for _, o := range []*corev1.ConfigMap{elsewhere, seen} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if e := <-events; e.Type != k8s.Added || e.Object.Name != "seen" {
		t.Errorf("first event: got %s %s, want ADD seen: neither what was there nor another namespace", e.Type, e.Object.Name)
	}
	if err := c.Delete(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Type != k8s.Deleted || e.Object.Name != "seen" {
		t.Errorf("second event: got %s %s, want DELETE seen", e.Type, e.Object.Name)
	}
	cancel()
	for range events { // ends because the context did
	}
}

func testAuthenticate(t *testing.T, cluster *k8s.Cluster) {
	kube := kubernetes.NewForConfigOrDie(cluster.Config())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "ci", Namespace: "hers"}}
	if err := cluster.Client(as(t, admin)).Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	token, err := kube.CoreV1().ServiceAccounts("hers").CreateToken(t.Context(), "ci", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, header, want string }{
		{"no token", "", "admin"},
		{"a service account's token", "Bearer " + token.Status.Token, "system:serviceaccount:hers:ci"},
		{"a token that is none", "Bearer nonsense", ""},
		{"another scheme", "Basic YTpi", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/graphql", nil).WithContext(t.Context())
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			u, ok, err := cluster.Authenticate(r)
			if tt.want == "" {
				if ok {
					t.Errorf("accepted as %s (error %v)", u.GetName(), err)
				}
			} else if !ok || u.GetName() != tt.want {
				t.Errorf("got %v, %v, %v; want %s", u, ok, err, tt.want)
			}
		})
	}
}

func testReview(t *testing.T, cluster *k8s.Cluster) {
	for _, tt := range []struct {
		verb, namespace string
		allowed         bool
	}{
		{"create", "hers", true},
		{"delete", "hers", false},
		{"create", "other", false},
		{"create", "", false}, // in all namespaces
	} {
		err := cluster.Review(as(t, alice), tt.verb, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tt.namespace}})
		if tt.allowed != (err == nil) || (err != nil && !k8s.Denied(err)) {
			t.Errorf("%s in %q: got %v, want allowed %t", tt.verb, tt.namespace, err, tt.allowed)
		}
	}
}

// testServes asks for a kind before and after it is installed.
func testServes(t *testing.T, cluster *k8s.Cluster) {
	if ok, err := cluster.Serves(schema.GroupKind{Kind: "ConfigMap"}); !ok || err != nil {
		t.Errorf("ConfigMap: got %t, %v", ok, err)
	}
	if ok, err := cluster.Serves(schema.GroupKind{Kind: "Nothing"}); ok || err != nil {
		t.Errorf("a kind that a known group lacks: got %t, %v", ok, err)
	}
	late := schema.GroupKind{Group: "late.example.com", Kind: "Late"}
	for range 2 { // the second answer is remembered
		if ok, err := cluster.Serves(late); ok || err != nil {
			t.Fatalf("before it is installed: got %t, %v", ok, err)
		}
	}
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "lates.late.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: late.Group, Scope: apiextensionsv1.ClusterScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: late.Kind, Plural: "lates"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"}},
			}},
		},
	}
	if err := cluster.Client(as(t, admin)).Create(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		ok, err := cluster.Serves(late)
		if !ok {
			return errors.Join(err, errors.New("not served"))
		}
		return err
	})
}
