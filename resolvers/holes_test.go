package resolvers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The holes that the Console's old server had, each with those who used it. It reviewed the right to a root field and no
// more: what was nested, and what an input named besides, was read and written with the server's own rights.

// rule is what somebody may do, in one namespace or, when that is "", everywhere.
func rule(namespace, group, resource string, verbs ...string) grant {
	return grant{namespace, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}}
}

type grant struct {
	namespace string
	rule      rbacv1.PolicyRule
}

// let gives a user rights, and waits until the API server knows.
func let(t *testing.T, user string, grants ...grant) {
	t.Helper()
	for i, g := range grants {
		var objects []client.Object
		name := metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", user, i), Namespace: g.namespace}
		subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
		if g.namespace == "" {
			objects = append(objects, &rbacv1.ClusterRole{ObjectMeta: name, Rules: []rbacv1.PolicyRule{g.rule}},
				&rbacv1.ClusterRoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name.Name}})
		} else {
			objects = append(objects, &rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{g.rule}},
				&rbacv1.RoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name.Name}})
		}
		for _, obj := range objects {
			if err := shared.admin.Create(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
		}
		awaitRight(t, user, authorizationv1.ResourceAttributes{
			Namespace: g.namespace, Group: g.rule.APIGroups[0], Resource: g.rule.Resources[0], Verb: g.rule.Verbs[0],
		})
	}
}

// TestNestedReads asks for what is inside of an object that the user may read, and is more than that.
func TestNestedReads(t *testing.T) {
	makeMatrix(t)
	const (
		applications = "applicationconnector.kyma-project.io"
		catalog      = "servicecatalog.k8s.io"
	)
	for i, tt := range []struct {
		name, document string
		grants         []grant
		refused        string // path of the field; "" when only what the user may not see must be missing
		secret         string // must not be in the answer
	}{
		{
			"the secret of a binding", `{ serviceBinding(name: "matrix", namespace: "matrix-here") { name secret { name data json } } }`,
			[]grant{rule(here, catalog, "*", "get", "list")},
			"serviceBinding.secret", "password",
		},
		{
			"the secrets of the bindings of an instance", `{ serviceInstance(name: "matrix", namespace: "matrix-here") { serviceBindings { items { name secret { json } } } } }`,
			[]grant{rule(here, catalog, "*", "get", "list")},
			"serviceInstance.serviceBindings.items.0.secret", "password",
		},
		{
			"the pods of a namespace", `{ namespace(name: "matrix-here") { name pods { name json } } }`,
			[]grant{rule("", "", "namespaces", "get", "list")},
			"namespace.pods", "matrix.invalid",
		},
		{
			"the deployments of a namespace", `{ namespace(name: "matrix-here") { name deployments { name containers { image } } } }`,
			[]grant{rule("", "", "namespaces", "get", "list")},
			"namespace.deployments", "matrix.invalid",
		},
		{
			"where an application is enabled", `{ application(name: "matrix") { name enabledInNamespaces } }`,
			[]grant{rule("", applications, "applications", "get", "list")},
			"application.enabledInNamespaces", "matrix-here",
		},
		{
			"what of an application is enabled where", `{ application(name: "matrix") { name enabledMappingServices { namespace } } }`,
			[]grant{rule("", applications, "applications", "get", "list")},
			"application.enabledMappingServices", "matrix-here",
		},
		{
			"where an application is enabled, by who sees one namespace", `{ application(name: "matrix") { name enabledInNamespaces enabledMappingServices { namespace } } }`,
			[]grant{rule("", applications, "applications", "get", "list"), rule(here, applications, "applicationmappings", "get", "list")},
			"", "matrix-there",
		},
		{
			"the instances of a class in all namespaces", `{ clusterServiceClass(name: "matrix") { name instances { name namespace } } }`,
			[]grant{rule("", catalog, "clusterserviceclasses", "get", "list")},
			"clusterServiceClass.instances", "matrix-here",
		},
		{
			"the instances of a class in another namespace", `{ clusterServiceClass(name: "matrix") { name instances(namespace: "matrix-there") { name namespace } } }`,
			[]grant{rule("", catalog, "clusterserviceclasses", "get", "list"), rule(here, catalog, "serviceinstances", "get", "list")},
			"clusterServiceClass.instances", "matrix-there",
		},
		{
			"the instances of a class in all namespaces, by who sees one", `{ clusterServiceClass(name: "matrix") { name instances { name namespace } } }`,
			[]grant{rule("", catalog, "clusterserviceclasses", "get", "list"), rule(here, catalog, "serviceinstances", "get", "list")},
			"", "matrix-there",
		},
		{
			"whether a class is in use in another namespace", `{ clusterServiceClass(name: "matrix") { name activated(namespace: "matrix-there") } }`,
			[]grant{rule("", catalog, "clusterserviceclasses", "get", "list")},
			"clusterServiceClass.activated", "true",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			awaitSecret(t, tt.document, tt.secret)
			user := fmt.Sprintf("hole-read-%d", i)
			let(t, user, tt.grants...)
			r := sendAs(t, shared.as(user), tt.document)
			if strings.Contains(r.String(), tt.secret) {
				t.Errorf("has %q: %v", tt.secret, r)
			}
			if tt.refused != "" && !r.refusedAt(tt.refused) {
				t.Errorf("%s should be refused: %v", tt.refused, r)
			}
			if r.has("GRAPHQL_VALIDATION_FAILED", "UNAUTHENTICATED", "INTERNAL") {
				t.Errorf("shows nothing about rights: %v", r)
			}
		})
	}
}

// awaitSecret waits until who may see everything sees the secret; without that its absence would mean nothing.
func awaitSecret(t *testing.T, document, secret string) {
	t.Helper()
	var r reply
	settles(t, func() bool {
		r = sendAs(t, shared.as("admin"), document)
		return strings.Contains(r.String(), secret) || r.has("GRAPHQL_VALIDATION_FAILED")
	})
	if !strings.Contains(r.String(), secret) {
		t.Fatalf("even admin does not see %q: %v", secret, r)
	}
}

// refusedAt reports whether the field at path was refused as the Console knows it.
func (r reply) refusedAt(path string) bool {
	for _, e := range r.Errors {
		at := strings.Trim(strings.ReplaceAll(fmt.Sprint(e.Path), " ", "."), "[]")
		if at == path && e.Extensions.Code == "FORBIDDEN" && e.Message == "access denied" {
			return true
		}
	}
	return false
}

// TestForeignNamespaces writes, with all rights in one namespace, what an input says is in another one.
func TestForeignNamespaces(t *testing.T) {
	makeMatrix(t)
	const subscriber = `subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "matrix", namespace: "matrix-here"}}`
	for _, tt := range []struct{ name, document string }{
		{"delete a function", `mutation { deleteFunction(namespace: "matrix-here", function: {name: "matrix", namespace: "matrix-there"}) { name } }`},
		{"delete functions", `mutation { deleteManyFunctions(namespace: "matrix-here", functions: [{name: "matrix", namespace: "matrix-there"}]) { name } }`},
		{
			"delete functions, some of them one's own",
			`mutation { deleteManyFunctions(namespace: "matrix-here", functions: [{name: "matrix", namespace: "matrix-here"}, {name: "matrix", namespace: "matrix-there"}]) { name } }`,
		},
		{
			"create a trigger",
			`mutation { createTrigger(namespace: "matrix-here", trigger: {name: "hole", namespace: "matrix-there", broker: "default", ` + subscriber + `}) { name } }`,
		},
		{
			"call a service",
			`mutation { createTrigger(namespace: "matrix-here", trigger: {name: "hole", broker: "default", subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "matrix", namespace: "matrix-there"}}}) { name } }`,
		},
		{
			"call services",
			`mutation { createManyTriggers(namespace: "matrix-here", triggers: [{name: "hole", broker: "default", ` + subscriber + `}, {name: "hole-2", broker: "default", subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "matrix", namespace: "matrix-there"}}}]) { name } }`,
		},
		{
			"call a service by its URI",
			`mutation { createTrigger(namespace: "matrix-here", trigger: {name: "hole", broker: "default", subscriber: {uri: "http://matrix.matrix-there.svc.cluster.local"}}) { name } }`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) { refusesUnchanged(t, owner, tt.document) })
	}
}

// refusesUnchanged sends a mutation and wants it refused, with nothing done.
func refusesUnchanged(t *testing.T, user, document string) {
	t.Helper()
	before := versions(t)
	r := sendAs(t, shared.as(user), document)
	for _, e := range r.Errors {
		if !slices.Contains([]string{"INVALID", "FORBIDDEN", "NOT_FOUND"}, e.Extensions.Code) {
			t.Errorf("the code should say what is wrong with it, not %s: %s", e.Extensions.Code, e.Message)
		}
	}
	if len(r.Errors) == 0 {
		t.Errorf("should be refused: %v", r)
	}
	if diff := cmp.Diff(before, versions(t)); diff != "" {
		t.Errorf("something changed: -before +after\n%s", diff)
	}
}

// TestOwnerReferences ties the life of a Trigger to something else: only to what is there, and what the user may read.
func TestOwnerReferences(t *testing.T) {
	objects := makeMatrix(t)
	const user = "hole-owner"
	let(t, user, rule(here, "eventing.knative.dev", "triggers", "*"), rule(here, "serverless.kyma-project.io", "functions", "get", "list"))
	create := func(ownerRef string) string {
		return `mutation { createTrigger(namespace: "matrix-here", ownerRef: [` + ownerRef + `], trigger: {name: "matrix-owned", broker: "default",
			subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "matrix", namespace: "matrix-here"}}}) { name } }`
	}
	ref := func(kind, name, uid string) string {
		apiVersion := map[string]string{"Function": "serverless.kyma-project.io/v1alpha1", "Nothing": "example.com/v1"}[kind]
		if apiVersion == "" {
			apiVersion = "v1"
		}
		return fmt.Sprintf(`{apiVersion: %q, kind: %q, name: %q, UID: %q}`, apiVersion, kind, name, uid)
	}
	function := ref("Function", "matrix", uidOf(t, objects, "Function", here))
	for _, tt := range []struct{ name, ownerRef string }{
		{"a UID made up", ref("Function", "matrix", "6b3f1d5e-0000-4000-8000-000000000000")},
		{"an object that is not there", ref("Function", "matrix-new", uidOf(t, objects, "Function", here))},
		{"an object of another namespace", ref("Function", "matrix", uidOf(t, objects, "Function", there))},
		{"an object that the user may not read", ref("Secret", "matrix", uidOf(t, objects, "Secret", here))},
		{"a kind that is not there", ref("Nothing", "matrix", uidOf(t, objects, "Function", here))},
		{"a good one and a bad one", function + ref("Secret", "matrix", uidOf(t, objects, "Secret", here))},
	} {
		t.Run(tt.name, func(t *testing.T) { refusesUnchanged(t, user, create(tt.ownerRef)) })
	}
	t.Run("the user's own function", func(t *testing.T) {
		if r := sendAs(t, shared.as(user), create(function)); len(r.Errors) > 0 {
			t.Errorf("should be done: %v", r)
		}
		made := manifest(t, `{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: matrix-owned, namespace: matrix-here}}`)
		if err := shared.admin.Delete(t.Context(), made); err != nil {
			t.Error(err)
		}
	})
}

// uidOf is the unique id of the object of that kind in namespace.
func uidOf(t *testing.T, objects []*unstructured.Unstructured, kind, namespace string) string {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetNamespace() == namespace })
	if i < 0 {
		t.Fatalf("there is no %s in %s", kind, namespace)
	}
	return string(objects[i].GetUID())
}
