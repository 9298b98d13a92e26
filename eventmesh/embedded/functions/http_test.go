package functions

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	testNamespace = "shop"
	testName      = "orders"
	testHost      = "orders.shop.svc.cluster.local"
)

// start serves a runtime with one function.
func start(t *testing.T, o Options, source string, env map[string]string) (*Runtime, string) {
	t.Helper()
	r, url := serve(t, o)
	if err := r.load(t.Context(), config{namespace: testNamespace, name: testName, source: source, runtime: "nodejs12", env: env}); err != nil {
		t.Fatal(err)
	}
	return r, url
}

func serve(t *testing.T, o Options) (*Runtime, string) {
	t.Helper()
	r := newRuntime(o)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	t.Cleanup(r.Close)
	return r, server.URL
}

// request is what a test sends, and reply what it gets.
type request struct {
	method, path, host string
	header             map[string]string
	body               string
}

type reply struct {
	Status int
	Type   string            // Content-Type
	Header map[string]string // those that the test names
	Body   string
}

// send sends a request. The headers named in want are read from the answer.
func send(ctx context.Context, url string, q request, want ...string) (reply, error) {
	if q.method == "" {
		q.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, q.method, url+q.path, strings.NewReader(q.body))
	if err != nil {
		return reply{}, err
	}
	req.Host = testHost
	if q.host != "" {
		req.Host = q.host
	}
	for name, value := range q.header {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	out := reply{Status: res.StatusCode, Type: res.Header.Get("Content-Type"), Body: string(body)}
	for _, name := range want {
		if out.Header == nil {
			out.Header = map[string]string{}
		}
		out.Header[name] = res.Header.Get(name)
	}
	return out, err
}

// mustSend is send for a test's own goroutine.
func mustSend(t *testing.T, url string, q request, want ...string) reply {
	t.Helper()
	got, err := send(t.Context(), url, q, want...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// main wraps the body of a main function.
func main(body string) string {
	return "module.exports = { main: function (event, context) {\n" + body + "\n} }"
}

func asyncMain(body string) string {
	return "module.exports = { main: async function (event, context) {\n" + body + "\n} }"
}

func text(body string) reply {
	return reply{Status: 200, Type: "text/plain; charset=utf-8", Body: body}
}

func jsonReply(body string) reply {
	return reply{Status: 200, Type: "application/json", Body: body}
}

func failure(status int, message string) reply {
	body, _ := json.Marshal(map[string]string{"error": message})
	return reply{Status: status, Type: "application/json", Body: string(body)}
}

func TestResults(t *testing.T) {
	tests := []struct {
		name   string
		source string
		want   reply
		logs   []string
	}{
		{name: "nothing", source: main(""), want: reply{Status: 200}},
		{name: "null", source: main("return null"), want: reply{Status: 200}},
		{name: "a string", source: main("return 'grüezi'"), want: text("grüezi")},
		{name: "an object", source: main("return {a: [1, null]}"), want: jsonReply(`{"a":[1,null]}`)},
		{name: "a number", source: main("return 42"), want: jsonReply("42")},
		{name: "a Buffer", source: main("return Buffer.from('hi')"), want: reply{Status: 200, Type: "application/octet-stream", Body: "hi"}},
		{
			name: "a function", source: main("return () => 1"), want: failure(500, "main returned what JSON cannot say: [Function: ]"),
			logs: []string{"main returned what JSON cannot say: [Function: ]"},
		},
		{name: "exports.main", source: "exports.main = (event, context) => 'ok'", want: text("ok")},
		{name: "a method of a class", source: "class F { constructor() { this.x = 'mine' } main() { return this.x } }; module.exports = new F()", want: text("mine")},
		{name: "async", source: asyncMain("return 'later'"), want: text("later")},
		{name: "await", source: asyncMain("const x = await Promise.resolve(20); return x + 22"), want: jsonReply("42")},
		{name: "a promise of a timer", source: main("return new Promise(r => setTimeout((a, b) => r(a + b), 1, 'so', 'on'))"), want: text("soon")},
		{name: "timers in their order", source: asyncMain("const s = []; setTimeout(() => s.push(3), 3); setTimeout(() => s.push(1), 1); setImmediate(() => s.push(0));" +
			"clearTimeout(setTimeout(() => s.push(2), 2)); await new Promise(r => setTimeout(r, 4)); return s"), want: jsonReply("[0,1,3]")},
		{name: "an interval", source: asyncMain("let n = 0; await new Promise(r => { const i = setInterval(() => { if (++n == 3) { clearInterval(i); r() } }, 1) }); return n"), want: jsonReply("3")},
		{name: "a timer that nobody waits for is forgotten", source: main("setTimeout(() => console.log('never'), 1); return 'now'"), want: text("now")},
		{name: "a thenable", source: main("return { then: f => f('thenable') }"), want: text("thenable")},
		{name: "a microtask", source: asyncMain("let x; queueMicrotask(() => { x = 1 }); await null; return x"), want: jsonReply("1")},
		{
			name: "a thrown error", source: main("throw new Error('boom')"), want: failure(500, "boom"),
			logs: []string{"Uncaught Error: boom at main (handler.js:2:7)"},
		},
		{
			name: "a mistake", source: main("return event.data.order.id"), want: failure(500, "Cannot read property 'id' of undefined"),
			logs: []string{"Uncaught TypeError: Cannot read property 'id' of undefined at main (handler.js:2:25)"},
		},
		{name: "a thrown object", source: main("throw {code: 7}"), want: failure(500, `{"code":7}`), logs: []string{`Uncaught {"code":7}`}},
		{name: "a thrown string", source: main("throw 'no'"), want: failure(500, "no"), logs: []string{"Uncaught no"}},
		{
			name: "a rejection", source: asyncMain("await null; throw new TypeError('late')"), want: failure(500, "late"),
			logs: []string{"Uncaught TypeError: late at main (handler.js:2:19)"},
		},
		{name: "an error in a timer", source: main("return new Promise(() => setTimeout(() => { throw 'tick' }, 1))"), want: failure(500, "tick"), logs: []string{"Uncaught tick"}},
		{
			name: "a rejection that nobody handles", source: main("Promise.reject('lost'); Promise.reject('found').catch(() => {}); return 'ok'"), want: text("ok"),
			logs: []string{"Uncaught lost (in a promise that nobody waits for)"},
		},
		{name: "a promise that cannot settle", source: main("return new Promise(() => {})"), want: failure(500, errNeverSettles.Error()), logs: []string{errNeverSettles.Error()}},
		{
			name: "endless recursion", source: main("return (function f() { return f() })()"), want: failure(500, "Maximum call stack size exceeded"),
			logs: []string{"Uncaught RangeError: Maximum call stack size exceeded"},
		},
		{
			name: "endless recursion through a built-in", source: main("return (function f() { return [1].map(f) })()"), want: failure(500, "Maximum call stack size exceeded"),
			logs: []string{"Uncaught RangeError: Maximum call stack size exceeded"},
		},
		{
			name: "endless recursion in what is logged", source: main("console.log({ toJSON() { return this.toJSON() } })"), want: failure(500, "Maximum call stack size exceeded"),
			logs: []string{"Uncaught RangeError: Maximum call stack size exceeded"},
		},
		{
			name: "a circle", source: main("const a = []; a.push(a); return a"), want: failure(500, "Converting circular structure to JSON"),
			logs: []string{"Uncaught TypeError: Converting circular structure to JSON"},
		},
		{
			name: "require", source: main("return require('axios')"), want: failure(500, `require("axios"): a function in the embedded mesh has no modules; functions with dependencies need a cluster`),
			logs: []string{`Uncaught Error: require("axios"): a function in the embedded mesh has no modules; functions with dependencies need a cluster at require (native)`},
		},
		{name: "this process is out of reach", source: main("return [typeof process.exit, process.env.PATH === undefined, Object.keys(process.env)]"), want: jsonReply(`["undefined",true,["GREETING"]]`)},
		{name: "the environment", source: main("return process.env.GREETING"), want: text("hello")},
		{name: "the context", source: main("return context"), want: jsonReply(`{"function-name":"orders","namespace":"shop","runtime":"nodejs12","timeout":10,"memory-limit":"128Mi"}`)},
		{name: "a status and a header", source: main("event.extensions.response.status(202).set('x-order', '7'); return 'taken'"), want: reply{Status: 202, Type: "text/plain; charset=utf-8", Body: "taken"}},
		{
			name: "no such status", source: main("event.extensions.response.status(42)"), want: failure(500, "42 is no status that a response can have"),
			logs: []string{"Uncaught TypeError: 42 is no status that a response can have at status (native)"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r, url := start(t, Options{Timeout: 10 * time.Second}, tc.source, map[string]string{"GREETING": "hello"})
			if diff := cmp.Diff(tc.want, mustSend(t, url, request{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.logs, messages(r)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// messages are the lines of the test function's log.
func messages(r *Runtime) []string {
	var out []string
	for _, line := range r.Logs(testNamespace, testName) {
		out = append(out, line.Message)
	}
	return out
}

var orderCreated = map[string]string{
	"Ce-Specversion": "1.0", "Ce-Id": "a-1", "Ce-Type": "order.created", "Ce-Source": "shop-app", "Ce-Time": "2020-05-03T10:00:00Z",
	"Ce-Eventtypeversion": "v1", "Ce-Knativearrivaltime": "2020-05-03T10:00:01Z", "Content-Type": "application/json",
}

// with is a copy of h with other values; "" removes one.
func with(h map[string]string, pairs ...string) map[string]string {
	out := map[string]string{}
	for k, v := range h {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(out, pairs[i])
		}
	}
	return out
}

func TestEvents(t *testing.T) {
	const everything = `const {extensions, ...rest} = event; return rest`
	binary := jsonReply(`{"ce-datacontenttype":"application/json","ce-eventtypeversion":"v1","ce-id":"a-1","ce-knativearrivaltime":"2020-05-03T10:00:01Z",` +
		`"ce-source":"shop-app","ce-specversion":"1.0","ce-time":"2020-05-03T10:00:00Z","ce-type":"order.created","data":{"order":7}}`)
	tests := []struct {
		name string
		main string
		in   request
		want reply
	}{
		{name: "binary", main: everything, in: request{header: orderCreated, body: `{"order":7}`}, want: binary},
		{
			name: "structured", main: everything,
			in: request{header: map[string]string{"Content-Type": "application/cloudevents+json"}, body: `{"specversion":"1.0","id":"a-1","type":"order.created","source":"shop-app",` +
				`"time":"2020-05-03T10:00:00Z","eventtypeversion":"v1","knativearrivaltime":"2020-05-03T10:00:01Z","datacontenttype":"application/json","data":{"order":7}}`},
			want: binary,
		},
		{
			name: "structured without a content type is JSON", main: "return event.data.order",
			in:   request{header: map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8"}, body: `{"specversion":"1.0","id":"1","type":"t","source":"s","data":{"order":7}}`},
			want: jsonReply("7"),
		},
		{
			name: "structured and binary data", main: "return [Buffer.isBuffer(event.data), event.data.toString('hex')]",
			in:   request{header: map[string]string{"Content-Type": "application/cloudevents+json"}, body: `{"specversion":"1.0","id":"1","type":"t","source":"s","datacontenttype":"image/png","data_base64":"AAEC"}`},
			want: jsonReply(`[true,"000102"]`),
		},
		{name: "binary data", main: "return event.data.length", in: request{header: map[string]string{"Content-Type": "application/octet-stream"}, body: "\x00\xff\x01"}, want: jsonReply("3")},
		{name: "text", main: "return typeof event.data + event.data", in: request{header: map[string]string{"Content-Type": "text/plain"}, body: "hi"}, want: text("stringhi")},
		{name: "no content type", main: "return typeof event.data + event.data", in: request{body: `{"a":1}`}, want: text(`string{"a":1}`)},
		{name: "JSON of another name", main: "return event.data.a", in: request{header: map[string]string{"Content-Type": "application/problem+json; charset=utf-8"}, body: `{"a":1}`}, want: jsonReply("1")},
		{name: "no body", main: "return [event.data, event.data.x === undefined]", in: request{method: "GET"}, want: jsonReply(`[{},true]`)},
		{name: "JSON is broken", main: "return 1", in: request{header: orderCreated, body: `{"order":`}, want: failure(400, "the data is said to be JSON: unexpected end of JSON input")},
		{name: "JSON is nested too deeply", main: "return 1", in: request{header: orderCreated, body: strings.Repeat("[", 500_000)}, want: failure(400, "the data is said to be JSON: nested deeper than 1000")},
		{name: "an attribute is missing", main: "return 1", in: request{header: with(orderCreated, "Ce-Id", "")}, want: failure(400, "not a valid CloudEvent: id: MUST be a non-empty string")},
		{name: "an unknown version", main: "return 1", in: request{header: with(orderCreated, "Ce-Specversion", "7")}, want: failure(400, `CloudEvents version "7" is not known`)},
		{name: "a header without a name", main: "return event['ce-id']", in: request{header: with(orderCreated, "Ce-", "x"), body: "{}"}, want: text("a-1")},
		{
			name: "a batch", main: "return 1", in: request{header: map[string]string{"Content-Type": "application/cloudevents-batch+json"}, body: "[]"},
			want: failure(400, "a batch of CloudEvents is not taken; send one at a time"),
		},
		{
			name: "the request", main: "const q = event.extensions.request; return [q.method, q.path, q.query, q.headers['x-one'], q.get('X-One'), q.get('none'), q.headers.host, q.body]",
			in:   request{method: "PUT", path: "/a/b?x=1&y=2&y=3", header: map[string]string{"X-One": "1", "Content-Type": "text/plain"}, body: "b"},
			want: jsonReply(`["PUT","/a/b",{"x":"1","y":["2","3"]},"1","1",null,"orders.shop.svc.cluster.local","b"]`),
		},
		{name: "too long", main: "return 1", in: request{body: strings.Repeat("x", DefaultMaxBody+1)}, want: failure(413, "the request has more than 1048576 bytes")},
		{name: "any form of the name", main: "return 'ok'", in: request{host: "orders.shop:80"}, want: text("ok")},
		{name: "another function", main: "return 1", in: request{host: "mail.shop.svc.cluster.local"}, want: failure(404, `function "mail" in namespace "shop" does not exist or is not running`)},
		{name: "another namespace", main: "return 1", in: request{host: "orders.test"}, want: failure(404, `function "orders" in namespace "test" does not exist or is not running`)},
		{name: "another host", main: "return 1", in: request{host: "example"}, want: failure(404, `host "example" is not the name of a function's service`)},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, url := start(t, Options{}, main(tc.main), nil)
			if diff := cmp.Diff(tc.want, mustSend(t, url, tc.in)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplies(t *testing.T) {
	prefer := with(orderCreated, "Prefer", "respond-async, reply")
	headers := []string{"Ce-Specversion", "Ce-Id", "Ce-Type", "Ce-Source", "Ce-Eventtypeversion", "X-Order"}
	event := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "7", "Ce-Type": "order.paid", "Ce-Source": "bank", "Ce-Eventtypeversion": "v2", "X-Order": ""}
	none := with(nil, "Ce-Specversion", " ", "Ce-Id", " ", "Ce-Type", " ", "Ce-Source", " ", "Ce-Eventtypeversion", " ", "X-Order", " ")
	for name := range none {
		none[name] = ""
	}
	tests := []struct {
		name string
		main string
		in   map[string]string
		want reply
	}{
		{
			name: "an event", main: `return {specversion: '1.0', id: '7', type: 'order.paid', source: 'bank', eventtypeversion: 'v2', datacontenttype: 'application/json', data: event.data}`,
			in: prefer, want: reply{Status: 200, Type: "application/json", Header: event, Body: `{"order":7}`},
		},
		{
			name: "an event of text", main: `return {specversion: '1.0', id: '7', type: 'order.paid', source: 'bank', eventtypeversion: 'v2', datacontenttype: 'text/plain', data: 'paid'}`,
			in: prefer, want: reply{Status: 200, Type: "text/plain", Header: event, Body: "paid"},
		},
		{
			name: "an event of bytes", main: `return {specversion: '1.0', id: '7', type: 'order.paid', source: 'bank', eventtypeversion: 'v2', datacontenttype: 'image/png', data: Buffer.from('png')}`,
			in: prefer, want: reply{Status: 200, Type: "image/png", Header: event, Body: "png"},
		},
		{
			name: "an event by hand",
			main: `const r = event.extensions.response; for (const [k, v] of Object.entries({specversion: '1.0', id: '7', type: 'order.paid', source: 'bank', eventtypeversion: 'v2'})) r.set('ce-' + k, v); return {a: 1}`,
			in:   prefer, want: reply{Status: 200, Type: "application/json", Header: event, Body: `{"a":1}`},
		},
		{
			name: "not an event, to a sender that takes only events", main: "event.extensions.response.set('x-order', '7'); return 'ok'", in: prefer,
			want: reply{Status: 200, Header: with(none, "X-Order", "7")},
		},
		{name: "not an event, to another sender", main: "return 'ok'", in: orderCreated, want: reply{Status: 200, Type: "text/plain; charset=utf-8", Header: none, Body: "ok"}},
		{
			name: "an event that is not valid", main: "return {specversion: '1.0', type: '', source: 'bank'}", in: prefer,
			want: reply{Status: 500, Type: "application/json", Header: none, Body: `{"error":"main returned a CloudEvent that is not valid: type: MUST be a non-empty string"}`},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, url := start(t, Options{}, main(tc.main), nil)
			got := mustSend(t, url, request{header: tc.in, body: `{"order":7}`}, headers...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("an id is made", func(t *testing.T) {
		_, url := start(t, Options{}, main("return {specversion: '1.0', type: 't', source: 's'}"), nil)
		if got := mustSend(t, url, request{}, "Ce-Id"); len(got.Header["Ce-Id"]) != 36 {
			t.Errorf("got %+v", got)
		}
	})
}
