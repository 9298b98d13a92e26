package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// connection is one websocket. The goroutine of the request reads; writing is done by a goroutine that exists only while
// there is something to write, so that an idle connection costs one.
type connection struct {
	t      *Websocket
	ws     *websocket.Conn
	exec   graphql.GraphExecutor
	header http.Header
	legacy bool
	cancel context.CancelFunc

	// ctx belongs to the reader: it carries the user once the client is signed in.
	ctx  context.Context
	done context.CancelFunc // of the sign-in by the first message

	mu         sync.Mutex
	greeted    bool // connection_init has come
	ready      bool // and was acknowledged
	operations map[string]*operation
	control    [][]byte     // to write before anything else
	waiting    int64        // bytes in control
	pending    []*operation // of operations, that have something to write
	writing    bool
	ending     *closing // how to end once what waits is written; nothing is added to that
	endSent    bool     // and the close frame has been
	readerGone bool

	initTimer, aliveTimer, endTimer *time.Timer
}

func newConnection(t *Websocket, ws *websocket.Conn, exec graphql.GraphExecutor, r *http.Request) *connection {
	ctx, cancel := context.WithCancel(r.Context())
	c := &connection{
		t: t, ws: ws, exec: exec, header: r.Header, legacy: ws.Subprotocol() == LegacyWS,
		ctx: ctx, cancel: cancel, operations: map[string]*operation{},
	}
	ws.SetReadLimit(t.MaxMessage)
	return c
}

// serve reads until the connection ends, and returns when nothing of it is left but a last write.
func (c *connection) serve() {
	defer c.cleanUp()
	defer c.follow(c.ctx)()
	c.mu.Lock()
	c.initTimer = time.AfterFunc(c.t.InitTimeout, c.initTimedOut)
	c.mu.Unlock()
	for {
		_, raw, err := c.ws.ReadMessage()
		if isTimeout(err) {
			c.end(closeSilent)
		}
		if err != nil {
			return
		}
		if c.heard() {
			c.take(raw)
		}
	}
}

// take handles one message.
func (c *connection) take(raw []byte) {
	f, err := parse(raw, c.legacy)
	if err != nil {
		c.bad(nil, err)
		return
	}
	c.handle(f)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// cleanUp ends everything that the connection has begun.
func (c *connection) cleanUp() {
	c.mu.Lock()
	c.readerGone = true
	operations := c.operations
	c.operations, c.pending = map[string]*operation{}, nil
	for _, op := range operations {
		op.over = true
	}
	for _, timer := range []*time.Timer{c.initTimer, c.aliveTimer} {
		if timer != nil {
			timer.Stop()
		}
	}
	last := c.ending == nil || c.endSent // else the writer is
	c.mu.Unlock()
	if c.done != nil {
		c.done()
	}
	c.cancel()
	for _, op := range operations {
		op.leave()
	}
	if last {
		c.cut()
	}
}

// follow ends the connection when ctx, the request's or the sign-in's, ends before it does, which is until stop is called.
func (c *connection) follow(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrSignedOut) {
			c.signedOut()
			return
		}
		c.end(closeGoingAway)
	})
}

// signedOut ends the connection. A client of the older sub-protocol does not look at close codes, and is told for each
// operation.
func (c *connection) signedOut() {
	if c.legacy {
		errs := encodeErrors(gqlerror.List{coded(codeUnauthenticated, closeSignedOut.reason)})
		c.mu.Lock()
		for _, op := range c.operations {
			c.put(op.frame(typeError, errs))
			c.drop(op)
		}
		c.mu.Unlock()
	}
	c.end(closeSignedOut)
}

// handle does what a message asks for.
func (c *connection) handle(f *frame) {
	switch f.Type {
	case typeInit:
		c.init(f)
	case typePing:
		c.send(&frame{Type: typePong, Payload: f.Payload})
	case typePong: // heard
	case typeSubscribe, legacyStart:
		c.subscribe(f)
	case typeComplete, legacyStop:
		c.complete(*f.ID)
	case legacyTerminate:
		c.end(closeNormal)
	}
}

// bad answers a message that does not keep to the protocol. Clients of the older one get an error message and may go on.
func (c *connection) bad(id *string, err error) {
	if c.legacy {
		payload, _ := json.Marshal(map[string]string{"message": err.Error()}) // strings can always be written
		c.send(&frame{ID: id, Type: typeError, Payload: payload})
		return
	}
	if why, ok := errors.AsType[unexpected](err); ok {
		c.end(closeUnexpected(why))
		return
	}
	c.end(closeBad("Invalid message received: " + err.Error()))
}

// init acknowledges the client, when it is known who it is.
func (c *connection) init(f *frame) {
	c.mu.Lock()
	again := c.greeted
	c.greeted = true
	c.initTimer.Stop()
	c.mu.Unlock()
	if again {
		c.end(closeInitTwice)
		return
	}
	if refused := c.signIn(f); refused != nil {
		if c.legacy {
			message := json.RawMessage(`{"message":"Unauthorized"}`)
			if refused == &closeTooMany {
				message = json.RawMessage(`{"message":"` + closeTooMany.reason + `"}`)
			}
			c.send(&frame{Type: legacyInitError, Payload: message})
		}
		c.end(*refused)
		return
	}
	c.mu.Lock()
	c.ready = true
	c.aliveTimer = time.AfterFunc(c.t.Alive, c.signOfLife)
	c.mu.Unlock()
	c.send(&frame{Type: typeAck})
	if c.legacy {
		c.send(&frame{Type: legacyAlive})
	}
}

// signIn finds out who the client is, by the token of its first message if it has one, else by its request. It returns
// how to end the connection if that is nobody.
func (c *connection) signIn(f *frame) *closing {
	signIn, possible := c.ctx.Value(signInKey{}).(SignIn)
	token, ok := f.token()
	if !ok {
		return &closeForbidden
	}
	if token != "" && possible {
		ctx, done, ok := signIn(c.ctx, token)
		if !ok {
			return &closeForbidden
		}
		leave := func() {}
		if c.t.Admit != nil {
			if leave, ok = c.t.Admit(ctx); !ok {
				done()
				return &closeTooMany
			}
		}
		unfollow := c.follow(ctx)
		c.ctx, c.done = ctx, func() { unfollow(); leave(); done() }
		return nil
	}
	if _, known := request.UserFrom(c.ctx); !known && possible {
		return &closeUnknown
	}
	return nil
}

func (c *connection) initTimedOut() { c.end(closeInitTimeout) }

// signOfLife is sent again and again. Clients of today's sub-protocol answer it.
func (c *connection) signOfLife() {
	if c.legacy {
		c.send(&frame{Type: legacyAlive})
	} else {
		c.send(&frame{Type: typePing})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readerGone {
		c.aliveTimer.Reset(c.t.Alive)
	}
}

// heard is called for each message: the client is alive. Those of the older sub-protocol have no way to say so. It
// reports whether the message matters, which it does not once the connection is being ended.
func (c *connection) heard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != nil {
		return false
	}
	if !c.legacy {
		_ = c.ws.SetReadDeadline(time.Now().Add(3 * c.t.Alive)) // fails only on a connection that has ended
	}
	return true
}

// subscribe starts an operation of any kind.
func (c *connection) subscribe(f *frame) {
	raw, err := f.request()
	if err != nil {
		c.bad(f.ID, err)
		return
	}
	raw.Headers = c.header
	op := &operation{c: c, id: *f.ID}
	how, refusal := c.admit(op)
	switch {
	case how != nil:
		c.end(*how)
	case refusal != nil:
		c.send(&frame{ID: f.ID, Type: typeError, Payload: encodeErrors(gqlerror.List{refusal})})
	default:
		op.run(c.ctx, raw)
	}
}

// admit registers op under its id, or returns how to end the connection. An operation too many is refused by itself.
func (c *connection) admit(op *operation) (how *closing, refusal *gqlerror.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.operations[op.id]
	switch {
	case !c.ready:
		return &closeUnknown, nil
	case before != nil && !c.legacy:
		duplicate := closeDuplicate(op.id)
		return &duplicate, nil
	case before != nil:
		c.drop(before)    // as with subscriptions-transport-ws, the newer takes its place
		go before.leave() // takes other locks
	case len(c.operations) >= c.t.MaxOperations:
		return nil, coded(codeRateLimited, fmt.Sprintf("more than %d operations at once on one websocket", c.t.MaxOperations))
	}
	c.operations[op.id] = op
	return nil, nil
}

// complete ends an operation that the client wants no more of. One that has ended already is fine.
func (c *connection) complete(id string) {
	c.mu.Lock()
	op := c.operations[id]
	delete(c.operations, id)
	if op != nil {
		c.drop(op)
	}
	c.mu.Unlock()
	if op == nil {
		return
	}
	op.leave()
	if c.legacy {
		c.send(&frame{ID: &id, Type: typeComplete})
	}
}
