package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// lastOperation asks until an operation has ended, and compares how.
func (o osb) lastOperation(t *testing.T, path, operation string, want httpAnswer) {
	t.Helper()
	eventually(t, func() error {
		got, _ := exchange(t, http.MethodGet, o.url+"/v2/service_instances/"+path+"/last_operation?operation="+operation, o.header(), nil)
		var body struct{ State, Description string }
		if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
			t.Fatalf("%+v: %v", got, err)
		}
		if got != want && (got.Status != 200 || body.State != "in progress" || body.Description == "") {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		if got != want {
			return fmt.Errorf("still %+v", got)
		}
		return nil
	})
}

const async = "?accepts_incomplete=true"

// testBrokerProvision is the life of an instance of a service with events.
func testBrokerProvision(t *testing.T, b osb) {
	const (
		instance = "/service_instances/i-1"
		events   = "errors-osb-events"
		ids      = "&service_id=" + events + "&plan_id=" + events + "-plan"
	)
	asyncRequired := osbError("AsyncRequired", osbAsync)
	b.wants(t, http.MethodPut, instance, osbBody(events), 422, asyncRequired)
	b.wants(t, http.MethodPut, instance+"?accepts_incomplete=false", osbBody(events), 422, asyncRequired)
	b.wants(t, http.MethodPut, instance+async, osbBody(events), 202, `{"operation":"provision"}`)
	b.lastOperation(t, "i-1", "provision", httpAnswer{200, jsonType, `{"state":"succeeded","description":"provisioning succeeded"}`})

	var activation appv1.EventActivation
	if err := shared.kube.Get(t.Context(), client.ObjectKey{Namespace: "errors-osb", Name: events}, &activation); err != nil {
		t.Fatal(err)
	}
	if s := activation.Spec; s.SourceID != "errors-osb" || s.DisplayName != "Display events" || activation.Labels[eventmesh.InstanceIDLabel] != "i-1" {
		t.Errorf("EventActivation: %+v, labels %v", s, activation.Labels)
	}

	conflict := osbError("Conflict", "the instance [i-1] exists with another service or plan")
	b.wants(t, http.MethodPut, instance+async, osbBody(events), 200, `{}`)
	b.wants(t, http.MethodPut, instance, osbBody(events), 200, `{}`) // there is nothing to wait for
	b.wants(t, http.MethodPut, instance+async, osbBody(events, "plan_id", `"other"`), 409, conflict)
	b.wants(t, http.MethodPut, instance+async, osbBody("errors-osb-both"), 409, conflict)
	b.wants(t, http.MethodPut, "/service_instances/i-2"+async, osbBody(events), 403, osbError("Forbidden",
		"Forbidden provisioning instance [i-2] for application [name: errors-osb, id: "+events+"] in namespace: [errors-osb]. Reason: [already activated]"))
	b.wants(t, http.MethodGet, instance, "", 200, `{"service_id":"`+events+`","plan_id":"`+events+`-plan"}`)

	b.wants(t, http.MethodPatch, instance+async, osbBody(events), 200, `{}`)
	b.wants(t, http.MethodPatch, instance+async, `{"service_id":"`+events+`"}`, 200, `{}`)
	b.wants(t, http.MethodPatch, instance+async, `{}`, 400, osbError("BadRequest", "ServiceID must be non-empty string"))
	b.wants(t, http.MethodPatch, instance+async, osbBody(events, "parameters", `{"a":1}`), 400,
		osbError("BadRequest", "application-broker does not support configuration options for updating"))
	b.wants(t, http.MethodPatch, instance+async, osbBody(events, "plan_id", `"gold"`), 400,
		osbError("BadRequest", "the plan cannot be changed: the service ["+events+"] has no plan [gold]"))

	b.wants(t, http.MethodDelete, instance+"?x=y"+ids, "", 422, asyncRequired)
	b.wants(t, http.MethodDelete, instance+async, "", 400, osbError("BadRequest", "the query must have service_id and plan_id"))
	b.wants(t, http.MethodDelete, instance+async+ids, "", 202, `{"operation":"deprovision"}`)
	b.lastOperation(t, "i-1", "deprovision", httpAnswer{410, jsonType, `{}`})
	b.wants(t, http.MethodDelete, instance+async+ids, "", 410, `{}`)
	b.wants(t, http.MethodDelete, "/service_instances/unknown"+async+ids, "", 410, `{}`)
	b.wants(t, http.MethodGet, instance, "", 404, osbError("NotFound", "there is no such instance, or it is not provisioned yet"))

	// An API alone needs nothing made.
	const apiOnly = "errors-osb-api"
	b.wants(t, http.MethodPut, "/service_instances/i-3", osbBody(apiOnly), 201, `{}`)
	b.wants(t, http.MethodDelete, "/service_instances/i-3?service_id="+apiOnly+"&plan_id="+apiOnly+"-plan", "", 200, `{}`)
}

// testBrokerWaits provisions what cannot become ready: the application takes no events.
func testBrokerWaits(t *testing.T, b osb) {
	const (
		instance = "/service_instances/w-1"
		events   = "errors-osb-idle-events"
		ids      = "&service_id=" + events + "&plan_id=" + events + "-plan"
	)
	for range 2 {
		b.wants(t, http.MethodPut, instance+async, osbBody(events), 202, `{"operation":"provision"}`)
	}
	b.wants(t, http.MethodPut, instance, osbBody(events), 422, osbError("AsyncRequired", osbAsync))
	b.wants(t, http.MethodPut, instance+async, osbBody(events, "plan_id", `"gold"`), 409, osbError("Conflict", "the instance [w-1] exists with another service or plan"))
	const last = instance + "/last_operation"
	b.wants(t, http.MethodGet, last, "", 400, osbError("BadRequest", "the query must have the operation that the broker answered with"))
	b.wants(t, http.MethodGet, last+"?operation=other", "", 400, osbError("BadRequest", "the query must have the operation that the broker answered with"))
	eventually(t, func() error {
		got, _ := exchange(t, http.MethodGet, b.url+"/v2"+last+"?operation=provision"+ids, b.header(), nil)
		want := `{"state":"in progress","description":"Channel \"errors-osb-idle\" does not exist in kyma-integration: the Application has skipInstallation set"}`
		if got != (httpAnswer{200, jsonType, want}) {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	b.wants(t, http.MethodGet, last+"?operation=deprovision"+ids, "", 200, `{"state":"failed","description":"the EventActivation [`+events+`] is not being removed"}`)
	b.wants(t, http.MethodGet, "/service_instances/unknown/last_operation?operation=deprovision", "", 410, `{}`)
	b.wants(t, http.MethodGet, instance, "", 404, osbError("NotFound", "there is no such instance, or it is not provisioned yet"))
	b.wants(t, http.MethodDelete, instance+async+ids, "", 202, `{"operation":"deprovision"}`)
	b.lastOperation(t, "w-1", "deprovision", httpAnswer{410, jsonType, `{}`})
	// 410 would have Service Catalog ask on. This way it cleans up and tells its user.
	b.wants(t, http.MethodGet, last+"?operation=provision"+ids, "", 200,
		`{"state":"failed","description":"the EventActivation of the instance [w-1] in the namespace [errors-osb] was removed"}`)
}

// testBrokerRefuses is the table of requests that the broker does not carry out.
func testBrokerRefuses(t *testing.T, b osb) {
	const events = "errors-osb-events"
	forbidden := func(application, reason string) string {
		return osbError("Forbidden", "Forbidden provisioning instance [r-1] for application [name: "+application+", id: "+application+
			"-events] in namespace: [errors-osb]. Reason: ["+reason+"]")
	}
	for _, tt := range []struct {
		name, id, body string
		status         int
		want           string
	}{
		{"no organization", "r-1", osbBody(events, "organization_guid", ""), 400, osbError("BadRequest", "OrganizationGUID must be non-empty string")},
		{"empty organization", "r-1", osbBody(events, "organization_guid", `""`), 400, osbError("BadRequest", "OrganizationGUID must be non-empty string")},
		{"no space", "r-1", osbBody(events, "space_guid", ""), 400, osbError("BadRequest", "SpaceGUID must be non-empty string")},
		{"no service", "r-1", osbBody(events, "service_id", ""), 400, osbError("BadRequest", "ServiceID must be non-empty string")},
		{"no plan", "r-1", osbBody(events, "plan_id", ""), 400, osbError("BadRequest", "PlanID must be non-empty string")},
		{
			"parameters", "r-1", osbBody(events, "parameters", `{"a":1}`), 400,
			osbError("BadRequest", "application-broker does not support configuration options for provisioning"),
		},
		{"unknown plan", "r-1", osbBody(events, "plan_id", `"gold"`), 400, osbError("BadRequest", "the service ["+events+"] has no plan [gold]")},
		{"unknown service, or application", "r-1", osbBody("nothing"), 404, osbError("NotFound", "no application offers the service [nothing]")},
		{
			"no mapping", "r-1", osbBody("errors-osb-unmapped-events"), 403,
			forbidden("errors-osb-unmapped", "ApplicationMapping does not exist in the [errors-osb] namespace"),
		},
		{
			"a mapping of nothing", "r-1", osbBody("errors-osb-none-events"), 403,
			forbidden("errors-osb-none", "ApplicationMapping in the [errors-osb] namespace does not enable the service"),
		},
		{"nothing", "r-1", ``, 400, osbError("BadRequest", "the request's body is not what the API says: EOF")},
		{"not JSON", "r-1", `{`, 400, osbError("BadRequest", "the request's body is not what the API says: unexpected EOF")},
		{"too large", "r-1", `{"service_id":"` + strings.Repeat("x", 1<<20) + `"}`, 413, osbError("RequestTooLarge", "the request's body is too large")},
		{
			"an id that is no label", strings.Repeat("x", 64), osbBody(events), 400,
			osbError("BadRequest", "the instance's id cannot be recorded in a label: must be no more than 63 bytes"),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.wants(t, http.MethodPut, "/service_instances/"+tt.id+async, tt.body, tt.status, tt.want)
			// It has left nothing that would be in the way.
			b.wants(t, http.MethodDelete, "/service_instances/"+tt.id+async+"&service_id="+events+"&plan_id="+events+"-plan", "", 410, `{}`)
		})
	}
}

// testBrokerBindings binds services with an API, and no others.
func testBrokerBindings(t *testing.T, b osb) {
	const binding = "/service_instances/b-1/service_bindings/1"
	body := func(service string, changes ...string) string {
		return osbBody(service, append([]string{"context", `{"namespace":"errors-osb"}`}, changes...)...)
	}
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"an API", body("errors-osb-api"), 201, `{"credentials":{"GATEWAY_URL":"http://gateway.example"}}`},
		{"an API and events", body("errors-osb-both"), 201, `{"credentials":{"GATEWAY_URL":"http://gateway.example"}}`},
		{
			"events", body("errors-osb-events"), 400,
			osbError("BadRequest", "the service [errors-osb-events] has events only, it is not bindable"),
		},
		{"no service", body("x", "service_id", ""), 400, osbError("BadRequest", "ServiceID and PlanID must be non-empty strings")},
		{"no plan", body("x", "plan_id", ""), 400, osbError("BadRequest", "ServiceID and PlanID must be non-empty strings")},
		{
			"parameters", body("errors-osb-api", "parameters", `{"a":1}`), 400,
			osbError("BadRequest", "application-broker does not support configuration options for the service binding"),
		},
		{"unknown", body("nothing"), 404, osbError("NotFound", "no application offers the service [nothing]")},
	} {
		t.Run(tt.name, func(t *testing.T) { b.wants(t, http.MethodPut, binding, tt.body, tt.status, tt.want) })
	}
	b.wants(t, http.MethodDelete, binding+"?service_id=errors-osb-api&plan_id=errors-osb-api-plan", "", 410, `{}`)
}
