package resolvers

import (
	"cmp"
	"context"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// everywhere asks for the rules that hold in every namespace: no namespace has that name.
const everywhere = "*"

// SelfSubjectRules lets the API server review the user's rules as that user.
func (r queryResolver) SelfSubjectRules(ctx context.Context, namespace *string) ([]authorizationv1.ResourceRule, error) {
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: everywhere}}
	if namespace != nil {
		review.Spec.Namespace = *namespace
	}
	if err := r.Cluster.Client(ctx).Create(ctx, review); err != nil {
		return nil, err
	}
	rules := review.Status.ResourceRules
	slices.SortFunc(rules, func(a, b authorizationv1.ResourceRule) int {
		return cmp.Or(slices.Compare(a.APIGroups, b.APIGroups), slices.Compare(a.Resources, b.Resources), slices.Compare(a.Verbs, b.Verbs))
	})
	return rules, nil
}
