package resolvers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/catalog"
	"github.com/kyma-eventmesh/kyma-console/eventmesh/embedded/knative"
	"github.com/kyma-eventmesh/kyma-console/k8s"
	"github.com/kyma-eventmesh/kyma-console/k8s/apis"
	"github.com/kyma-eventmesh/kyma-console/k8s/embedded"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/*.txtar")

// patience is how long a test waits for what must happen. Only a failing test takes so long.
const patience = 20 * time.Second

// world is the control plane that all tests of the package share, and the API in front of it.
type world struct {
	cluster *k8s.Cluster
	admin   client.Client // past the API, with all rights
	handler http.Handler
}

var shared *world

func TestMain(m *testing.M) {
	flag.Parse()
	ctrllog.SetLogger(klog.Logger{}) // which says nothing
	os.Exit(run(m))
}

// run starts a real control plane with the kinds of the mesh, but nothing that acts on them: what controllers would
// write is in the scripts.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "resolvers")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithCancel(context.Background())
	plane, err := startPlane(ctx, dir)
	if err != nil {
		panic(err)
	}
	cluster, err := k8s.Open(ctx, k8s.Options{Fallback: func(context.Context) (*rest.Config, error) {
		config := plane.Config()
		config.Wrap(asked.wrap)
		return config, nil
	}})
	if err != nil {
		panic(err)
	}
	if err := SetupIndexes(ctx, cluster.Manager().GetFieldIndexer()); err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- cluster.Run(ctx) }()
	admin, err := client.New(plane.Config(), client.Options{Scheme: cluster.Manager().GetScheme()})
	if err != nil {
		panic(err)
	}
	cluster.Manager().GetCache().WaitForCacheSync(ctx)
	logs := func(namespace, name string) []eventmesh.LogLine {
		return []eventmesh.LogLine{{Time: time.Unix(1, 500_000_000), Message: "hello from " + namespace + "/" + name, EventID: "e-1"}, {Time: time.Unix(2, 0), Message: "bye"}}
	}
	shared = &world{cluster: cluster, admin: admin, handler: NewHandler(&Resolver{Cluster: cluster, FunctionLogs: logs}, Options{})}
	code := m.Run()
	cancel()
	<-ended
	if err := plane.Stop(); err != nil {
		panic(err)
	}
	return code
}

func startPlane(ctx context.Context, dir string) (*embedded.ControlPlane, error) {
	options := embedded.Options{
		DataDir: dir,
		Log:     io.Discard,
		Plugins: []embedded.AdmissionPlugin{{Name: catalog.PluginName, New: catalog.NewPlugin}},
	}
	for _, kinds := range []func() ([]*apiextensionsv1.CustomResourceDefinition, error){apis.CRDs, knative.CRDs, catalog.CRDs} {
		crds, err := kinds()
		if err != nil {
			return nil, err
		}
		options.CRDs = append(options.CRDs, crds...)
	}
	return embedded.Start(ctx, options)
}

// as serves the API to the user of that name. "admin" may do everything; others have the rights that a script gives
// them; "" is nobody.
func (w *world) as(name string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		u := &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}
		if name == "admin" {
			u.Groups = append(u.Groups, user.SystemPrivilegedGroup)
		}
		if name != "" {
			r = r.WithContext(request.WithUser(r.Context(), u))
		}
		w.handler.ServeHTTP(rw, r)
	})
}

// ask posts a document and returns the answer, made comparable.
func (w *world) ask(t *testing.T, name, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w.as(name).ServeHTTP(rec, req)
	var answer any
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %v", rec.Body, err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(steady(answer)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// steady replaces what differs from run to run: times, ids, where in the document an error was.
func steady(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "locations")
		for key, value := range v {
			switch key {
			case "creationTimestamp", "creationTime", "lastTransitionTime":
				v[key] = 0
			case "UID", "uid", "resourceVersion":
				v[key] = strings.ToLower(key)
			default:
				v[key] = steady(value)
			}
		}
		// Fields are resolved side by side, so their errors come in any order.
		if errs, ok := v["errors"].([]any); ok {
			slices.SortFunc(errs, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	case []any:
		for i := range v {
			v[i] = steady(v[i])
		}
	}
	return v
}

// TestScripts plays testdata/*.txtar. A script has objects.yaml, which is made first, status included; before it there may
// be kinds, which names files of testdata/crds with definitions of other programs to install. Then come steps:
// each NAME.graphql is sent, in order, and must be answered as NAME.json says. "# as USER" on its first line sends it as
// that user instead of admin. Queries are repeated until the answer is right, for the caches follow a write with some
// delay; mutations are sent once. Cluster-scoped names must differ from script to script, and a script cannot
// be played twice in one process: -count=1.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			script, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, script)
			if *update {
				if err := os.WriteFile(file, txtar.Format(script), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func play(t *testing.T, script *txtar.Archive) {
	t.Helper()
	for i := range script.Files {
		f := &script.Files[i]
		step, isStep := strings.CutSuffix(f.Name, ".graphql")
		switch {
		case f.Name == "kinds":
			shared.install(t, strings.Fields(string(f.Data)))
		case f.Name == "objects.yaml":
			shared.makeObjects(t, f.Data)
		case isStep:
			want := answerOf(t, script, step)
			got := playStep(t, string(f.Data), string(want.Data))
			if *update {
				want.Data = []byte(got)
			} else if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("%s: -want +got\n%s", step, diff)
			}
		}
	}
}

func answerOf(t *testing.T, script *txtar.Archive, step string) *txtar.File {
	t.Helper()
	i := slices.IndexFunc(script.Files, func(f txtar.File) bool { return f.Name == step+".json" })
	if i < 0 {
		t.Fatalf("%s.graphql has no %s.json", step, step)
	}
	return &script.Files[i]
}

func playStep(t *testing.T, document, want string) string {
	t.Helper()
	name := "admin"
	if first, _, _ := strings.Cut(document, "\n"); strings.HasPrefix(first, "# as ") {
		name = strings.TrimPrefix(first, "# as ")
	}
	if strings.Contains(document, "mutation") {
		return shared.ask(t, name, document)
	}
	var got string
	start := time.Now()
	_ = wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		before := got
		got = shared.ask(t, name, document)
		settled := got == before && time.Since(start) > time.Second // there is nothing to compare with
		return got == want || (*update && settled), nil
	})
	return got
}

// install makes the definitions in testdata/crds/NAME.yaml for each name, and returns once the API server serves them.
func (w *world) install(t *testing.T, names []string) {
	t.Helper()
	for _, name := range names {
		manifests, err := os.ReadFile(filepath.Join("testdata", "crds", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		w.makeObjects(t, manifests)
	}
}

// waitForKind returns once the API server serves what a CustomResourceDefinition defines, and the cluster under test has
// noticed: it may remember for some seconds that a kind was not there.
func (w *world) waitForKind(ctx context.Context, obj *unstructured.Unstructured) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, crd); err != nil {
		return err
	}
	kind := schema.GroupVersionKind{Group: crd.Spec.Group, Version: crd.Spec.Versions[0].Name, Kind: crd.Spec.Names.Kind}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		if w.admin.List(ctx, list) != nil {
			return false, nil // there are several errors on the way
		}
		_, err := w.cluster.Manager().GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		return err == nil, nil
	})
}

// makeObjects creates objects with all rights, and writes their status as a controller would.
func (w *world) makeObjects(t *testing.T, manifests []byte) {
	t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(obj)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(obj.Object) == 0 {
			continue
		}
		if err := w.makeObject(t.Context(), obj); err != nil {
			t.Fatalf("%s %s: %v", obj.GetKind(), obj.GetName(), err)
		}
	}
}

func (w *world) makeObject(ctx context.Context, obj *unstructured.Unstructured) error {
	status, hasStatus := obj.Object["status"]
	if err := w.admin.Create(ctx, obj); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	if hasStatus {
		obj.Object["status"] = status
		if err := w.admin.Status().Update(ctx, obj); err != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
	switch obj.GetKind() {
	case "ResourceQuota":
		return w.waitForQuota(ctx, obj.GetNamespace())
	case "CustomResourceDefinition":
		return w.waitForKind(ctx, obj)
	}
	return nil
}

// waitForQuota returns once the API server's quota admission, which learns of quotas by a watch of its own, refuses
// ConfigMaps in namespace. Every quota of the scripts allows none, to be recognised by.
func (w *world) waitForQuota(ctx context.Context, namespace string) error {
	probe := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "quota-probe", "namespace": namespace},
	}}
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := w.admin.Create(ctx, probe.DeepCopy(), client.DryRunAll)
		if apierrors.IsForbidden(err) {
			return true, nil
		}
		return false, err
	})
}
