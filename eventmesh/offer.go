package eventmesh

import (
	"bytes"
	"cmp"
	"crypto/sha1" // not for security: part of Kyma's naming rule
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// ServiceDetails is one service as an application registers it: the JSON body of Kyma's /v1/metadata/services.
type ServiceDetails struct {
	// Provider is who runs the service, as people see it. Required.
	Provider string `json:"provider"`
	// Name is the name that people see. Required.
	Name string `json:"name"`
	// Description is free text. Required.
	Description string `json:"description"`
	// ShortDescription is one line, Description when empty.
	ShortDescription string `json:"shortDescription,omitempty"`
	// Identifier is the id under which the application itself knows the service: unique in the application, and fixed
	// once registered.
	Identifier string `json:"identifier,omitempty"`
	// Labels are put on the service; connected-app is added to them.
	Labels map[string]string `json:"labels,omitempty"`
	// API is the API to call, nil when the service has none. A service has an API, events, or both.
	API *ServiceAPI `json:"api,omitempty"`
	// Events says which events the service sends, nil when it sends none.
	Events *ServiceEvents `json:"events,omitempty"`
	// Documentation is for people, nil when there is none.
	Documentation *ServiceDocumentation `json:"documentation,omitempty"`
}

// ServiceAPI is an API that a service has.
//
// Kyma's registration also takes credentials and request parameters for its gateway, which calls the API for the
// functions. There is no gateway here to use them, so that they are refused rather than dropped or kept unused.
type ServiceAPI struct {
	// TargetURL is where the API is: an absolute http or https URL. Required.
	TargetURL string `json:"targetUrl"`
	// Spec describes the API: an OpenAPI object, or a string with the document in YAML.
	Spec json.RawMessage `json:"spec,omitempty"`
	// SpecificationURL is where such a description is.
	SpecificationURL string `json:"specificationUrl,omitempty"`
	// APIType is the kind of the API, such as odata.
	APIType string `json:"apiType,omitempty"`

	Credentials                    json.RawMessage `json:"credentials,omitempty"`
	SpecificationCredentials       json.RawMessage `json:"specificationCredentials,omitempty"`
	RequestParameters              json.RawMessage `json:"requestParameters,omitempty"`
	SpecificationRequestParameters json.RawMessage `json:"specificationRequestParameters,omitempty"`
	Headers                        json.RawMessage `json:"headers,omitempty"`
	QueryParameters                json.RawMessage `json:"queryParameters,omitempty"`
}

// ServiceEvents says which events a service sends.
type ServiceEvents struct {
	// Spec is an AsyncAPI object, or a string with the document in YAML. Required. Documents of AsyncAPI 2 must be
	// readable; others are stored as they are, as Kyma does, but no event types can be told from them.
	Spec json.RawMessage `json:"spec"`
}

// ServiceDocumentation describes a service for people.
type ServiceDocumentation struct {
	DisplayName string       `json:"displayName"`
	Description string       `json:"description"`
	Type        string       `json:"type"`
	Tags        []string     `json:"tags,omitempty"`
	Docs        []ServiceDoc `json:"docs,omitempty"`
}

// ServiceDoc is one page of a ServiceDocumentation.
type ServiceDoc struct {
	Title  string `json:"title"`
	Type   string `json:"type"`
	Source string `json:"source"`
}

const (
	// connectedAppLabel names the Application on each of its services.
	connectedAppLabel = "connected-app"
	// maxDocumentSize bounds a service's documents together, in bytes. They share one ConfigMap, which etcd bounds to
	// 1 MiB with all that surrounds it.
	maxDocumentSize = 900 << 10
	// maxResourceApplication is how much of the application's name goes, with a UUID and a dash, into a label.
	maxResourceApplication = 63 - 36 - 1
)

// Keys of a service's documents in its ConfigMap.
const (
	asyncAPIJSONKey  = "asyncapi.json"
	asyncAPIYAMLKey  = "asyncapi.yaml"
	openAPIJSONKey   = "openapi.json"
	openAPIYAMLKey   = "openapi.yaml"
	documentationKey = "documentation.json"
)

// Validate says what is wrong with d, all at once; nil when nothing is.
func (d ServiceDetails) Validate() error {
	return d.validate().ToAggregate()
}

func (d ServiceDetails) validate() field.ErrorList {
	errs := required(nil, map[string]string{"provider": d.Provider, "name": d.Name, "description": d.Description})
	if d.API == nil && d.Events == nil {
		errs = append(errs, field.Required(field.NewPath("events"), "a service has events, an api, or both"))
	}
	if d.API != nil {
		errs = append(errs, d.API.validate(field.NewPath("api"))...)
	}
	if d.Events != nil {
		errs = append(errs, d.Events.validate(field.NewPath("events", "spec"))...)
	}
	if doc := d.Documentation; doc != nil {
		errs = append(errs, required(field.NewPath("documentation"),
			map[string]string{"displayName": doc.DisplayName, "description": doc.Description, "type": doc.Type})...)
	}
	if len(errs) > 0 {
		return errs
	}
	size := 0
	for _, document := range d.documents() {
		size += len(document)
	}
	if size > maxDocumentSize {
		errs = append(errs, field.TooLong(field.NewPath("events", "spec"), "", maxDocumentSize))
	}
	return errs
}

func (a *ServiceAPI) validate(path *field.Path) field.ErrorList {
	errs := required(path, map[string]string{"targetUrl": a.TargetURL})
	if u, err := url.Parse(a.TargetURL); a.TargetURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, field.Invalid(path.Child("targetUrl"), a.TargetURL, "must be an absolute http or https URL"))
	}
	if given(a.Spec) {
		if _, _, err := document(a.Spec); err != nil {
			errs = append(errs, field.Invalid(path.Child("spec"), field.OmitValueType{}, err.Error()))
		}
	}
	for _, refused := range []struct {
		name  string
		value json.RawMessage
	}{
		{"credentials", a.Credentials},
		{"specificationCredentials", a.SpecificationCredentials},
		{"requestParameters", a.RequestParameters},
		{"specificationRequestParameters", a.SpecificationRequestParameters},
		{"headers", a.Headers},
		{"queryParameters", a.QueryParameters},
	} {
		if given(refused.value) {
			errs = append(errs, field.Forbidden(path.Child(refused.name), "calls to the API are not proxied here, so nothing would use it"))
		}
	}
	return errs
}

func (e *ServiceEvents) validate(path *field.Path) field.ErrorList {
	if !given(e.Spec) {
		return field.ErrorList{field.Required(path, "")}
	}
	content, _, err := document(e.Spec)
	if err != nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, err.Error())}
	}
	if head, err := decodeObject([]byte(content)); err == nil && isAsyncAPI2(asyncAPIVersion(head)) {
		if _, err := ParseAsyncAPI([]byte(content)); err != nil {
			return field.ErrorList{field.Invalid(path, field.OmitValueType{}, err.Error())}
		}
	}
	return nil
}

// required reports the fields below path that are blank, in the order of their names.
func required(path *field.Path, fields map[string]string) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if strings.TrimSpace(fields[name]) == "" {
			errs = append(errs, field.Required(path.Child(name), ""))
		}
	}
	return errs
}

// given reports whether an optional JSON value is there.
func given(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

// document is the content of a specification: a JSON object, made compact, or the YAML in a JSON string, as it is.
func document(spec json.RawMessage) (content string, isJSON bool, err error) {
	spec = bytes.TrimSpace(spec)
	if len(spec) > 0 && spec[0] == '"' {
		if err := json.Unmarshal(spec, &content); err != nil {
			return "", false, fmt.Errorf("must be an object or a string: %w", err)
		}
		if _, err := decodeObject([]byte(content)); err != nil {
			return "", false, fmt.Errorf("must be an object, or a string with one in JSON or YAML: %w", err)
		}
		return content, json.Valid([]byte(content)), nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(spec, &object); err != nil || object == nil {
		return "", false, errors.New("must be an object, or a string with one in JSON or YAML")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, spec); err != nil {
		return "", false, fmt.Errorf("must be an object: %w", err)
	}
	return compact.String(), true, nil
}

// documents are the documents of a valid d by the keys that they have in the service's ConfigMap.
func (d ServiceDetails) documents() map[string]string {
	documents := map[string]string{}
	add := func(spec json.RawMessage, jsonKey, yamlKey string) {
		if !given(spec) {
			return
		}
		if content, isJSON, err := document(spec); err == nil && isJSON {
			documents[jsonKey] = content
		} else if err == nil {
			documents[yamlKey] = content
		}
	}
	if d.Events != nil {
		add(d.Events.Spec, asyncAPIJSONKey, asyncAPIYAMLKey)
	}
	if d.API != nil {
		add(d.API.Spec, openAPIJSONKey, openAPIYAMLKey)
	}
	if d.Documentation != nil {
		if content, err := json.Marshal(d.Documentation); err == nil {
			documents[documentationKey] = string(content)
		}
	}
	return documents
}

// service is what an Application lists for d.
func (d ServiceDetails) service(application, id string) appv1.Service {
	labels := map[string]string{}
	maps.Copy(labels, d.Labels)
	labels[connectedAppLabel] = application
	entries := []appv1.Entry{}
	if d.API != nil {
		// Kyma's name for what belongs to one API: of the application's name, as much as fits.
		resource := application[:min(len(application), maxResourceApplication)] + "-" + id
		entries = append(entries, appv1.Entry{
			Type:             appv1.EntryTypeAPI,
			GatewayURL:       "http://" + ServiceHost(resource, IntegrationNamespace),
			AccessLabel:      resource,
			TargetURL:        d.API.TargetURL,
			SpecificationURL: d.API.SpecificationURL,
			APIType:          d.API.APIType,
		})
	}
	if d.Events != nil {
		entries = append(entries, appv1.Entry{Type: appv1.EntryTypeEvents})
	}
	return appv1.Service{
		ID:                  id,
		Name:                serviceName(d.Name, id),
		Identifier:          d.Identifier,
		DisplayName:         d.Name,
		Description:         cmp.Or(d.ShortDescription, d.Description),
		LongDescription:     d.Description,
		ProviderDisplayName: d.Provider,
		Labels:              labels,
		Entries:             entries,
	}
}

// serviceDetails is what was registered as s, together with its documents by their keys.
func serviceDetails(s *appv1.Service, documents map[string]string) ServiceDetails {
	d := ServiceDetails{
		Provider:    s.ProviderDisplayName,
		Name:        s.DisplayName,
		Description: cmp.Or(s.LongDescription, s.Description),
		Identifier:  s.Identifier,
		Labels:      s.Labels,
	}
	if s.Description != d.Description {
		d.ShortDescription = s.Description
	}
	for _, entry := range s.Entries {
		if entry.Type == appv1.EntryTypeAPI {
			d.API = &ServiceAPI{
				TargetURL:        entry.TargetURL,
				Spec:             specification(documents, openAPIJSONKey, openAPIYAMLKey),
				SpecificationURL: entry.SpecificationURL,
				APIType:          entry.APIType,
			}
		}
	}
	// A service written by hand may have events without a document.
	if spec := specification(documents, asyncAPIJSONKey, asyncAPIYAMLKey); spec != nil && s.HasEvents() {
		d.Events = &ServiceEvents{Spec: spec}
	}
	if content, ok := documents[documentationKey]; ok {
		var documentation ServiceDocumentation
		if json.Unmarshal([]byte(content), &documentation) == nil {
			d.Documentation = &documentation
		}
	}
	return d
}

// specification is the document under one of the two keys as a registration gives it: JSON as an object, YAML as a
// string; nil when there is none.
func specification(documents map[string]string, jsonKey, yamlKey string) json.RawMessage {
	if content, ok := documents[jsonKey]; ok && json.Valid([]byte(content)) {
		return json.RawMessage(content)
	}
	content, ok := documents[yamlKey]
	if !ok {
		return nil
	}
	quoted, err := json.Marshal(content)
	if err != nil {
		return nil
	}
	return quoted
}

var notAlphanumeric = regexp.MustCompile(`[^A-Za-z0-9]+`)

// serviceName is the external name of the service class for the service displayName with that id: Kyma's rule. It is
// unique as the id is, and 63 characters at most.
func serviceName(displayName, id string) string {
	sum := sha1.Sum([]byte(id))
	suffix := hex.EncodeToString(sum[:])[:5]
	slug := strings.Trim(strings.ToLower(notAlphanumeric.ReplaceAllString(displayName, "-")), "-")
	slug = strings.TrimRight(slug[:min(len(slug), 57)], "-")
	if slug == "" {
		return suffix
	}
	return slug + "-" + suffix
}
