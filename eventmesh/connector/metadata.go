package connector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
)

// registered is the answer to a registration.
type registered struct {
	ID string `json:"id"`
}

// serviceSummary is a service in the list of services.
type serviceSummary struct {
	ID          string            `json:"id"`
	Provider    string            `json:"provider"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Identifier  string            `json:"identifier,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// serveServices lists what the application offers (GET), or adds to it (POST).
func (c *Connector) serveServices(w http.ResponseWriter, r *http.Request) {
	body, err := c.services(w, r)
	if err != nil {
		writeError(w, r, c.log, err)
		return
	}
	writeJSON(w, http.StatusOK, contentTypeJSON, body)
}

func (c *Connector) services(w http.ResponseWriter, r *http.Request) (any, error) {
	application, err := identity(r)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		details, err := c.readDetails(w, r)
		if err != nil {
			return nil, err
		}
		id, err := eventmesh.RegisterService(r.Context(), c.client, application, details)
		return registered{ID: id}, err
	}
	services, err := eventmesh.ListServices(r.Context(), c.client, application)
	if err != nil {
		return nil, err
	}
	list := make([]serviceSummary, 0, len(services))
	for i := range services {
		s := &services[i]
		list = append(list, serviceSummary{
			ID: s.ID, Provider: s.ProviderDisplayName, Name: s.DisplayName,
			Description: cmp.Or(s.LongDescription, s.Description), // as in the answer for one service
			Identifier:  s.Identifier, Labels: s.Labels,
		})
	}
	return list, nil
}

// serveService answers with one service (GET), replaces it (PUT) or removes it (DELETE).
func (c *Connector) serveService(w http.ResponseWriter, r *http.Request) {
	details, err := c.service(w, r)
	switch {
	case err != nil:
		writeError(w, r, c.log, err)
	case r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, contentTypeJSON, details)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *Connector) service(w http.ResponseWriter, r *http.Request) (eventmesh.ServiceDetails, error) {
	var details eventmesh.ServiceDetails
	application, err := identity(r)
	if err != nil {
		return details, err
	}
	id, err := url.PathUnescape(chi.URLParam(r, "id"))
	if err != nil {
		return details, apierrors.NewBadRequest("The service's id is not well formed")
	}
	switch r.Method {
	case http.MethodPut:
		if details, err = c.readDetails(w, r); err != nil {
			return details, err
		}
		return details, eventmesh.UpdateService(r.Context(), c.client, application, id, details)
	case http.MethodDelete:
		return details, eventmesh.UnregisterService(r.Context(), c.client, application, id)
	default:
		return eventmesh.GetService(r.Context(), c.client, application, id)
	}
}

// readDetails reads and checks a registration. The words of its errors begin as the original's.
func (c *Connector) readDetails(w http.ResponseWriter, r *http.Request) (eventmesh.ServiceDetails, error) {
	var details eventmesh.ServiceDetails
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, c.adapter.maxBody()))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return details, err
		}
		return details, apierrors.NewBadRequest("Failed to read request body")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&details); err != nil {
		return details, apierrors.NewBadRequest(fmt.Sprintf("Failed to unmarshal request body, %v", err))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return details, apierrors.NewBadRequest("Failed to unmarshal request body, there is more after the object")
	}
	if err := details.Validate(); err != nil {
		return details, apierrors.NewBadRequest(fmt.Sprintf("Failed to validate request body, %v", err))
	}
	return details, nil
}
