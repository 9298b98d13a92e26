package controllers

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// now is when everything in these tests is deleted that is.
func now() *metav1.Time { return &metav1.Time{Time: metav1.Now().Time} }

func testApplication(change func(*appv1.Application)) *appv1.Application {
	app := &appv1.Application{
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop", UID: "app-uid", Generation: 1, Finalizers: []string{ApplicationFinalizer},
		},
		Spec: appv1.ApplicationSpec{AccessLabel: "shop", Services: []appv1.Service{}},
	}
	if change != nil {
		change(app)
	}
	return app
}

func testSource(change func(*sourcesv1.HTTPSource)) *sourcesv1.HTTPSource {
	source := &sourcesv1.HTTPSource{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: eventmesh.IntegrationNamespace, Name: "shop", UID: "source-uid", Generation: 1,
			Labels: map[string]string{ManagedByLabel: ManagedBy},
			OwnerReferences: []metav1.OwnerReference{
				*controllerRef(testApplication(nil), appv1.GroupVersion.WithKind("Application")),
			},
		},
		Spec: sourcesv1.HTTPSourceSpec{Source: "shop"},
		Status: sourcesv1.HTTPSourceStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{
			{Type: sourcesv1.ConditionReady, Status: metav1.ConditionTrue, Reason: sourcesv1.ReasonReady},
		}},
	}
	if change != nil {
		change(source)
	}
	return source
}

// knativeStatus is the status of a Knative object whose condition Ready is as given.
func knativeStatus(status corev1.ConditionStatus, reason, message string) duckv1.Status {
	return duckv1.Status{ObservedGeneration: 1, Conditions: duckv1.Conditions{
		{Type: apis.ConditionReady, Status: status, Reason: reason, Message: message},
	}}
}

func TestManifestHolds(t *testing.T) {
	want := serviceManifest(testSource(nil))
	observed := func(change func(*corev1.Service)) *corev1.Service {
		s := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: want.namespace, Name: want.name, ResourceVersion: "7", Labels: want.labels,
				OwnerReferences: []metav1.OwnerReference{{Kind: "Other", UID: "x"}, *want.owner},
			},
			Spec: corev1.ServiceSpec{
				ClusterIP: "10.0.0.1",
				Type:      corev1.ServiceTypeClusterIP,
				Selector:  map[string]string{eventmesh.ApplicationNameLabel: "shop"},
				Ports: []corev1.ServicePort{{
					Name: "http-cloudevent", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080),
				}},
			},
		}
		if change != nil {
			change(s)
		}
		return s
	}
	for _, tt := range []struct {
		name     string
		observed *corev1.Service
		want     bool
	}{
		{"with defaults and another owner", observed(nil), true},
		{"with another's label", observed(func(s *corev1.Service) {
			s.Labels = map[string]string{"theirs": "x"}
			for k, v := range want.labels {
				s.Labels[k] = v
			}
		}), true},
		{"label changed", observed(func(s *corev1.Service) {
			s.Labels = map[string]string{eventmesh.ApplicationNameLabel: "other"}
		}), false},
		{"labels gone", observed(func(s *corev1.Service) { s.Labels = nil }), false},
		{"owner gone", observed(func(s *corev1.Service) { s.OwnerReferences = s.OwnerReferences[:1] }), false},
		{"port changed", observed(func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 }), false},
		{"port added", observed(func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "x", Port: 9})
		}), false},
		{"selector gone", observed(func(s *corev1.Service) { s.Spec.Selector = nil }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := want.holds(tt.observed); got != tt.want {
				t.Errorf("holds = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAll(t *testing.T) {
	yes, no, maybe := ready(), failed("No", "no"), unknown("Maybe", "maybe")
	for _, tt := range []struct {
		name  string
		parts []state
		want  state
	}{
		{"nothing", nil, yes},
		{"ready", []state{yes, yes}, yes},
		{"unknown", []state{yes, maybe}, maybe},
		{"false", []state{no, maybe}, no},
		{"false later", []state{maybe, no}, state{metav1.ConditionFalse, "Maybe", "maybe"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := all(tt.parts...); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestConditionReason(t *testing.T) {
	for reason, want := range map[string]string{
		"":                                       "",
		"SinkNotFound":                           "SinkNotFound",
		"Unable to get the Subscriber's URI":     "UnableToGetTheSubscribersURI",
		"nil URL":                                "nilURL",
		"404 not found":                          "notFound",
		"trailing-":                              "trailing",
		"object is being deleted: x.knative.dev": "objectIsBeingDeletedXKnativeDev",
	} {
		if got := conditionReason(reason); got != want {
			t.Errorf("conditionReason(%q) = %q, want %q", reason, got, want)
		}
	}
}

func TestKnativeState(t *testing.T) {
	stale := knativeStatus(corev1.ConditionTrue, "", "")
	for _, tt := range []struct {
		name       string
		status     duckv1.Status
		generation int64
		want       state
	}{
		{"new", duckv1.Status{}, 1, unknown(reasonNotReconciled, "Knative has not looked at it yet")},
		{"stale", stale, 2, unknown(reasonNotReconciled, "Knative has not looked at it yet")},
		{"ready", stale, 1, ready()},
		{"false", knativeStatus(corev1.ConditionFalse, "nil URL", "m"), 1, failed("nilURL", "m")},
		{"unknown", knativeStatus(corev1.ConditionUnknown, "", "m"), 1, unknown("", "m")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := knativeState(&tt.status, tt.generation); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestJoin(t *testing.T) {
	terminal := reconcile.TerminalError(errors.New("never"))
	passing := errors.New("busy")
	for _, tt := range []struct {
		name     string
		errs     []error
		isNil    bool
		terminal bool
	}{
		{"none", []error{nil, nil}, true, false},
		{"terminal", []error{nil, terminal}, false, true},
		{"passing", []error{passing}, false, false},
		{"both: trying again can help", []error{terminal, passing}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := join(tt.errs...)
			if (err == nil) != tt.isNil || errors.Is(err, reconcile.TerminalError(nil)) != tt.terminal {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	resource := schema.GroupResource{Resource: "channels"}
	dying := apierrors.NewForbidden(resource, "x", nil)
	dying.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, tt := range []struct {
		name        string
		err         error
		again, fail bool
	}{
		{"fine", nil, false, false},
		{"conflict", apierrors.NewConflict(resource, "x", nil), true, false},
		{"namespace terminating", dying, true, false},
		{"forbidden", apierrors.NewForbidden(resource, "x", nil), false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := quiet(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return reconcile.Result{}, tt.err }))
			res, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "x"}})
			if (res.RequeueAfter > 0) != tt.again || (err != nil) != tt.fail {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
}
