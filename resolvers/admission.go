package resolvers

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kyma-eventmesh/kyma-console/web/transport"
)

// perUser counts what each user has at once, and lets nobody have more than a number of them.
type perUser struct {
	limit int
	mu    sync.Mutex
	has   map[string]int
}

func newPerUser(limit int) *perUser { return &perUser{limit: limit, has: map[string]int{}} }

// enter counts one more for the user of that name, until leave is called. It is not counted if ok is false.
func (p *perUser) enter(name string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has[name] >= p.limit {
		return nil, false
	}
	p.has[name]++
	return func() { p.leave(name) }, true
}

func (p *perUser) leave(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has[name]--; p.has[name] == 0 {
		delete(p.has, name) // so that what is kept does not grow with everybody who ever came
	}
}

// admit refuses operations of users who have too many running. An operation runs until its context ends.
func (p *perUser) admit(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	leave, ok := p.enter(userName(ctx))
	if !ok {
		err := refused(codeRateLimited, "more than %d operations of one user at once", p.limit)
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{err}})
	}
	context.AfterFunc(ctx, leave)
	return next(ctx)
}

// limitStreams refuses websockets and event streams of users who have too many open. Who signs in with the first message of
// a websocket is not known yet, and asks admitStream then.
func (p *perUser) limitStreams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, known := request.UserFrom(r.Context())
		if stream := websocket.IsWebSocketUpgrade(r) || transport.AcceptsEvents(r); !known || !stream {
			next.ServeHTTP(w, r)
			return
		}
		leave, ok := p.admitStream(r.Context())
		if !ok {
			transport.Refuse(w, http.StatusTooManyRequests, codeRateLimited,
				fmt.Sprintf("more than %d websockets and event streams of one user at once", p.limit))
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}

// admitStream counts a websocket or event stream of the user in ctx until leave is called.
func (p *perUser) admitStream(ctx context.Context) (leave func(), ok bool) {
	return p.enter(userName(ctx))
}

// userName is that of the user in ctx, "" for nobody.
func userName(ctx context.Context) string {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return ""
	}
	return u.GetName()
}
