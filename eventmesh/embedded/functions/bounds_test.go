package functions

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCompile(t *testing.T) {
	tests := []struct {
		name   string
		source string
		want   string
	}{
		{"a bracket too many", "module.exports = {\n  main: function () {}\n}}", "SyntaxError: Unexpected token } (line 3, column 2)"},
		{"a word in the wrong place", "const x = 1\nconst x = 2", "SyntaxError: Identifier 'x' has already been declared (line 2, column 7)"},
		{"it ends too early", "module.exports = {", "SyntaxError: Unexpected end of input (line 1, column 19)"},
		{"an ES module", "import axios from 'axios'\n", `SyntaxError: "import" needs an ES module, which a function cannot be; use module.exports = { main: function (event, context) { … } } (line 1, column 1)`},
		{"an export", "const x = 1\n  export default x", `SyntaxError: "export" needs an ES module, which a function cannot be; use module.exports = { main: function (event, context) { … } } (line 2, column 3)`},
		{"a source map is not read", "//# sourceMappingURL=/etc/passwd\nmodule.exports = { main() {} }", ""},
		{"no exports", "function main() {}", "main is not a function; the source must end in module.exports = { main: function (event, context) { … } } (line 1, column 1)"},
		{"no main", "const x = 1\nmodule.exports = { handler() {} }", "main is not a function; the source must end in module.exports = { main: function (event, context) { … } } (line 2, column 8)"},
		{"main is a string", "exports.main = 'x'", "main is not a function; the source must end in module.exports = { main: function (event, context) { … } } (line 1, column 1)"},
		{"exports is null", "module.exports = null", "main is not a function; the source must end in module.exports = { main: function (event, context) { … } } (line 1, column 8)"},
		{"empty", "", "main is not a function; the source must end in module.exports = { main: function (event, context) { … } } (line 1, column 1)"},
		{"nested too deeply", strings.Repeat("(", 200_000), "more than 1000 brackets are open here (line 1, column 1001)"},
		{"too long", strings.Repeat("x", maxSource+1), "the source has 1048577 bytes; at most 1048576 are possible (line 1, column 1)"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := newRuntime(Options{})
			defer r.Close()
			err := r.load(t.Context(), config{namespace: testNamespace, name: testName, source: tc.source})
			var wrong *sourceError
			got := ""
			if errors.As(err, &wrong) {
				got = wrong.Error()
			} else if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if running := r.Running(testNamespace, testName); running != (tc.want == "") {
				t.Errorf("running: %t", running)
			}
		})
	}
}

func TestTopLevelErrors(t *testing.T) {
	tests := []struct{ name, source, want string }{
		{"it throws", "const x = y;\n" + main(""), "loading function shop/orders: y is not defined"},
		{"it requires", "const _ = require('lodash')\n" + main(""), `loading function shop/orders: require("lodash"): a function in the embedded mesh has no modules; functions with dependencies need a cluster`},
		{"it never ends", "while (true) {}\n" + main(""), "loading function shop/orders: the call took too long: more than 50ms"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := newRuntime(Options{Timeout: 50 * time.Millisecond})
			defer r.Close()
			err := r.load(t.Context(), config{namespace: testNamespace, name: testName, source: tc.source})
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// TestTimeout: whatever a call does with its time, it is answered, and the next one finds the function in order.
func TestTimeout(t *testing.T) {
	for name, source := range map[string]string{
		"a loop":                    main("if (event.data == 'go') while (true) {}"),
		"a loop that catches":       main("if (event.data == 'go') while (true) { try { while (true) {} } catch (e) {} finally { while (true) {} } }"),
		"a loop in a promise":       main("if (event.data == 'go') return Promise.resolve().then(() => { while (true) {} })"),
		"a loop after await":        asyncMain("if (event.data == 'go') { await null; while (true) {} }"),
		"endless microtasks":        asyncMain("if (event.data == 'go') while (true) await null"),
		"a timer that is too late":  main("if (event.data == 'go') return new Promise(r => setTimeout(r, 1e6))"),
		"timers without end":        main("if (event.data == 'go') return new Promise(() => setInterval(() => {}, 0))"),
		"a loop in a result":        main("if (event.data == 'go') return { toJSON() { while (true) {} } }"),
		"a loop in what is logged":  main("if (event.data == 'go') console.log({ toJSON() { while (true) {} } })"),
		"a loop in what is thrown":  main("if (event.data == 'go') throw { toJSON() { while (true) {} } }"),
		"a loop in a built-in":      main("if (event.data == 'go') [3, 1, 2].sort(() => { while (true) {} })"),
		"a loop in eval":            main("if (event.data == 'go') eval('while (true) {}')"),
		"a rejection that loops":    main("if (event.data == 'go') { Promise.reject({ toJSON() { while (true) {} } }); while (true) {} }"),
		"a promise-like that loops": main("if (event.data == 'go') return { get then() { while (true) {} } }"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, url := start(t, Options{}, source, nil)
			r.options.Timeout = 50 * time.Millisecond
			want := failure(http.StatusGatewayTimeout, "the call took too long: more than 50ms")
			if diff := cmp.Diff(want, mustSend(t, url, request{header: map[string]string{"Content-Type": "text/plain"}, body: "go"})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if got := messages(r); got[0] != "the call took too long: more than 50ms" {
				t.Errorf("log: %q", got)
			}
			var next reply
			for range 20 { // on a busy machine even this may take 50 ms
				if next = mustSend(t, url, request{}); next.Status != http.StatusGatewayTimeout {
					break
				}
			}
			if diff := cmp.Diff(reply{Status: 200}, next); diff != "" {
				t.Errorf("next answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMemory: a call that takes too much is interrupted, and the next one finds the function in order.
func TestMemory(t *testing.T) {
	for name, source := range map[string]string{
		"an array":  "const hog = []; while (true) hog.push({ a: hog.length })",
		"a string":  "let s = ''; const all = []; while (true) { s += 'x'.repeat(10000); all.push(s) }",
		"buffers":   "const hog = []; while (true) hog.push(Buffer.alloc(100000, 1))",
		"in timers": "const hog = []; return new Promise(() => setInterval(() => { for (let i = 0; i < 10000; i++) hog.push({ a: i }) }, 1))",
	} {
		t.Run(name, func(t *testing.T) {
			_, url := start(t, Options{MemoryLimit: 24 << 20}, main("if (event.data != 'go') return; "+source), nil)
			want := failure(http.StatusInternalServerError, "the call took too much memory: more than 24Mi")
			if diff := cmp.Diff(want, mustSend(t, url, request{header: map[string]string{"Content-Type": "text/plain"}, body: "go"})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(reply{Status: 200}, mustSend(t, url, request{})); diff != "" {
				t.Errorf("next answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGuards: what a built-in function would do at one stroke is refused, and what is usual is not.
func TestGuards(t *testing.T) {
	tests := []struct {
		name string
		main string
		want reply
	}{
		{"repeat", "'x'.repeat(1e9)", failure(500, "a value of 2000000000 bytes does not fit into the function's memory")},
		{"padStart", "'x'.padStart(1e9)", failure(500, "a value of 2000000000 bytes does not fit into the function's memory")},
		{"replaceAll", "'x'.repeat(1e6).replaceAll('x', 'y'.repeat(1e6))", failure(500, "a value of 2000002000000 bytes does not fit into the function's memory")},
		{"ArrayBuffer", "new ArrayBuffer(1e9)", failure(500, "a value of 1000000000 bytes does not fit into the function's memory")},
		{"a typed array", "new Float64Array(1e8)", failure(500, "a value of 800000000 bytes does not fit into the function's memory")},
		{"its constructor", "new (new Uint8Array(1)).constructor(1e9)", failure(500, "a value of 1000000000 bytes does not fit into the function's memory")},
		{"Buffer", "Buffer.alloc(1e9)", failure(500, "a value of 1000000000 bytes does not fit into the function's memory")},
		{"an endless array", "new Array(4294967295).join('x')", failure(500, "an array of 4294967295 elements does not fit into the function's memory")},
		{"an array-like", "Array.prototype.fill.call({length: 2**52}, 0)", failure(500, "an array of 4503599627370496 elements does not fit into the function's memory")},
		{"arguments", "Math.max.apply(null, {length: 1e9})", failure(500, "an array of 1000000000 elements does not fit into the function's memory")},
		{"deep JSON", "JSON.parse('['.repeat(1e6))", failure(500, "JSON nested deeper than 1000")},
		{"a long eval", "eval('1' + '+1'.repeat(50000))", failure(500, "at most 65536 bytes of source, with at most 1000 open brackets, are compiled at run time")},
		{"a deep function", "new Function('('.repeat(2000))", failure(500, "at most 65536 bytes of source, with at most 1000 open brackets, are compiled at run time")},
		{"a hidden constructor", "(async () => {}).constructor('('.repeat(2000))", failure(500, "at most 65536 bytes of source, with at most 1000 open brackets, are compiled at run time")},
		{"everyday strings", "['ab'.repeat(2), 'a'.padEnd(3) + '|', 'aXbX'.replaceAll('X', '-'), 'a.b'.replace(/\\./, m => m + m), `${'x'}`]", jsonReply(`["abab","a  |","a-b-","a..b","x"]`)},
		{"everyday arrays", "[[3,1,2].sort().map(x => x * 2).join(), [1,[2,[3]]].flat(Infinity), Array.from('abc', c => c + c), [..." + "new Set([1,1])], [1,2].concat(3), String([1,2]), [5,6].entries().next()]", jsonReply(`["2,4,6",[1,2,3],["aa","bb","cc"],[1],[1,2,3],"1,2",{"value":[0,5],"done":false}]`)},
		{"everyday bytes", "[Array.from(new Uint8Array([1,2])), new Uint8Array(2) instanceof Uint8Array, Buffer.from('aGk=', 'base64').toString(), Buffer.concat([Buffer.from('a'), Buffer.from('b')]).toString('hex'), new Uint16Array(new ArrayBuffer(4)).length, Uint8Array.from([7])[0], new (class X extends Uint8Array {})(3).map(() => 1).length]", jsonReply(`[[1,2],true,"hi","6162",2,7,3]`)},
		{"everyday code", "[eval('1+1'), new Function('a', 'return a + 1')(1), Function('return this')() === globalThis, (() => {}) instanceof Function, Math.max.apply(null, [1, 2]), (function () {}).constructor === Function]", jsonReply(`[2,2,true,true,2,true]`)},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, url := start(t, Options{}, main("return "+tc.main), nil)
			if diff := cmp.Diff(tc.want, mustSend(t, url, request{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswerTooLong(t *testing.T) {
	for name, body := range map[string]string{
		"text": "return 'x'.repeat(100)", "JSON": "return ['x'.repeat(100)]", "bytes": "return Buffer.alloc(100)",
		"an event": "return {specversion: '1.0', type: 't', source: 's', data: 'x'.repeat(100)}",
	} {
		t.Run(name, func(t *testing.T) {
			_, url := start(t, Options{MaxBody: 50}, main(body), nil)
			if diff := cmp.Diff(failure(500, "main returned more than 50 bytes"), mustSend(t, url, request{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogs(t *testing.T) {
	const source = `
		console.log('loaded')
		exports.main = (event) => {
			console.log('got', event.data, 7, null, undefined, true, [1, 'a'], Symbol('s'))
			console.info(new TypeError('broken'), () => 1, function named() {}, Buffer.from('hi'), /x/g, Promise.resolve())
			const loop = {}; loop.self = loop
			console.warn('two\nlines', loop)
			console.error()
		}`
	r, url := start(t, Options{LogLines: 6}, source, nil)
	if got := messages(r); !cmp.Equal(got, []string{"loaded"}) {
		t.Errorf("got %q", got)
	}
	mustSend(t, url, request{header: orderCreated, body: `{"order":7}`})
	want := []string{
		"loaded",
		`got {"order":7} 7 null undefined true [1,"a"] Symbol(s)`,
		"TypeError: broken [Function: ] [Function: named] <Buffer 68 69> /x/g [object Promise]",
		"two", "lines [object Object]", "",
	}
	if diff := cmp.Diff(want, messages(r)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	lines := r.Logs(testNamespace, testName)
	if lines[0].EventID != "" || lines[1].EventID != "a-1" || time.Since(lines[1].Time) > time.Minute {
		t.Errorf("got %+v", lines[:2])
	}
	mustSend(t, url, request{header: with(orderCreated, "Ce-Id", "a-2"), body: `{"order":8}`})
	lines = r.Logs(testNamespace, testName)
	if len(lines) != 6 || lines[0].EventID != "a-1" || lines[1].EventID != "a-2" {
		t.Errorf("a full log: %+v", lines)
	}
	if got := r.Logs(testNamespace, "none"); got != nil {
		t.Errorf("log of nothing: %v", got)
	}
}

func TestLogBounds(t *testing.T) {
	r, url := start(t, Options{}, main("console.log('ü'.repeat(5000)); for (let i = 1; i < 500; i++) console.log(i)"), nil)
	mustSend(t, url, request{})
	got := messages(r)
	if len(got) != maxLinesPerCall || got[1] != "1" || got[maxLinesPerCall-1] != "… this call wrote more lines; they are not kept" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
	if first := got[0]; len(first) > maxLine || !strings.HasSuffix(first, "ü…") {
		t.Errorf("%d bytes, ending in %q", len(first), first[len(first)-6:])
	}
}
