package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxNameLength is the longest name, in characters, that an Application may have; see [Application].
const MaxNameLength = 50

// Application is a system outside the cluster, and the services that it offers to the namespaces inside.
//
// Kyma's pages allow lower-case alphanumerics, '-' and '.' in its name. Only a part of these names works end to end, and
// only that part is taken: the name becomes the first DNS label of a Service and of a Channel, so it cannot have a '.' and
// must start with a letter; and the Channel's own Service is called <name>-kn-jetstream, which must fit into the 63
// characters of a DNS label, so that [MaxNameLength] are left.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=applications,singular=application,shortName=app
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name of an Application must be at most 50 lower-case letters, digits and '-', start with a letter and not end with '-': a Service and a Channel carry it"
type Application struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the application is and offers. It is always there, so that a patch can name what is in it.
	// +optional
	// +kubebuilder:default={}
	Spec ApplicationSpec `json:"spec,omitzero"`
	// Status is what the reconciler made of it.
	// +optional
	Status ApplicationStatus `json:"status,omitzero"`
}

// Service returns the service with that id, nil when the application offers none such. It points into a.
func (a *Application) Service(id string) *Service {
	i := slices.IndexFunc(a.Spec.Services, func(s Service) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &a.Spec.Services[i]
}

// ApplicationSpec is what the application is and offers.
type ApplicationSpec struct {
	// Description is free text.
	// +optional
	Description string `json:"description,omitempty"`
	// SkipInstallation asks for the Application without anything made for it: no source, no Channel.
	// +optional
	SkipInstallation bool `json:"skipInstallation,omitempty"`
	// Services is what the application offers. Nil and empty mean the same: nothing yet.
	// +optional
	// +listType=map
	// +listMapKey=id
	Services []Service `json:"services,omitempty"`
	// Labels are the application's own, apart from the labels of the object.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Tenant is the organization (O) that a client certificate must name, when set.
	// +optional
	Tenant string `json:"tenant,omitempty"`
	// Group is the organizational unit (OU) that a client certificate must name, when set.
	// +optional
	Group string `json:"group,omitempty"`
	// AccessLabel is the name of the label that allows calls to the application. Deprecated by Kyma; kept so that
	// manifests apply.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$`
	AccessLabel string `json:"accessLabel,omitempty"`
	// CompassMetadata ties the application to the Compass that manages it.
	// +optional
	CompassMetadata *CompassMetadata `json:"compassMetadata,omitempty"`
	// Tags are the tags of the service class, where the whole application is presented as one.
	// +optional
	// +listType=atomic
	Tags []string `json:"tags,omitempty"`
	// DisplayName is the name that people see; the object's name stands in when it is empty.
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// ProviderDisplayName is who runs the application, as people see it.
	// +optional
	ProviderDisplayName string `json:"providerDisplayName,omitempty"`
	// LongDescription is free text, longer than Description.
	// +optional
	LongDescription string `json:"longDescription,omitempty"`
}

// CompassMetadata ties an application to the Compass that manages it.
type CompassMetadata struct {
	// ApplicationID is the application's id in Compass.
	// +optional
	ApplicationID string `json:"applicationId,omitempty"`
	// Authentication says who may act as the application.
	Authentication Authentication `json:"authentication"`
}

// Authentication says who may act as an application.
type Authentication struct {
	// ClientIDs are the ids that the sender may present.
	// +listType=atomic
	ClientIDs []string `json:"clientIds"`
}

// Service is one thing that an application offers: events, an API, or both.
//
// Kyma's first version asks for the label connected-app, with the application's name, in Labels. The schema does not.
type Service struct {
	// ID is the service's id, usually a UUID: unique in the Application and, as it becomes the id of a service class and
	// the name of EventActivations, lower case and at most 58 characters: the class's plan is called <id>-plan, for which
	// Service Catalog has 63.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=58
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ID string `json:"id"`
	// Name is the external name of the service class.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
	// Identifier is the id under which the application itself knows the service, as given at registration.
	// +optional
	Identifier string `json:"identifier,omitempty"`
	// DisplayName is the name that people see.
	// +kubebuilder:validation:MinLength=1
	DisplayName string `json:"displayName"`
	// Description is free text. Service Catalog refuses a class without one.
	// +kubebuilder:validation:MinLength=1
	Description string `json:"description"`
	// LongDescription is free text, longer than Description.
	// +optional
	LongDescription string `json:"longDescription,omitempty"`
	// ProviderDisplayName is who runs the service, as people see it.
	ProviderDisplayName string `json:"providerDisplayName"`
	// Tags are the tags of the service class.
	// +optional
	// +listType=atomic
	Tags []string `json:"tags,omitempty"`
	// Labels are the labels of the service class.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Entries say what the service gives. None is allowed: such a service offers nothing yet.
	// +listType=atomic
	Entries []Entry `json:"entries"`
	// AuthCreateParameterSchema is the JSON schema of the parameters for provisioning, nil when there are none.
	// +optional
	AuthCreateParameterSchema *string `json:"authCreateParameterSchema,omitempty"`
}

// HasEvents reports whether the service sends events.
func (s *Service) HasEvents() bool { return s.has(EntryTypeEvents) }

// HasAPI reports whether the service has an API to call.
func (s *Service) HasAPI() bool { return s.has(EntryTypeAPI) }

func (s *Service) has(t EntryType) bool {
	return slices.ContainsFunc(s.Entries, func(e Entry) bool { return e.Type == t })
}

// EntryType says what an Entry is.
//
// +kubebuilder:validation:Enum=API;Events
type EntryType string

const (
	// EntryTypeAPI is an API that can be called.
	EntryTypeAPI EntryType = "API"
	// EntryTypeEvents says that the service sends events. It needs no other field.
	EntryTypeEvents EntryType = "Events"
)

// Entry is one API, or the events, of a service. Every field but Type is for APIs only.
type Entry struct {
	// Type says which of the two it is.
	Type EntryType `json:"type"`
	// GatewayURL is where callers inside the cluster reach the API.
	// +optional
	GatewayURL string `json:"gatewayUrl,omitempty"`
	// AccessLabel is the name of the label that allows calls to the API.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$`
	AccessLabel string `json:"accessLabel,omitempty"`
	// TargetURL is where the API itself is, outside the cluster.
	// +optional
	TargetURL string `json:"targetUrl,omitempty"`
	// SpecificationURL is where the API's description is.
	// +optional
	SpecificationURL string `json:"specificationUrl,omitempty"`
	// APIType is the kind of the API, such as odata.
	// +optional
	APIType string `json:"apiType,omitempty"`
	// Credentials say how to sign in to the API, nil when it is open.
	// +optional
	Credentials *Credentials `json:"credentials,omitempty"`
	// RequestParametersSecretName names the Secret with headers and query parameters to add to every call.
	// +optional
	RequestParametersSecretName string `json:"requestParametersSecretName,omitempty"`
	// Name is the name of the API.
	// +optional
	Name string `json:"name,omitempty"`
	// ID is the id of the API.
	// +optional
	ID string `json:"id,omitempty"`
}

// Credentials say how to sign in to an API. The secrets themselves are in a Secret.
type Credentials struct {
	// Type is the way to sign in: OAuth, Basic or CertificateGen, and whatever else a gateway knows.
	// +kubebuilder:validation:MinLength=1
	Type string `json:"type"`
	// SecretName names the Secret that holds them.
	// +kubebuilder:validation:MinLength=1
	SecretName string `json:"secretName"`
	// AuthenticationURL is where tokens are had, for OAuth.
	// +optional
	AuthenticationURL string `json:"authenticationUrl,omitempty"`
	// CSRFInfo says where to have a token against request forgery, nil when none is needed.
	// +optional
	CSRFInfo *CSRFInfo `json:"csrfInfo,omitempty"`
}

// CSRFInfo says where to have a token against request forgery.
type CSRFInfo struct {
	// TokenEndpointURL is the address that answers with the token.
	// +kubebuilder:validation:MinLength=1
	TokenEndpointURL string `json:"tokenEndpointURL"`
}

// Values of InstallationStatus.Status that this project writes. Objects written by Kyma's own operator have the status of
// a Helm release there (DEPLOYED, deployed, FAILED, …).
const (
	// InstallationDeployed: everything for the application is made.
	InstallationDeployed = "deployed"
	// InstallationFailed: something could not be made; Description says what.
	InstallationFailed = "failed"
	// InstallationPending: it is being made.
	InstallationPending = "pending-install"
	// InstallationSkipped: spec.skipInstallation asks for none of it.
	InstallationSkipped = "INSTALLATION_SKIPPED"
)

// InstallationSkippedDescription goes with [InstallationSkipped]. Kyma's wording.
const InstallationSkippedDescription = "Installation will not be performed"

// ApplicationStatus is what the reconciler made of an Application.
type ApplicationStatus struct {
	// InstallationStatus is the outcome in Kyma's own words.
	// +optional
	InstallationStatus InstallationStatus `json:"installationStatus,omitzero"`
	// ObservedGeneration is the metadata.generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are the parts of the outcome; Ready sums them up.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InstallationStatus is the outcome of installing what an Application needs.
type InstallationStatus struct {
	// Status is one word; see [InstallationDeployed] and the constants beside it.
	// +optional
	Status string `json:"status,omitempty"`
	// Description says more.
	// +optional
	Description string `json:"description,omitempty"`
}

// ApplicationList is a list of Applications.
//
// +kubebuilder:object:root=true
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Application `json:"items"`
}
