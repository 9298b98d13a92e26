package resolvers

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/vektah/gqlparser/v2/ast"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kyma-eventmesh/kyma-console/k8s"
)

const (
	// maxAnswers is how many answers are remembered.
	maxAnswers = 4096
	// largestAnswer is the part of all remembered bytes that one answer may have.
	largestAnswer = 1.0 / 16
)

// answers remembers what queries were answered, and repeats it to the same user for as long as nothing that was read for
// it has changed. People who have the same view open, and one who comes back to it, ask the same again and again; the
// caches tell when the answer would differ, and its age adds to how long a right that was withdrawn can be used (k8s.Reads).
type answers struct {
	limit int // in bytes

	mu    sync.Mutex
	known *lru.LRU[string, *answer]
	bytes int // of all that are known
}

// answer is one remembered answer.
type answer struct {
	response *graphql.Response
	reads    *k8s.Reads
}

// size is how many bytes it takes to remember the answer under key, which has the document and its variables in it.
func (v *answer) size(key string) int { return len(key) + len(v.response.Data) }

func newAnswers(limit int) *answers {
	a := &answers{limit: limit}
	known, err := lru.NewLRU(maxAnswers, func(key string, old *answer) { a.bytes -= old.size(key) })
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	a.known = known
	return a
}

// intercept is an operation middleware of gqlgen.
func (a *answers) intercept(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	op := graphql.GetOperationContext(ctx)
	if op.Operation.Operation != ast.Query || op.Extensions[costExtension] != nil { // which the answer would repeat
		return next(ctx)
	}
	key, ok := answerKey(ctx, op)
	if !ok {
		return next(ctx)
	}
	if response := a.get(key); response != nil {
		return graphql.OneShot(response)
	}
	ctx, reads := k8s.TrackReads(ctx)
	handler := next(ctx)
	return func(ctx context.Context) *graphql.Response {
		response := handler(ctx)
		if v := (&answer{response, reads}); response != nil && len(response.Errors) == 0 && float64(v.size(key)) < largestAnswer*float64(a.limit) {
			a.put(key, v)
		}
		return response
	}
}

// answerKey identifies a query and the rights with which it is asked. Nobody's have none.
func answerKey(ctx context.Context, op *graphql.OperationContext) (key string, ok bool) {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return "", false
	}
	raw, err := json.Marshal([]any{u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra(), op.RawQuery, op.OperationName, op.Variables})
	return string(raw), err == nil
}

// get is the answer under key if it would be the same today.
func (a *answers) get(key string) *graphql.Response {
	a.mu.Lock()
	known, ok := a.known.Get(key)
	a.mu.Unlock()
	if !ok || !known.reads.Current() {
		return nil
	}
	return known.response
}

func (a *answers) put(key string, v *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known.Remove(key)
	a.bytes += v.size(key)
	a.known.Add(key, v)
	for a.bytes > a.limit {
		a.known.RemoveOldest()
	}
}
