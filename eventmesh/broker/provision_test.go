package broker

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// request is that of the tables: instance i1 of the service s in the namespace ns.
func request(change func(*instance)) instance {
	req := instance{namespace: "ns", id: "i1", serviceID: "s", planID: "s-plan", async: true}
	if change != nil {
		change(&req)
	}
	return req
}

// offered is the service s of the application shop.
func offered(change func(*offer), entries ...appv1.EntryType) *offer {
	service := &appv1.Service{ID: "s", Name: "orders", DisplayName: "Orders"}
	for _, e := range entries {
		service.Entries = append(service.Entries, appv1.Entry{Type: e, GatewayURL: "http://gateway"})
	}
	o := &offer{
		application: &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		service:     service, mapped: true, enabled: true,
	}
	if change != nil {
		change(o)
	}
	return o
}

// recordOf is the EventActivation of a request.
func recordOf(req instance, change func(*appv1.EventActivation)) *appv1.EventActivation {
	a := &appv1.EventActivation{
		ObjectMeta: metav1.ObjectMeta{
			Name: "s", Namespace: "ns", Generation: 1,
			Labels:      map[string]string{eventmesh.InstanceIDLabel: req.id},
			Annotations: map[string]string{planAnnotation: req.planID, requestAnnotation: req.hash()},
		},
		Spec: appv1.EventActivationSpec{DisplayName: "Orders", SourceID: "shop"},
	}
	if change != nil {
		change(a)
	}
	return a
}

func becomeReady(a *appv1.EventActivation) {
	a.Status = appv1.EventActivationStatus{
		ObservedGeneration: a.Generation,
		Conditions:         []metav1.Condition{{Type: appv1.ConditionReady, Status: metav1.ConditionTrue}},
	}
}

func beDeleted(a *appv1.EventActivation) {
	now := metav1.Unix(0, 0)
	a.DeletionTimestamp, a.Finalizers = &now, []string{"f"}
}

func TestDecideProvision(t *testing.T) {
	events, api := appv1.EntryTypeEvents, appv1.EntryTypeAPI
	created := recordOf(request(nil), func(a *appv1.EventActivation) { a.Generation = 0 })
	byHand := recordOf(request(nil), func(a *appv1.EventActivation) {
		a.Labels, a.Annotations = map[string]string{"mine": "1"}, nil
		a.Spec = appv1.EventActivationSpec{SourceID: "wrong"}
	})
	const refusedBy = "Forbidden provisioning instance [i1] for application [name: shop, id: s] in namespace: [ns]. Reason: "
	for _, tc := range []struct {
		name  string
		req   instance
		facts provisionFacts
		want  provisionStep
	}{
		{
			name: "new", req: request(nil), facts: provisionFacts{offer: offered(nil, events)},
			want: provisionStep{create: created, answer: accepted("provision")},
		},
		{
			name: "new, API and events", req: request(nil), facts: provisionFacts{offer: offered(nil, api, events)},
			want: provisionStep{create: created, answer: accepted("provision")},
		},
		{
			name: "API only", req: request(func(r *instance) { r.async = false }), facts: provisionFacts{offer: offered(nil, api)},
			want: provisionStep{answer: empty(http.StatusCreated)},
		},
		{
			name: "caller cannot wait", req: request(func(r *instance) { r.async = false }), facts: provisionFacts{offer: offered(nil, events)},
			want: provisionStep{answer: asyncRequired()},
		},
		{
			name: "made by hand", req: request(nil), facts: provisionFacts{offer: offered(nil, events), named: byHand},
			want: provisionStep{
				adopt:  recordOf(request(nil), func(a *appv1.EventActivation) { a.Labels["mine"] = "1" }),
				answer: accepted("provision"),
			},
		},
		{
			name: "again, under way", req: request(nil),
			facts: provisionFacts{offer: offered(nil, events), named: recordOf(request(nil), nil)},
			want:  provisionStep{answer: accepted("provision")},
		},
		{
			name: "again, under way, caller cannot wait", req: request(func(r *instance) { r.async = false }),
			facts: provisionFacts{offer: offered(nil, events), named: recordOf(request(nil), nil)},
			want:  provisionStep{answer: asyncRequired()},
		},
		{
			name: "again, ready", req: request(nil),
			facts: provisionFacts{offer: offered(nil, events), named: recordOf(request(nil), becomeReady)},
			want:  provisionStep{answer: empty(http.StatusOK)},
		},
		{
			name: "again, ready, and the application gone", req: request(nil),
			facts: provisionFacts{named: recordOf(request(nil), becomeReady)},
			want:  provisionStep{answer: empty(http.StatusOK)},
		},
		{
			name: "again, ready before the last change", req: request(nil),
			facts: provisionFacts{named: recordOf(request(nil), func(a *appv1.EventActivation) {
				becomeReady(a)
				a.Generation++
			})},
			want: provisionStep{answer: accepted("provision")},
		},
		{
			name: "again with another plan", req: request(func(r *instance) { r.planID = "other" }),
			facts: provisionFacts{offer: offered(nil, events), named: recordOf(request(nil), becomeReady)},
			want:  provisionStep{answer: problem(http.StatusConflict, "Conflict", "the instance [i1] exists with another service or plan")},
		},
		{
			name: "again with another service", req: request(nil),
			facts: provisionFacts{offer: offered(nil, events), elsewhere: recordOf(request(nil), nil)},
			want:  provisionStep{answer: problem(http.StatusConflict, "Conflict", "the instance [i1] exists with another service or plan")},
		},
		{
			name: "second instance", req: request(nil),
			facts: provisionFacts{offer: offered(nil, events), named: recordOf(request(func(r *instance) { r.id = "i0" }), nil)},
			want:  provisionStep{answer: problem(http.StatusForbidden, "Forbidden", refusedBy+"[already activated]")},
		},
		{
			name: "the last one is being removed", req: request(nil),
			facts: provisionFacts{offer: offered(nil, events), named: recordOf(request(func(r *instance) { r.id = "i0" }), beDeleted)},
			want:  provisionStep{answer: busy("the last activation of the service [s] in the namespace [ns] is still being removed")},
		},
		{
			name: "unknown service", req: request(nil),
			want: provisionStep{answer: problem(http.StatusNotFound, "NotFound", "no application offers the service [s]")},
		},
		{
			name: "no mapping", req: request(nil),
			facts: provisionFacts{offer: offered(func(o *offer) { o.mapped, o.enabled = false, false }, events)},
			want: provisionStep{answer: problem(http.StatusForbidden, "Forbidden",
				refusedBy+"[ApplicationMapping does not exist in the [ns] namespace]")},
		},
		{
			name: "mapping without the service", req: request(nil),
			facts: provisionFacts{offer: offered(func(o *offer) { o.enabled = false }, events)},
			want: provisionStep{answer: problem(http.StatusForbidden, "Forbidden",
				refusedBy+"[ApplicationMapping in the [ns] namespace does not enable the service]")},
		},
		{
			name: "service that cannot be offered", req: request(nil), facts: provisionFacts{offer: offered(nil)},
			want: provisionStep{answer: problem(http.StatusNotFound, "NotFound",
				"the application [shop] does not offer the service [s]: it has neither an API nor events")},
		},
		{
			name: "unknown plan", req: request(func(r *instance) { r.planID = "gold" }), facts: provisionFacts{offer: offered(nil, events)},
			want: provisionStep{answer: badRequest("the service [s] has no plan [gold]")},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := decideProvision(tc.req, tc.facts)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(provisionStep{}, answer{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidProvisionBody(t *testing.T) {
	valid := instanceBody{ServiceID: "s", PlanID: "p", OrganizationGUID: "o", SpaceGUID: "n", Parameters: map[string]any{}}
	for _, tc := range []struct {
		change func(*instanceBody)
		want   string
	}{
		{func(*instanceBody) {}, ""},
		{func(b *instanceBody) { b.OrganizationGUID = "" }, "OrganizationGUID must be non-empty string"},
		{func(b *instanceBody) { b.SpaceGUID = "" }, "SpaceGUID must be non-empty string"},
		{func(b *instanceBody) { b.ServiceID = "" }, "ServiceID must be non-empty string"},
		{func(b *instanceBody) { b.PlanID = "" }, "PlanID must be non-empty string"},
		{
			func(b *instanceBody) { b.Parameters = map[string]any{"a": 1} },
			"application-broker does not support configuration options for provisioning",
		},
	} {
		body := valid
		tc.change(&body)
		if got := body.invalid(); got != tc.want {
			t.Errorf("%+v: %q, want %q", body, got, tc.want)
		}
	}
}
