package transport

import (
	"context"
	"encoding/json"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// operation is one operation on a websocket. It is the reader of its answers; what is below mu of the connection is
// guarded by that.
type operation struct {
	departure
	c  *connection
	id string

	// guarded by c.mu
	box    mailbox
	last   []byte // the message that ends it, once nothing will follow
	queued bool   // in c.pending
	over   bool   // nothing more is to be written: the client wants no more, or has been told all
}

var _ reader = (*operation)(nil)

// batch is what of one operation is written at once.
type batch struct {
	head     []byte // of each payload's message
	payloads [][]byte
	last     []byte
}

// run starts the operation. It does not wait for it.
func (op *operation) run(ctx context.Context, raw *graphql.RawParams) {
	if raw.Query != "" {
		// Whoever subscribes to what runs already, as most do who have the same view open, is spared the rest.
		if key, err := streamKey(ctx, raw); err == nil {
			if leave, ok := op.c.t.Fanout.join(key, op); ok {
				op.onLeave(leave)
				return
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	op.onLeave(cancel)
	go execute(ctx, job{exec: op.c.exec, fanout: op.c.t.Fanout, raw: raw, to: op, onLeave: op.onLeave})
}

// job is an operation to run.
type job struct {
	exec     graphql.GraphExecutor
	fanout   *Fanout
	raw      *graphql.RawParams
	to       reader
	onLeave  func(func()) // what it is given ends the operation
	readOnly bool         // mutations are refused
}

// execute runs an operation of any kind until it has been answered, or is shared with others.
func execute(ctx context.Context, j job) {
	defer func() {
		if p := recover(); p != nil {
			j.fail(panicked(ctx, j.exec, p)...)
		}
	}()
	ctx = graphql.StartOperationTrace(ctx)
	op, errs := j.exec.CreateOperationContext(ctx, j.raw)
	if errs != nil {
		j.fail(j.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs).Errors...)
		return
	}
	dispatch := func(ctx context.Context) (graphql.ResponseHandler, context.Context) {
		return j.exec.DispatchOperation(ctx, op)
	}
	switch op.Operation.Operation {
	case ast.Subscription:
		key, err := streamKey(ctx, j.raw)
		if err != nil {
			j.fail(coded(codeInvalid, "the variables cannot be written as JSON"))
			return
		}
		j.onLeave(j.fanout.start(ctx, j.exec, key, j.to, dispatch))
		return
	case ast.Mutation:
		if j.readOnly {
			j.fail(coded(codeBadRequest, "GET requests only allow queries and subscriptions"))
			return
		}
	}
	responses, ctx := dispatch(ctx)
	if response := responses(ctx); response != nil {
		j.to.offer(message{payload: encode(response)})
	}
	j.to.finish(nil)
}

func (j *job) fail(errs ...*gqlerror.Error) { j.to.finish(encodeErrors(errs)) }

// offer takes an answer for the client.
func (op *operation) offer(m message) {
	op.c.mu.Lock()
	defer op.c.mu.Unlock()
	if op.over || op.last != nil || op.c.ending != nil {
		return
	}
	if !op.box.put(m) {
		errs := encodeErrors(gqlerror.List{errSlow()})
		op.last = op.frame(typeError, errs)
		go op.leave() // takes other locks
	}
	op.queue()
}

// finish says that nothing will follow.
func (op *operation) finish(errs []byte) {
	op.c.mu.Lock()
	defer op.c.mu.Unlock()
	if op.over || op.last != nil || op.c.ending != nil {
		return
	}
	op.last = op.frame(typeComplete, nil)
	if errs != nil {
		op.last = op.frame(typeError, errs)
	}
	op.queue()
}

// queue has the writer write what waits. The lock is held.
func (op *operation) queue() {
	if !op.queued {
		op.queued = true
		op.c.pending = append(op.c.pending, op)
	}
	op.c.wake()
}

// take returns what waits, for the writer. The lock is held.
func (op *operation) take() batch {
	op.queued = false
	if op.over {
		return batch{}
	}
	next := typeNext
	if op.c.legacy {
		next = legacyData
	}
	b := batch{payloads: op.box.take(), last: op.last}
	if len(b.payloads) > 0 {
		frame := op.frame(next, json.RawMessage("0"))
		b.head = frame[:len(frame)-len("0}")]
	}
	if b.last != nil && op.c.operations[op.id] == op {
		delete(op.c.operations, op.id) // the id is free again
		op.over = true
		go op.leave()
	}
	return b
}

// frame is a message of the operation.
func (op *operation) frame(kind string, payload json.RawMessage) []byte {
	raw, err := json.Marshal(frame{ID: &op.id, Type: kind, Payload: payload})
	if err != nil {
		panic(err) // strings and JSON can be written
	}
	return raw
}
