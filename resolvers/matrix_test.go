package resolvers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
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
		"versionInfo":      "the Console's start-up query, which must not fail: it names no object",
		"selfSubjectRules": "what somebody may do is what they may ask",
		"backendModules":   "the Console's start-up query: which parts are installed is no secret",
	}
	// whatTheyMaySee are lists that are never refused. Those who may see nothing get nothing.
	whatTheyMaySee = map[string]string{
		"clusterMicroFrontends": "the Console's start-up query, which must not fail",
		"microFrontends":        "the Console's menu, which must not fail",
	}
	// forWriters are queries that need the right to write.
	forWriters = map[string]string{
		"connectorService": "its answer lets whoever has it become the Application",
	}
	// beyondNamespaces are operations about a namespace that the rights in this namespace are not enough for.
	beyondNamespaces = map[string]string{
		"meshStatus":         "a path begins outside of the namespace",
		"meshStatusEvent":    "a path begins outside of the namespace",
		"eventTypes":         "the documents of services are in kyma-integration",
		"connectApplication": "it reads the Application, which is in no namespace",
	}
	// notInstalled are fields whose part is not in the cluster of the tests: MODULE_DISABLED is an answer.
	notInstalled = map[string]string{
		"connectorService": "nothing gives tokens",
	}
)

// trial sends operations as somebody and returns what is wrong with the answers.
func trial(t *testing.T, api http.Handler, ops []rootField, wrong wrong) (faults []error) {
	t.Helper()
	for _, op := range ops {
		if err := wrong(op, sendDeep(t, api, op)); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// sendDeep sends an operation, as deep as the limits of the API let it go.
func sendDeep(t *testing.T, api http.Handler, op rootField) (r reply) {
	t.Helper()
	for _, document := range op.document {
		r = sendAs(t, api, document)
		if !r.has("COMPLEXITY_LIMIT_EXCEEDED", "DEPTH_LIMIT_EXCEEDED") {
			break
		}
	}
	return r
}

// only are the operations that f is true of.
func only(ops []rootField, f func(rootField) bool) []rootField {
	return slices.DeleteFunc(slices.Clone(ops), func(op rootField) bool { return !f(op) })
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
		ops        []rootField
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

func ownersMay(op rootField) bool {
	return op.inNamespace() && beyondNamespaces[op.field.Name] == ""
}

// TestMatrixMutations sends mutations first as those who may not write, and finds nothing changed; then as those who may,
// as dry runs, and finds nothing changed either.
func TestMatrixMutations(t *testing.T) {
	makeMatrix(t)
	schema := loadSchema(t, schemaFile)
	ops := operationsOf(t, schema, ast.Mutation, here)
	dry := only(ops, rootField.dry)
	for _, tt := range []struct {
		name, user string
		ops        []rootField
		wrong      wrong
	}{
		{"nobody", nobody, ops, unknown},
		{"nothing", nothing, ops, denied},
		{"reader", reader, ops, denied},
		{"owner there", owner, only(operationsOf(t, schema, ast.Mutation, there), rootField.inNamespace), denied},
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
	queries := only(operationsOf(t, schema, ast.Query, here), func(op rootField) bool {
		return forEveryone[op.field.Name] == "" && notInstalled[op.field.Name] == ""
	})
	mutations := only(operationsOf(t, schema, ast.Mutation, here), rootField.dry)
	for name, wrong := range map[string]wrong{"nothing": deniedButForEveryone, "nobody": unknown} {
		for _, ops := range [][]rootField{queries, mutations} {
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
		ops        []rootField
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
func watchTrial(t *testing.T, objects []*unstructured.Unstructured, user string, ops []rootField, wrong wrong) (faults []error) {
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
