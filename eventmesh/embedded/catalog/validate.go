package catalog

import (
	"fmt"
	"strings"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"github.com/kubernetes-sigs/service-catalog/pkg/filter"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// The functions of this file are the rules of Service Catalog's validating webhooks that need nothing but the object
// and, on update, the stored one. Upstream's own package for them does not compile with today's Kubernetes.

// maxName is the longest external name or id, in bytes.
const maxName = 63

var specPath = field.NewPath("spec")

// validateServiceBroker lists what is wrong with obj; old is nil on create.
func validateServiceBroker(old, obj *scv1.ServiceBroker) field.ErrorList {
	var oldSpec *scv1.CommonServiceBrokerSpec
	if old != nil {
		oldSpec = &old.Spec.CommonServiceBrokerSpec
	}
	errs := validateBroker(oldSpec, &obj.Spec.CommonServiceBrokerSpec, restrictable{
		class: scv1.IsValidServiceClassProperty, plan: scv1.IsValidServicePlanProperty,
	})
	auth := obj.Spec.AuthInfo
	switch path := specPath.Child("authInfo"); {
	case auth == nil:
	case auth.Basic != nil:
		errs = append(errs, validateSecretRef(auth.Basic.SecretRef, path.Child("basic", "secretRef"))...)
	case auth.Bearer != nil:
		errs = append(errs, validateSecretRef(auth.Bearer.SecretRef, path.Child("bearer", "secretRef"))...)
	default:
		errs = append(errs, field.Required(path, "auth config is required"))
	}
	return errs
}

// validateClusterServiceBroker lists what is wrong with obj; old is nil on create.
func validateClusterServiceBroker(old, obj *scv1.ClusterServiceBroker) field.ErrorList {
	var oldSpec *scv1.CommonServiceBrokerSpec
	if old != nil {
		oldSpec = &old.Spec.CommonServiceBrokerSpec
	}
	errs := validateBroker(oldSpec, &obj.Spec.CommonServiceBrokerSpec, restrictable{
		class: scv1.IsValidClusterServiceClassProperty, plan: scv1.IsValidClusterServicePlanProperty,
	})
	auth := obj.Spec.AuthInfo
	switch path := specPath.Child("authInfo"); {
	case auth == nil:
	case auth.Basic != nil:
		errs = append(errs, validateClusterSecretRef(auth.Basic.SecretRef, path.Child("basic", "secretRef"))...)
	case auth.Bearer != nil:
		errs = append(errs, validateClusterSecretRef(auth.Bearer.SecretRef, path.Child("bearer", "secretRef"))...)
	default:
		errs = append(errs, field.Required(path, "auth config is required"))
	}
	return errs
}

func validateSecretRef(ref *scv1.LocalObjectReference, path *field.Path) field.ErrorList {
	if ref == nil {
		return field.ErrorList{field.Required(path, "an auth secret is required")}
	}
	return invalid(path.Child("name"), ref.Name, validation.NameIsDNSSubdomain(ref.Name, false))
}

func validateClusterSecretRef(ref *scv1.ObjectReference, path *field.Path) field.ErrorList {
	if ref == nil {
		return field.ErrorList{field.Required(path, "an auth secret is required")}
	}
	return append(invalid(path.Child("namespace"), ref.Namespace, validation.ValidateNamespaceName(ref.Namespace, false)),
		invalid(path.Child("name"), ref.Name, validation.NameIsDNSSubdomain(ref.Name, false))...)
}

// restrictable tells the properties that a broker's catalogue may be restricted by.
type restrictable struct{ class, plan func(property string) bool }

func validateBroker(old, s *scv1.CommonServiceBrokerSpec, known restrictable) field.ErrorList {
	var errs field.ErrorList
	if s.URL == "" {
		errs = append(errs, field.Required(specPath.Child("url"), "brokers must have a remote url to contact"))
	}
	if s.InsecureSkipTLSVerify && len(s.CABundle) > 0 {
		errs = append(errs, field.Forbidden(specPath.Child("caBundle"), "caBundle cannot be used when insecureSkipTLSVerify is true"))
	}
	switch s.RelistBehavior {
	case scv1.ServiceBrokerRelistBehaviorDuration, scv1.ServiceBrokerRelistBehaviorManual:
	default:
		errs = append(errs, field.Invalid(specPath.Child("relistBehavior"), s.RelistBehavior, `must be "Manual" or "Duration"`))
	}
	errs = append(errs, validation.ValidateNonnegativeField(s.RelistRequests, specPath.Child("relistRequests"))...)
	if old != nil && s.RelistRequests < old.RelistRequests {
		errs = append(errs, field.Invalid(specPath.Child("relistRequests"), s.RelistRequests, fmt.Sprintf("must not be less than %d, its value now", old.RelistRequests)))
	}
	if s.RelistDuration != nil && s.RelistDuration.Duration <= 0 {
		errs = append(errs, field.Invalid(specPath.Child("relistDuration"), s.RelistDuration.Duration.String(), "must be greater than zero"))
	}
	if r := s.CatalogRestrictions; r != nil {
		path := specPath.Child("catalogRestrictions")
		errs = append(errs, validateRestrictions(r.ServiceClass, known.class, path.Child("serviceClass"))...)
		errs = append(errs, validateRestrictions(r.ServicePlan, known.plan, path.Child("servicePlan"))...)
	}
	return errs
}

func validateRestrictions(restrictions []string, known func(string) bool, path *field.Path) field.ErrorList {
	if len(restrictions) == 0 {
		return nil
	}
	if _, err := filter.CreatePredicate(restrictions); err != nil {
		return field.ErrorList{field.Invalid(path, restrictions, err.Error())}
	}
	var errs field.ErrorList
	for i, r := range restrictions {
		if property := filter.ExtractProperty(r); !known(property) {
			errs = append(errs, field.Invalid(path.Index(i), r, "unknown property "+property))
		}
	}
	return errs
}

// validateServiceClass lists what is wrong with obj.
func validateServiceClass(obj *scv1.ServiceClass) field.ErrorList {
	return append(validateOffer(obj.Spec.ExternalName, obj.Spec.ExternalID, obj.Spec.Description),
		required("serviceBrokerName", obj.Spec.ServiceBrokerName)...)
}

// validateClusterServiceClass lists what is wrong with obj.
func validateClusterServiceClass(obj *scv1.ClusterServiceClass) field.ErrorList {
	return append(validateOffer(obj.Spec.ExternalName, obj.Spec.ExternalID, obj.Spec.Description),
		required("clusterServiceBrokerName", obj.Spec.ClusterServiceBrokerName)...)
}

// validateServicePlan lists what is wrong with obj; old is nil on create.
func validateServicePlan(old, obj *scv1.ServicePlan) field.ErrorList {
	errs := validateOffer(obj.Spec.ExternalName, obj.Spec.ExternalID, obj.Spec.Description)
	errs = append(errs, required("serviceBrokerName", obj.Spec.ServiceBrokerName)...)
	errs = append(errs, length(specPath.Child("serviceClassRef", "name"), obj.Spec.ServiceClassRef.Name)...)
	if old != nil {
		errs = append(errs, immutable("externalID", old.Spec.ExternalID, obj.Spec.ExternalID)...)
	}
	return errs
}

// validateClusterServicePlan lists what is wrong with obj; old is nil on create.
func validateClusterServicePlan(old, obj *scv1.ClusterServicePlan) field.ErrorList {
	errs := validateOffer(obj.Spec.ExternalName, obj.Spec.ExternalID, obj.Spec.Description)
	errs = append(errs, required("clusterServiceBrokerName", obj.Spec.ClusterServiceBrokerName)...)
	errs = append(errs, length(specPath.Child("clusterServiceClassRef", "name"), obj.Spec.ClusterServiceClassRef.Name)...)
	if old != nil {
		errs = append(errs, immutable("externalID", old.Spec.ExternalID, obj.Spec.ExternalID)...)
	}
	return errs
}

// validateOffer checks what classes and plans have in common.
func validateOffer(externalName, externalID, description string) field.ErrorList {
	errs := length(specPath.Child("externalName"), externalName)
	errs = append(errs, length(specPath.Child("externalID"), externalID)...)
	return append(errs, required("description", description)...)
}

// validateServiceInstance lists what is wrong with obj; old is nil on create.
func validateServiceInstance(old, obj *scv1.ServiceInstance) field.ErrorList {
	s := &obj.Spec
	errs := validatePlanReference(&s.PlanReference)
	errs = append(errs, validateParametersFrom(s.ParametersFrom)...)
	if s.Parameters != nil {
		parameters := map[string]any{}
		if err := yaml.Unmarshal(s.Parameters.Raw, &parameters); err != nil || len(s.Parameters.Raw) == 0 {
			errs = append(errs, field.Invalid(specPath.Child("parameters"), string(s.Parameters.Raw), "inline parameters must be an object"))
		}
	}
	errs = append(errs, validation.ValidateNonnegativeField(s.UpdateRequests, specPath.Child("updateRequests"))...)
	if old == nil {
		return append(errs, validateNoRefs(s)...)
	}
	return append(errs, validateInstanceChange(old, obj)...)
}

// validateNoRefs keeps clients from choosing what the controller resolves.
func validateNoRefs(s *scv1.ServiceInstanceSpec) field.ErrorList {
	var errs field.ErrorList
	refuse := func(name string, present bool) {
		if present {
			errs = append(errs, field.Forbidden(specPath.Child(name), name+" must not be present on create"))
		}
	}
	refuse("serviceClassRef", s.ServiceClassRef != nil)
	refuse("servicePlanRef", s.ServicePlanRef != nil)
	refuse("clusterServiceClassRef", s.ClusterServiceClassRef != nil)
	refuse("clusterServicePlanRef", s.ClusterServicePlanRef != nil)
	return errs
}

func validateInstanceChange(old, obj *scv1.ServiceInstance) field.ErrorList {
	var errs field.ErrorList
	s, was := &obj.Spec, &old.Spec
	oldStyles := styles(&was.PlanReference)
	for i, st := range styles(&s.PlanReference) {
		errs = append(errs, immutable(st.classField(), *oldStyles[i].class, *st.class)...)
	}
	errs = append(errs, immutable("externalID", was.ExternalID, s.ExternalID)...)
	if s.UpdateRequests < was.UpdateRequests {
		errs = append(errs, field.Invalid(specPath.Child("updateRequests"), s.UpdateRequests, "new updateRequests value must not be less than the old one"))
	}
	const stale = " must not be present when the plan is being changed"
	if s.ServicePlanRef != nil && planChanged(&was.PlanReference, &s.PlanReference, false) {
		errs = append(errs, field.Forbidden(specPath.Child("servicePlanRef"), "servicePlanRef"+stale))
	}
	if s.ClusterServicePlanRef != nil && planChanged(&was.PlanReference, &s.PlanReference, true) {
		errs = append(errs, field.Forbidden(specPath.Child("clusterServicePlanRef"), "clusterServicePlanRef"+stale))
	}
	if old.Status.CurrentOperation != "" && !equality.Semantic.DeepEqual(was, s) {
		errs = append(errs, field.Forbidden(specPath, "Another update for this service instance is in progress"))
	}
	return errs
}

// validatePlanReference wants one class, and no plan or one named in the same style as the class. The plan may be
// missing because it is defaulted before.
func validatePlanReference(ref *scv1.PlanReference) field.ErrorList {
	var errs field.ErrorList
	var class []style
	scopes := map[bool]bool{}
	for _, s := range styles(ref) {
		if *s.class == "" && *s.plan == "" {
			continue
		}
		scopes[s.cluster] = true
		if *s.class != "" {
			class = append(class, s)
			errs = append(errs, length(specPath.Child(s.classField()), *s.class)...)
		}
	}
	switch {
	case len(scopes) > 1:
		return field.ErrorList{field.Forbidden(specPath, "instances can only refer to a cluster or namespaced class or plan type, but not both")}
	case len(class) == 0:
		return field.ErrorList{field.Required(specPath, "plan references must have a class reference set")}
	case len(class) > 1:
		names := make([]string, len(class))
		for i, s := range class {
			names[i] = s.classField()
		}
		return field.ErrorList{field.Forbidden(specPath, "exactly one class reference is required, not "+strings.Join(names, " and "))}
	}
	for _, s := range styles(ref) {
		if *s.plan == "" {
			continue
		}
		if s.by != class[0].by {
			errs = append(errs, field.Forbidden(specPath.Child(s.planField()), "must specify "+
				style{cluster: s.cluster, by: class[0].by}.planField()+" with "+class[0].classField()))
		}
		errs = append(errs, length(specPath.Child(s.planField()), *s.plan)...)
	}
	return errs
}

// validateServiceBinding lists what is wrong with obj.
func validateServiceBinding(obj *scv1.ServiceBinding) field.ErrorList {
	s := &obj.Spec
	errs := invalid(specPath.Child("instanceRef", "name"), s.InstanceRef.Name, validation.NameIsDNSSubdomain(s.InstanceRef.Name, false))
	errs = append(errs, invalid(specPath.Child("secretName"), s.SecretName, validation.NameIsDNSSubdomain(s.SecretName, false))...)
	return append(errs, validateParametersFrom(s.ParametersFrom)...)
}

func validateParametersFrom(sources []scv1.ParametersFromSource) field.ErrorList {
	var errs field.ErrorList
	for i, source := range sources {
		path := specPath.Child("parametersFrom").Index(i).Child("secretKeyRef")
		ref := source.SecretKeyRef
		if ref == nil {
			errs = append(errs, field.Required(path, "source must not be empty if present"))
			continue
		}
		if ref.Name == "" {
			errs = append(errs, field.Required(path.Child("name"), "name is required"))
		}
		if ref.Key == "" {
			errs = append(errs, field.Required(path.Child("key"), "key is required"))
		}
	}
	return errs
}

// length refuses a value that is empty or longer than maxName.
func length(path *field.Path, value string) field.ErrorList {
	switch {
	case value == "":
		return field.ErrorList{field.Required(path, utilvalidation.EmptyError())}
	case len(value) > maxName:
		return field.ErrorList{field.Invalid(path, value, utilvalidation.MaxLenError(maxName))}
	}
	return nil
}

func required(name, value string) field.ErrorList {
	if value != "" {
		return nil
	}
	return field.ErrorList{field.Required(specPath.Child(name), name+" is required")}
}

func immutable(name, old, value string) field.ErrorList {
	return validation.ValidateImmutableField(value, old, specPath.Child(name))
}

func invalid(path *field.Path, value string, reasons []string) field.ErrorList {
	var errs field.ErrorList
	for _, reason := range reasons {
		errs = append(errs, field.Invalid(path, value, reason))
	}
	return errs
}
