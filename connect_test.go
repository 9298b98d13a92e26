package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
)

// TestConnectApplication connects an application to a function with one mutation, follows the progress, and sends an event
// the whole way; then once more, which changes nothing.
func TestConnectApplication(t *testing.T) {
	const name = "connect"
	createAll(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationSpec{Services: []appv1.Service{
			{ID: "connect-orders", Name: "connect-orders", DisplayName: "Orders", Description: "orders", Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}}},
			{ID: "connect-people", Name: "connect-people", DisplayName: "People", Description: "people", Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}}},
		}}},
		&functionsv1.Function{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: name}, Spec: functionsv1.FunctionSpec{
			Source: `module.exports = { main: function (event) { console.log(event["ce-type"] + " " + event["ce-id"]); } };`,
		}},
	)
	progress := dialWS(t, transportWS, "").subscribe(`subscription { meshStatusEvent(namespace: "connect", application: "connect") { type path { application ready rootCause } } }`, nil)

	connect := func() map[string]string {
		t.Helper()
		var answer struct {
			ConnectApplication struct {
				Objects []struct{ Kind, Name, Outcome string }
			}
		}
		shared.mustQuery(t, `mutation { connectApplication(input: {application: "connect", namespace: "connect", function: "connect",
			eventTypes: [{type: "order.created", version: "v1"}, {type: "person.hired", version: "v1"}]}) { objects { kind name outcome } } }`, nil, &answer)
		outcomes := map[string]string{}
		for _, o := range answer.ConnectApplication.Objects {
			outcomes[o.Kind+" "+o.Name] = o.Outcome
		}
		return outcomes
	}
	first := connect()
	if len(first) != 5 { // a mapping, two instances and two triggers
		t.Errorf("connected %v", first)
	}
	for object, outcome := range first {
		if outcome != "CREATED" {
			t.Errorf("%s is %s, want CREATED", object, outcome)
		}
	}
	progress.until("UPDATE", name, "ready", "true", "rootCause", "null")
	for object, outcome := range connect() {
		if first[object] == "" || outcome != "UNCHANGED" {
			t.Errorf("again: %s is %s, want UNCHANGED", object, outcome)
		}
	}

	for i, kind := range []string{"order.created", "person.hired", "order.shipped"} {
		connectSend(t, name, kind, i)
	}
	eventually(t, func() error {
		var answer struct{ FunctionLogs []eventmesh.LogLine }
		shared.mustQuery(t, `{ functionLogs(namespace: "connect", name: "connect") { message } }`, nil, &answer)
		got := map[string]int{}
		for _, line := range answer.FunctionLogs {
			got[line.Message]++
		}
		if got["order.created 0"] != 1 || got["person.hired 1"] != 1 || len(got) != 2 {
			return fmt.Errorf("the function logged %v", got)
		}
		return nil
	})
}

// connectSend sends an event, as the application would.
func connectSend(t *testing.T, application, kind string, id int) {
	t.Helper()
	header := http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {strconv.Itoa(id)}, "Ce-Source": {"x"}, "Ce-Type": {kind}, "Ce-Eventtypeversion": {"v1"},
		"Content-Type": {"application/json"},
	}
	if got, _ := exchange(t, http.MethodPost, shared.connector+"/"+application+"/events", header, strings.NewReader("{}")); got.Status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
}
