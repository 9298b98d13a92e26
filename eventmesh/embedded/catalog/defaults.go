package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The functions of this file set what Service Catalog's mutating webhooks set, in place. old is the stored object, nil
// on create.

// defaultBroker defaults what both kinds of broker have in common.
func defaultBroker(old, spec *scv1.CommonServiceBrokerSpec, meta *metav1.ObjectMeta) {
	if old == nil {
		addFinalizer(meta)
	} else if spec.RelistRequests == 0 {
		// A client that leaves the counter out does not mean to reset it.
		spec.RelistRequests = old.RelistRequests
	}
	if spec.RelistBehavior == "" {
		spec.RelistBehavior = scv1.ServiceBrokerRelistBehaviorDuration
	}
}

func defaultServiceBroker(old, obj *scv1.ServiceBroker) {
	var oldSpec *scv1.CommonServiceBrokerSpec
	if old != nil {
		oldSpec = &old.Spec.CommonServiceBrokerSpec
	}
	defaultBroker(oldSpec, &obj.Spec.CommonServiceBrokerSpec, &obj.ObjectMeta)
}

func defaultClusterServiceBroker(old, obj *scv1.ClusterServiceBroker) {
	var oldSpec *scv1.CommonServiceBrokerSpec
	if old != nil {
		oldSpec = &old.Spec.CommonServiceBrokerSpec
	}
	defaultBroker(oldSpec, &obj.Spec.CommonServiceBrokerSpec, &obj.ObjectMeta)
}

func defaultServiceClass(old, obj *scv1.ServiceClass) {
	if old != nil {
		obj.Spec.ServiceBrokerName = old.Spec.ServiceBrokerName
	}
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalID, obj.Spec.ExternalID)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalName, obj.Spec.ExternalName)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecServiceBrokerName, obj.Spec.ServiceBrokerName)
}

func defaultClusterServiceClass(old, obj *scv1.ClusterServiceClass) {
	if old != nil {
		obj.Spec.ClusterServiceBrokerName = old.Spec.ClusterServiceBrokerName
	}
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalID, obj.Spec.ExternalID)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalName, obj.Spec.ExternalName)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecClusterServiceBrokerName, obj.Spec.ClusterServiceBrokerName)
}

func defaultServicePlan(old, obj *scv1.ServicePlan) {
	if old != nil {
		obj.Spec.ServiceBrokerName = old.Spec.ServiceBrokerName
		obj.Spec.ServiceClassRef = old.Spec.ServiceClassRef
	}
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalID, obj.Spec.ExternalID)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalName, obj.Spec.ExternalName)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecServiceBrokerName, obj.Spec.ServiceBrokerName)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecServiceClassRefName, obj.Spec.ServiceClassRef.Name)
}

func defaultClusterServicePlan(old, obj *scv1.ClusterServicePlan) {
	if old != nil {
		obj.Spec.ClusterServiceBrokerName = old.Spec.ClusterServiceBrokerName
		obj.Spec.ClusterServiceClassRef = old.Spec.ClusterServiceClassRef
	}
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalID, obj.Spec.ExternalID)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecExternalName, obj.Spec.ExternalName)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecClusterServiceBrokerName, obj.Spec.ClusterServiceBrokerName)
	setLabel(&obj.ObjectMeta, scv1.FilterSpecClusterServiceClassRefName, obj.Spec.ClusterServiceClassRef.Name)
}

// defaultServiceInstance defaults all but the plan, which takes a look at others: see defaultPlan. newID makes the
// id by which the broker will know the instance, if the client did not choose one.
func defaultServiceInstance(old, obj *scv1.ServiceInstance, user *scv1.UserInfo, newID func() string) {
	if old == nil {
		if obj.Spec.ExternalID == "" {
			obj.Spec.ExternalID = newID()
		}
		obj.Spec.UserInfo = user
		obj.Spec.ClusterServiceClassRef = nil
		obj.Spec.ClusterServicePlanRef = nil
		addFinalizer(&obj.ObjectMeta)
	} else {
		if obj.Spec.UpdateRequests == 0 {
			obj.Spec.UpdateRequests = old.Spec.UpdateRequests
		}
		// The controller resolves references that are absent. One that names the plan of before would stay.
		if planChanged(&old.Spec.PlanReference, &obj.Spec.PlanReference, false) {
			obj.Spec.ServicePlanRef = nil
		}
		if planChanged(&old.Spec.PlanReference, &obj.Spec.PlanReference, true) {
			obj.Spec.ClusterServicePlanRef = nil
		}
		// The requester of a wish, who is told to the broker, is whoever changed it. Writing down what a reference
		// resolved to changes nothing, or the controller would be the author of every call.
		obj.Spec.UserInfo = old.Spec.UserInfo
		if !equality.Semantic.DeepEqual(wish(&old.Spec), wish(&obj.Spec)) {
			obj.Spec.UserInfo = user
		}
	}
	labelServiceInstance(obj)
}

// labelServiceInstance makes the instance findable by its class and plan, once they are resolved.
func labelServiceInstance(obj *scv1.ServiceInstance) {
	local := func(ref *scv1.LocalObjectReference) string {
		if ref == nil {
			return ""
		}
		return ref.Name
	}
	cluster := func(ref *scv1.ClusterObjectReference) string {
		if ref == nil {
			return ""
		}
		return ref.Name
	}
	setOrDropLabel(&obj.ObjectMeta, scv1.FilterSpecServiceClassRefName, local(obj.Spec.ServiceClassRef))
	setOrDropLabel(&obj.ObjectMeta, scv1.FilterSpecServicePlanRefName, local(obj.Spec.ServicePlanRef))
	setOrDropLabel(&obj.ObjectMeta, scv1.FilterSpecClusterServiceClassRefName, cluster(obj.Spec.ClusterServiceClassRef))
	setOrDropLabel(&obj.ObjectMeta, scv1.FilterSpecClusterServicePlanRefName, cluster(obj.Spec.ClusterServicePlanRef))
}

func defaultServiceBinding(old, obj *scv1.ServiceBinding, user *scv1.UserInfo, newID func() string) {
	if old != nil {
		// The controller handles no change of a binding, so there is none.
		obj.Spec = *old.Spec.DeepCopy()
		return
	}
	if obj.Spec.ExternalID == "" {
		obj.Spec.ExternalID = newID()
	}
	if obj.Spec.SecretName == "" {
		obj.Spec.SecretName = obj.Name
	}
	if obj.Spec.SecretName == "" {
		// The API server makes a name from metadata.generateName only after this.
		obj.Spec.SecretName = obj.Spec.ExternalID
	}
	obj.Spec.UserInfo = user
	addFinalizer(&obj.ObjectMeta)
}

// wish is the part of a spec that a user decides.
func wish(spec *scv1.ServiceInstanceSpec) *scv1.ServiceInstanceSpec {
	w := spec.DeepCopy()
	w.ServiceClassRef, w.ServicePlanRef = nil, nil
	w.ClusterServiceClassRef, w.ClusterServicePlanRef = nil, nil
	w.UserInfo = nil
	return w
}

// addFinalizer makes sure that the broker is told before an object is gone.
func addFinalizer(meta *metav1.ObjectMeta) {
	if !slices.Contains(meta.Finalizers, scv1.FinalizerServiceCatalog) {
		meta.Finalizers = append(meta.Finalizers, scv1.FinalizerServiceCatalog)
	}
}

// label is the label by which the controller looks for objects whose field has a value.
func label(field string) string { return scv1.GroupName + "/" + field }

// hash is a field's value as a label carries it: any string fits. Upstream promises never to change it.
func hash(value string) string {
	sum := sha256.Sum224([]byte(value))
	return hex.EncodeToString(sum[:])
}

func setLabel(meta *metav1.ObjectMeta, field, value string) {
	metav1.SetMetaDataLabel(meta, label(field), hash(value))
}

func setOrDropLabel(meta *metav1.ObjectMeta, field, value string) {
	if value == "" {
		delete(meta.Labels, label(field))
		return
	}
	setLabel(meta, field, value)
}
