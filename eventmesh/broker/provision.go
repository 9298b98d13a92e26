package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// Annotations of an EventActivation that a request to provision left.
const (
	// planAnnotation is the id of the plan.
	planAnnotation = "applicationconnector.kyma-project.io/plan-id"
	// requestAnnotation is a hash of what was asked for, to tell a repetition from a different request.
	requestAnnotation = "applicationconnector.kyma-project.io/request-hash"
)

// instanceBody is the body of PUT and PATCH of an instance, and the part that matters of PUT of a binding. The API has
// more, which says where the request comes from; the namespace is that of the path, whose password was presented.
type instanceBody struct {
	ServiceID        string         `json:"service_id"`
	PlanID           string         `json:"plan_id"`
	OrganizationGUID string         `json:"organization_guid"`
	SpaceGUID        string         `json:"space_guid"`
	Parameters       map[string]any `json:"parameters"`
}

// instance is a request about an instance: where, which, and for what.
type instance struct {
	namespace, id string
	serviceID     string
	planID        string
	// async is whether the caller accepts that the operation goes on after the answer.
	async bool
}

// hash tells requests with other attributes apart. Where a request comes from is left out: Service Catalog does not
// know the id of its cluster in its first seconds.
func (i instance) hash() string {
	sum := sha256.Sum256([]byte(i.serviceID + "\n" + i.planID))
	return hex.EncodeToString(sum[:])
}

// owns reports whether a records the instance. Of nil it does not.
func (i instance) owns(a *appv1.EventActivation) bool {
	return a != nil && a.Labels[eventmesh.InstanceIDLabel] == i.id
}

// provision answers PUT of an instance.
func (b *broker) provision(r *http.Request) (answer, error) {
	body, err := readInstance(r)
	if err != nil {
		return answer{}, err
	}
	if reason := body.invalid(); reason != "" {
		return badRequest(reason), nil
	}
	req := instance{
		namespace: chi.URLParam(r, "namespace"), id: chi.URLParam(r, "instance"),
		serviceID: body.ServiceID, planID: body.PlanID, async: acceptsIncomplete(r),
	}
	if errs := validation.IsValidLabelValue(req.id); len(errs) > 0 {
		return badRequest("the instance's id cannot be recorded in a label: " + errs[0]), nil
	}
	return b.settle(func() (answer, error) { return b.tryProvision(r, req) })
}

// tryProvision looks, decides and acts once. What it does fails with a conflict when what it saw has changed since.
func (b *broker) tryProvision(r *http.Request, req instance) (answer, error) {
	ctx := r.Context()
	facts, err := b.observe(ctx, req)
	if err != nil {
		return answer{}, err
	}
	step := decideProvision(req, facts)
	switch {
	case step.create != nil:
		err = b.Client.Create(ctx, step.create)
	case step.adopt != nil:
		err = b.Client.Patch(ctx, step.adopt, client.MergeFromWithOptions(facts.named, client.MergeFromWithOptimisticLock{}))
	}
	if err != nil {
		return answer{}, fmt.Errorf("recording the EventActivation %s/%s: %w", req.namespace, req.serviceID, err)
	}
	b.Log.InfoContext(ctx, "provision", "namespace", req.namespace, "service", req.serviceID, "instance", req.id,
		"user", requester(r), "status", step.answer.status)
	return step.answer, nil
}

// observe gathers what decides about provisioning req.
func (b *broker) observe(ctx context.Context, req instance) (facts provisionFacts, err error) {
	offers, err := b.offers(ctx, req.namespace)
	if err != nil {
		return facts, err
	}
	facts.offer = find(offers, req.serviceID)
	if facts.named, err = b.activation(ctx, b.Live, req.namespace, req.serviceID); err != nil {
		return facts, err
	}
	var list appv1.EventActivationList
	if err := b.Client.List(ctx, &list, client.InNamespace(req.namespace), client.MatchingLabels{eventmesh.InstanceIDLabel: req.id}); err != nil {
		return facts, fmt.Errorf("looking for the instance: %w", err)
	}
	for i := range list.Items {
		if list.Items[i].Name != req.serviceID {
			facts.elsewhere = &list.Items[i]
		}
	}
	return facts, nil
}

// provisionFacts is what decides about a request to provision. Everything may be nil.
type provisionFacts struct {
	// offer is the service asked for.
	offer *offer
	// named is the EventActivation that has the service's id as name.
	named *appv1.EventActivation
	// elsewhere is an EventActivation of the same instance for another service.
	elsewhere *appv1.EventActivation
}

// provisionStep is what to do about a request to provision: at most one of create and adopt, then answer.
type provisionStep struct {
	// create is a new EventActivation.
	create *appv1.EventActivation
	// adopt is the EventActivation of the facts, changed to record the instance.
	adopt  *appv1.EventActivation
	answer answer
}

// decideProvision is the whole logic of provisioning.
func decideProvision(req instance, facts provisionFacts) provisionStep {
	if a := answerExisting(req, facts); a != nil {
		return provisionStep{answer: *a}
	}
	if a := answerOffer(req, facts.offer); a != nil {
		return provisionStep{answer: *a}
	}
	if !facts.offer.service.HasEvents() {
		return provisionStep{answer: empty(http.StatusCreated)}
	}
	if !req.async {
		return provisionStep{answer: asyncRequired()}
	}
	wanted := activationFor(req, facts.offer)
	if facts.named == nil {
		return provisionStep{create: wanted, answer: accepted(operationProvision)}
	}
	// Made by hand, as by those who want no Service Catalog; from now on it is this instance's.
	adopted := facts.named.DeepCopy()
	adopted.Spec = wanted.Spec
	for key, value := range wanted.Labels {
		metav1.SetMetaDataLabel(&adopted.ObjectMeta, key, value)
	}
	for key, value := range wanted.Annotations {
		metav1.SetMetaDataAnnotation(&adopted.ObjectMeta, key, value)
	}
	return provisionStep{adopt: adopted, answer: accepted(operationProvision)}
}

// answerExisting is the answer that an EventActivation gives by being there, nil if it gives none.
func answerExisting(req instance, facts provisionFacts) *answer {
	conflict := problem(http.StatusConflict, "Conflict", fmt.Sprintf("the instance [%s] exists with another service or plan", req.id))
	named := facts.named
	switch {
	case facts.elsewhere != nil:
		return &conflict
	case named == nil:
		return nil
	case named.DeletionTimestamp != nil:
		return ptr.To(busy(fmt.Sprintf("the last activation of the service [%s] in the namespace [%s] is still being removed", req.serviceID, req.namespace)))
	case !req.owns(named) && named.Labels[eventmesh.InstanceIDLabel] != "":
		// To be tried again: whoever replaces an instance by another may have the new one made before the old one goes.
		return ptr.To(problem(http.StatusForbidden, "Forbidden", forbidden(req, named.Spec.SourceID, "already activated")))
	case !req.owns(named):
		return nil
	case named.Annotations[requestAnnotation] != req.hash():
		return &conflict
	case ready(named):
		return ptr.To(empty(http.StatusOK))
	case !req.async:
		return ptr.To(asyncRequired())
	}
	return ptr.To(accepted(operationProvision))
}

// answerOffer is the answer to a request for a service that cannot be had, nil if it can. The statuses are those that
// Service Catalog tries again after: an Application, a service or a mapping may come at any time.
func answerOffer(req instance, o *offer) *answer {
	switch {
	case o == nil:
		return ptr.To(problem(http.StatusNotFound, "NotFound", fmt.Sprintf("no application offers the service [%s]", req.serviceID)))
	case !o.mapped:
		return ptr.To(problem(http.StatusForbidden, "Forbidden", forbidden(req, o.application.Name,
			fmt.Sprintf("ApplicationMapping does not exist in the [%s] namespace", req.namespace))))
	case !o.enabled:
		return ptr.To(problem(http.StatusForbidden, "Forbidden", forbidden(req, o.application.Name,
			fmt.Sprintf("ApplicationMapping in the [%s] namespace does not enable the service", req.namespace))))
	case invalid(o.service) != "":
		return ptr.To(problem(http.StatusNotFound, "NotFound", fmt.Sprintf("the application [%s] does not offer the service [%s]: %s",
			o.application.Name, req.serviceID, invalid(o.service))))
	case req.planID != planID(req.serviceID):
		return ptr.To(badRequest(fmt.Sprintf("the service [%s] has no plan [%s]", req.serviceID, req.planID)))
	}
	return nil
}

// forbidden is the original broker's wording.
func forbidden(req instance, application, reason string) string {
	return fmt.Sprintf("Forbidden provisioning instance [%s] for application [name: %s, id: %s] in namespace: [%s]. Reason: [%s]",
		req.id, application, req.serviceID, req.namespace, reason)
}

// activationFor is the record of an instance.
func activationFor(req instance, o *offer) *appv1.EventActivation {
	return &appv1.EventActivation{
		ObjectMeta: metav1.ObjectMeta{
			Name:        req.serviceID,
			Namespace:   req.namespace,
			Labels:      map[string]string{eventmesh.InstanceIDLabel: req.id},
			Annotations: map[string]string{planAnnotation: req.planID, requestAnnotation: req.hash()},
		},
		Spec: appv1.EventActivationSpec{DisplayName: o.service.DisplayName, SourceID: o.application.Name},
	}
}

// ready reports whether events flow, according to a status that is about the spec as it is now.
func ready(a *appv1.EventActivation) bool {
	return a.Status.ObservedGeneration == a.Generation && meta.IsStatusConditionTrue(a.Status.Conditions, appv1.ConditionReady)
}

// activation reads an EventActivation, nil if there is none.
func (b *broker) activation(ctx context.Context, from client.Reader, namespace, name string) (*appv1.EventActivation, error) {
	if name == "" {
		return nil, nil
	}
	a := &appv1.EventActivation{}
	err := from.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, a)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the EventActivation %s/%s: %w", namespace, name, err)
	}
	return a, nil
}

// settle repeats try, which looks and acts, while others change what it looked at.
func (b *broker) settle(try func() (answer, error)) (a answer, err error) {
	for range 4 {
		a, err = try()
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return a, err
		}
	}
	return a, err
}

// readInstance reads the body of a request. Its errors answer the request.
func readInstance(r *http.Request) (body instanceBody, err error) {
	err = json.NewDecoder(r.Body).Decode(&body)
	if err != nil && !errors.As(err, new(*http.MaxBytesError)) {
		err = refusal{badRequest("the request's body is not what the API says: " + err.Error())}
	}
	return body, err
}

// invalid says what is wrong with the body of a request to provision, "" if nothing is. The words are the original
// broker's, where it has the rule.
func (b instanceBody) invalid() string {
	switch {
	case b.OrganizationGUID == "":
		return "OrganizationGUID must be non-empty string"
	case b.SpaceGUID == "":
		return "SpaceGUID must be non-empty string"
	case b.ServiceID == "":
		return "ServiceID must be non-empty string"
	case b.PlanID == "":
		return "PlanID must be non-empty string"
	case len(b.Parameters) > 0:
		return "application-broker does not support configuration options for provisioning"
	}
	return ""
}

// acceptsIncomplete reports whether the caller will ask for the last operation.
func acceptsIncomplete(r *http.Request) bool {
	return r.URL.Query().Get("accepts_incomplete") == "true"
}
