package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// accessToken makes a service account and returns a token of it that the API server has issued.
func accessToken(t *testing.T, namespace, name string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	createAll(t, account)
	var request authenticationv1.TokenRequest
	if err := shared.kube.SubResource("token").Create(t.Context(), account, &request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// accessError is an error in a GraphQL answer.
type accessError struct {
	Message string
	Path    []any
	Code    string
}

// accessAnswer sends a document with a token and returns data, as it is, and errors.
func accessAnswer(t *testing.T, token, document string) (data string, errs []accessError) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {jsonType}, "Authorization": {"Bearer " + token}}
	got, _ := exchange(t, http.MethodPost, shared.console+"/graphql", header, strings.NewReader(string(body)))
	return accessDecode(t, got.Body)
}

func accessDecode(t *testing.T, body string) (data string, errs []accessError) {
	t.Helper()
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			accessError
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, e := range answer.Errors {
		e.Code = e.Extensions.Code
		errs = append(errs, e.accessError)
	}
	return string(answer.Data), errs
}

// accessGranted sends a document that must be answered without an error.
func accessGranted(t *testing.T, token, document string) {
	t.Helper()
	if _, errs := accessAnswer(t, token, document); len(errs) > 0 {
		t.Fatalf("%s: %+v", document, errs)
	}
}

// accessGiven waits until the API server knows that user has a right, which is some milliseconds after it was given. The
// program believes a refusal for seconds, so that it must not be asked before.
func accessGiven(t *testing.T, user string, right authorizationv1.ResourceAttributes) {
	t.Helper()
	eventually(t, func() error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &right}}
		err := shared.kube.Create(t.Context(), review)
		if err == nil && !review.Status.Allowed {
			err = fmt.Errorf("%s may not %+v", user, right)
		}
		return err
	})
}

// denied is the error of the field at path for somebody who may not have it.
func denied(path ...any) accessError {
	return accessError{"access denied", path, "FORBIDDEN"}
}

func accessTrigger(namespace, name string) string {
	return `mutation { createTrigger(namespace: "` + namespace + `", trigger: {name: "` + name + `", broker: "default",
		subscriber: {ref: {apiVersion: "v1", kind: "Service", name: "f", namespace: "` + namespace + `"}}}) { name } }`
}

// accessRole gives a service account rights in one namespace: to read everything that the Console shows there, and to
// make Triggers and ServiceInstances.
func accessRole(t *testing.T, namespace, account string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: account}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}
	createAll(t,
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}},
			{APIGroups: []string{"eventing.knative.dev"}, Resources: []string{"triggers"}, Verbs: []string{"create", "delete"}},
			{APIGroups: []string{"servicecatalog.k8s.io"}, Resources: []string{"serviceinstances"}, Verbs: []string{"create", "delete"}},
		}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account}, Subjects: subjects},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: account}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{appv1.GroupVersion.Group}, Resources: []string{"applications"}, Verbs: []string{"get", "list"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: account}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account},
		},
	)
	user := "system:serviceaccount:" + namespace + ":" + account
	accessGiven(t, user, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Group: "eventing.knative.dev", Resource: "triggers"})
	accessGiven(t, user, authorizationv1.ResourceAttributes{Verb: "list", Group: appv1.GroupVersion.Group, Resource: "applications"})
}

// TestAccessWithoutRights asks for everything as somebody who may do nothing.
func TestAccessWithoutRights(t *testing.T) {
	token := accessToken(t, "default", "access-nobody")
	for field, document := range map[string]string{
		"applications":               `{ applications { name } }`,
		"application":                `{ application(name: "x") { name } }`,
		"namespaces":                 `{ namespaces { name } }`,
		"namespace":                  `{ namespace(name: "default") { name } }`,
		"serviceClasses":             `{ serviceClasses(namespace: "default") { name } }`,
		"serviceClass":               `{ serviceClass(namespace: "default", name: "x") { name } }`,
		"serviceInstances":           `{ serviceInstances(namespace: "default") { name } }`,
		"serviceInstance":            `{ serviceInstance(namespace: "default", name: "x") { name } }`,
		"eventActivations":           `{ eventActivations(namespace: "default") { name } }`,
		"functions":                  `{ functions(namespace: "default") { name } }`,
		"function":                   `{ function(namespace: "default", name: "x") { name } }`,
		"functionLogs":               `{ functionLogs(namespace: "default", name: "x") { message } }`,
		"triggers":                   `{ triggers(namespace: "default") { name } }`,
		"brokers":                    `{ brokers(namespace: "default") { name } }`,
		"broker":                     `{ broker(namespace: "default", name: "default") { name } }`,
		"meshStatus":                 `{ meshStatus(namespace: "default") { ready } }`,
		"createApplication":          `mutation { createApplication(name: "access-x") { name } }`,
		"deleteApplication":          `mutation { deleteApplication(name: "access-x") { name } }`,
		"registerApplicationService": `mutation { registerApplicationService(application: "access-x", service: {provider: "p", name: "n", description: "d", events: {spec: {}}}) { id } }`,
		"enableApplication":          `mutation { enableApplication(application: "access-x", namespace: "default") { application } }`,
		"disableApplication":         `mutation { disableApplication(application: "access-x", namespace: "default") { application } }`,
		"createServiceInstance": `mutation { createServiceInstance(namespace: "default", params: {name: "x", labels: [],
			classRef: {externalName: "x", clusterWide: false}, planRef: {externalName: "x", clusterWide: false}}) { name } }`,
		"deleteServiceInstance": `mutation { deleteServiceInstance(namespace: "default", name: "x") { name } }`,
		"createNamespace":       `mutation { createNamespace(name: "access-x") { name } }`,
		"deleteNamespace":       `mutation { deleteNamespace(name: "default") { name } }`,
		"createFunction": `mutation { createFunction(namespace: "default", name: "x", params: {labels: {}, source: "x", dependencies: "", env: [], replicas: {},
			resources: {limits: {}, requests: {}}, buildResources: {limits: {}, requests: {}}}) { name } }`,
		"deleteFunction":     `mutation { deleteFunction(namespace: "default", function: {namespace: "default", name: "x"}) { name } }`,
		"createTrigger":      accessTrigger("default", "x"),
		"createManyTriggers": strings.NewReplacer("createTrigger", "createManyTriggers", "trigger:", "triggers:").Replace(accessTrigger("default", "x")),
		"deleteTrigger":      `mutation { deleteTrigger(namespace: "default", triggerName: "x") { name } }`,
	} {
		t.Run(field, func(t *testing.T) {
			data, errs := accessAnswer(t, token, document)
			if diff := cmp.Diff([]accessError{denied(field)}, errs); diff != "" {
				t.Errorf("%s (-want +got):\n%s", data, diff)
			}
		})
	}
	for field, arguments := range map[string]string{
		"applicationEvent": "", "namespaceEvent": "", "serviceInstanceEvent": `(namespace: "default")`, "triggerEvent": `(namespace: "default")`,
		"brokerEvent": `(namespace: "default")`, "meshStatusEvent": `(namespace: "default")`,
	} {
		for _, protocol := range []string{transportWS, legacyWS} {
			t.Run(field+" "+protocol, func(t *testing.T) {
				accessDeniedStream(t, dialWS(t, protocol, token), field, arguments)
			})
		}
	}
	got, _ := exchange(t, http.MethodPost, shared.console+"/graphql", http.Header{"Content-Type": {jsonType}, "Authorization": {"Bearer " + token + "x"}},
		strings.NewReader(`{"query":"{ __typename }"}`))
	want := httpAnswer{401, "application/json; charset=utf-8", `{"errors":[{"message":"Unauthorized","extensions":{"code":"UNAUTHENTICATED"}}]}` + "\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with a wrong token (-want +got):\n%s", diff)
	}
}

// accessDeniedStream wants the answer that the Console knows: one message with the error and no data, then the end.
func accessDeniedStream(t *testing.T, c *wsClient, field, arguments string) {
	t.Helper()
	s := c.subscribe(`subscription { `+field+arguments+` { type } }`, nil)
	m := c.next(s.messages)
	data, errs := accessDecode(t, string(m.Payload))
	if diff := cmp.Diff([]accessError{denied(field)}, errs); diff != "" || data != "null" || m.Type != map[bool]string{true: "data", false: "next"}[c.legacy] {
		t.Errorf("%s with data %s (-want +got):\n%s", m.Type, data, diff)
	}
	if m := c.next(s.messages); m.Type != "complete" {
		t.Errorf("got %s, want complete", m.Type)
	}
}

// TestAccessInOneNamespace gives rights in one namespace, and wants them to count there and nowhere else.
func TestAccessInOneNamespace(t *testing.T) {
	mine, other := metav1.ObjectMeta{Name: "access-mine"}, metav1.ObjectMeta{Name: "access-other"}
	createAll(t, &corev1.Namespace{ObjectMeta: mine}, &corev1.Namespace{ObjectMeta: other}, errorsApplication("access-shop"),
		&appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Namespace: other.Name, Name: "access-shop"}})
	token := accessToken(t, mine.Name, "access-editor")
	accessRole(t, mine.Name, "access-editor")
	accessGranted(t, token, `{ namespace(name: "access-mine") { name applications } brokers(namespace: "access-mine") { name triggers { name } }
		serviceInstances(namespace: "access-mine") { name } functions(namespace: "access-mine") { name } applications(namespace: "access-mine") { name } }`)
	// Lists have what is visible. To see an Application is not to see who else uses it.
	data, errs := accessAnswer(t, token, `{ namespaces { name } application(name: "access-shop") { enabledInNamespaces enabledMappingServices { namespace } } }`)
	const visible = `{"namespaces":[{"name":"access-mine"}],"application":{"enabledInNamespaces":[],"enabledMappingServices":[]}}`
	if data != visible || len(errs) > 0 {
		t.Errorf("got %s, %+v; want %s", data, errs, visible)
	}
	for _, tt := range []struct {
		document string
		want     []accessError
	}{
		{`{ triggers(namespace: "access-other") { name } }`, []accessError{denied("triggers")}},
		{`{ namespace(name: "access-other") { name } }`, []accessError{denied("namespace")}},
		{`{ applications(namespace: "access-other") { name } }`, []accessError{denied("applications")}},
		{`{ meshStatus(namespace: "access-other") { ready } }`, []accessError{denied("meshStatus")}},
		{accessTrigger("access-other", "x"), []accessError{denied("createTrigger")}},
		{`mutation { deleteTrigger(namespace: "access-other", triggerName: "x") { name } }`, []accessError{denied("deleteTrigger")}},
		{`mutation { enableApplication(application: "access-shop", namespace: "access-mine") { application } }`, []accessError{denied("enableApplication")}},
	} {
		if _, errs = accessAnswer(t, token, tt.document); cmp.Diff(tt.want, errs) != "" {
			t.Errorf("%s (-want +got):\n%s", tt.document, cmp.Diff(tt.want, errs))
		}
	}
	c := dialWS(t, legacyWS, token)
	accessDeniedStream(t, c, "triggerEvent", `(namespace: "access-other")`)
	stream := c.subscribe(`subscription { triggerEvent(namespace: "access-mine") { type trigger { name } } }`, nil)
	n := 0
	eventually(t, func() error {
		n++
		name := fmt.Sprint("t-", n)
		accessGranted(t, token, accessTrigger("access-mine", name))
		select {
		case m := <-stream.messages:
			if e := stream.event(m); e.kind != "ADD" {
				t.Errorf("%s of %s first", e.kind, e.name)
			}
			return nil
		default:
			return errors.New("no event")
		}
	})
}

// accessInstance waits for the class that a namespace is offered by the application of its name, and returns the document
// that provisions it.
func accessInstance(t *testing.T, name string) (document string) {
	t.Helper()
	eventually(t, func() error {
		var answer struct {
			ServiceClass *struct{ Plans []struct{ Name string } }
		}
		err := shared.query(t.Context(), `{ serviceClass(namespace: "`+name+`", name: "`+name+`-events") { plans { name } } }`, nil, &answer)
		if err == nil && (answer.ServiceClass == nil || len(answer.ServiceClass.Plans) == 0) {
			err = errors.New("there is no class or plan")
		}
		return err
	})
	return `mutation { createServiceInstance(namespace: "` + name + `", params: {name: "i", labels: [],
		classRef: {externalName: "` + name + `-events-name", clusterWide: false}, planRef: {externalName: "default", clusterWide: false}}) { name } }`
}

// TestAccessToNestedFields wants every object reviewed that a document shows, not only that of its first field.
func TestAccessToNestedFields(t *testing.T) {
	const name = "access-nested"
	meta := metav1.ObjectMeta{Namespace: name, Name: name}
	createAll(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, errorsApplication(name, osbServices(name)...),
		&appv1.ApplicationMapping{ObjectMeta: meta})
	shared.mustQuery(t, accessInstance(t, name), nil, nil)
	eventually(t, func() error {
		var answer struct {
			ServiceInstance struct{ Status struct{ Type string } }
		}
		err := shared.query(t.Context(), `{ serviceInstance(namespace: "`+name+`", name: "i") { status { type } } }`, nil, &answer)
		if err == nil && answer.ServiceInstance.Status.Type != "RUNNING" {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	token := accessToken(t, name, name)
	createAll(t, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"servicecatalog.k8s.io"}, Resources: []string{"serviceinstances"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"eventing.knative.dev"}, Resources: []string{"brokers"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{appv1.GroupVersion.Group}, Resources: []string{"eventactivations"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
	}}, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: name, Name: name}},
	})
	accessGiven(t, "system:serviceaccount:"+name+":"+name,
		authorizationv1.ResourceAttributes{Namespace: name, Verb: "list", Group: appv1.GroupVersion.Group, Resource: "eventactivations"})
	accessGranted(t, token, `{ serviceInstances(namespace: "`+name+`") { name status { type } } brokers(namespace: "`+name+`") { name }
		eventActivations(namespace: "`+name+`") { name sourceId events { eventType } } namespace(name: "`+name+`") { name } }`)
	for document, want := range map[string]accessError{
		`{ serviceInstances(namespace: "` + name + `") { serviceClass { name } } }`: denied("serviceInstances", 0.0, "serviceClass"),
		`{ serviceInstances(namespace: "` + name + `") { servicePlan { name } } }`:  denied("serviceInstances", 0.0, "servicePlan"),
		`{ serviceInstances(namespace: "` + name + `") { bindable } }`:              denied("serviceInstances", 0.0, "bindable"),
		`{ brokers(namespace: "` + name + `") { triggers { name } } }`:              denied("brokers", 0.0, "triggers"),
		`{ namespace(name: "` + name + `") { applications } }`:                      denied("namespace", "applications"),
	} {
		if data, errs := accessAnswer(t, token, document); cmp.Diff([]accessError{want}, errs) != "" {
			t.Errorf("%s: %s (-want +got):\n%s", document, data, cmp.Diff([]accessError{want}, errs))
		}
	}
}

// TestAccessWritesAsTheUser wants the API server to see the user of GraphQL, not the program, as who writes.
func TestAccessWritesAsTheUser(t *testing.T) {
	const user = "system:serviceaccount:access-writes:access-writer"
	in := client.InNamespace("access-writes")
	createAll(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "access-writes"}},
		errorsApplication("access-writes", osbServices("access-writes")...),
		&appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Namespace: "access-writes", Name: "access-writes"}})
	token := accessToken(t, "access-writes", "access-writer")
	accessRole(t, "access-writes", "access-writer")
	eventually(t, func() error {
		var answer struct {
			ServiceClass *struct{ Plans []struct{ Name string } }
		}
		err := shared.query(t.Context(), `{ serviceClass(namespace: "access-writes", name: "access-writes-events") { plans { name } } }`, nil, &answer)
		if err == nil && (answer.ServiceClass == nil || len(answer.ServiceClass.Plans) == 0) {
			err = errors.New("there is no class or plan")
		}
		return err
	})
	accessGranted(t, token, accessTrigger("access-writes", "t"))
	accessGranted(t, token, `mutation { createServiceInstance(namespace: "access-writes", params: {name: "i", labels: [],
		classRef: {externalName: "access-writes-events-name", clusterWide: false}, planRef: {externalName: "default", clusterWide: false}}) { name } }`)

	var triggers eventingv1.TriggerList
	var instances scv1.ServiceInstanceList
	if err := errors.Join(shared.kube.List(t.Context(), &triggers, in), shared.kube.List(t.Context(), &instances, in)); err != nil {
		t.Fatal(err)
	}
	if len(triggers.Items) != 1 || triggers.Items[0].Annotations["eventing.knative.dev/creator"] != user {
		t.Errorf("Triggers: %+v", triggers.Items)
	}
	if len(instances.Items) != 1 || instances.Items[0].Spec.UserInfo == nil || instances.Items[0].Spec.UserInfo.Username != user {
		t.Errorf("ServiceInstances: %+v", instances.Items)
	}
}
