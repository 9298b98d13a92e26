package k8s

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestDecisions counts what the authorizer is asked.
func TestDecisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, fails := 0, false
		d := newDecisions(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			asked++
			time.Sleep(time.Second) // of the test's clock
			switch {
			case fails:
				return authorizer.DecisionNoOpinion, "", errors.New("no answer")
			case a.GetName() == "mine":
				return authorizer.DecisionAllow, "", nil
			default:
				return authorizer.DecisionNoOpinion, "", nil
			}
		}))
		u := &user.DefaultInfo{Name: "ann"}
		ask := func(ctx context.Context, name string) (bool, error) {
			return d.allows(ctx, u, question{who: "ann", verb: "get", name: name})
		}
		want := func(n int, what string) {
			t.Helper()
			if asked != n {
				t.Errorf("%s: asked %d times, want %d", what, asked, n)
			}
			asked = 0
		}

		var together sync.WaitGroup
		for range 500 {
			together.Go(func() {
				if allowed, err := ask(t.Context(), "mine"); err != nil || !allowed {
					t.Errorf("%t, %v", allowed, err)
				}
			})
		}
		leaving, leave := context.WithCancel(t.Context())
		together.Go(func() {
			if _, err := ask(leaving, "mine"); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		leave()
		together.Wait()
		want(1, "side by side")
		if allowed, err := ask(t.Context(), "other's"); err != nil || allowed {
			t.Errorf("%t, %v", allowed, err)
		}
		_, _ = ask(t.Context(), "other's")
		want(1, "a refusal is remembered")
		time.Sleep(reviewTTL)
		_, _ = ask(t.Context(), "mine")
		want(1, "after a while")
		fails = true
		for range 2 {
			if _, err := ask(t.Context(), "new"); err == nil {
				t.Error("no error")
			}
		}
		want(2, "errors are not remembered")
	})
}

func TestQuestion(t *testing.T) {
	a, b := question{namespace: "a b", name: "c"}, question{namespace: "a", name: "b c"}
	if a.String() == b.String() {
		t.Errorf("two questions are one: %s", a)
	}
}
