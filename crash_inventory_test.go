package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	messagingv1 "knative.dev/eventing/pkg/apis/messaging/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	kymamessagingv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/messaging/v1alpha1"
	functionsv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/serverless/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// inventory is all that there has to be for a tenant, and once.
func (e *tenant) inventory() []string {
	return strings.Split(strings.ReplaceAll(`Application /NAME
ApplicationMapping NAME/NAME
Broker NAME/default
Channel kyma-integration/NAME
EventActivation NAME from NAME for ServiceInstance NAME
Function NAME/NAME
HTTPSource kyma-integration/NAME
JetStreamChannel NAME/default-kne-trigger: 2 subscribers
JetStreamChannel kyma-integration/NAME: 1 subscribers
Namespace /NAME
Secret NAME/application-broker-auth
Service NAME/NAME
Service kyma-integration/NAME
ServiceBroker NAME/application-broker
ServiceClass NAME
ServiceInstance NAME/NAME
ServicePlan NAME default
Subscription from kyma-integration/NAME to NAME
Subscription of Trigger NAME/function
Subscription of Trigger NAME/outside
Trigger NAME/function
Trigger NAME/outside
stream NAME_default-kne-trigger: 2 consumers
stream kyma-integration_NAME: 1 consumers`, "NAME", e.name), "\n")
}

// onlyHas checks that there is everything that the tenants need, once, and nothing else but what is left of those that
// are leaving.
func (c *console) onlyHas(t *testing.T, leaving []*tenant, tenants ...*tenant) {
	t.Helper()
	var want []string
	for _, tenant := range tenants {
		want = append(want, tenant.inventory()...)
	}
	slices.Sort(want)
	left := func(line string) bool {
		return slices.ContainsFunc(leaving, func(l *tenant) bool { return strings.Contains(line, l.name) })
	}
	eventually(t, func() error {
		got, err := c.inventory(t.Context())
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, slices.DeleteFunc(got, left), cmpopts.EquateEmpty()); diff != "" {
			return errors.New("the cluster has not what it should have (-want +got):\n" + diff)
		}
		return nil
	})
}

// inventory describes each object that belongs to a tenant or to the mesh between tenants, by what it is for. What a
// line says of names is what identifies the object; names that were generated are left out.
func (c *console) inventory(ctx context.Context) ([]string, error) {
	var all inventory
	for _, list := range []client.ObjectList{
		&kymamessagingv1.JetStreamChannelList{}, &messagingv1.SubscriptionList{}, &messagingv1.ChannelList{},
		&sourcesv1.HTTPSourceList{}, &appv1.EventActivationList{}, &scv1.ServiceInstanceList{},
		&scv1.ServiceBrokerList{}, &scv1.ServiceClassList{}, &scv1.ServicePlanList{},
		&eventingv1.TriggerList{}, &eventingv1.BrokerList{}, &functionsv1.FunctionList{},
		&corev1.ServiceList{}, &corev1.SecretList{}, &corev1.ConfigMapList{},
		&appv1.ApplicationMappingList{}, &appv1.ApplicationList{}, &corev1.NamespaceList{},
	} {
		if err := c.kube.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
		err := apimeta.EachListItem(list, func(o runtime.Object) error {
			all.objects = append(all.objects, o.(client.Object))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	lines := all.lines()
	stored, err := storedChannels(c.dir)
	return slices.Sorted(slices.Values(append(lines, stored...))), err
}

// storedChannels describes the streams in the store of events, of which the API does not tell.
func storedChannels(dir string) ([]string, error) {
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "jetstream", "*", "streams", "*"))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, stream := range streams {
		consumers, err := filepath.Glob(filepath.Join(stream, "obs", "*"))
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("stream %s: %d consumers", filepath.Base(stream), len(consumers)))
	}
	return lines, nil
}

// inventory is what there is, in all namespaces.
type inventory struct{ objects []client.Object }

func (all inventory) lines() []string {
	var lines []string
	for _, o := range all.objects {
		if line := all.line(o); line != "" {
			if o.GetDeletionTimestamp() != nil {
				line += ", terminating"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// line describes o, "" when it is none of the tenants' business.
func (all inventory) line(o client.Object) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1alpha1.")
	kind = strings.TrimPrefix(strings.TrimPrefix(kind, "*v1beta1."), "*v1.")
	line := kind + " " + types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	switch o := o.(type) {
	case *kymamessagingv1.JetStreamChannel:
		return line + ": " + all.subscribers(o)
	case *messagingv1.Subscription:
		if controller := metav1.GetControllerOf(o); controller != nil {
			return fmt.Sprintf("Subscription of %s %s/%s", controller.Kind, o.Namespace, controller.Name)
		}
		return fmt.Sprintf("Subscription from %s/%s to %s", o.Namespace, o.Spec.Channel.Name, o.Labels[eventmesh.BrokerNamespaceLabel])
	case *appv1.EventActivation:
		return fmt.Sprintf("EventActivation %s from %s for %s", o.Namespace, o.Spec.SourceID, all.instance(o))
	case *scv1.ServiceClass:
		return "ServiceClass " + o.Namespace
	case *scv1.ServicePlan:
		return "ServicePlan " + o.Namespace + " " + o.Spec.ExternalName
	case *corev1.Namespace:
		if !strings.HasPrefix(o.Name, tenantPrefix) {
			return ""
		}
	case *corev1.ConfigMap:
		// One registration that was cut short may leave a second document; it goes with its Application at the latest.
		if o.Labels[eventmesh.ServiceIDLabel] == "" || all.application(o.Labels[eventmesh.ApplicationNameLabel]) {
			return ""
		}
	case *corev1.Service, *corev1.Secret:
		if !strings.HasPrefix(o.GetNamespace(), tenantPrefix) && o.GetNamespace() != eventmesh.IntegrationNamespace {
			return ""
		}
	}
	return line
}

// subscribers compares the subscribers of a channel with the Subscriptions to it.
func (all inventory) subscribers(channel *kymamessagingv1.JetStreamChannel) string {
	var have, want []types.UID
	for _, s := range channel.Spec.Subscribers {
		have = append(have, s.UID)
	}
	for _, o := range all.objects {
		if s, ok := o.(*messagingv1.Subscription); ok && s.Namespace == channel.Namespace && s.Spec.Channel.Name == channel.Name {
			want = append(want, s.UID)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return fmt.Sprintf("subscribers %v, but Subscriptions %v", have, want)
	}
	return fmt.Sprintf("%d subscribers", len(have))
}

// instance is the ServiceInstance for which there is an activation.
func (all inventory) instance(a *appv1.EventActivation) string {
	for _, o := range all.objects {
		if i, ok := o.(*scv1.ServiceInstance); ok && i.Namespace == a.Namespace && i.Spec.ExternalID == a.Labels[eventmesh.InstanceIDLabel] {
			return "ServiceInstance " + i.Name
		}
	}
	return "no ServiceInstance: " + a.Labels[eventmesh.InstanceIDLabel]
}

func (all inventory) application(name string) bool {
	return slices.ContainsFunc(all.objects, func(o client.Object) bool {
		_, ok := o.(*appv1.Application)
		return ok && o.GetName() == name
	})
}
