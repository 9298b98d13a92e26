package broker

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// credentialsBody is what a binding gives.
type credentialsBody struct {
	Credentials map[string]string `json:"credentials"`
}

// bind answers PUT of a binding with where the API is. A binding leaves no record, so repeating it gives the same.
func (b *broker) bind(r *http.Request) (answer, error) {
	body, err := readInstance(r)
	if err != nil {
		return answer{}, err
	}
	req := instance{
		namespace: chi.URLParam(r, "namespace"), id: chi.URLParam(r, "instance"),
		serviceID: body.ServiceID, planID: body.PlanID,
	}
	switch {
	case req.serviceID == "" || req.planID == "":
		return badRequest("ServiceID and PlanID must be non-empty strings"), nil
	case len(body.Parameters) > 0:
		return badRequest("application-broker does not support configuration options for the service binding"), nil
	}
	offers, err := b.offers(r.Context(), req.namespace)
	if err != nil {
		return answer{}, err
	}
	return decideBind(req, find(offers, req.serviceID)), nil
}

// decideBind is the answer to a request to bind to an instance of the service o, nil if there is no such service.
func decideBind(req instance, o *offer) answer {
	if a := answerOffer(req, o); a != nil {
		return *a
	}
	if !o.service.HasAPI() {
		return badRequest(fmt.Sprintf("the service [%s] has events only, it is not bindable", req.serviceID))
	}
	for _, e := range o.service.Entries {
		if e.Type == appv1.EntryTypeAPI && e.GatewayURL != "" {
			return answer{http.StatusCreated, credentialsBody{map[string]string{"GATEWAY_URL": e.GatewayURL}}}
		}
	}
	// The application may yet say where it is.
	return problem(http.StatusConflict, "Conflict", fmt.Sprintf("the service [%s] of the application [%s] has no gateway URL yet",
		req.serviceID, o.application.Name))
}

// unbind answers DELETE of a binding: there is no record of it, which the API says with 410 and platforms take as done.
func (b *broker) unbind(*http.Request) (answer, error) {
	return empty(http.StatusGone), nil
}
