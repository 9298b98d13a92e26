package resolvers

import (
	"context"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

const (
	// installer is the name of the Deployment that installed Kyma, and of its namespace.
	installer = "kyma-installer"
	// kymaRegistry is where Kyma's own images are.
	kymaRegistry = "eu.gcr.io/"
)

func (r queryResolver) VersionInfo(ctx context.Context) (*graph.VersionInfo, error) {
	deployment, err := get[appsv1.Deployment](ctx, r.Cluster.Client(ctx), installer, installer)
	if apierrors.IsNotFound(err) || (err != nil && unseen(err) == nil) {
		return &graph.VersionInfo{}, nil
	}
	if err != nil {
		return nil, err
	}
	info := &graph.VersionInfo{}
	if containers := deployment.Spec.Template.Spec.Containers; len(containers) > 0 {
		info.KymaVersion = optional(versionOf(containers[0].Image))
	}
	return info, nil
}

// versionOf is the version that the installer's image says: its tag, or all of it if it is not Kyma's own or has no tag.
func versionOf(image string) string {
	name, _, _ := strings.Cut(image, "@")
	_, tag, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	switch {
	case !ok || !strings.HasPrefix(image, kymaRegistry):
		return image
	case strings.HasPrefix(tag, "PR-"):
		return "pull request " + tag
	default:
		return tag
	}
}
