package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// doing is a plan as a list of words, which reads better in a table than the plan itself.
func doing(steps map[string]bool) []string {
	var words []string
	for word, do := range steps {
		if do {
			words = append(words, word)
		}
	}
	return words
}

func (p applicationPlan) words() []string {
	return doing(map[string]bool{
		"hold": p.addFinalizer, "fill": p.fillSpec, "namespace": p.makeNamespace, "source": p.source != nil,
		"delete source": p.deleteSource, "delete documents": p.deleteDocuments, "let go": p.letGo,
	})
}

func TestDecideApplication(t *testing.T) {
	integration := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: eventmesh.IntegrationNamespace}}
	dyingNamespace := integration.DeepCopy()
	dyingNamespace.DeletionTimestamp = now()
	dying := testApplication(func(a *appv1.Application) { a.DeletionTimestamp = now() })
	skipped := testApplication(func(a *appv1.Application) { a.Spec.SkipInstallation = true })
	dyingSource := testSource(func(s *sourcesv1.HTTPSource) { s.DeletionTimestamp = now() })
	earlierSource := testSource(func(s *sourcesv1.HTTPSource) { s.OwnerReferences[0].UID = "earlier" })
	otherSource := testSource(func(s *sourcesv1.HTTPSource) {
		s.OwnerReferences[0].UID, s.OwnerReferences[0].Kind = "another", "Other"
	})
	freeSource := testSource(func(s *sourcesv1.HTTPSource) { s.OwnerReferences = nil })

	for _, tt := range []struct {
		name     string
		observed applicationObserved
		want     []string
		status   string
		ready    string // status and reason
	}{
		{
			"new, nothing there",
			applicationObserved{app: testApplication(func(a *appv1.Application) {
				a.Finalizers, a.Spec = nil, appv1.ApplicationSpec{}
			})},
			[]string{"hold", "fill", "namespace", "source"},
			appv1.InstallationDeployed, "Unknown HTTPSourceNotFound",
		},
		{
			"hand-deleted source",
			applicationObserved{app: testApplication(nil), namespace: integration},
			[]string{"source"},
			appv1.InstallationDeployed, "Unknown HTTPSourceNotFound",
		},
		{
			"settled",
			applicationObserved{testApplication(nil), integration, testSource(nil)},
			nil, appv1.InstallationDeployed, "True Ready",
		},
		{
			"source not ready",
			applicationObserved{testApplication(nil), integration, testSource(func(s *sourcesv1.HTTPSource) {
				s.Status.Conditions[0].Status = metav1.ConditionFalse
				s.Status.Conditions[0].Reason = sourcesv1.ReasonSinkNotFound
			})},
			nil, appv1.InstallationDeployed, "False SinkNotFound",
		},
		{
			"source changed by hand",
			applicationObserved{testApplication(nil), integration, testSource(func(s *sourcesv1.HTTPSource) {
				s.Spec.Source, s.Generation = "other", 2
			})},
			[]string{"source"},
			appv1.InstallationDeployed, "Unknown NotReconciled",
		},
		{
			"source made by hand is taken over",
			applicationObserved{testApplication(nil), integration, freeSource},
			[]string{"source"},
			appv1.InstallationDeployed, "True Ready",
		},
		{
			"source of another",
			applicationObserved{testApplication(nil), integration, otherSource},
			nil, appv1.InstallationFailed, "False InstallationFailed",
		},
		{
			"source of an earlier application of this name",
			applicationObserved{testApplication(nil), integration, earlierSource},
			nil, appv1.InstallationPending, "Unknown InstallationPending",
		},
		{
			"source going",
			applicationObserved{testApplication(nil), integration, dyingSource},
			nil, appv1.InstallationPending, "Unknown InstallationPending",
		},
		{
			"integration namespace going",
			applicationObserved{testApplication(nil), dyingNamespace, nil},
			nil, appv1.InstallationPending, "Unknown InstallationPending",
		},
		{
			"skipped",
			applicationObserved{app: skipped, namespace: integration},
			nil, appv1.InstallationSkipped, "False InstallationSkipped",
		},
		{
			"skipped later",
			applicationObserved{skipped, integration, testSource(nil)},
			[]string{"delete source"},
			appv1.InstallationSkipped, "False InstallationSkipped",
		},
		{
			"skipped, source of another",
			applicationObserved{skipped, integration, otherSource},
			nil, appv1.InstallationSkipped, "False InstallationSkipped",
		},
		{
			"deleted",
			applicationObserved{dying, integration, testSource(nil)},
			[]string{"delete source"},
			"", "Unknown InstallationPending",
		},
		{
			"deleted, source going",
			applicationObserved{dying, integration, dyingSource},
			nil, "", "Unknown InstallationPending",
		},
		{
			"deleted, source gone",
			applicationObserved{app: dying, namespace: integration},
			[]string{"delete documents", "let go"},
			"", "Unknown InstallationPending",
		},
		{
			"deleted, source of another",
			applicationObserved{dying, integration, otherSource},
			[]string{"delete documents", "let go"},
			"", "Unknown InstallationPending",
		},
		{
			"deleted and let go, held by somebody else",
			applicationObserved{app: testApplication(func(a *appv1.Application) {
				a.DeletionTimestamp, a.Finalizers = now(), []string{"theirs"}
			}), namespace: integration},
			nil, "", "Unknown InstallationPending",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decideApplication(tt.observed)
			if diff := cmp.Diff(tt.want, got.words(), sorted); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if got.installation.Status != tt.status {
				t.Errorf("status %q, want %q", got.installation.Status, tt.status)
			}
			if ready := string(got.ready.status) + " " + got.ready.reason; ready != tt.ready {
				t.Errorf("ready %q, want %q", ready, tt.ready)
			}
		})
	}
}
