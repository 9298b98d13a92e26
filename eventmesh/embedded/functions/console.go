package functions

import (
	"fmt"
	"strings"

	"github.com/dop251/goja"
)

// maxBufferShown bounds the bytes of a Buffer that the log shows.
const maxBufferShown = 50

// print is console.log and its sisters: strings as they are, objects as JSON, with a space between.
func (m *vm) print(call goja.FunctionCall) goja.Value {
	if m.log == nil {
		return goja.Undefined()
	}
	var b strings.Builder
	for i, arg := range call.Arguments {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(m.inspect(arg))
		if b.Len() > maxLinesPerCall*maxLine {
			break // nothing of what follows would be kept
		}
	}
	m.log.print(b.String())
	return goja.Undefined()
}

// inspect is a value as the log shows it.
func (m *vm) inspect(v goja.Value) string {
	o, ok := v.(*goja.Object)
	if !ok {
		if v == nil {
			return "undefined"
		}
		if s, ok := v.(*goja.Symbol); ok {
			return "Symbol(" + s.String() + ")"
		}
		return v.String()
	}
	var text string
	ex := m.rt.Try(func() { text = m.inspectObject(o) })
	if ex != nil { // a getter or a method of the object threw
		return "[object " + o.ClassName() + "]"
	}
	return text
}

func (m *vm) inspectObject(o *goja.Object) string {
	if _, ok := goja.AssertFunction(o); ok {
		return fmt.Sprintf("[Function: %s]", o.Get("name"))
	}
	switch o.ClassName() {
	case "Error", "RegExp", "Date":
		return o.String()
	}
	switch data := o.Export().(type) {
	case *goja.Promise:
		return "[object Promise]"
	case []byte:
		more := ""
		if len(data) > maxBufferShown {
			data, more = data[:maxBufferShown], " …"
		}
		return fmt.Sprintf("<Buffer % x%s>", data, more)
	}
	v, err := m.stringify(goja.Undefined(), o)
	if err != nil {
		panic(err) // circular, most often
	}
	return v.String()
}
