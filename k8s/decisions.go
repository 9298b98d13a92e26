package k8s

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	// maxDecisions is how many answers of the authorizer are remembered.
	maxDecisions = 65_536
	// decisionTime is how long the authorizer may take, whoever waits for it.
	decisionTime = 15 * time.Second
)

// decisions remembers what the authorizer has answered, for reviewTTL, and asks nothing twice at once: the items of one
// list need the same right, and gqlgen resolves them side by side.
type decisions struct {
	authorizer authorizer.Authorizer
	known      *utilcache.LRUExpireCache // of bool, by question
	asked      singleflight.Group
}

// question is what a decision is about. who is the user's identity.
type question struct{ who, verb, group, version, resource, namespace, name string }

func newDecisions(a authorizer.Authorizer) *decisions {
	return &decisions{authorizer: a, known: utilcache.NewLRUExpireCache(maxDecisions)}
}

// allows reports whether u may do what q says.
func (d *decisions) allows(ctx context.Context, u user.Info, q question) (bool, error) {
	if allowed, ok := d.known.Get(q); ok {
		return allowed.(bool), nil
	}
	answer := d.asked.DoChan(q.String(), func() (any, error) {
		// For all who wait: the first of them may leave.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), decisionTime)
		defer cancel()
		decision, _, err := d.authorizer.Authorize(ctx, authorizer.AttributesRecord{
			User: u, Verb: q.verb, Namespace: q.namespace, Name: q.name, ResourceRequest: true,
			APIGroup: q.group, APIVersion: q.version, Resource: q.resource,
		})
		if err != nil {
			return false, err
		}
		d.known.Add(q, decision == authorizer.DecisionAllow, reviewTTL)
		return decision == authorizer.DecisionAllow, nil
	})
	select {
	case a := <-answer:
		return a.Err == nil && a.Val.(bool), a.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// String is different for different questions, whatever users have typed as names.
func (q question) String() string {
	return fmt.Sprintf("%q", []string{q.who, q.verb, q.group, q.version, q.resource, q.namespace, q.name})
}
