package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// mapped is what is observed of a namespace with one mapping, for all services, of an Application with two.
func mapped(change func(*brokerObserved)) brokerObserved {
	o := brokerObserved{
		namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sales"}},
		url:       "http://127.0.0.1:3000/broker/sales",
		mappings:  []appv1.ApplicationMapping{{ObjectMeta: metav1.ObjectMeta{Namespace: "sales", Name: "shop"}}},
		applications: map[string]*appv1.Application{"shop": testApplication(func(a *appv1.Application) {
			a.Spec.Services = []appv1.Service{{ID: "orders", Name: "orders"}, {ID: "payments", Name: "payments"}}
		})},
		secret: &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: "sales", Name: eventmesh.BrokerAuthSecret, UID: "secret-uid",
			Labels: map[string]string{ManagedByLabel: ManagedBy},
		}},
	}
	if change != nil {
		change(&o)
	}
	return o
}

// settledBroker is the ServiceBroker that o wants, as Service Catalog left it after some lists.
func settledBroker(o brokerObserved) *scv1.ServiceBroker {
	b := wantedBroker(o, &scv1.ServiceBroker{})
	b.ResourceVersion, b.Spec.RelistRequests = "9", 4
	b.Finalizers = []string{scv1.FinalizerServiceCatalog}
	b.Status.LastConditionState = "Ready"
	return b
}

func TestDecideBroker(t *testing.T) {
	unmapped := func(o *brokerObserved) { o.mappings, o.applications = nil, nil }
	with := func(broker func(*scv1.ServiceBroker), changes ...func(*brokerObserved)) brokerObserved {
		o := mapped(nil)
		o.broker = settledBroker(o)
		if broker != nil {
			broker(o.broker)
		}
		for _, change := range changes {
			change(&o)
		}
		return o
	}
	foreign := func(b *scv1.ServiceBroker) { b.Labels = nil }
	for _, tt := range []struct {
		name     string
		observed brokerObserved
		want     []string
		relists  int64
	}{
		{"nothing", brokerObserved{namespace: mapped(nil).namespace}, nil, 0},
		{"namespace gone", brokerObserved{}, nil, 0},
		{"namespace going", mapped(func(o *brokerObserved) { o.namespace.DeletionTimestamp = now() }), nil, 0},
		{"new: first the secret", mapped(func(o *brokerObserved) { o.secret = nil }), []string{"make secret"}, 0},
		{"new: then the broker", mapped(nil), []string{"create"}, 0},
		{"settled", with(nil), nil, 0},
		{"URL changed", with(func(b *scv1.ServiceBroker) { b.Spec.URL = "http://old" }), []string{"update"}, 4},
		{"authInfo removed", with(func(b *scv1.ServiceBroker) { b.Spec.AuthInfo = nil }), []string{"update"}, 4},
		{"service added", with(nil, func(o *brokerObserved) {
			app := o.applications["shop"]
			app.Spec.Services = append(app.Spec.Services, appv1.Service{ID: "returns"})
		}), []string{"update"}, 5},
		{"mapping narrowed", with(nil, func(o *brokerObserved) {
			o.mappings[0].Spec.Services = []appv1.ApplicationMappingService{{ID: "orders"}}
		}), []string{"update"}, 5},
		{"application gone", with(nil, func(o *brokerObserved) { o.applications = nil }), []string{"update"}, 5},
		{"secret deleted by hand", with(nil, func(o *brokerObserved) { o.secret = nil }), []string{"make secret"}, 0},
		{"secret made anew", with(nil, func(o *brokerObserved) { o.secret.UID = "new" }), nil, 0},
		{"foreign broker", with(foreign), []string{"foreign"}, 0},
		{"foreign broker, nothing mapped", with(foreign, unmapped), nil, 0},
		{"broker going", with(func(b *scv1.ServiceBroker) { b.DeletionTimestamp = now() }), nil, 0},
		{"last mapping gone", with(nil, unmapped), []string{"delete broker"}, 0},
		{"last mapping gone, instances left", with(nil, unmapped, func(o *brokerObserved) { o.instances = 1 }), []string{"update"}, 5},
		{"instances of an unknown class left", with(nil, unmapped, func(o *brokerObserved) { o.orphans = 1 }), []string{"update"}, 5},
		{"instances of an unknown class bring no broker back", mapped(func(o *brokerObserved) {
			unmapped(o)
			o.orphans, o.secret = 1, nil
		}), nil, 0},
		{"broker deleted by hand while instances are left", mapped(func(o *brokerObserved) {
			unmapped(o)
			o.instances = 1
		}), []string{"create"}, 0},
		{"broker gone", mapped(unmapped), []string{"delete secret"}, 0},
		{"broker gone, secret of another", mapped(func(o *brokerObserved) {
			unmapped(o)
			o.secret.Labels = nil
		}), nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decideBroker(tt.observed)
			words := doing(map[string]bool{
				"make secret": got.makeSecret, "delete secret": got.deleteSecret, "create": got.create != nil,
				"update": got.update != nil, "delete broker": got.deleteBroker, "foreign": got.foreign,
			})
			if diff := cmp.Diff(tt.want, words, sorted); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if got.update != nil && got.update.Spec.RelistRequests != tt.relists {
				t.Errorf("relistRequests %d, want %d", got.update.Spec.RelistRequests, tt.relists)
			}
		})
	}
}

func TestNewBroker(t *testing.T) {
	o := mapped(nil)
	got := decideBroker(o).create
	want := &scv1.ServiceBroker{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "sales", Name: "application-broker",
			Labels:      map[string]string{"namespaced-application-broker": "true", ManagedByLabel: ManagedBy},
			Annotations: map[string]string{OfferingAnnotation: offering(o)},
		},
		Spec: scv1.ServiceBrokerSpec{
			CommonServiceBrokerSpec: scv1.CommonServiceBrokerSpec{
				URL: "http://127.0.0.1:3000/broker/sales", RelistBehavior: "Duration",
			},
			AuthInfo: &scv1.ServiceBrokerAuthInfo{Basic: &scv1.BasicAuthConfig{
				SecretRef: &scv1.LocalObjectReference{Name: "application-broker-auth"},
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOffering(t *testing.T) {
	services := func(ids ...string) func(*brokerObserved) {
		return func(o *brokerObserved) {
			o.mappings[0].Spec.Services = []appv1.ApplicationMappingService{}
			for _, id := range ids {
				o.mappings[0].Spec.Services = append(o.mappings[0].Spec.Services, appv1.ApplicationMappingService{ID: id})
			}
		}
	}
	second := appv1.ApplicationMapping{ObjectMeta: metav1.ObjectMeta{Namespace: "sales", Name: "erp"}}
	for _, tt := range []struct {
		name string
		a, b func(*brokerObserved)
		same bool
	}{
		{"nothing changed", nil, nil, true},
		{"description of the application", nil, func(o *brokerObserved) { o.applications["shop"].Spec.Description = "x" }, true},
		{"status of the application", nil, func(o *brokerObserved) { o.applications["shop"].Status.ObservedGeneration = 3 }, true},
		{"description of a service", nil, func(o *brokerObserved) {
			o.applications["shop"].Spec.Services[0].Description = "x"
		}, false},
		{"description of a service that is not enabled", services("orders"), func(o *brokerObserved) {
			services("orders")(o)
			o.applications["shop"].Spec.Services[1].Description = "x"
		}, true},
		{"all and none", nil, services(), false},
		{"none and one", services(), services("orders"), false},
		{"an id that the application does not have", services("orders"), services("orders", "x"), true},
		{"application going", nil, func(o *brokerObserved) { o.applications["shop"].DeletionTimestamp = now() }, false},
		{"order of mappings", func(o *brokerObserved) { o.mappings = append(o.mappings, second) }, func(o *brokerObserved) {
			o.mappings = append([]appv1.ApplicationMapping{second}, o.mappings...)
		}, true},
		{"another password", nil, func(o *brokerObserved) { o.secret.UID = "new" }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := offering(mapped(tt.a)), offering(mapped(tt.b)); (a == b) != tt.same {
				t.Errorf("offerings %s and %s, want same = %v", a, b, tt.same)
			}
		})
	}
}

func TestStrandable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*scv1.ServiceInstance)
		want   bool
	}{
		{"an instance of ours", func(*scv1.ServiceInstance) {}, true},
		{"not deleted", func(i *scv1.ServiceInstance) { i.DeletionTimestamp = nil }, false},
		{"deprovisioned", func(i *scv1.ServiceInstance) { i.Finalizers = []string{"theirs"} }, false},
		{"never resolved", func(i *scv1.ServiceInstance) { i.Spec.ServiceClassRef = nil }, false},
		{"without a plan", func(i *scv1.ServiceInstance) { i.Spec.ServicePlanRef = nil }, false},
		{"another broker's", func(i *scv1.ServiceInstance) { i.Spec.ServicePlanRef.Name = "large" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := &scv1.ServiceInstance{
				ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: now(), Finalizers: []string{scv1.FinalizerServiceCatalog}},
				Spec: scv1.ServiceInstanceSpec{
					ServiceClassRef: &scv1.LocalObjectReference{Name: "orders"},
					ServicePlanRef:  &scv1.LocalObjectReference{Name: "orders-plan"},
				},
			}
			tt.change(i)
			if got := strandable(i); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
