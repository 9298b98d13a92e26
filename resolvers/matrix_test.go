package resolvers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The matrix: every root field, sent as each of those who may everything (admin), only read (reader), do everything in
// one namespace (the owner of that), do nothing, and as nobody.
const (
	here    = "matrix-here"
	there   = "matrix-there"
	owner   = here + "-owner"
	reader  = "matrix-reader"  // gets, lists and watches everything, by testdata/matrix/cluster.yaml
	nothing = "matrix-nothing" // is signed in, and has no rights
	nobody  = ""
)

// The exceptions from the rule that reading needs the right to read, and writing the right to write.
var (
	// forEveryone are queries that answer whoever is signed in.
	forEveryone = map[string]string{
		"versionInfo":           "the Console's start-up query, which must not fail: it names no object",
		"selfSubjectRules":      "what somebody may do is what they may ask",
		"backendModules":        "the Console's start-up query: which parts are installed is no secret",
		"clusterMicroFrontends": "the Console's start-up query: those that may not list them get none",
	}
	// forWriters are queries that need the right to write.
	forWriters = map[string]string{
		"connectorService": "its answer lets whoever has it become the Application",
	}
	// beyondNamespaces are operations about a namespace that the rights in this namespace are not enough for.
	beyondNamespaces = map[string]string{
		"meshStatus":         "a path begins outside of the namespace",
		"meshStatusEvent":    "a path begins outside of the namespace",
		"connectApplication": "it reads the Application, which is in no namespace",
	}
	// notInstalled are fields whose part is not in the cluster of the tests: MODULE_DISABLED is an answer.
	notInstalled = map[string]string{
		"connectorService":     "nothing gives tokens",
		"serviceBindingUsage":  "its kind is Kyma's binding usage controller's",
		"serviceBindingUsages": "its kind is Kyma's binding usage controller's",
	}
)

// reply is an answer, read for who was refused what.
type reply struct {
	Data   map[string]any `json:"data"`
	Errors []struct {
		Message    string `json:"message"`
		Path       []any  `json:"path"`
		Extensions struct {
			Code string `json:"code"`
		} `json:"extensions"`
	} `json:"errors"`
}

func (r reply) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (r reply) has(codes ...string) bool {
	for _, e := range r.Errors {
		if slices.Contains(codes, e.Extensions.Code) {
			return true
		}
	}
	return false
}

// wrong says what is wrong with the answer to an operation, nil if nothing is.
type wrong func(operation, reply) error

// granted wants an answer without any error: not one of the document either, which would show nothing about rights.
func granted(op operation, r reply) error {
	if notInstalled[op.field.Name] != "" && len(r.Errors) == 1 && r.has(codeModuleDisabled) {
		return nil
	}
	if len(r.Errors) > 0 || r.Data == nil {
		return fmt.Errorf("%v: should be answered, got %v", op, r)
	}
	return nil
}

// found wants an answer with something in it: nothing is denied inside of what is not there.
func found(op operation, r reply) error {
	value := r.Data[op.field.Name]
	if list, ok := value.([]any); value == nil && len(r.Errors) == 0 || ok && len(list) == 0 {
		return fmt.Errorf("%v: there should be something to see, add it to testdata/matrix", op)
	}
	return granted(op, r)
}

// admitted wants that the field itself was not refused; what is inside it may be.
func admitted(op operation, r reply) error {
	if len(r.Errors) == 0 && r.Data == nil {
		return fmt.Errorf("%v: no answer", op)
	}
	for _, e := range r.Errors {
		inside := len(e.Path) > 1 && e.Extensions.Code == "FORBIDDEN"
		disabled := notInstalled[op.field.Name] != "" && e.Extensions.Code == "MODULE_DISABLED"
		if !inside && !disabled {
			return fmt.Errorf("%v: should be answered, got %v", op, r)
		}
	}
	return nil
}

// refused wants one code and message, and no data.
func refused(code, message string) wrong {
	return func(op operation, r reply) error {
		if r.Data[op.field.Name] != nil || len(r.Errors) == 0 {
			return fmt.Errorf("%v: should be refused with %s, got %v", op, code, r)
		}
		if notInstalled[op.field.Name] != "" && len(r.Errors) == 1 && r.has(codeModuleDisabled) {
			return nil
		}
		for _, e := range r.Errors {
			if e.Extensions.Code != code || e.Message != message {
				return fmt.Errorf("%v: should be refused with %s %q, got %v", op, code, message, r)
			}
		}
		return nil
	}
}

// As the Console compares them, so not by the names of the constants.
var (
	denied  = refused("FORBIDDEN", "access denied")
	unknown = refused("UNAUTHENTICATED", "unauthorized")
)

// deniedButForEveryone is for those who have no rights: they get what everyone may ask.
func deniedButForEveryone(op operation, r reply) error {
	if forEveryone[op.field.Name] != "" {
		return granted(op, r)
	}
	return denied(op, r)
}

// grantedButForWriters is for those who may only read.
func grantedButForWriters(op operation, r reply) error {
	if forWriters[op.field.Name] != "" {
		return denied(op, r)
	}
	return granted(op, r)
}

// trial sends operations as somebody and returns what is wrong with the answers.
func trial(t *testing.T, api http.Handler, ops []operation, wrong wrong) (faults []error) {
	t.Helper()
	for _, op := range ops {
		if err := wrong(op, post(t, api, op)); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// post sends an operation, as deep as the limits of the API let it go.
func post(t *testing.T, api http.Handler, op operation) (r reply) {
	t.Helper()
	for _, document := range op.document {
		r = sendAs(t, api, document)
		if !r.has("COMPLEXITY_LIMIT_EXCEEDED", "DEPTH_LIMIT_EXCEEDED") {
			break
		}
	}
	return r
}

func sendAs(t *testing.T, api http.Handler, document string) (r reply) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	api.ServeHTTP(rec, req)
	if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil {
		t.Fatalf("%s: %s: %v", document, rec.Body, err)
	}
	return r
}

// only are the operations that f is true of.
func only(ops []operation, f func(operation) bool) []operation {
	return slices.DeleteFunc(slices.Clone(ops), func(op operation) bool { return !f(op) })
}

func report(t *testing.T, faults []error) {
	t.Helper()
	for _, err := range faults {
		t.Error(err)
	}
}

func TestMatrixQueries(t *testing.T) {
	makeMatrix(t)
	schema := loadSchema(t, schemaFile)
	ops := operationsOf(t, schema, ast.Query, here)
	t.Run("admin", func(t *testing.T) {
		var faults []error
		settles(t, func() bool { faults = trial(t, shared.as("admin"), ops, found); return len(faults) == 0 })
		report(t, faults)
	})
	for _, tt := range []struct {
		name, user string
		ops        []operation
		wrong      wrong
	}{
		{"reader", reader, ops, grantedButForWriters},
		{"nothing", nothing, ops, deniedButForEveryone},
		{"nobody", nobody, ops, unknown},
		{"owner here", owner, only(ops, ownersMay), admitted},
		{"owner there", owner, only(operationsOf(t, schema, ast.Query, there), ownersMay), deniedButForEveryone},
	} {
		t.Run(tt.name, func(t *testing.T) { report(t, trial(t, shared.as(tt.user), tt.ops, tt.wrong)) })
	}
}

func ownersMay(op operation) bool {
	return op.inNamespace() && beyondNamespaces[op.field.Name] == ""
}

// TestMatrixMutations sends mutations first as those who may not write, and finds nothing changed; then as those who may,
// as dry runs, and finds nothing changed either.
func TestMatrixMutations(t *testing.T) {
	makeMatrix(t)
	schema := loadSchema(t, schemaFile)
	ops := operationsOf(t, schema, ast.Mutation, here)
	dry := only(ops, operation.dry)
	for _, tt := range []struct {
		name, user string
		ops        []operation
		wrong      wrong
	}{
		{"nobody", nobody, ops, unknown},
		{"nothing", nothing, ops, denied},
		{"reader", reader, ops, denied},
		{"owner there", owner, only(operationsOf(t, schema, ast.Mutation, there), operation.inNamespace), denied},
		{"admin", "admin", dry, granted},
		{"owner here", owner, only(dry, ownersMay), admitted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := versions(t)
			report(t, trial(t, shared.as(tt.user), tt.ops, tt.wrong))
			if diff := cmp.Diff(before, versions(t)); diff != "" {
				t.Errorf("something changed: -before +after\n%s", diff)
			}
		})
	}
}

// TestMatrixNoticesHoles plays the matrix against a server that acts with its own rights for whoever asks, as the
// Console's old one did: each field must be noticed.
func TestMatrixNoticesHoles(t *testing.T) {
	makeMatrix(t)
	schema := loadSchema(t, schemaFile)
	queries := only(operationsOf(t, schema, ast.Query, here), func(op operation) bool {
		return forEveryone[op.field.Name] == "" && notInstalled[op.field.Name] == ""
	})
	mutations := only(operationsOf(t, schema, ast.Mutation, here), operation.dry)
	for name, wrong := range map[string]wrong{"nothing": denied, "nobody": unknown} {
		for _, ops := range [][]operation{queries, mutations} {
			if faults := trial(t, shared.as("admin"), ops, wrong); len(faults) != len(ops) {
				t.Errorf("as %s %d of %d holes are noticed: %v", name, len(faults), len(ops), errors.Join(faults...))
			}
		}
	}
	if faults := trial(t, shared.as(nothing), mutations, granted); len(faults) != len(mutations) {
		t.Errorf("%d of %d refusals are noticed: %v", len(faults), len(mutations), errors.Join(faults...))
	}
}

func TestMatrixSubscriptions(t *testing.T) {
	objects := makeMatrix(t)
	schema := loadSchema(t, schemaFile)
	ops := operationsOf(t, schema, ast.Subscription, here)
	elsewhere := only(operationsOf(t, schema, ast.Subscription, there), ownersMay)
	for _, tt := range []struct {
		name, user string
		ops        []operation
		wrong      wrong
	}{
		{"nobody", nobody, ops, unknown},
		{"nothing", nothing, ops, denied},
		{"owner there", owner, elsewhere, denied},
		{"admin", "admin", ops, granted},
		{"reader", reader, ops, granted},
		{"owner here", owner, only(ops, ownersMay), admitted},
	} {
		t.Run(tt.name, func(t *testing.T) { report(t, watchTrial(t, objects, tt.user, tt.ops, tt.wrong)) })
	}
}

// watchTrial starts all operations as somebody and returns what is wrong with the first message of each. So that there
// is one, everything is changed again and again.
func watchTrial(t *testing.T, objects []*unstructured.Unstructured, user string, ops []operation, wrong wrong) (faults []error) {
	t.Helper()
	streams := map[string]*stream{}
	for _, op := range ops {
		streams[op.String()] = subscribe(t, user, op.document[0])
	}
	n := 0
	settles(t, func() bool {
		n++
		stir(t, objects, n)
		for _, op := range ops {
			s, ok := streams[op.String()]
			if !ok {
				continue
			}
			select {
			case m := <-s.messages:
				delete(streams, op.String())
				if err := wrong(op, m.reply(t)); err != nil {
					faults = append(faults, err)
				}
			default:
			}
		}
		return len(streams) == 0
	})
	for op := range streams {
		faults = append(faults, fmt.Errorf("%s: neither an event nor an error came", op))
	}
	return faults
}

func (m message) reply(t *testing.T) (r reply) {
	t.Helper()
	payload, err := json.Marshal(map[string]any{"data": m.Payload.Data, "errors": m.Payload.Errors})
	if err == nil {
		err = json.Unmarshal(payload, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stir changes all objects of the matrix, and the path from the Application to its namespaces.
func stir(t *testing.T, objects []*unstructured.Unstructured, n int) {
	t.Helper()
	for _, obj := range objects {
		if obj.GetNamespace() != there {
			touch(t.Context(), t, obj, strconv.Itoa(n)+obj.GetName())
		}
	}
	source := manifest(t, `{apiVersion: sources.kyma-project.io/v1alpha1, kind: HTTPSource, metadata: {name: matrix, namespace: kyma-integration}, spec: {source: matrix}}`)
	var err error
	if n%2 == 0 {
		err = client.IgnoreNotFound(shared.admin.Delete(t.Context(), source))
	} else {
		err = client.IgnoreAlreadyExists(shared.admin.Create(t.Context(), source))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// settles repeats f until it is true, and gives up in silence: the caller knows what is missing.
func settles(t *testing.T, f func() bool) {
	t.Helper()
	_ = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) { return f(), nil })
}

// makeMatrix makes the objects of testdata/matrix unless they are there, and returns them. Kinds that the cluster of the
// tests lacks are passed over; TestMatrixQueries complains where that leaves nothing to see.
func makeMatrix(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	for _, part := range []struct{ file, namespace string }{
		{"testdata/matrix/cluster.yaml", ""}, {"testdata/matrix/namespace.yaml", here}, {"testdata/matrix/namespace.yaml", there},
	} {
		text, err := os.ReadFile(part.file)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("NS"), []byte(part.namespace))
		for _, obj := range decodeAll(t, text) {
			switch err := makeOrPatch(t.Context(), obj); {
			case meta.IsNoMatchError(err):
				t.Logf("not in this cluster: %s", obj.GetKind())
			case err != nil:
				t.Fatalf("%s %s: %v", obj.GetKind(), obj.GetName(), err)
			default:
				objects = append(objects, obj)
			}
		}
	}
	// The API server's own cache of roles is a moment behind, and a refusal would be remembered.
	awaitRight(t, reader, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "secrets"})
	awaitRight(t, owner, authorizationv1.ResourceAttributes{Verb: "delete", Resource: "secrets", Namespace: here})
	return objects
}

// makeOrPatch makes obj, or puts what it says into the object that is there.
func makeOrPatch(ctx context.Context, obj *unstructured.Unstructured) error {
	wanted, err := obj.MarshalJSON()
	if err != nil {
		return err
	}
	err = shared.admin.Patch(ctx, obj, client.RawPatch(types.MergePatchType, wanted))
	if apierrors.IsNotFound(err) {
		return shared.admin.Create(ctx, obj)
	}
	return err
}

func decodeAll(t *testing.T, text []byte) (objects []*unstructured.Unstructured) {
	t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(obj)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, obj)
	}
}

// awaitRight waits until the API server lets a user do something.
func awaitRight(t *testing.T, user string, right authorizationv1.ResourceAttributes) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &right}}
		err := shared.admin.Create(ctx, review)
		return review.Status.Allowed, err
	})
	if err != nil {
		t.Fatalf("%s may not %s %s: %v", user, right.Verb, right.Resource, err)
	}
}

// versions are those of every object of the matrix, and of those that operations might make.
func versions(t *testing.T) map[string]string {
	t.Helper()
	kinds, err := discovery.NewDiscoveryClientForConfigOrDie(shared.cluster.Config()).ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, group := range kinds {
		for _, kind := range group.APIResources {
			// The garbage collector writes events when it pleases.
			if slices.Contains(kind.Verbs, "list") && slices.Contains(kind.Verbs, "create") && kind.Kind != "Event" {
				addVersions(t, all, schema.FromAPIVersionAndKind(group.GroupVersion, kind.Kind))
			}
		}
	}
	return all
}

func addVersions(t *testing.T, all map[string]string, gvk schema.GroupVersionKind) {
	t.Helper()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk)
	if err := shared.admin.List(t.Context(), list); err != nil {
		t.Fatalf("%v: %v", gvk, err)
	}
	for i := range list.Items {
		if o := &list.Items[i]; strings.HasPrefix(o.Namespace, "matrix") || strings.HasPrefix(o.Name, "matrix") {
			all[gvk.Kind+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
		}
	}
}
