package functions

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
)

const (
	// sourceName is what a source is called in stack traces; Kyma's Node.js runtime calls it so.
	sourceName = "handler.js"
	// maxSource bounds a source, in bytes. The parser's work and stack grow with it.
	maxSource = 1 << 20
	// maxNesting bounds how deeply a source may nest its brackets. The parser recurses into each, and a Go stack that
	// outgrows its limit ends the process.
	maxNesting = 1000
)

// sourceError says what is wrong with a function's source, for the person who wrote it.
type sourceError struct {
	// Line and Column are where, both from 1.
	Line, Column int
	// Message is what, without the place.
	Message string
}

// Error is the message and the place.
func (e *sourceError) Error() string {
	return fmt.Sprintf("%s (line %d, column %d)", e.Message, e.Line, e.Column)
}

// program is a compiled source. It belongs to no VM, so that one that was thrown away is rebuilt without compiling.
type program struct {
	code *goja.Program
	// exports is where the source last mentions its exports: the place of the mistake when main is missing.
	exports file.Position
}

// compile compiles a source, a script in which module, exports and require are globals. The error is a *sourceError.
func compile(source string) (*program, error) {
	if len(source) > maxSource {
		return nil, &sourceError{Line: 1, Column: 1, Message: fmt.Sprintf("the source has %d bytes; at most %d are possible", len(source), maxSource)}
	}
	at := file.NewFile(sourceName, source, 1)
	if offset := tooDeep(source, maxNesting); offset >= 0 {
		p := at.Position(offset)
		return nil, &sourceError{Line: p.Line, Column: p.Column, Message: fmt.Sprintf("more than %d brackets are open here", maxNesting)}
	}
	// A source map comment would make the parser read any file that it names.
	tree, err := parser.ParseFile(nil, sourceName, source, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, syntaxError(source, err)
	}
	code, err := goja.CompileAST(tree, false)
	if err != nil {
		return nil, syntaxError(source, err)
	}
	return &program{code: code, exports: at.Position(max(strings.LastIndex(source, "exports"), 0))}, nil
}

// tooDeep returns the offset at which more than limit brackets are open, -1 if there is none. Brackets in strings and
// comments count as well: it is a bound, not a parser.
func tooDeep(text string, limit int) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{':
			if depth++; depth > limit {
				return i
			}
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return -1
}

// syntaxError words an error of the parser or the compiler for the author of the source.
func syntaxError(source string, err error) *sourceError {
	var (
		list      parser.ErrorList
		syntax    *goja.CompilerSyntaxError
		reference *goja.CompilerReferenceError
	)
	switch {
	case errors.As(err, &list) && len(list) > 0:
		p, message := list[0].Position, list[0].Message
		if word := wordAt(source, p); word == "import" || word == "export" {
			return &sourceError{p.Line, p.Column, "SyntaxError: \"" + word + "\" needs an ES module, which a function cannot be; use module.exports = { main: function (event, context) { … } }"}
		}
		return &sourceError{p.Line, p.Column, "SyntaxError: " + strings.TrimPrefix(message, "SyntaxError: ")}
	case errors.As(err, &syntax):
		return compilerError("SyntaxError: ", syntax.CompilerError)
	case errors.As(err, &reference):
		return compilerError("ReferenceError: ", reference.CompilerError)
	default:
		return &sourceError{1, 1, err.Error()}
	}
}

func compilerError(kind string, e goja.CompilerError) *sourceError {
	p := file.Position{Line: 1, Column: 1}
	if e.File != nil {
		p = e.File.Position(e.Offset)
	}
	return &sourceError{p.Line, p.Column, kind + e.Message}
}

// wordAt returns the letters that begin at p.
func wordAt(source string, p file.Position) string {
	lines := strings.Split(source, "\n")
	if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1]) {
		return ""
	}
	rest := lines[p.Line-1][p.Column-1:]
	end := strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
	if end < 0 {
		end = len(rest)
	}
	return rest[:end]
}
