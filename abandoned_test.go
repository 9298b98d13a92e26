package main

import (
	"context"
	"fmt"
	"testing"

	scv1 "github.com/kubernetes-sigs/service-catalog/pkg/apis/servicecatalog/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
)

// An instance that is deleted while its provisioning waits for what may never come is gone soon, and leaves nothing.
func TestInstanceDeletedBeforeItIsProvisioned(t *testing.T) {
	ctx, kube := t.Context(), shared.kube
	const name = "abandoned"
	meta := metav1.ObjectMeta{Namespace: name, Name: name}
	instance := &scv1.ServiceInstance{ObjectMeta: meta, Spec: scv1.ServiceInstanceSpec{PlanReference: scv1.PlanReference{
		ServiceClassExternalName: name, ServicePlanExternalName: "default",
	}}}
	for _, obj := range []client.Object{
		&appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appv1.ApplicationSpec{
			SkipInstallation: true, // so that there is no Channel
			Services: []appv1.Service{{
				ID: name, Name: name, DisplayName: name, Description: name, ProviderDisplayName: name,
				Entries: []appv1.Entry{{Type: appv1.EntryTypeEvents}},
			}},
		}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&appv1.ApplicationMapping{ObjectMeta: meta},
		instance,
	} {
		if err := kube.Create(ctx, obj); err != nil {
			t.Fatal(err)
		}
		if obj.GetNamespace() == "" {
			t.Cleanup(func() { _ = kube.Delete(context.WithoutCancel(ctx), obj) })
		}
	}
	eventually(t, func() error {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(instance), instance); err != nil {
			return err
		}
		if !instance.Status.AsyncOpInProgress {
			return fmt.Errorf("provisioning has not begun: %+v", instance.Status.Conditions)
		}
		return nil
	})

	if err := kube.Delete(ctx, instance); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(instance), instance); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there (%w): %+v", err, instance.Status.Conditions)
		}
		return nil
	})
	if err := kube.Get(ctx, client.ObjectKey{Namespace: name, Name: name}, &appv1.EventActivation{}); !apierrors.IsNotFound(err) {
		t.Errorf("its EventActivation: %v", err)
	}
}
