package connector

import (
	"context"
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kyma-eventmesh/kyma-console/eventmesh"
	appv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/applicationconnector/v1alpha1"
	sourcesv1 "github.com/kyma-eventmesh/kyma-console/k8s/apis/sources/v1alpha1"
)

// Directory knows the applications and where their events go.
type Directory interface {
	// Source returns where the application's events go. The error, of the Kubernetes API, is NotFound when there is no
	// such application, and ServiceUnavailable, with the reason, when nothing takes its events yet.
	Source(ctx context.Context, application string) (Source, error)
}

// clusterDirectory reads the applications and their HTTPSources from the cluster.
type clusterDirectory struct {
	reader client.Reader
}

func (d clusterDirectory) Source(ctx context.Context, application string) (Source, error) {
	app, err := d.application(ctx, application)
	if err != nil {
		return Source{}, err
	}
	var source sourcesv1.HTTPSource
	key := client.ObjectKey{Namespace: eventmesh.IntegrationNamespace, Name: application}
	err = d.reader.Get(ctx, key, &source)
	switch {
	case apierrors.IsNotFound(err) && app.Spec.SkipInstallation:
		return Source{}, unavailable("Application %q takes no events: its spec.skipInstallation is set", application)
	case apierrors.IsNotFound(err):
		return Source{}, unavailable("Application %q takes no events yet: it has no HTTP source", application)
	case err != nil:
		return Source{}, fmt.Errorf("reading HTTPSource %s: %w", application, err)
	case source.Status.SinkURI == "":
		return Source{}, unavailable("Application %q takes no events yet: %s", application, notReadyReason(&source))
	}
	sink, err := url.Parse(source.Status.SinkURI)
	if err != nil {
		return Source{}, fmt.Errorf("sink of HTTPSource %s: %w", application, err)
	}
	return Source{Name: source.Spec.Source, Sink: sink}, nil
}

// application returns the Application, or NotFound in the words for senders.
func (d clusterDirectory) application(ctx context.Context, name string) (*appv1.Application, error) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, unknownApplication(name)
	}
	var app appv1.Application
	if err := d.reader.Get(ctx, client.ObjectKey{Name: name}, &app); apierrors.IsNotFound(err) {
		return nil, unknownApplication(name)
	} else if err != nil {
		return nil, fmt.Errorf("reading Application %s: %w", name, err)
	}
	return &app, nil
}

// unknownApplication is the error for an application that does not exist.
func unknownApplication(name string) error {
	err := apierrors.NewNotFound(appv1.GroupVersion.WithResource("applications").GroupResource(), name)
	err.ErrStatus.Message = fmt.Sprintf("Application %q does not exist", name)
	return err
}

// notReadyReason is why the source has no sink, in its own words.
func notReadyReason(source *sourcesv1.HTTPSource) string {
	for _, conditionType := range []string{sourcesv1.ConditionSinkProvided, sourcesv1.ConditionReady} {
		condition := meta.FindStatusCondition(source.Status.Conditions, conditionType)
		if condition != nil && condition.Message != "" {
			return fmt.Sprintf("%s (%s)", condition.Message, condition.Reason)
		}
	}
	return fmt.Sprintf("%s (%s)", sourcesv1.MessageEmptySinkURI, sourcesv1.ReasonEmptySinkURI)
}

// unavailable is the error that tells a sender to try again later, and why.
func unavailable(format string, args ...any) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf(format, args...))
}
