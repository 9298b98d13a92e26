package resolvers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestOwners creates Triggers that depend on other objects.
func TestOwners(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: owners}}`)
	other := string(made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: owners-other}}`).GetUID())
	function := func(namespace string) string {
		return string(made(t, `{apiVersion: serverless.kyma-project.io/v1alpha1, kind: Function, metadata: {name: lambda, namespace: `+namespace+`}, spec: {source: x}}`).GetUID())
	}
	thing := string(madeThing(t).GetUID())
	mine, elsewhere := function("owners"), function("owners-other")
	made(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: triggers, namespace: owners}, rules: [{apiGroups: [eventing.knative.dev], resources: [triggers], verbs: ["*"]}]}`)
	made(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: triggers, namespace: owners}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: triggers}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: owners-triggers}]}`)
	for _, tt := range []struct {
		name, user, apiVersion, kind, object, uid string
		ok                                        bool
	}{
		{"function", "admin", "serverless.kyma-project.io/v1alpha1", "Function", "lambda", mine, true},
		{"any kind", "admin", "example.com/v1", "Thing", "thing", thing, true},
		{"cluster-wide", "admin", "v1", "Namespace", "owners-other", other, true},
		{"another namespace's", "admin", "serverless.kyma-project.io/v1alpha1", "Function", "lambda", elsewhere, false},
		{"another name", "admin", "serverless.kyma-project.io/v1alpha1", "Function", "other", mine, false},
		{"another kind", "admin", "v1", "Service", "lambda", mine, false},
		{"another version", "admin", "serverless.kyma-project.io/v9", "Function", "lambda", mine, false},
		{"no version", "admin", "a/b/c", "Function", "lambda", mine, false},
		{"no name", "admin", "serverless.kyma-project.io/v1alpha1", "Function", "", mine, false},
		{"may not be read", "owners-triggers", "serverless.kyma-project.io/v1alpha1", "Function", "lambda", mine, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, field := range []string{`createTrigger(trigger: %s,`, `createManyTriggers(triggers: [%s],`} {
				trigger := `{broker: "default", subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "lambda", namespace: "owners"}}}`
				answer := shared.ask(t, tt.user, fmt.Sprintf(`mutation { out: `+field+` namespace: "owners", dryRun: true, ownerRef: [{apiVersion: %q, kind: %q, name: %q, UID: %q}]) { name } }`,
					trigger, tt.apiVersion, tt.kind, tt.object, tt.uid))
				invalid := strings.Contains(answer, `"INVALID"`) && strings.Contains(answer, "ownerRef[0]: there is no ")
				if tt.ok == strings.Contains(answer, `"errors"`) || tt.ok == invalid {
					t.Errorf("got %s", answer)
				}
			}
		})
	}
}

// madeThing makes an object of a kind of which the program has no Go type, so that it is known by its metadata alone.
func madeThing(t *testing.T) client.Object {
	t.Helper()
	made(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]`)
	thing := manifest(t, `{apiVersion: example.com/v1, kind: Thing, metadata: {name: thing, namespace: owners}}`)
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := shared.admin.Create(ctx, thing) // until the API server serves the kind
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return thing
}

// TestOwnerIsWritten wants the owner on the Trigger itself.
func TestOwnerIsWritten(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: owned}}`)
	uid := string(made(t, `{apiVersion: serverless.kyma-project.io/v1alpha1, kind: Function, metadata: {name: lambda, namespace: owned}, spec: {source: x}}`).GetUID())
	answer := shared.ask(t, "admin", `mutation { createTrigger(namespace: "owned", trigger: {name: "t", broker: "default", subscriber: {uri: "http://lambda.owned"}},
		ownerRef: [{apiVersion: "serverless.kyma-project.io/v1alpha1", kind: "Function", name: "lambda", UID: "`+uid+`", controller: true}]) { name } }`)
	var trigger eventingv1.Trigger
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: "owned", Name: "t"}, &trigger); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	want := []metav1.OwnerReference{{APIVersion: "serverless.kyma-project.io/v1alpha1", Kind: "Function", Name: "lambda", UID: trigger.OwnerReferences[0].UID, Controller: ptr(true)}}
	if diff := cmp.Diff(want, trigger.OwnerReferences); diff != "" || string(want[0].UID) != uid {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestDeleteManyReportsEach has an admission policy that lets the check of a deletion pass, but not the deletion itself.
func TestDeleteManyReportsEach(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: delete-each}}`)
	made(t, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: delete-each}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{apiGroups: [eventing.knative.dev], apiVersions: [v1], operations: [DELETE], resources: [triggers]}]}
  validations: [{expression: "request.namespace != 'delete-each' || !request.name.startsWith('kept') || request.dryRun", message: "it is kept"}]`)
	made(t, `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: delete-each}, spec: {policyName: delete-each, validationActions: [Deny]}}`)
	trigger := func(name string) client.Object {
		return made(t, `{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: `+name+`, namespace: delete-each}, spec: {broker: default, subscriber: {uri: "http://x.y"}}}`)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := shared.admin.Delete(ctx, trigger("kept-probe")) // until the API server knows the policy
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "kept", "b"} {
		trigger(name)
	}
	var answer struct {
		Data   map[string][]struct{ Name string }
		Errors []struct {
			Message    string
			Path       []string
			Extensions map[string]any
		}
	}
	text := shared.ask(t, "admin", `mutation { deleteManyTriggers(namespace: "delete-each", triggerNames: ["a", "kept", "b"]) { name } }`)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]struct{ Name string }{"deleteManyTriggers": {{"a"}, {"b"}}}, answer.Data); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(answer.Errors) != 1 || answer.Errors[0].Extensions["item"] != "kept" || !strings.Contains(answer.Errors[0].Message, "it is kept") ||
		!cmp.Equal(answer.Errors[0].Path, []string{"deleteManyTriggers"}) {
		t.Errorf("got %s, want one error about the item kept", text)
	}
}

// TestTriggerChangesSubscriber wants a Trigger to appear to, and disappear from, those who asked for a subscriber.
func TestTriggerChangesSubscriber(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: moves}}`)
	trigger := func(name, service string) *eventingv1.Trigger {
		obj := made(t, `{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: `+name+`, namespace: moves}, spec: {broker: default, subscriber: {uri: "http://`+service+`.moves"}}}`)
		known(t, obj)
		return &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "moves"}}
	}
	call := func(o client.Object, service string) {
		t.Helper()
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"subscriber":{"uri":"http://`+service+`.moves"}}}`))
		if err := shared.admin.Patch(t.Context(), o, patch); err != nil {
			t.Fatal(err)
		}
	}
	old, mover, other := trigger("old", "lambda"), trigger("mover", "lambda"), trigger("silent", "other")
	s := subscribe(t, "admin", `subscription { triggerEvent(namespace: "moves", serviceName: "lambda") { type trigger { name } } }`)
	s.awaitStart("triggerEvent", old)
	call(other, "another") // which nobody hears of
	for _, step := range []struct{ service, want string }{
		{"other", "DELETE mover"}, {"lambda", "ADD mover"}, {"lambda.moves/hook?", "UPDATE mover"},
	} {
		call(mover, step.service)
		if got := s.event("triggerEvent", "trigger", "mover"); got != step.want {
			t.Fatalf("got %s, want %s", got, step.want)
		}
	}
	call(other, "lambda")
	if m := s.next(); fmt.Sprint(m.Payload.Data) != "map[triggerEvent:map[trigger:map[name:silent] type:ADD]]" {
		t.Errorf("got %+v, want that silent is added", m)
	}
	if err := shared.admin.Delete(t.Context(), mover); err != nil {
		t.Fatal(err)
	}
	if got := s.event("triggerEvent", "trigger", "mover"); got != "DELETE mover" {
		t.Errorf("got %s, want DELETE mover", got)
	}
}

// TestFilterAttributes wants values as JSON writes them, however they came.
func TestFilterAttributes(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{"a string", "order.created", "order.created"},
		{"nothing", "", ""},
		{"a boolean", true, "true"},
		{"a number of a variable", json.Number("1000000"), "1000000"},
		{"a large number", json.Number("9007199254740993"), "9007199254740993"},
		{"a literal", int64(1000000), "1000000"},
		{"a literal with a fraction", 1.5, "1.5"},
		{"a literal as large as a million", 1000000.0, "1000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := filterAttributes(map[string]any{"a": tt.in})
			if err != nil || got["a"] != tt.want {
				t.Errorf("got %q and %v, want %q", got["a"], err, tt.want)
			}
		})
	}
}
