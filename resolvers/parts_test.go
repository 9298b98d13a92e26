package resolvers

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// eventOf waits for the next event about the object name and returns it. Nothing else may be an addition of it.
func (s *stream) eventOf(field, object, name string) map[string]any {
	s.t.Helper()
	for {
		m := s.next()
		e, ok := m.Payload.Data[field].(map[string]any)
		if !ok {
			s.t.Fatalf("got %+v, want an event", m)
		}
		if o := e[object].(map[string]any); o["name"] == name {
			return e
		}
	}
}

// await waits for an event about the object in want that is as want, passing over other updates of it: a state may
// be told twice, or together with the next.
func (s *stream) await(field, object string, want map[string]any) {
	s.t.Helper()
	name := want[object].(map[string]any)["name"].(string)
	for {
		got := s.eventOf(field, object, name)
		diff := cmp.Diff(want, got)
		if diff == "" {
			return
		}
		if got["type"] != "UPDATE" {
			s.t.Fatalf("-want +got\n%s", diff)
		}
	}
}

// withStatus writes the status of an object as a controller would.
func withStatus(t *testing.T, obj *unstructured.Unstructured, status map[string]any) {
	t.Helper()
	obj.Object["status"] = status
	if err := shared.admin.Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func deleted(t *testing.T, obj client.Object) {
	t.Helper()
	if err := shared.admin.Delete(t.Context(), obj, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
}

// TestNamespaceEventOfParts changes what namespaces count.
func TestNamespaceEventOfParts(t *testing.T) {
	old := made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: parts-old}}`)
	known(t, old)
	s := subscribe(t, "admin", `subscription { namespaceEvent { type namespace { name podsCount healthyPodsCount applicationsCount } } }`)
	s.awaitStart("namespaceEvent", old)
	event := func(kind string, pods, healthy, applications float64) map[string]any {
		return map[string]any{"type": kind, "namespace": map[string]any{
			"name": "parts-new", "podsCount": pods, "healthyPodsCount": healthy, "applicationsCount": applications,
		}}
	}
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: parts-new}}`)
	s.await("namespaceEvent", "namespace", event("ADD", 0, 0, 0))
	pod := made(t, `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: parts-new}, spec: {containers: [{name: c, image: i}]}}`)
	s.await("namespaceEvent", "namespace", event("UPDATE", 1, 0, 0))
	withStatus(t, pod, map[string]any{"phase": "Running"})
	s.await("namespaceEvent", "namespace", event("UPDATE", 1, 1, 0))
	mapping := made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: ApplicationMapping, metadata: {name: parts-counted, namespace: parts-new}, spec: {}}`)
	made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: Application, metadata: {name: parts-counted}, spec: {services: []}}`)
	s.await("namespaceEvent", "namespace", event("UPDATE", 1, 1, 1))
	deleted(t, pod)
	s.await("namespaceEvent", "namespace", event("UPDATE", 0, 0, 1))
	deleted(t, mapping)
	s.await("namespaceEvent", "namespace", event("UPDATE", 0, 0, 0))
}

// TestApplicationEventOfParts changes what an Application shows of other objects.
func TestApplicationEventOfParts(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: parts-app}}`)
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: kyma-integration}}`)
	app := made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: Application, metadata: {name: parts-app}, spec: {services: []}}`)
	known(t, app)
	s := subscribe(t, "admin", `subscription { applicationEvent { type application { name status enabledInNamespaces } } }`)
	s.awaitStart("applicationEvent", app)
	event := func(status string, namespaces ...any) map[string]any {
		return map[string]any{"type": "UPDATE", "application": map[string]any{"name": "parts-app", "status": status, "enabledInNamespaces": namespaces}}
	}
	mapping := made(t, `{apiVersion: applicationconnector.kyma-project.io/v1alpha1, kind: ApplicationMapping, metadata: {name: parts-app, namespace: parts-app}, spec: {}}`)
	s.await("applicationEvent", "application", event("GATEWAY_NOT_CONFIGURED", "parts-app"))
	source := made(t, `{apiVersion: sources.kyma-project.io/v1alpha1, kind: HTTPSource, metadata: {name: parts-app, namespace: kyma-integration}, spec: {source: parts-app}}`)
	s.await("applicationEvent", "application", event("NOT_SERVING", "parts-app"))
	withStatus(t, source, map[string]any{"conditions": []any{map[string]any{
		"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z",
	}}})
	s.await("applicationEvent", "application", event("SERVING", "parts-app"))
	deleted(t, mapping)
	s.await("applicationEvent", "application", map[string]any{"type": "UPDATE", "application": map[string]any{
		"name": "parts-app", "status": "SERVING", "enabledInNamespaces": []any{},
	}})
}

// TestEventWithoutParts is for somebody who may watch namespaces but not what is in them: they are told of namespaces.
func TestEventWithoutParts(t *testing.T) {
	allowed(t, "parts-watcher", "[get, watch]")
	old := made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: parts-bare}}`)
	known(t, old)
	s := subscribe(t, "parts-watcher", `subscription { namespaceEvent { type namespace { name status } } }`)
	s.awaitStart("namespaceEvent", old)
	made(t, `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: parts-bare}, spec: {containers: [{name: c, image: i}]}}`)
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: parts-bare-new}}`)
	s.await("namespaceEvent", "namespace", map[string]any{"type": "ADD", "namespace": map[string]any{"name": "parts-bare-new", "status": "Active"}})
}

// TestFunctionEventByName wants the events of one Function alone.
func TestFunctionEventByName(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: one-function}}`)
	function := func(name string) *unstructured.Unstructured {
		return made(t, `{apiVersion: serverless.kyma-project.io/v1alpha1, kind: Function, metadata: {name: `+name+`, namespace: one-function}, spec: {source: x}}`)
	}
	one := function("one")
	known(t, one)
	s := subscribe(t, "admin", `subscription { functionEvent(namespace: "one-function", functionName: "one") { type function { name } } }`)
	s.awaitStart("functionEvent", one)
	function("silent")
	deleted(t, one)
	for {
		if got := s.event("functionEvent", "function", "one"); got == "DELETE one" {
			return
		} else if got != "UPDATE one" {
			t.Fatalf("got %s, want DELETE one", got)
		}
	}
}

// allowed lets the user of that name do verbs with namespaces, and waits until that is known.
func allowed(t *testing.T, name, verbs string) {
	t.Helper()
	made(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: `+name+`}, rules: [{apiGroups: [""], resources: [namespaces], verbs: `+verbs+`}]}`)
	made(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: `+name+`}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: `+name+`}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: `+name+`}]}`)
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return !strings.Contains(shared.ask(t, name, `{ namespace(name: "default") { name } }`), codeForbidden), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPodsCount is no script, because there are as many namespaces as other tests have made.
func TestPodsCount(t *testing.T) {
	made(t, `{apiVersion: v1, kind: Namespace, metadata: {name: counted}}`)
	for name, phase := range map[string]string{"a": "Running", "b": "Succeeded", "c": "Failed"} {
		pod := made(t, `{apiVersion: v1, kind: Pod, metadata: {name: `+name+`, namespace: counted}, spec: {containers: [{name: c, image: i}]}}`)
		withStatus(t, pod, map[string]any{"phase": phase})
	}
	type item struct {
		Name                        string
		PodsCount, HealthyPodsCount int
	}
	var answer struct {
		Data   struct{ Namespaces []item }
		Errors []struct{ Extensions struct{ Code string } }
	}
	const query = `{ namespaces { name podsCount healthyPodsCount } }`
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		err := json.Unmarshal([]byte(shared.ask(t, "admin", query)), &answer)
		return slices.Contains(answer.Data.Namespaces, item{"counted", 3, 2}), err
	})
	if err != nil {
		t.Errorf("%v: got %+v, want 3 Pods, 2 of them healthy", err, answer.Data)
	}
	allowed(t, "count-lister", "[get, list]")
	answer.Data.Namespaces = nil
	if err := json.Unmarshal([]byte(shared.ask(t, "count-lister", query)), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Errors) == 0 || answer.Errors[0].Extensions.Code != codeForbidden || answer.Data.Namespaces != nil {
		t.Errorf("who may not list Pods: got %+v, want %s", answer, codeForbidden)
	}
	if got := shared.ask(t, "count-lister", `{ namespaces { name } }`); strings.Contains(got, "errors") {
		t.Errorf("without the counts: %s", got)
	}
}
