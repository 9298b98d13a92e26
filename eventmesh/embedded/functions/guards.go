package functions

import (
	"fmt"

	"github.com/dop251/goja"
)

const (
	// maxCallStack bounds how deeply JavaScript functions may call each other.
	maxCallStack = 4096
	// maxDynamicSource bounds what eval and Function compile at run time, in bytes.
	maxDynamicSource = 64 << 10
	// bytesPerItem is about what an array needs for an element.
	bytesPerItem = 64
)

// guards refuse, with a RangeError, what would take much memory or time inside one built-in function, where neither
// the clock nor the watchdog can interrupt it.
type guards struct {
	rt         *goja.Runtime
	rangeError *goja.Object
	bytes      int64 // the most that one value may take
	items      int64 // the most elements that a built-in function may visit
}

// guard puts guards into a VM whose function may use limit bytes. It must come before the function's own code.
func guard(rt *goja.Runtime, limit int64) error {
	g := &guards{rt: rt, rangeError: rt.Get("RangeError").ToObject(rt), bytes: limit / 2, items: limit / bytesPerItem}
	rt.SetMaxCallStackSize(maxCallStack)
	for _, install := range []func(){g.strings, g.arrays, g.buffers, g.sources} {
		if ex := rt.Try(install); ex != nil {
			return fmt.Errorf("guarding built-in functions: %w", ex)
		}
	}
	return nil
}

// refuse throws a RangeError.
func (g *guards) refuse(format string, args ...any) {
	e, err := g.rt.New(g.rangeError, g.rt.ToValue(fmt.Sprintf(format, args...)))
	if err != nil {
		panic(err)
	}
	panic(e)
}

// wrap makes check come before a method.
func (g *guards) wrap(owner *goja.Object, name string, check func(goja.FunctionCall)) {
	original, ok := goja.AssertFunction(owner.Get(name))
	if !ok {
		return // not in this version of the engine
	}
	define(g.rt, owner, name, func(call goja.FunctionCall) goja.Value {
		check(call)
		v, err := original(call.This, call.Arguments...)
		if err != nil {
			panic(err)
		}
		return v
	})
}

// wrapNew makes check come before a constructor, called with new or without. Instances, static members and classes
// derived from it are as before.
func (g *guards) wrapNew(constructor *goja.Object, check func(args []goja.Value)) *goja.Object {
	construct, ok := goja.AssertConstructor(constructor)
	if !ok {
		panic(g.rt.NewTypeError("not a constructor"))
	}
	guarded := g.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		check(call.Arguments)
		o, err := construct(call.NewTarget, call.Arguments...)
		if err != nil {
			panic(err)
		}
		return o
	}).ToObject(g.rt)
	prototype := constructor.Get("prototype").ToObject(g.rt)
	must(guarded.SetPrototype(constructor)) // for the static members
	must(guarded.DefineDataProperty("name", constructor.Get("name"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	must(guarded.DefineDataProperty("prototype", prototype, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
	must(prototype.DefineDataProperty("constructor", guarded, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	return guarded
}

// global replaces a global constructor by its guarded form.
func (g *guards) global(name string, check func(args []goja.Value)) {
	if constructor, ok := g.rt.Get(name).(*goja.Object); ok {
		must(g.rt.GlobalObject().DefineDataProperty(name, g.wrapNew(constructor, check), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	}
}

func (g *guards) prototype(name string) *goja.Object {
	return g.rt.Get(name).ToObject(g.rt).Get("prototype").ToObject(g.rt)
}

// size refuses a value of n bytes if that is too much.
func (g *guards) size(n float64) {
	if n > float64(g.bytes) {
		g.refuse("a value of %.0f bytes does not fit into the function's memory", n)
	}
}

// strings guards what makes long strings of short ones.
func (g *guards) strings() {
	proto := g.prototype("String")
	length := func(v goja.Value) float64 { // at most, in bytes
		if s, ok := v.(goja.String); ok {
			return 2 * float64(s.Length())
		}
		return 0
	}
	g.wrap(proto, "repeat", func(c goja.FunctionCall) { g.size(length(c.This) * c.Argument(0).ToFloat()) })
	for _, name := range []string{"padStart", "padEnd"} {
		g.wrap(proto, name, func(c goja.FunctionCall) { g.size(2 * c.Argument(0).ToFloat()) })
	}
	for _, name := range []string{"replace", "replaceAll"} {
		g.wrap(proto, name, func(c goja.FunctionCall) {
			if goja.IsString(c.Argument(1)) {
				g.size((1 + length(c.This)/2) * length(c.Argument(1)))
			}
		})
	}
	g.wrap(g.rt.Get("JSON").ToObject(g.rt), "parse", func(c goja.FunctionCall) {
		if tooDeep(c.Argument(0).String(), maxNesting) >= 0 {
			g.refuse("JSON nested deeper than %d", maxNesting)
		}
	})
}

// arrays guards what visits every index of an array. Nothing stops anybody from making one of four thousand million
// missing elements; a loop over them in JavaScript can be interrupted, one inside a built-in function can not.
func (g *guards) arrays() {
	items := func(v goja.Value) {
		o, ok := v.(*goja.Object)
		if !ok {
			return
		}
		if n := o.Get("length"); n != nil && n.ToFloat() > float64(g.items) {
			g.refuse("an array of %.0f elements does not fit into the function's memory", n.ToFloat())
		}
	}
	proto := g.prototype("Array")
	for _, name := range []string{
		"concat", "copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast", "findLastIndex", "flat",
		"flatMap", "forEach", "includes", "indexOf", "join", "lastIndexOf", "map", "reduce", "reduceRight", "reverse",
		"shift", "slice", "some", "sort", "splice", "toLocaleString", "toReversed", "toSorted", "toSpliced", "toString", "unshift", "with",
	} {
		g.wrap(proto, name, func(c goja.FunctionCall) { items(c.This) })
	}
	g.wrap(g.rt.Get("Array").ToObject(g.rt), "from", func(c goja.FunctionCall) { items(c.Argument(0)) })
	g.wrap(g.prototype("Function"), "apply", func(c goja.FunctionCall) { items(c.Argument(1)) })
	reflect := g.rt.Get("Reflect").ToObject(g.rt)
	g.wrap(reflect, "apply", func(c goja.FunctionCall) { items(c.Argument(2)) })
	g.wrap(reflect, "construct", func(c goja.FunctionCall) { items(c.Argument(1)) })
}

// buffers guards binary data.
func (g *guards) buffers() {
	buffer := g.rt.Get("Buffer").ToObject(g.rt)
	for _, name := range []string{"alloc", "allocUnsafe", "allocUnsafeSlow"} {
		g.wrap(buffer, name, func(c goja.FunctionCall) { g.size(c.Argument(0).ToFloat()) })
	}
	g.wrap(buffer, "concat", func(c goja.FunctionCall) {
		if !goja.IsUndefined(c.Argument(1)) {
			g.size(c.Argument(1).ToFloat())
		}
	})
	elements := func(bytes float64) func([]goja.Value) {
		return func(args []goja.Value) {
			if len(args) == 0 {
				return
			}
			n := args[0]
			if o, ok := n.(*goja.Object); ok {
				n = o.Get("length")
			}
			if n != nil {
				g.size(bytes * n.ToFloat())
			}
		}
	}
	g.global("ArrayBuffer", elements(1))
	for name, bytes := range map[string]float64{
		"Int8Array": 1, "Uint8Array": 1, "Uint8ClampedArray": 1, "Int16Array": 2, "Uint16Array": 2, "Int32Array": 4, "Uint32Array": 4,
		"Float32Array": 4, "Float64Array": 8, "BigInt64Array": 8, "BigUint64Array": 8,
	} {
		g.global(name, elements(bytes))
	}
}

// sources guards the compilers that a function can call.
func (g *guards) sources() {
	check := func(args []goja.Value) {
		total := 0
		for _, arg := range args {
			if !goja.IsString(arg) {
				continue
			}
			text := arg.String()
			if total += len(text); total > maxDynamicSource || tooDeep(text, maxNesting) >= 0 {
				g.refuse("at most %d bytes of source, with at most %d open brackets, are compiled at run time", maxDynamicSource, maxNesting)
			}
		}
	}
	g.wrap(g.rt.GlobalObject(), "eval", func(c goja.FunctionCall) { check(c.Arguments[:min(1, len(c.Arguments))]) })
	g.global("Function", check)
	for _, source := range []string{"(async function(){})", "(function*(){})", "(async function*(){})"} {
		f, err := g.rt.RunString(source)
		if err != nil {
			continue // not in this version of the engine
		}
		// Its constructor has no global name, and is reached through the functions that it makes.
		g.wrapNew(f.ToObject(g.rt).Prototype().Get("constructor").ToObject(g.rt), check)
	}
}

// define gives owner a method, which shows in stack traces by its name.
func define(rt *goja.Runtime, owner *goja.Object, name string, f func(goja.FunctionCall) goja.Value) {
	method := rt.ToValue(f).ToObject(rt)
	must(method.DefineDataProperty("name", rt.ToValue(name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	must(owner.DefineDataProperty(name, method, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
}

// must turns an error into an exception of the VM. It is for what cannot fail on the objects of a new one.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
