package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func newID() string { return "new-id" }

var (
	alice = &scv1.UserInfo{Username: "alice"}
	bob   = &scv1.UserInfo{Username: "bob"}
)

func TestDefaultServiceBroker(t *testing.T) {
	broker := func(change func(*scv1.ServiceBroker)) *scv1.ServiceBroker {
		b := &scv1.ServiceBroker{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"other", scv1.FinalizerServiceCatalog}}}
		b.Spec.RelistBehavior = scv1.ServiceBrokerRelistBehaviorDuration
		change(b)
		return b
	}
	for _, tc := range []struct {
		name           string
		old, obj, want *scv1.ServiceBroker
	}{
		{
			name: "create",
			obj:  &scv1.ServiceBroker{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"other"}}},
			want: broker(func(*scv1.ServiceBroker) {}),
		},
		{
			name: "create, manual",
			obj: broker(func(b *scv1.ServiceBroker) {
				b.Finalizers = nil
				b.Spec.RelistBehavior = scv1.ServiceBrokerRelistBehaviorManual
			}),
			want: broker(func(b *scv1.ServiceBroker) {
				b.Finalizers = []string{scv1.FinalizerServiceCatalog}
				b.Spec.RelistBehavior = scv1.ServiceBrokerRelistBehaviorManual
			}),
		},
		{
			name: "update without counter",
			old:  broker(func(b *scv1.ServiceBroker) { b.Spec.RelistRequests = 3 }),
			obj:  broker(func(*scv1.ServiceBroker) {}),
			want: broker(func(b *scv1.ServiceBroker) { b.Spec.RelistRequests = 3 }),
		},
		{
			name: "update, finalizer removed",
			old:  broker(func(*scv1.ServiceBroker) {}),
			obj:  broker(func(b *scv1.ServiceBroker) { b.Finalizers = nil }),
			want: broker(func(b *scv1.ServiceBroker) { b.Finalizers = nil }),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defaultServiceBroker(tc.old, tc.obj)
			if diff := cmp.Diff(tc.want, tc.obj); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultClusterServiceBroker(t *testing.T) {
	obj := &scv1.ClusterServiceBroker{}
	defaultClusterServiceBroker(nil, obj)
	if obj.Spec.RelistBehavior != scv1.ServiceBrokerRelistBehaviorDuration || len(obj.Finalizers) != 1 {
		t.Errorf("create gives %+v", obj)
	}
	old := obj.DeepCopy()
	old.Spec.RelistRequests = 2
	defaultClusterServiceBroker(old, obj)
	if obj.Spec.RelistRequests != 2 {
		t.Errorf("update gives relistRequests %d, want 2", obj.Spec.RelistRequests)
	}
}

func TestDefaultClassesAndPlans(t *testing.T) {
	common := map[string]string{
		"servicecatalog.k8s.io/spec.externalID":   hash("id"),
		"servicecatalog.k8s.io/spec.externalName": hash("name"),
	}
	with := func(more ...string) map[string]string {
		m := map[string]string{}
		for k, v := range common {
			m[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			m["servicecatalog.k8s.io/"+more[i]] = hash(more[i+1])
		}
		return m
	}
	class := func(broker string) *scv1.ServiceClass {
		c := &scv1.ServiceClass{}
		c.Spec.ExternalID, c.Spec.ExternalName, c.Spec.ServiceBrokerName = "id", "name", broker
		return c
	}
	clusterClass := func(broker string) *scv1.ClusterServiceClass {
		c := &scv1.ClusterServiceClass{}
		c.Spec.ExternalID, c.Spec.ExternalName, c.Spec.ClusterServiceBrokerName = "id", "name", broker
		return c
	}
	plan := func(broker, class string) *scv1.ServicePlan {
		p := &scv1.ServicePlan{}
		p.Spec.ExternalID, p.Spec.ExternalName, p.Spec.ServiceBrokerName = "id", "name", broker
		p.Spec.ServiceClassRef.Name = class
		return p
	}
	clusterPlan := func(broker, class string) *scv1.ClusterServicePlan {
		p := &scv1.ClusterServicePlan{}
		p.Spec.ExternalID, p.Spec.ExternalName, p.Spec.ClusterServiceBrokerName = "id", "name", broker
		p.Spec.ClusterServiceClassRef.Name = class
		return p
	}
	for _, tc := range []struct {
		name string
		got  func() metav1.Object
		want metav1.Object
	}{
		{"class created", func() metav1.Object {
			c := class("b")
			defaultServiceClass(nil, c)
			return c
		}, labelled(class("b"), with("spec.serviceBrokerName", "b"))},
		{"broker of a class is fixed", func() metav1.Object {
			c := class("other")
			defaultServiceClass(class("b"), c)
			return c
		}, labelled(class("b"), with("spec.serviceBrokerName", "b"))},
		{"cluster class", func() metav1.Object {
			c := clusterClass("other")
			defaultClusterServiceClass(clusterClass("b"), c)
			return c
		}, labelled(clusterClass("b"), with("spec.clusterServiceBrokerName", "b"))},
		{"plan created", func() metav1.Object {
			p := plan("b", "c")
			defaultServicePlan(nil, p)
			return p
		}, labelled(plan("b", "c"), with("spec.serviceBrokerName", "b", "spec.serviceClassRef.name", "c"))},
		{"broker and class of a plan are fixed", func() metav1.Object {
			p := plan("other", "another")
			defaultServicePlan(plan("b", "c"), p)
			return p
		}, labelled(plan("b", "c"), with("spec.serviceBrokerName", "b", "spec.serviceClassRef.name", "c"))},
		{"cluster plan", func() metav1.Object {
			p := clusterPlan("other", "another")
			defaultClusterServicePlan(clusterPlan("b", "c"), p)
			return p
		}, labelled(clusterPlan("b", "c"), with("spec.clusterServiceBrokerName", "b", "spec.clusterServiceClassRef.name", "c"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func labelled(obj metav1.Object, labels map[string]string) metav1.Object {
	obj.SetLabels(labels)
	return obj
}

// SHA-224 of the empty string is in FIPS 180's examples; upstream never changes the algorithm, so neither may we.
func TestHash(t *testing.T) {
	if got, want := hash(""), "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"; got != want {
		t.Errorf("hash of nothing is %s, want %s", got, want)
	}
}

func TestDefaultServiceInstance(t *testing.T) {
	ref := func(name string) *scv1.LocalObjectReference { return &scv1.LocalObjectReference{Name: name} }
	cluster := func(name string) *scv1.ClusterObjectReference { return &scv1.ClusterObjectReference{Name: name} }
	stored := func(change func(*scv1.ServiceInstance)) *scv1.ServiceInstance {
		i := &scv1.ServiceInstance{Spec: scv1.ServiceInstanceSpec{
			PlanReference:   scv1.PlanReference{ServiceClassExternalName: "c", ServicePlanExternalName: "p"},
			ServiceClassRef: ref("class"), ServicePlanRef: ref("plan"),
			ExternalID: "id", UserInfo: alice, UpdateRequests: 2,
		}}
		i.Labels = map[string]string{
			"servicecatalog.k8s.io/spec.serviceClassRef.name": hash("class"),
			"servicecatalog.k8s.io/spec.servicePlanRef.name":  hash("plan"),
		}
		if change != nil {
			change(i)
		}
		return i
	}
	for _, tc := range []struct {
		name           string
		old, obj, want *scv1.ServiceInstance
	}{
		{
			name: "create",
			obj:  &scv1.ServiceInstance{Spec: scv1.ServiceInstanceSpec{UserInfo: alice, ClusterServiceClassRef: cluster("c"), ClusterServicePlanRef: cluster("p")}},
			want: &scv1.ServiceInstance{
				ObjectMeta: metav1.ObjectMeta{Finalizers: []string{scv1.FinalizerServiceCatalog}},
				Spec:       scv1.ServiceInstanceSpec{ExternalID: "new-id", UserInfo: bob},
			},
		},
		{
			name: "create with id",
			obj:  &scv1.ServiceInstance{Spec: scv1.ServiceInstanceSpec{ExternalID: "mine"}},
			want: &scv1.ServiceInstance{
				ObjectMeta: metav1.ObjectMeta{Finalizers: []string{scv1.FinalizerServiceCatalog}},
				Spec:       scv1.ServiceInstanceSpec{ExternalID: "mine", UserInfo: bob},
			},
		},
		{
			name: "the controller resolves references: the user stays",
			old: stored(func(i *scv1.ServiceInstance) {
				i.Spec.ServiceClassRef, i.Spec.ServicePlanRef, i.Labels = nil, nil, nil
			}),
			obj:  stored(func(i *scv1.ServiceInstance) { i.Labels = nil }),
			want: stored(nil),
		},
		{
			name: "a client cannot name the user",
			old:  stored(nil),
			obj:  stored(func(i *scv1.ServiceInstance) { i.Spec.UserInfo = &scv1.UserInfo{Username: "mallory"} }),
			want: stored(nil),
		},
		{
			name: "parameters changed: the user changes",
			old:  stored(nil),
			obj: stored(func(i *scv1.ServiceInstance) {
				i.Spec.Parameters = &runtime.RawExtension{Raw: []byte(`{"a":1}`)}
			}),
			want: stored(func(i *scv1.ServiceInstance) {
				i.Spec.Parameters = &runtime.RawExtension{Raw: []byte(`{"a":1}`)}
				i.Spec.UserInfo = bob
			}),
		},
		{
			name: "a client that leaves the counter out changes nothing",
			old:  stored(nil),
			obj:  stored(func(i *scv1.ServiceInstance) { i.Spec.UpdateRequests = 0 }),
			want: stored(nil),
		},
		{
			name: "plan changed: its reference is resolved anew",
			old:  stored(nil),
			obj:  stored(func(i *scv1.ServiceInstance) { i.Spec.ServicePlanExternalName = "q" }),
			want: stored(func(i *scv1.ServiceInstance) {
				i.Spec.ServicePlanExternalName, i.Spec.ServicePlanRef, i.Spec.UserInfo = "q", nil, bob
				delete(i.Labels, "servicecatalog.k8s.io/spec.servicePlanRef.name")
			}),
		},
		{
			name: "cluster plan changed",
			old: &scv1.ServiceInstance{Spec: scv1.ServiceInstanceSpec{
				PlanReference: scv1.PlanReference{ClusterServiceClassName: "c", ClusterServicePlanName: "p"}, ClusterServicePlanRef: cluster("p"),
			}},
			obj: &scv1.ServiceInstance{Spec: scv1.ServiceInstanceSpec{
				PlanReference: scv1.PlanReference{ClusterServiceClassName: "c", ClusterServicePlanName: "q"}, ClusterServicePlanRef: cluster("p"),
			}},
			want: &scv1.ServiceInstance{Spec: scv1.ServiceInstanceSpec{
				PlanReference: scv1.PlanReference{ClusterServiceClassName: "c", ClusterServicePlanName: "q"}, UserInfo: bob,
			}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defaultServiceInstance(tc.old, tc.obj, bob, newID)
			if diff := cmp.Diff(tc.want, tc.obj); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultServiceBinding(t *testing.T) {
	finalizers := []string{scv1.FinalizerServiceCatalog}
	for _, tc := range []struct {
		name           string
		old, obj, want *scv1.ServiceBinding
	}{
		{
			name: "create",
			obj:  &scv1.ServiceBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}},
			want: &scv1.ServiceBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "b", Finalizers: finalizers},
				Spec:       scv1.ServiceBindingSpec{ExternalID: "new-id", SecretName: "b", UserInfo: bob},
			},
		},
		{
			name: "create, name to be generated",
			obj:  &scv1.ServiceBinding{ObjectMeta: metav1.ObjectMeta{GenerateName: "b-"}},
			want: &scv1.ServiceBinding{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "b-", Finalizers: finalizers},
				Spec:       scv1.ServiceBindingSpec{ExternalID: "new-id", SecretName: "new-id", UserInfo: bob},
			},
		},
		{
			name: "create with all",
			obj: &scv1.ServiceBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "b"},
				Spec:       scv1.ServiceBindingSpec{ExternalID: "id", SecretName: "s", UserInfo: alice},
			},
			want: &scv1.ServiceBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "b", Finalizers: finalizers},
				Spec:       scv1.ServiceBindingSpec{ExternalID: "id", SecretName: "s", UserInfo: bob},
			},
		},
		{
			name: "spec is fixed",
			old:  &scv1.ServiceBinding{Spec: scv1.ServiceBindingSpec{ExternalID: "id", SecretName: "s", UserInfo: alice}},
			obj:  &scv1.ServiceBinding{Spec: scv1.ServiceBindingSpec{ExternalID: "other", SecretName: "t"}},
			want: &scv1.ServiceBinding{Spec: scv1.ServiceBindingSpec{ExternalID: "id", SecretName: "s", UserInfo: alice}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defaultServiceBinding(tc.old, tc.obj, bob, newID)
			if diff := cmp.Diff(tc.want, tc.obj); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
