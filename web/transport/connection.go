package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
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
	pending    []*operation // that have something to write
	writing    bool
	ending     *closing // how to end once all is written
	endSent    bool     // and the close frame has been
	readerGone bool

	initTimer, aliveTimer *time.Timer
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
	stop := context.AfterFunc(c.ctx, c.requestEnded)
	defer stop()
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
	c.cancel()
	for _, op := range operations {
		op.leave()
	}
	if c.done != nil {
		c.done()
	}
	if last {
		_ = c.ws.Close()
	}
}

// requestEnded is called when the request's or the sign-in's context ends before the connection does.
func (c *connection) requestEnded() {
	if errors.Is(context.Cause(c.ctx), ErrSignedOut) {
		c.signedOut()
		return
	}
	c.end(closeGoingAway)
}

// signedOut ends the connection. A client of the older sub-protocol does not look at close codes, and is told for each
// operation.
func (c *connection) signedOut() {
	if c.legacy {
		errs := encodeErrors(gqlerror.List{coded(codeUnauthenticated, closeSignedOut.reason)})
		c.mu.Lock()
		for _, op := range c.operations {
			c.control = append(c.control, op.frame(typeError, errs))
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
	if refused := c.signIn(f.token()); refused != nil {
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
func (c *connection) signIn(token string) *closing {
	signIn, possible := c.ctx.Value(signInKey{}).(SignIn)
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
		c.ctx, c.done = ctx, func() { leave(); done() }
		context.AfterFunc(ctx, c.requestEnded)
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
	if refused := c.admit(op); refused != nil {
		c.end(*refused)
		return
	}
	op.run(c.ctx, raw)
}

// admit registers op under its id, or returns how to end the connection. An operation too many is refused by itself.
func (c *connection) admit(op *operation) *closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.operations[op.id]
	switch {
	case !c.ready:
		return &closeUnknown
	case before != nil && !c.legacy:
		refused := closeDuplicate(op.id)
		return &refused
	case before != nil:
		before.over = true // as with subscriptions-transport-ws, the newer takes its place
		go before.leave()  // takes other locks
	case len(c.operations) >= c.t.MaxOperations:
		op.refused = gqlerror.List{coded(codeRateLimited, fmt.Sprintf("more than %d operations at once on one websocket", c.t.MaxOperations))}
	}
	c.operations[op.id] = op
	return nil
}

// complete ends an operation that the client wants no more of. One that has ended already is fine.
func (c *connection) complete(id string) {
	c.mu.Lock()
	op := c.operations[id]
	delete(c.operations, id)
	if op != nil {
		op.over = true
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

// send writes a message before any answer that waits.
func (c *connection) send(f *frame) {
	raw, err := json.Marshal(f)
	if err != nil {
		return // a payload that the client sent and that has been parsed can be written
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control = append(c.control, raw)
	c.wake()
}

// end closes the connection after what waits to be written.
func (c *connection) end(how closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil {
		c.ending = &how
		c.wake()
	}
}

// wake has the writer look. The lock is held.
func (c *connection) wake() {
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

// write writes what waits until there is nothing. A client that does not take it in time is cut off, which ends
// everything that it asked for.
func (c *connection) write() {
	for {
		c.mu.Lock()
		control, pending, ending := c.control, c.pending, c.ending
		c.control, c.pending = nil, nil
		if len(control)+len(pending) == 0 {
			c.writing = ending != nil // nothing is written after the end
			c.mu.Unlock()
			if ending != nil {
				c.writeEnd(*ending)
			}
			return
		}
		batches := make([]batch, len(pending))
		for i, op := range pending {
			batches[i] = op.take()
		}
		c.mu.Unlock()
		if err := c.writeAll(control, batches); err != nil {
			_ = c.ws.Close() // the reader sees it
			return           // writing stays set: nothing more can be written
		}
	}
}

func (c *connection) writeAll(control [][]byte, batches []batch) error {
	for _, raw := range control {
		if err := c.writeParts(raw); err != nil {
			return err
		}
	}
	for _, b := range batches {
		for _, payload := range b.payloads {
			if err := c.writeParts(b.head, payload, []byte{'}'}); err != nil {
				return err
			}
		}
		if b.last != nil {
			if err := c.writeParts(b.last); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeParts writes one message.
func (c *connection) writeParts(parts ...[]byte) error {
	if err := c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	w, err := c.ws.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Close()
}

// writeEnd sends the close frame and gives the client a moment to answer it, so that it reads the code and not a reset.
func (c *connection) writeEnd(how closing) {
	frame := websocket.FormatCloseMessage(how.code, truncated(how.reason))
	_ = c.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(writeTimeout)) // or else it is gone already
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endSent = true
	if c.readerGone {
		_ = c.ws.Close()
		return
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(closeGrace))
}

// truncated makes a reason fit into a close frame.
func truncated(reason string) string {
	const most = 123 // bytes, RFC 6455 section 5.5 less two for the code
	if len(reason) <= most {
		return reason
	}
	return strings.ToValidUTF8(reason[:most], "")
}
