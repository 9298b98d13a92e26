package resolvers

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/kyma-eventmesh/kyma-console/graph"
)

// secretResolver only gets Secrets that were read with the user's rights, so that their fields need no review. Values must
// stay out of errors and logs, which are not only that user's.
type secretResolver struct{ *Resolver }

// Secret returns the resolver of Secrets.
func (r *Resolver) Secret() graph.SecretResolver { return secretResolver{r} }

func (secretResolver) Data(_ context.Context, s *corev1.Secret) (map[string]any, error) {
	data := make(map[string]any, len(s.Data))
	for key, value := range s.Data {
		data[key] = string(value)
	}
	return data, nil
}

func (secretResolver) Type(_ context.Context, s *corev1.Secret) (string, error) {
	return string(s.Type), nil
}

func (secretResolver) Labels(_ context.Context, s *corev1.Secret) (map[string]any, error) {
	return anyValues(s.Labels), nil
}

func (secretResolver) Annotations(_ context.Context, s *corev1.Secret) (map[string]any, error) {
	return anyValues(s.Annotations), nil
}

func (r secretResolver) JSON(_ context.Context, s *corev1.Secret) (map[string]any, error) {
	return r.jsonOf(s)
}

// anyValues is m for the scalar JSON.
func anyValues(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = value
	}
	return out
}
