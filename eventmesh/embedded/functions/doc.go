// Package functions runs Functions with inline JavaScript in this process. A Function is compiled once, has an engine
// (github.com/dop251/goja: ECMAScript up to about 2022) of its own, and answers HTTP requests for
// <name>.<namespace>.svc.cluster.local. [Setup] adds the reconciler that loads and unloads them and reports in their
// conditions; [Runtime] is the handler.
//
// # What a function sees
//
//	module.exports = { main: function (event, context) { … } }   // or exports.main, or async
//
// event is Kyma's event object:
//
//   - event["ce-type"], ["ce-source"], ["ce-id"], ["ce-time"], ["ce-specversion"], ["ce-datacontenttype"] and "ce-<name>"
//     for every extension, such as ["ce-eventtypeversion"]: strings, absent if the event has none. Requests that are no
//     CloudEvents have none of them.
//   - event.data: by the content type, JSON's value, a string for text, XML, forms and what has no content type, a
//     Buffer for the rest, and {} if there is no data.
//   - event.extensions.request: method, path, headers (names in lower case), query, body (event.data), get(name).
//   - event.extensions.response: status(code) and set(name, value), for the answer beside what main returns.
//
// context has "function-name", namespace, runtime, timeout (seconds) and "memory-limit". There are console, setTimeout and
// its sisters, Buffer, and process.env with the Function's environment. There is no require, no network and no file
// system: a function that needs any of them needs a cluster. A call is over when main is done; timers that are left then
// are forgotten, while globals stay for the next call, as in Node.js, unless the engine had to be replaced.
//
// # What becomes of what main returns
//
// Nothing is an empty answer, a string is text, a Buffer bytes, and anything else JSON, all with 200 unless main set
// another status. An object with the strings specversion, type and source is a CloudEvent and the reply to the event.
// What main throws, or rejects its promise with, is a 500 with {"error": message}. As the mesh takes nothing but
// CloudEvents for a reply, and delivers an event again whose answer has another body, such a body is left away where
// the sender says "Prefer: reply", as Knative does.
//
// # Bounds, and what they are worth
//
// Calls of one function come one after the other; a bounded number waits. Wall time is bounded ([Options].Timeout): the
// engine is interrupted between two instructions, whatever the code catches. So are requests, answers, the log, the call
// stack, the length and nesting of sources, and what a single built-in function may allocate or visit. After an
// interruption the engine is thrown away and made anew.
//
// Memory is bounded less well, as the engine does not count it. While a call computes, the heap of the whole process is
// sampled every 10 ms; when its live part has grown by more than the function's limit since the call began, the
// computing call that began last is interrupted. So a call can be well above its limit for some tens of milliseconds,
// several calls can each take a part, and growth elsewhere in the process can be held against a function: its event is
// then delivered again.
//
// All of that guards against mistakes. It is no sandbox against malice: a built-in function that was made to take long,
// such as a regular expression with look-ahead that backtracks, cannot be interrupted; its caller is answered in time,
// but its goroutine, and its function's turn, end only when it does. And who tries can find a built-in that allocates
// too much at one stroke, or recurses too deeply. Let only those create Functions who may stop the process. Events, on
// the other hand, may come from anybody: their size and nesting are checked before any code sees them.
package functions
