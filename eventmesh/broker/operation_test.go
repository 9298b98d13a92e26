package broker

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

func TestDecideOperation(t *testing.T) {
	state := func(state, description string) answer { return answer{http.StatusOK, stateBody{state, description}} }
	condition := func(kind, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
	}
	for _, tc := range []struct {
		name, operation string
		activation      *appv1.EventActivation
		unwanted        bool
		want            answer
		wantFinal       bool
	}{
		{
			name: "ready", operation: "provision", activation: recordOf(request(nil), becomeReady),
			want: state("succeeded", "provisioning succeeded"), wantFinal: true,
		},
		{
			name: "just made", operation: "provision", activation: recordOf(request(nil), nil),
			want: state("in progress", "waiting for the events of the application [shop]"),
		},
		{
			name: "the first part not ready is named", operation: "provision",
			activation: recordOf(request(nil), func(a *appv1.EventActivation) {
				a.Status.Conditions = []metav1.Condition{
					condition(appv1.ConditionReady, "ChannelNotFound", "not this"),
					condition(appv1.ConditionSubscriptionReady, "SubscriptionNotReady", "nor this"),
					condition(appv1.ConditionBrokerReady, "BrokerNotFound", "the Broker is on its way"),
					{Type: appv1.ConditionChannelReady, Status: metav1.ConditionTrue},
				}
			}),
			want: state("in progress", "the Broker is on its way"),
		},
		{
			name: "a part without message", operation: "provision",
			activation: recordOf(request(nil), func(a *appv1.EventActivation) {
				a.Status.Conditions = []metav1.Condition{condition(appv1.ConditionBrokerReady, "BrokerNotFound", "")}
			}),
			want: state("in progress", "waiting for BrokerReady: BrokerNotFound"),
		},
		{
			name: "ready before the last change", operation: "provision",
			activation: recordOf(request(nil), func(a *appv1.EventActivation) {
				becomeReady(a)
				a.Generation++
			}),
			want: state("in progress", "waiting for the events of the application [shop]"),
		},
		{
			name: "not to be waited for", operation: "provision", activation: recordOf(request(nil), nil), unwanted: true,
			want: state("failed", "the instance [i1] is being deleted"), wantFinal: true,
		},
		{
			name: "ready, and unwanted by now", operation: "provision", activation: recordOf(request(nil), becomeReady), unwanted: true,
			want: state("succeeded", "provisioning succeeded"), wantFinal: true,
		},
		{
			name: "going as it should", operation: "deprovision", activation: recordOf(request(nil), beDeleted), unwanted: true,
			want: state("in progress", "the EventActivation [s] is being removed; it waits for f"),
		},
		{
			name: "removed under way", operation: "provision",
			want:      state("failed", "the EventActivation of the instance [i1] in the namespace [ns] was removed"),
			wantFinal: true,
		},
		{
			name: "being removed under way", operation: "provision", activation: recordOf(request(nil), beDeleted),
			want: state("in progress", "the EventActivation [s] is being removed; it waits for f"),
		},
		{name: "gone", operation: "deprovision", want: empty(http.StatusGone), wantFinal: true},
		{
			name: "going", operation: "deprovision", activation: recordOf(request(nil), beDeleted),
			want: state("in progress", "the EventActivation [s] is being removed; it waits for f"),
		},
		{
			name: "not going: Service Catalog asks again for deprovisioning", operation: "deprovision",
			activation: recordOf(request(nil), becomeReady),
			want:       state("failed", "the EventActivation [s] is not being removed"), wantFinal: true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, final := decideOperation(tc.operation, request(nil), tc.activation, tc.unwanted)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(answer{})); diff != "" || final != tc.wantFinal {
				t.Errorf("final %t, want %t (-want +got):\n%s", final, tc.wantFinal, diff)
			}
		})
	}
}

func TestDecideDeprovision(t *testing.T) {
	for _, tc := range []struct {
		name       string
		req        instance
		activation *appv1.EventActivation
		offer      *offer
		want       answer
		wantRemove bool
	}{
		{
			name: "recorded", req: request(nil), activation: recordOf(request(nil), nil),
			want: accepted("deprovision"), wantRemove: true,
		},
		{name: "again", req: request(nil), activation: recordOf(request(nil), beDeleted), want: accepted("deprovision")},
		{
			name: "caller cannot wait", req: request(func(r *instance) { r.async = false }),
			activation: recordOf(request(nil), nil), want: asyncRequired(),
		},
		{name: "gone, the application too", req: request(nil), want: empty(http.StatusGone)},
		{name: "gone", req: request(nil), offer: offered(nil, appv1.EntryTypeEvents), want: empty(http.StatusGone)},
		{
			name: "API only", req: request(func(r *instance) { r.async = false }),
			offer: offered(nil, appv1.EntryTypeAPI), want: empty(http.StatusOK),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, remove := decideDeprovision(tc.req, tc.activation, tc.offer)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(answer{})); diff != "" || remove != tc.wantRemove {
				t.Errorf("remove %t, want %t (-want +got):\n%s", remove, tc.wantRemove, diff)
			}
		})
	}
}

func TestDecideBind(t *testing.T) {
	for _, tc := range []struct {
		name  string
		offer *offer
		want  answer
	}{
		{
			name: "API", offer: offered(nil, appv1.EntryTypeEvents, appv1.EntryTypeAPI),
			want: answer{http.StatusCreated, credentialsBody{map[string]string{"GATEWAY_URL": "http://gateway"}}},
		},
		{
			name: "events only", offer: offered(nil, appv1.EntryTypeEvents),
			want: badRequest("the service [s] has events only, it is not bindable"),
		},
		{
			name: "no gateway", offer: offered(func(o *offer) { o.service.Entries[0].GatewayURL = "" }, appv1.EntryTypeAPI),
			want: problem(http.StatusConflict, "Conflict", "the service [s] of the application [shop] has no gateway URL yet"),
		},
		{name: "unknown", want: problem(http.StatusNotFound, "NotFound", "no application offers the service [s]")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decideBind(request(nil), tc.offer), cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
