package catalog

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"sigs.k8s.io/yaml"
)

// attributes are those of a request to write obj over old, "" for none, both in YAML.
func attributes(t *testing.T, resource, subresource, obj, old string) admission.Attributes {
	t.Helper()
	parse := func(text string) *unstructured.Unstructured {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		o := map[string]any{}
		if err := json.Unmarshal(data, &o); err != nil { // numbers as the API server has them
			t.Fatal(err)
		}
		return &unstructured.Unstructured{Object: o}
	}
	o := parse(obj)
	var was runtime.Object
	operation := admission.Create
	if old != "" {
		was, operation = parse(old), admission.Update
	}
	return admission.NewAttributesRecord(o, was, o.GroupVersionKind(), "ns", o.GetName(),
		scv1.SchemeGroupVersion.WithResource(resource), subresource, operation, nil, false,
		&user.DefaultInfo{Name: "alice", Groups: []string{"users"}, Extra: map[string][]string{"k": {"v"}}})
}

const header = "apiVersion: servicecatalog.k8s.io/v1beta1\n"

func TestAdmit(t *testing.T) {
	for _, tc := range []struct {
		name, resource, subresource string
		obj, old, want              string
	}{
		{
			name: "fields of a broker that nobody knows stay", resource: "servicebrokers",
			obj:  "kind: ServiceBroker\nmetadata: {name: b}\nspec: {url: u, unknown: {a: 1}}\nextra: 1",
			want: "kind: ServiceBroker\nmetadata: {name: b, finalizers: [kubernetes-incubator/service-catalog]}\nspec: {url: u, unknown: {a: 1}, relistBehavior: Duration}\nextra: 1",
		},
		{
			name: "broker updated without counter", resource: "servicebrokers",
			old:  "kind: ServiceBroker\nspec: {url: u, relistBehavior: Manual, relistRequests: 4}",
			obj:  "kind: ServiceBroker\nspec: {url: v, relistBehavior: Manual}",
			want: "kind: ServiceBroker\nspec: {url: v, relistBehavior: Manual, relistRequests: 4}",
		},
		{
			name: "instance", resource: "serviceinstances",
			obj: "kind: ServiceInstance\nmetadata: {name: i, finalizers: [mine]}\nspec: {serviceClassName: c, servicePlanName: p, externalID: id, clusterServiceClassRef: {name: x}}",
			want: `kind: ServiceInstance
metadata: {name: i, finalizers: [mine, kubernetes-incubator/service-catalog]}
spec:
  serviceClassName: c
  servicePlanName: p
  externalID: id
  userInfo: {username: alice, uid: "", groups: [users], extra: {k: [v]}}`,
		},
		{
			name: "binding without spec", resource: "servicebindings",
			obj:  "kind: ServiceBinding\nmetadata: {name: b, finalizers: [kubernetes-incubator/service-catalog]}\nspec: {externalID: id, secretName: s, instanceRef: {name: i}}",
			old:  "kind: ServiceBinding\nmetadata: {name: b, finalizers: [kubernetes-incubator/service-catalog]}\nspec: {externalID: id, secretName: s, instanceRef: {name: j}}",
			want: "kind: ServiceBinding\nmetadata: {name: b, finalizers: [kubernetes-incubator/service-catalog]}\nspec: {externalID: id, secretName: s, instanceRef: {name: j}}",
		},
		{
			name: "status is not ours", resource: "servicebrokers", subresource: "status",
			old:  "kind: ServiceBroker\nspec: {url: u}",
			obj:  "kind: ServiceBroker\nspec: {url: u}",
			want: "kind: ServiceBroker\nspec: {url: u}",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := attributes(t, tc.resource, tc.subresource, header+tc.obj, with(header, tc.old))
			if err := (&plugin{}).Admit(t.Context(), a, nil); err != nil {
				t.Fatal(err)
			}
			want := attributes(t, tc.resource, "", header+tc.want, "").GetObject()
			if diff := cmp.Diff(want, a.GetObject()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func with(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func TestAdmitMistyped(t *testing.T) {
	a := attributes(t, "serviceinstances", "", header+"kind: ServiceInstance\nspec: {serviceClassName: 3}", "")
	if err := (&plugin{}).Admit(t.Context(), a, nil); !apierrors.IsBadRequest(err) {
		t.Errorf("error is %v, want a bad request", err)
	}
}

func TestAdmitOtherGroup(t *testing.T) {
	pod := &unstructured.Unstructured{Object: map[string]any{"kind": "ServiceBroker"}}
	a := admission.NewAttributesRecord(pod, nil, pod.GroupVersionKind(), "ns", "x",
		metav1.SchemeGroupVersion.WithResource("servicebrokers"), "", admission.Create, nil, false, nil)
	if err := (&plugin{}).Admit(t.Context(), a, nil); err != nil || len(pod.Object) != 1 {
		t.Errorf("another group's object became %v, %v", pod.Object, err)
	}
}

func TestValidate(t *testing.T) {
	const broker = "kind: ServiceBroker\nmetadata: {name: b}\nspec: {url: u, relistBehavior: Manual, authInfo: {basic: {secretRef: {name: s}}}}"
	var asked []authorizer.AttributesRecord
	answer := func(d authorizer.Decision, reason string, err error) authorizer.Authorizer {
		return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			asked = append(asked, a.(authorizer.AttributesRecord))
			return d, reason, err
		})
	}
	for _, tc := range []struct {
		name, resource, obj, old string
		authorizer               authorizer.Authorizer
		want                     string
	}{
		{
			name: "secret may be read", resource: "servicebrokers", obj: broker,
			authorizer: answer(authorizer.DecisionAllow, "", nil),
		},
		{
			name: "secret may not be read", resource: "servicebrokers", obj: broker,
			authorizer: answer(authorizer.DecisionNoOpinion, "no role", errors.New("odd")),
			want:       `servicebrokers.servicecatalog.k8s.io "b" is forbidden: broker forbidden access to auth secret (s): Reason: no role, EvaluationError: odd`,
		},
		{
			name: "nothing is asked about a label", resource: "servicebrokers", old: broker,
			obj: "kind: ServiceBroker\nmetadata: {name: b, labels: {a: b}}\nspec: {url: u, relistBehavior: Manual, authInfo: {basic: {secretRef: {name: s}}}}",
		},
		{
			name: "what is stored and invalid can be let go", resource: "serviceinstances",
			old: "kind: ServiceInstance\nmetadata: {name: i, finalizers: [f]}\nspec: {}",
			obj: "kind: ServiceInstance\nmetadata: {name: i}\nspec: {}",
		},
		{
			name: "invalid", resource: "serviceinstances",
			obj:  "kind: ServiceInstance\nmetadata: {name: i}\nspec: {}",
			want: `serviceinstances.servicecatalog.k8s.io "i" is forbidden: spec: Required value: plan references must have a class reference set`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := attributes(t, tc.resource, "", header+tc.obj, with(header, tc.old))
			err := (&plugin{authorizer: tc.authorizer}).Validate(t.Context(), a, nil)
			if got := message(err); got != tc.want {
				t.Errorf("error\n%s, want\n%s", got, tc.want)
			}
			if err != nil && !apierrors.IsForbidden(err) {
				t.Errorf("%v is not a 403", err)
			}
		})
	}
	for _, a := range asked {
		want := authorizer.AttributesRecord{Verb: "get", APIVersion: "v1", Resource: "secrets", Namespace: "ns", Name: "s", ResourceRequest: true}
		if diff := cmp.Diff(want, a, cmpopts.IgnoreFields(a, "User")); diff != "" || a.User.GetName() != "alice" {
			t.Errorf("asked about %v (-want +got):\n%s", a.User, diff)
		}
	}
}

func TestValidateInitialization(t *testing.T) {
	p, err := NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.(admission.InitializationValidator).ValidateInitialization(); err == nil {
		t.Error("a plugin without client and authorizer says it is ready")
	}
	if p.Handles(admission.Delete) || !p.Handles(admission.Create) || !p.Handles(admission.Update) {
		t.Error("the plugin must handle create and update only")
	}
}

func TestSecretOf(t *testing.T) {
	local := &scv1.LocalObjectReference{Name: "s"}
	for name, auth := range map[string]*scv1.ServiceBrokerAuthInfo{
		"s": {Basic: &scv1.BasicAuthConfig{SecretRef: local}},
		"":  {Bearer: &scv1.BearerTokenAuthConfig{}},
	} {
		if got := secretOf(auth); got != name {
			t.Errorf("secret of %v is %q, want %q", auth, got, name)
		}
	}
	if got := secretOf(&scv1.ServiceBrokerAuthInfo{Bearer: &scv1.BearerTokenAuthConfig{SecretRef: local}}); got != "s" {
		t.Errorf("secret of a token is %q", got)
	}
	ref := &scv1.ObjectReference{Namespace: "n", Name: "s"}
	for _, auth := range []*scv1.ClusterServiceBrokerAuthInfo{
		{Basic: &scv1.ClusterBasicAuthConfig{SecretRef: ref}}, {Bearer: &scv1.ClusterBearerTokenAuthConfig{SecretRef: ref}},
	} {
		if namespace, name := clusterSecretOf(auth); namespace != "n" || name != "s" {
			t.Errorf("secret of %v is %s/%s", auth, namespace, name)
		}
	}
	if _, name := clusterSecretOf(nil); name != "" {
		t.Errorf("secret of nothing is %q", name)
	}
}
