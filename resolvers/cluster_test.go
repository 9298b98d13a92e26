package resolvers

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kyma-eventmesh/kyma-console/graph"
	usagesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/servicecatalog/v1alpha1"
)

func TestVersionOf(t *testing.T) {
	for image, want := range map[string]string{
		"eu.gcr.io/kyma-project/kyma-installer:1.16.0":            "1.16.0",
		"eu.gcr.io/kyma-project/kyma-installer:1.16.0@sha256:abc": "1.16.0",
		"eu.gcr.io/kyma-project/pr/installer:PR-123":              "pull request PR-123",
		"eu.gcr.io/kyma-project/develop/installer:63f27f76":       "63f27f76",
		"eu.gcr.io/kyma-project/kyma-installer":                   "eu.gcr.io/kyma-project/kyma-installer",
		"eu.gcr.io/kyma-project/kyma-installer@sha256:abc":        "eu.gcr.io/kyma-project/kyma-installer@sha256:abc",
		"localhost:5000/installer:1.0":                            "localhost:5000/installer:1.0",
		"":                                                        "",
	} {
		if got := versionOf(image); got != want {
			t.Errorf("%q: got %q, want %q", image, got, want)
		}
	}
}

func TestStateOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   corev1.ContainerState
		want graph.ContainerState
	}{
		{"nothing said", corev1.ContainerState{}, graph.ContainerState{State: "WAITING"}},
		{
			"waits",
			corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "m"}},
			graph.ContainerState{State: "WAITING", Reason: "ImagePullBackOff", Message: "m"},
		},
		{"runs", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, graph.ContainerState{State: "RUNNING"}},
		{
			"ended",
			corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", Message: "m", ExitCode: 137, Signal: 9}},
			graph.ContainerState{State: "TERMINATED", Reason: "OOMKilled", Message: "m"},
		},
		{"ended by a signal", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Signal: 9}}, graph.ContainerState{State: "TERMINATED", Reason: "Signal:9"}},
		{"ended without a reason", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}, graph.ContainerState{State: "TERMINATED", Reason: "ExitCode:1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, stateOf(&tt.in)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestHasAny(t *testing.T) {
	labels := map[string]string{"app": "x", "empty": ""}
	for wanted, want := range map[string]bool{
		"": false, "app": true, "app=x": true, "app=y": false, "app=": false, "empty=": true, "other": false, "other=": false, "other,app=x": true,
	} {
		if got := hasAny(labels, strings.Split(wanted, ",")); got != want {
			t.Errorf("%q: got %t, want %t", wanted, got, want)
		}
	}
	if hasAny(labels, nil) {
		t.Error("nothing wanted: got true")
	}
}

// TestIfInstalled is for clusters that lack a kind, as the tests' own has them all.
func TestIfInstalled(t *testing.T) {
	count := 0
	if got, err := ifInstalled(&count, &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Application"}}); got != nil || err != nil {
		t.Errorf("without the kind: %v, %v, want null without an error", got, err)
	}
	if got, err := ifInstalled([]string{}, nil); got == nil || err != nil {
		t.Errorf("with the kind: %v, %v, want []", got, err)
	}
	failure := errors.New("failure")
	if _, err := ifInstalled[[]string](nil, failure); !errors.Is(err, failure) {
		t.Errorf("another error: got %v", err)
	}
}

func TestUses(t *testing.T) {
	plain := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}}
	lambda := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Labels: map[string]string{"serverless.kyma-project.io/function-name": "f"}}}
	for _, tt := range []struct {
		deployment *appsv1.Deployment
		kind, name string
		want       bool
	}{
		{plain, "deployment", "d", true},
		{plain, "Deployment", "d", true},
		{plain, "deployment", "other", false},
		{plain, "function", "d", false},
		{lambda, "serverless-function", "f", true},
		{lambda, "function", "f", true},
		{lambda, "function", "d", false},
		{lambda, "deployment", "d", true},
	} {
		usage := &usagesv1.ServiceBindingUsage{}
		usage.Spec.UsedBy.Kind, usage.Spec.UsedBy.Name = tt.kind, tt.name
		if got := uses(tt.deployment, usage); got != tt.want {
			t.Errorf("%v with %s %s: got %t", tt.deployment.Labels, tt.kind, tt.name, got)
		}
	}
}
