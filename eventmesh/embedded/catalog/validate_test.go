package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// want compares what is wrong, as users read it.
func want(t *testing.T, errs field.ErrorList, want []string) {
	t.Helper()
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestValidateServiceBroker(t *testing.T) {
	for _, tc := range []struct {
		name   string
		old    *scv1.ServiceBroker
		change func(*scv1.ServiceBroker)
		want   []string
	}{
		{name: "valid", change: func(*scv1.ServiceBroker) {}},
		{
			name: "empty",
			change: func(b *scv1.ServiceBroker) {
				b.Spec = scv1.ServiceBrokerSpec{}
			},
			want: []string{
				"spec.url: Required value: brokers must have a remote url to contact",
				`spec.relistBehavior: Invalid value: "": must be "Manual" or "Duration"`,
			},
		},
		{
			name: "both ways of trust",
			change: func(b *scv1.ServiceBroker) {
				b.Spec.InsecureSkipTLSVerify, b.Spec.CABundle = true, []byte("ca")
			},
			want: []string{"spec.caBundle: Forbidden: caBundle cannot be used when insecureSkipTLSVerify is true"},
		},
		{
			name: "relisting",
			old:  &scv1.ServiceBroker{Spec: scv1.ServiceBrokerSpec{CommonServiceBrokerSpec: scv1.CommonServiceBrokerSpec{RelistRequests: 2}}},
			change: func(b *scv1.ServiceBroker) {
				b.Spec.RelistBehavior, b.Spec.RelistRequests = "Never", 1
				b.Spec.RelistDuration = &metav1.Duration{Duration: -time.Second}
			},
			want: []string{
				`spec.relistBehavior: Invalid value: "Never": must be "Manual" or "Duration"`,
				"spec.relistRequests: Invalid value: 1: must not be less than 2, its value now",
				`spec.relistDuration: Invalid value: "-1s": must be greater than zero`,
			},
		},
		{
			name:   "negative counter",
			change: func(b *scv1.ServiceBroker) { b.Spec.RelistRequests = -1 },
			want:   []string{"spec.relistRequests: Invalid value: -1: must be greater than or equal to 0"},
		},
		{
			name: "restrictions",
			change: func(b *scv1.ServiceBroker) {
				b.Spec.CatalogRestrictions = &scv1.CatalogRestrictions{
					ServiceClass: []string{"spec.externalName in (a, b)", "spec.free=true"},
					ServicePlan:  []string{"spec.free=true", "spec.clusterServiceClass.name=a"},
				}
			},
			want: []string{
				`spec.catalogRestrictions.serviceClass[1]: Invalid value: "spec.free=true": unknown property spec.free`,
				`spec.catalogRestrictions.servicePlan[1]: Invalid value: "spec.clusterServiceClass.name=a": unknown property spec.clusterServiceClass.name`,
			},
		},
		{
			name: "credentials of no kind",
			change: func(b *scv1.ServiceBroker) {
				b.Spec.AuthInfo = &scv1.ServiceBrokerAuthInfo{}
			},
			want: []string{"spec.authInfo: Required value: auth config is required"},
		},
		{
			name: "credentials without secret",
			change: func(b *scv1.ServiceBroker) {
				b.Spec.AuthInfo = &scv1.ServiceBrokerAuthInfo{Basic: &scv1.BasicAuthConfig{}}
			},
			want: []string{"spec.authInfo.basic.secretRef: Required value: an auth secret is required"},
		},
		{
			name: "token with secret",
			change: func(b *scv1.ServiceBroker) {
				b.Spec.AuthInfo = &scv1.ServiceBrokerAuthInfo{Bearer: &scv1.BearerTokenAuthConfig{SecretRef: &scv1.LocalObjectReference{Name: "s"}}}
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &scv1.ServiceBroker{}
			b.Spec.URL, b.Spec.RelistBehavior = "http://broker", scv1.ServiceBrokerRelistBehaviorManual
			tc.change(b)
			want(t, validateServiceBroker(tc.old, b), tc.want)
		})
	}
}

func TestValidateBrokerRestrictionSyntax(t *testing.T) {
	b := &scv1.ServiceBroker{}
	b.Spec.URL, b.Spec.RelistBehavior = "http://broker", scv1.ServiceBrokerRelistBehaviorManual
	b.Spec.CatalogRestrictions = &scv1.CatalogRestrictions{ServiceClass: []string{"spec.externalName in in"}}
	errs := validateServiceBroker(nil, b)
	if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "spec.catalogRestrictions.serviceClass: Invalid value") {
		t.Errorf("errors are %v", errs)
	}
}

func TestValidateClusterServiceBroker(t *testing.T) {
	b := &scv1.ClusterServiceBroker{}
	b.Spec.URL, b.Spec.RelistBehavior = "http://broker", scv1.ServiceBrokerRelistBehaviorDuration
	want(t, validateClusterServiceBroker(nil, b), nil)
	b.Spec.AuthInfo = &scv1.ClusterServiceBrokerAuthInfo{Basic: &scv1.ClusterBasicAuthConfig{SecretRef: &scv1.ObjectReference{Namespace: "n", Name: "s"}}}
	want(t, validateClusterServiceBroker(nil, b), nil)
	b.Spec.AuthInfo = &scv1.ClusterServiceBrokerAuthInfo{Bearer: &scv1.ClusterBearerTokenAuthConfig{}}
	b.Spec.CatalogRestrictions = &scv1.CatalogRestrictions{ServicePlan: []string{"spec.serviceClass.name=a"}}
	old := b.DeepCopy()
	old.Spec.RelistRequests = 1
	want(t, validateClusterServiceBroker(old, b), []string{
		"spec.relistRequests: Invalid value: 0: must not be less than 1, its value now",
		`spec.catalogRestrictions.servicePlan[0]: Invalid value: "spec.serviceClass.name=a": unknown property spec.serviceClass.name`,
		"spec.authInfo.bearer.secretRef: Required value: an auth secret is required",
	})
	b.Spec.AuthInfo = &scv1.ClusterServiceBrokerAuthInfo{}
	b.Spec.CatalogRestrictions = nil
	want(t, validateClusterServiceBroker(nil, b), []string{"spec.authInfo: Required value: auth config is required"})
}

func TestValidateOffers(t *testing.T) {
	long := strings.Repeat("x", 64)
	class := &scv1.ServiceClass{}
	class.Spec.ExternalName = long
	want(t, validateServiceClass(class), []string{
		`spec.externalName: Invalid value: "` + long + `": must be no more than 63 characters`,
		"spec.externalID: Required value: must be non-empty",
		"spec.description: Required value: description is required",
		"spec.serviceBrokerName: Required value: serviceBrokerName is required",
	})
	class.Spec.ExternalName, class.Spec.ExternalID, class.Spec.Description, class.Spec.ServiceBrokerName = "n", "i", "d", "b"
	want(t, validateServiceClass(class), nil)

	clusterClass := &scv1.ClusterServiceClass{Spec: scv1.ClusterServiceClassSpec{CommonServiceClassSpec: class.Spec.CommonServiceClassSpec}}
	want(t, validateClusterServiceClass(clusterClass), []string{"spec.clusterServiceBrokerName: Required value: clusterServiceBrokerName is required"})

	plan := &scv1.ServicePlan{}
	plan.Spec.ExternalName, plan.Spec.ExternalID, plan.Spec.Description, plan.Spec.ServiceBrokerName = "n", "i", "d", "b"
	want(t, validateServicePlan(nil, plan), []string{"spec.serviceClassRef.name: Required value: must be non-empty"})
	plan.Spec.ServiceClassRef.Name = "c"
	old := plan.DeepCopy()
	old.Spec.ExternalID = "was"
	want(t, validateServicePlan(old, plan), []string{`spec.externalID: Invalid value: "i": field is immutable`})

	clusterPlan := &scv1.ClusterServicePlan{Spec: scv1.ClusterServicePlanSpec{CommonServicePlanSpec: plan.Spec.CommonServicePlanSpec}}
	oldPlan := clusterPlan.DeepCopy()
	oldPlan.Spec.ExternalID = "was"
	want(t, validateClusterServicePlan(oldPlan, clusterPlan), []string{
		"spec.clusterServiceBrokerName: Required value: clusterServiceBrokerName is required",
		"spec.clusterServiceClassRef.name: Required value: must be non-empty",
		`spec.externalID: Invalid value: "i": field is immutable`,
	})
}

func TestValidateServiceInstanceCreate(t *testing.T) {
	for _, tc := range []struct {
		name string
		spec scv1.ServiceInstanceSpec
		want []string
	}{
		{name: "by external name", spec: instanceSpec(scv1.PlanReference{ServiceClassExternalName: "c", ServicePlanExternalName: "p"})},
		{name: "cluster by name", spec: instanceSpec(scv1.PlanReference{ClusterServiceClassName: "c", ClusterServicePlanName: "p"})},
		{name: "no class", want: []string{"spec: Required value: plan references must have a class reference set"}},
		{
			name: "plan without class", spec: instanceSpec(scv1.PlanReference{ServicePlanName: "p"}),
			want: []string{"spec: Required value: plan references must have a class reference set"},
		},
		{
			name: "two scopes", spec: instanceSpec(scv1.PlanReference{ServiceClassName: "c", ClusterServicePlanName: "p"}),
			want: []string{"spec: Forbidden: instances can only refer to a cluster or namespaced class or plan type, but not both"},
		},
		{
			name: "two classes", spec: instanceSpec(scv1.PlanReference{ServiceClassName: "c", ServiceClassExternalID: "i"}),
			want: []string{"spec: Forbidden: exactly one class reference is required, not serviceClassExternalID and serviceClassName"},
		},
		{
			name: "plan named otherwise than class", spec: instanceSpec(scv1.PlanReference{ServiceClassExternalName: "c", ServicePlanName: "p"}),
			want: []string{"spec.servicePlanName: Forbidden: must specify servicePlanExternalName with serviceClassExternalName"},
		},
		{
			name: "long name", spec: instanceSpec(scv1.PlanReference{ServiceClassExternalName: strings.Repeat("c", 64)}),
			want: []string{`spec.serviceClassExternalName: Invalid value: "` + strings.Repeat("c", 64) + `": must be no more than 63 characters`},
		},
		{
			name: "references",
			spec: scv1.ServiceInstanceSpec{
				PlanReference:          scv1.PlanReference{ServiceClassName: "c"},
				ServiceClassRef:        &scv1.LocalObjectReference{},
				ServicePlanRef:         &scv1.LocalObjectReference{},
				ClusterServiceClassRef: &scv1.ClusterObjectReference{},
				ClusterServicePlanRef:  &scv1.ClusterObjectReference{},
			},
			want: []string{
				"spec.serviceClassRef: Forbidden: serviceClassRef must not be present on create",
				"spec.servicePlanRef: Forbidden: servicePlanRef must not be present on create",
				"spec.clusterServiceClassRef: Forbidden: clusterServiceClassRef must not be present on create",
				"spec.clusterServicePlanRef: Forbidden: clusterServicePlanRef must not be present on create",
			},
		},
		{
			name: "parameters",
			spec: scv1.ServiceInstanceSpec{
				PlanReference:  scv1.PlanReference{ServiceClassName: "c"},
				Parameters:     &runtime.RawExtension{Raw: []byte(`["a"]`)},
				UpdateRequests: -1,
				ParametersFrom: []scv1.ParametersFromSource{{}, {SecretKeyRef: &scv1.SecretKeyReference{}}},
			},
			want: []string{
				"spec.parametersFrom[0].secretKeyRef: Required value: source must not be empty if present",
				"spec.parametersFrom[1].secretKeyRef.name: Required value: name is required",
				"spec.parametersFrom[1].secretKeyRef.key: Required value: key is required",
				`spec.parameters: Invalid value: "[\"a\"]": inline parameters must be an object`,
				"spec.updateRequests: Invalid value: -1: must be greater than or equal to 0",
			},
		},
		{
			name: "empty parameters",
			spec: scv1.ServiceInstanceSpec{
				PlanReference: scv1.PlanReference{ServiceClassName: "c"},
				Parameters:    &runtime.RawExtension{},
			},
			want: []string{`spec.parameters: Invalid value: "": inline parameters must be an object`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want(t, validateServiceInstance(nil, &scv1.ServiceInstance{Spec: tc.spec}), tc.want)
		})
	}
}

func instanceSpec(ref scv1.PlanReference) scv1.ServiceInstanceSpec {
	return scv1.ServiceInstanceSpec{PlanReference: ref}
}

func TestValidateServiceInstanceUpdate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(old, obj *scv1.ServiceInstance)
		want   []string
	}{
		{name: "nothing", change: func(_, _ *scv1.ServiceInstance) {}},
		{
			name: "fixed fields",
			change: func(_, obj *scv1.ServiceInstance) {
				obj.Spec.ServiceClassExternalName, obj.Spec.ExternalID, obj.Spec.UpdateRequests = "other", "other", 1
			},
			want: []string{
				`spec.serviceClassExternalName: Invalid value: "other": field is immutable`,
				`spec.externalID: Invalid value: "other": field is immutable`,
				"spec.updateRequests: Invalid value: 1: new updateRequests value must not be less than the old one",
			},
		},
		{
			name: "plan with the reference of the old one",
			change: func(_, obj *scv1.ServiceInstance) {
				obj.Spec.ServicePlanExternalName = "q"
				obj.Spec.ServicePlanRef = &scv1.LocalObjectReference{Name: "p"}
			},
			want: []string{"spec.servicePlanRef: Forbidden: servicePlanRef must not be present when the plan is being changed"},
		},
		{
			name: "cluster plan with the reference of the old one",
			change: func(old, obj *scv1.ServiceInstance) {
				old.Spec.PlanReference = scv1.PlanReference{ClusterServiceClassName: "c", ClusterServicePlanName: "p"}
				obj.Spec.PlanReference = scv1.PlanReference{ClusterServiceClassName: "c", ClusterServicePlanName: "q"}
				obj.Spec.ClusterServicePlanRef = &scv1.ClusterObjectReference{Name: "p"}
			},
			want: []string{"spec.clusterServicePlanRef: Forbidden: clusterServicePlanRef must not be present when the plan is being changed"},
		},
		{
			name: "while an operation is under way",
			change: func(old, obj *scv1.ServiceInstance) {
				old.Status.CurrentOperation = scv1.ServiceInstanceOperationProvision
				obj.Spec.UpdateRequests++
			},
			want: []string{"spec: Forbidden: Another update for this service instance is in progress"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := &scv1.ServiceInstance{Spec: instanceSpec(scv1.PlanReference{ServiceClassExternalName: "c", ServicePlanExternalName: "p"})}
			old.Spec.ExternalID, old.Spec.UpdateRequests = "id", 2
			obj := old.DeepCopy()
			tc.change(old, obj)
			want(t, validateServiceInstance(old, obj), tc.want)
		})
	}
}

func TestValidateServiceBinding(t *testing.T) {
	b := &scv1.ServiceBinding{Spec: scv1.ServiceBindingSpec{InstanceRef: scv1.LocalObjectReference{Name: "i"}, SecretName: "s"}}
	want(t, validateServiceBinding(b), nil)
	b.Spec.InstanceRef.Name, b.Spec.SecretName = "Not_A_Name", "-"
	b.Spec.ParametersFrom = []scv1.ParametersFromSource{{}}
	errs := validateServiceBinding(b)
	var fields []string
	for _, err := range errs {
		fields = append(fields, err.Field)
	}
	if diff := cmp.Diff([]string{"spec.instanceRef.name", "spec.secretName", "spec.parametersFrom[0].secretKeyRef"}, fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}
