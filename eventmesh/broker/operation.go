package broker

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// stateBody says how far an operation is.
type stateBody struct {
	State       string `json:"state"`
	Description string `json:"description"`
}

const (
	stateInProgress = "in progress"
	stateSucceeded  = "succeeded"
	stateFailed     = "failed"
)

// queried is the instance that the path and the query of r name.
func queried(r *http.Request) instance {
	query := r.URL.Query()
	return instance{
		namespace: chi.URLParam(r, "namespace"), id: chi.URLParam(r, "instance"),
		serviceID: query.Get("service_id"), planID: query.Get("plan_id"), async: acceptsIncomplete(r),
	}
}

// lastOperation answers how far provisioning or deprovisioning an instance is.
func (b *broker) lastOperation(r *http.Request) (answer, error) {
	operation := r.URL.Query().Get("operation")
	if operation != operationProvision && operation != operationDeprovision {
		return badRequest("the query must have the operation that the broker answered with"), nil
	}
	req := queried(r)
	a, err := b.recorded(r.Context(), b.Client, req)
	if err != nil {
		return answer{}, err
	}
	unwanted, err := b.unwanted(r.Context(), req)
	if err != nil {
		return answer{}, err
	}
	if answer, final := decideOperation(operation, req, a, unwanted); !final {
		return answer, nil
	}
	// The cache may be a moment behind. What ends the polling is read from the API server.
	if a, err = b.recorded(r.Context(), b.Live, req); err != nil {
		return answer{}, err
	}
	answer, _ := decideOperation(operation, req, a, unwanted)
	return answer, nil
}

// unwanted reports whether the user has asked for the end of the instance.
func (b *broker) unwanted(ctx context.Context, req instance) (bool, error) {
	var list scv1.ServiceInstanceList
	if err := b.Client.List(ctx, &list, client.InNamespace(req.namespace)); err != nil {
		return false, fmt.Errorf("listing the instances of %s: %w", req.namespace, err)
	}
	return slices.ContainsFunc(list.Items, func(i scv1.ServiceInstance) bool {
		return i.Spec.ExternalID == req.id && i.DeletionTimestamp != nil
	}), nil
}

// decideOperation is the answer to how far an operation is; a is the record of the instance, nil if there is none.
// final is whether the caller will not ask again.
//
// While an operation is in progress, for a week, Service Catalog does not turn to the instance's deletion. So provisioning
// that is not done fails once the instance is unwanted: what it waits for may never come.
func decideOperation(operation string, req instance, a *appv1.EventActivation, unwanted bool) (_ answer, final bool) {
	state := func(state, description string) answer {
		return answer{http.StatusOK, stateBody{state, description}}
	}
	if operation == operationDeprovision {
		switch {
		case a == nil:
			return empty(http.StatusGone), true
		case a.DeletionTimestamp != nil:
			return state(stateInProgress, removing(a)), false
		}
		return state(stateFailed, "the EventActivation ["+a.Name+"] is not being removed"), true
	}
	switch {
	case a == nil:
		// 410 would have Service Catalog ask for a week. This way it cleans up and tells the user.
		return state(stateFailed, fmt.Sprintf("the EventActivation of the instance [%s] in the namespace [%s] was removed", req.id, req.namespace)), true
	case a.DeletionTimestamp != nil:
		return state(stateInProgress, removing(a)), false
	case ready(a):
		return state(stateSucceeded, "provisioning succeeded"), true
	case unwanted:
		return state(stateFailed, fmt.Sprintf("the instance [%s] is being deleted", req.id)), true
	}
	return state(stateInProgress, waiting(a)), false
}

// waiting says what an EventActivation waits for: the first part of the path that is not ready.
func waiting(a *appv1.EventActivation) string {
	for _, part := range []string{appv1.ConditionChannelReady, appv1.ConditionBrokerReady, appv1.ConditionSubscriptionReady, appv1.ConditionReady} {
		c := meta.FindStatusCondition(a.Status.Conditions, part)
		if c == nil || c.Status == "True" {
			continue
		}
		if c.Message != "" {
			return c.Message
		}
		return "waiting for " + part + ": " + c.Reason
	}
	return "waiting for the events of the application [" + a.Spec.SourceID + "]"
}

// removing says what the end of an EventActivation waits for.
func removing(a *appv1.EventActivation) string {
	return "the EventActivation [" + a.Name + "] is being removed; it waits for " + strings.Join(a.Finalizers, ", ")
}

// recorded reads the record of req from a cache or past it, nil if there is none.
func (b *broker) recorded(ctx context.Context, from client.Reader, req instance) (*appv1.EventActivation, error) {
	if req.serviceID != "" {
		a, err := b.activation(ctx, from, req.namespace, req.serviceID)
		if err != nil || !req.owns(a) {
			return nil, err
		}
		return a, nil
	}
	var list appv1.EventActivationList
	err := from.List(ctx, &list, client.InNamespace(req.namespace), client.MatchingLabels{eventmesh.InstanceIDLabel: req.id})
	if err != nil {
		return nil, fmt.Errorf("looking for the instance: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

// deprovision answers DELETE of an instance. It asks no Application: that may be gone.
func (b *broker) deprovision(r *http.Request) (answer, error) {
	req := queried(r)
	if req.serviceID == "" || req.planID == "" {
		return badRequest("the query must have service_id and plan_id"), nil
	}
	return b.settle(func() (answer, error) { return b.tryDeprovision(r, req) })
}

// tryDeprovision looks, decides and acts once; see tryProvision.
func (b *broker) tryDeprovision(r *http.Request, req instance) (answer, error) {
	ctx := r.Context()
	a, err := b.recorded(ctx, b.Live, req)
	if err != nil {
		return answer{}, err
	}
	var o *offer
	if a == nil {
		offers, err := b.offers(ctx, req.namespace)
		if err != nil {
			return answer{}, err
		}
		o = find(offers, req.serviceID)
	}
	answer, remove := decideDeprovision(req, a, o)
	if remove {
		// Only what was looked at: another instance may have the name by now.
		if err := b.Client.Delete(ctx, a, client.Preconditions{UID: &a.UID}); err != nil {
			return answer, fmt.Errorf("deleting the EventActivation %s/%s: %w", a.Namespace, a.Name, err)
		}
	}
	b.Log.InfoContext(ctx, "deprovision", "namespace", req.namespace, "service", req.serviceID, "instance", req.id,
		"user", requester(r), "status", answer.status)
	return answer, nil
}

// decideDeprovision is the answer to a request to deprovision, and whether a, the record of the instance, is to be
// deleted for it. o is the service, asked for only without a record.
func decideDeprovision(req instance, a *appv1.EventActivation, o *offer) (_ answer, remove bool) {
	switch {
	case a == nil && o != nil && !o.service.HasEvents():
		return empty(http.StatusOK), false
	case a == nil:
		return empty(http.StatusGone), false
	case !req.async:
		return asyncRequired(), false
	}
	return accepted(operationDeprovision), a.DeletionTimestamp == nil
}

// update answers PATCH of an instance. There is nothing to update: a service has one plan and takes no parameters. But
// Service Catalog sends a PATCH for every change of an instance, and tries until it has a success.
func (b *broker) update(r *http.Request) (answer, error) {
	body, err := readInstance(r)
	if err != nil {
		return answer{}, err
	}
	switch {
	case body.ServiceID == "":
		return badRequest("ServiceID must be non-empty string"), nil
	case len(body.Parameters) > 0:
		return badRequest("application-broker does not support configuration options for updating"), nil
	case body.PlanID != "" && body.PlanID != planID(body.ServiceID):
		return badRequest(fmt.Sprintf("the plan cannot be changed: the service [%s] has no plan [%s]", body.ServiceID, body.PlanID)), nil
	}
	return empty(http.StatusOK), nil
}

// fetch answers GET of an instance, for those who look: instances of services without events leave no record, so the
// catalog does not promise it.
func (b *broker) fetch(r *http.Request) (answer, error) {
	req := queried(r)
	a, err := b.recorded(r.Context(), b.Client, req)
	switch {
	case err != nil:
		return answer{}, err
	case a == nil || a.DeletionTimestamp != nil || !ready(a):
		return problem(http.StatusNotFound, "NotFound", "there is no such instance, or it is not provisioned yet"), nil
	}
	return answer{http.StatusOK, struct {
		ServiceID string `json:"service_id"`
		PlanID    string `json:"plan_id"`
	}{a.Name, a.Annotations[planAnnotation]}}, nil
}
