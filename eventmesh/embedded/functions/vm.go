package functions

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja_nodejs/buffer"
	"github.com/dop251/goja_nodejs/require"
)

// errStopped is the end of a call that was interrupted while it waited; the call knows why.
var errStopped = errors.New("interrupted")

// instruction is the engine's own number at the end of a place.
var instruction = regexp.MustCompile(`\(\d+\)\)$`)

// thrownError is what a function threw, or rejected its promise with.
type thrownError struct {
	message string
	line    string // for the log: kind, message and the place it comes from
	at      file.Position
}

func (e *thrownError) Error() string { return e.message }

// errStackOverflow is what endless recursion throws, in JavaScript's own words. The code cannot catch it here.
var errStackOverflow = &thrownError{message: "Maximum call stack size exceeded", line: "Uncaught RangeError: Maximum call stack size exceeded"}

// vm is a JavaScript engine with one function's code loaded. It is not safe for concurrent use, except for interrupt.
// After a call was interrupted or panicked nothing is known about its state: it is thrown away.
type vm struct {
	rt        *goja.Runtime
	loop      *loop
	main      goja.Callable
	exports   goja.Value
	parse     goja.Callable
	stringify goja.Callable
	resolve   goja.Callable // Promise.resolve
	promises  goja.Value
	// log is that of the call under way, or of the loading.
	log *callLog
	// rejected are the promises whose rejection nobody has handled yet.
	rejected map[*goja.Promise]struct{}
}

// newVM makes an engine without a function's code; load puts it in. memory is what the function may use, in bytes.
func newVM(env map[string]string, memory int64) (*vm, error) {
	m := &vm{rt: goja.New(), rejected: map[*goja.Promise]struct{}{}}
	m.rt.SetParserOptions(parser.WithDisableSourceMaps)
	m.rt.SetPromiseRejectionTracker(func(p *goja.Promise, op goja.PromiseRejectionOperation) {
		if op == goja.PromiseRejectionReject {
			m.rejected[p] = struct{}{}
		} else {
			delete(m.rejected, p)
		}
	})
	// The modules that come with the engine read this process' environment and files. Only Buffer is taken from them,
	// and require is replaced below.
	require.NewRegistry(require.WithLoader(func(string) ([]byte, error) { return nil, require.ModuleFileDoesNotExistError })).Enable(m.rt)
	buffer.Enable(m.rt)
	m.loop = newLoop(m.rt)
	if err := guard(m.rt, memory); err != nil {
		return nil, err
	}
	if ex := m.rt.Try(func() { m.globals(env) }); ex != nil {
		return nil, fmt.Errorf("preparing the engine: %w", ex)
	}
	return m, nil
}

// globals defines what a source finds.
func (m *vm) globals(env map[string]string) {
	rt := m.rt
	builtin := func(owner, name string) goja.Callable {
		f, ok := goja.AssertFunction(rt.Get(owner).ToObject(rt).Get(name))
		if !ok {
			panic(rt.NewTypeError(owner + "." + name + " is not a function"))
		}
		return f
	}
	// Taken now, as the function may replace them.
	m.parse, m.stringify = builtin("JSON", "parse"), builtin("JSON", "stringify")
	m.promises, m.resolve = rt.Get("Promise"), builtin("Promise", "resolve")

	global := rt.GlobalObject()
	must(global.DefineDataProperty("global", global, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	exports, module := rt.NewObject(), rt.NewObject()
	must(module.Set("exports", exports))
	must(global.Set("module", module))
	must(global.Set("exports", exports))
	define(rt, global, "require", func(c goja.FunctionCall) goja.Value {
		panic(m.newError(fmt.Sprintf("require(%q): a function in the embedded mesh has no modules; functions with dependencies need a cluster", c.Argument(0))))
	})
	define(rt, global, "queueMicrotask", func(c goja.FunctionCall) goja.Value {
		promise, err := m.resolve(m.promises, goja.Undefined())
		if err != nil {
			panic(err)
		}
		then, _ := goja.AssertFunction(promise.ToObject(rt).Get("then"))
		if _, err := then(promise, c.Argument(0)); err != nil {
			panic(err)
		}
		return goja.Undefined()
	})

	buffer := rt.Get("Buffer").ToObject(rt)
	define(rt, buffer, "isBuffer", func(c goja.FunctionCall) goja.Value {
		return rt.ToValue(rt.InstanceOf(c.Argument(0), buffer))
	})

	process, vars := rt.NewObject(), rt.NewObject()
	for name, value := range maps.All(env) {
		must(vars.Set(name, value))
	}
	must(process.Set("env", vars))
	must(global.Set("process", process))

	console := rt.NewObject()
	for _, level := range []string{"log", "info", "warn", "error", "debug", "trace"} {
		define(rt, console, level, m.print)
	}
	must(global.Set("console", console))
}

// newError is a JavaScript Error.
func (m *vm) newError(message string) *goja.Object {
	e, err := m.rt.New(m.rt.Get("Error"), m.rt.ToValue(message))
	if err != nil {
		panic(err)
	}
	return e
}

// load runs the source and finds main. The error is a *sourceError if there is none, a *thrownError if the source
// threw.
func (m *vm) load(p *program) error {
	if _, err := m.rt.RunProgram(p.code); err != nil {
		return m.thrown(err)
	}
	var main goja.Value
	if ex := m.rt.Try(func() {
		m.exports = m.rt.Get("module").ToObject(m.rt).Get("exports")
		if o, ok := m.exports.(*goja.Object); ok {
			main = o.Get("main")
		}
	}); ex != nil {
		return m.thrown(ex)
	}
	f, ok := goja.AssertFunction(main)
	if !ok {
		return &sourceError{p.exports.Line, p.exports.Column, "main is not a function; the source must end in module.exports = { main: function (event, context) { … } }"}
	}
	m.main = f
	return nil
}

// settle calls main and waits until it is done: until its promise is settled, if it returns one. stop and idle are as for loop.run.
func (m *vm) settle(event, context goja.Value, stop <-chan struct{}, idle func(bool)) (goja.Value, error) {
	v, err := m.main(m.exports, event, context)
	if err != nil {
		return nil, m.thrown(err)
	}
	o, ok := v.(*goja.Object)
	if !ok {
		return v, nil
	}
	promise, ok := o.Export().(*goja.Promise)
	if !ok {
		if promise, err = m.adopt(o); err != nil || promise == nil {
			return v, err
		}
	}
	// Whatever it is rejected with is the call's own result.
	delete(m.rejected, promise)
	if err := m.loop.run(func() bool { return promise.State() != goja.PromiseStatePending }, stop, idle); err != nil {
		return nil, m.thrown(err)
	}
	if promise.State() == goja.PromiseStateRejected {
		delete(m.rejected, promise)
		return nil, m.thrownValue(promise.Result(), nil)
	}
	return promise.Result(), nil
}

// adopt turns an object with a method then into a promise; nil if it is none.
func (m *vm) adopt(o *goja.Object) (*goja.Promise, error) {
	var then goja.Value
	if ex := m.rt.Try(func() { then = o.Get("then") }); ex != nil {
		return nil, m.thrown(ex)
	}
	if _, ok := goja.AssertFunction(then); !ok {
		return nil, nil
	}
	v, err := m.resolve(m.promises, o)
	if err != nil {
		return nil, m.thrown(err)
	}
	promise, _ := v.Export().(*goja.Promise)
	return promise, nil
}

// thrown makes a *thrownError of an exception, or of an overflow of the stack. Other errors, such as interruptions, are returned as they are.
func (m *vm) thrown(err error) error {
	var ex *goja.Exception
	var overflow *goja.StackOverflowError
	switch {
	case errors.As(err, &ex):
		return m.thrownValue(ex.Value(), ex)
	case errors.As(err, &overflow):
		return errStackOverflow
	}
	return err
}

// thrownValue is the *thrownError of a value; ex says where it comes from, if that is known.
func (m *vm) thrownValue(v goja.Value, ex *goja.Exception) *thrownError {
	t := &thrownError{message: m.inspect(v), line: "Uncaught " + m.inspect(v)}
	if o, ok := v.(*goja.Object); ok {
		_ = m.rt.Try(func() {
			if message := o.Get("message"); message != nil && goja.IsString(message) && message.String() != "" {
				t.message = message.String()
			}
			if stack := o.Get("stack"); stack != nil && goja.IsString(stack) {
				if _, frame, ok := strings.Cut(stack.String(), "\n\tat "); ok {
					frame, _, _ = strings.Cut(frame, "\n")
					t.line += " at " + instruction.ReplaceAllString(frame, ")")
				}
			}
		})
	}
	if ex != nil {
		for _, frame := range ex.Stack() {
			if p := frame.Position(); p.Filename == sourceName {
				t.at = p
				break
			}
		}
	}
	t.message = shorten(t.message, maxLine)
	return t
}

// endCall forgets what belongs to a call: its timers, its log, and the rejections that nobody handled, which it logs.
// To log them may run the function's code: not if the call is killed, as nothing would interrupt it a second time.
func (m *vm) endCall(killed <-chan struct{}) {
	m.loop.reset()
	select {
	case <-killed:
		clear(m.rejected)
	default:
	}
	for p := range m.rejected {
		m.log.print(m.thrownValue(p.Result(), nil).line + " (in a promise that nobody waits for)")
	}
	clear(m.rejected)
	m.log = nil
}
