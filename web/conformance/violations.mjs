// What becomes of a websocket whose client does not keep to the protocol: the same as with the reference implementation of
// graphql-transport-ws, which runs beside the console here. Both get the same frames; the close code, or what was answered
// while the connection stays open, must be the same.

import { buildSchema, parse } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import WebSocket, { WebSocketServer } from 'ws';
import { check, done, same, within, ws } from './check.mjs';

const timeout = Number(process.env.INIT_TIMEOUT_MS ?? 10_000); // of the console

/** A server of the reference implementation, on a port of its own. */
async function reference() {
  const wss = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/graphql' });
  await new Promise((ready) => wss.once('listening', ready));
  useServer({
    schema: buildSchema('type Query { applications: String } type Subscription { applicationEvent: String }'),
    roots: { query: { applications: () => 'none' }, subscription: { applicationEvent: never } },
    connectionInitWaitTimeout: timeout,
    onSubscribe: (_context, _id, { query }) => syntaxErrors(query),
    onConnect: ({ connectionParams }) => !connectionParams?.Authorization, // whose tokens are all wrong here
  }, wss);
  return `ws://127.0.0.1:${wss.address().port}/graphql`;
}

/** Without this, the reference takes a document that is no GraphQL for a fault of its own, and ends the connection. */
function syntaxErrors(document) {
  try {
    parse(document);
  } catch (error) {
    return [error];
  }
}

/** A subscription that yields nothing until it is stopped. */
function never() {
  let stop;
  const stopped = new Promise((resolve) => { stop = resolve; });
  return {
    [Symbol.asyncIterator]() { return this; },
    next: () => stopped.then(() => ({ done: true, value: undefined })),
    return: async () => { stop(); return { done: true, value: undefined }; },
  };
}

const init = { type: 'connection_init' };
const ack = { expect: 'connection_ack' };
const query = (id = '1') => ({ id, type: 'subscribe', payload: { query: '{ __typename }' } });
const stream = (id = '1') => ({ id, type: 'subscribe', payload: { query: 'subscription { applicationEvent { __typename } }' } });
const streamOfReference = { ...stream(), payload: { query: 'subscription { applicationEvent }' } };
const binary = (message) => ({ binary: JSON.stringify(message) });
const acknowledged = [init, ack];

/**
 * The cases: frames to send, in order. Objects are sent as JSON and strings as they are; { expect } waits for a message of
 * that type. { protocol } is what the client offers instead of graphql-transport-ws, { waits } that the server has to end
 * it by itself. Where both schemas must be asked differently, frames are a function of which server it is.
 */
const cases = {
  // The first message.
  'subscribe before connection_init': { frames: [query()] },
  'none: the order that is right': { frames: [...acknowledged, query(), { expect: 'complete' }] },
  'no connection_init in time': { frames: [], waits: true },
  'ping is no connection_init': { frames: [{ type: 'ping' }, { expect: 'pong' }], waits: true },
  'second connection_init': { frames: [...acknowledged, init] },
  'second connection_init before the first is acknowledged': { frames: [init, init] },
  'connection_init with a payload that is no object': { frames: [{ ...init, payload: 'text' }] },
  'connection_init with a list as payload': { frames: [{ ...init, payload: [] }] },
  'connection_init with null as payload': { frames: [{ ...init, payload: null }] },
  'connection_init with a wrong token': { frames: [{ ...init, payload: { Authorization: 'Bearer nonsense' } }] },

  // What is no message.
  'no JSON': { frames: ['nonsense'] },
  'no JSON, later': { frames: [...acknowledged, '{'] },
  'an empty frame': { frames: [''] },
  'two messages in a frame': { frames: [JSON.stringify(init) + JSON.stringify(init)] },
  'null': { frames: ['null'] },
  'a number': { frames: ['7'] },
  'a list': { frames: ['[]'] },
  'no type': { frames: [{ payload: {} }] },
  'a type that is no text': { frames: [{ type: 1 }] },
  'unknown type': { frames: [...acknowledged, { type: 'nonsense' }] },
  'a type of the legacy protocol': { frames: [...acknowledged, { ...query(), type: 'start' }] },
  'connection_terminate of the legacy protocol': { frames: [...acknowledged, { type: 'connection_terminate' }] },
  'a binary frame': { frames: [binary(init)] },
  'a binary frame that is no JSON': { frames: [{ binary: 'nonsense' }] },

  // Messages that only a server sends.
  'connection_ack from the client': { frames: [...acknowledged, { type: 'connection_ack' }] },
  'next from the client': { frames: [...acknowledged, { id: '1', type: 'next', payload: { data: {} } }] },
  'error from the client': { frames: [...acknowledged, { id: '1', type: 'error', payload: [{ message: 'x' }] }] },

  // subscribe.
  'id in use': { frames: (of) => [...acknowledged, of.stream, of.stream] },
  'id in use by another kind of operation': { frames: (of) => [...acknowledged, of.stream, query()] },
  'id that was in use': { frames: [...acknowledged, query(), { expect: 'complete' }, query(), { expect: 'complete' }] },
  'id that was stopped': { frames: (of) => [...acknowledged, of.stream, { id: '1', type: 'complete' }, query(), { expect: 'complete' }] },
  'id of an operation that failed': {
    frames: [...acknowledged, { ...query(), payload: { query: '{' } }, { expect: 'error' }, query(), { expect: 'complete' }],
  },
  'no id': { frames: [...acknowledged, { ...query(), id: undefined }] },
  'an empty id': { frames: [...acknowledged, query('')] },
  'an id that is no text': { frames: [...acknowledged, query(1)] },
  'no payload': { frames: [...acknowledged, { ...query(), payload: undefined }] },
  'a payload that is no object': { frames: [...acknowledged, { ...query(), payload: '{ __typename }' }] },
  'no query': { frames: [...acknowledged, { ...query(), payload: {} }] },
  'a query that is no text': { frames: [...acknowledged, { ...query(), payload: { query: 1 } }] },
  'operationName that is no text': { frames: [...acknowledged, { ...query(), payload: { query: '{ __typename }', operationName: 1 } }] },
  'variables that are no object': { frames: [...acknowledged, { ...query(), payload: { query: '{ __typename }', variables: 'x' } }] },
  'extensions that are no object': { frames: [...acknowledged, { ...query(), payload: { query: '{ __typename }', extensions: 'x' } }] },
  'a document that is no GraphQL': { frames: [...acknowledged, { ...query(), payload: { query: '{' } }, { expect: 'error' }] },
  'a document that is not valid': { frames: [...acknowledged, { ...query(), payload: { query: '{ nothing }' } }, { expect: 'error' }] },
  'an operation that is not there': {
    frames: [...acknowledged, { ...query(), payload: { query: 'query a { __typename }', operationName: 'b' } }, { expect: 'error' }],
  },

  // complete, ping and pong.
  'complete of what is not there': { frames: [...acknowledged, { id: '1', type: 'complete' }] },
  'complete before connection_init': { frames: [{ id: '1', type: 'complete' }] },
  'complete without an id': { frames: [...acknowledged, { type: 'complete' }] },
  'complete with an empty id': { frames: [...acknowledged, { id: '', type: 'complete' }] },
  'ping with a payload that is no object': { frames: [...acknowledged, { type: 'ping', payload: 'x' }] },
  'pong that nobody asked for': { frames: [{ type: 'pong' }, ...acknowledged] },
  'pong with a payload that is no object': { frames: [...acknowledged, { type: 'pong', payload: 1 }] },

  // Sub-protocols.
  'no sub-protocol': { frames: [], protocol: '', waits: true },
  'unknown sub-protocol': { frames: [], protocol: 'nonsense', waits: true },
};

/**
 * Plays a case against a server, and returns what the client sees: the types of the messages, and the close code or
 * "open". An open connection is one that still answers a ping.
 */
function play(url, frames, { protocol = 'graphql-transport-ws', waits = false }) {
  // An unknown sub-protocol goes past ws, which would not go on with a server that accepts none of those it has offered.
  const socket = protocol === 'graphql-transport-ws'
    ? new WebSocket(url, [protocol])
    : new WebSocket(url, { headers: protocol ? { 'Sec-WebSocket-Protocol': protocol } : {} });
  return within(timeout + 10_000, new Promise((resolve, reject) => {
    const seen = [];
    const left = [...frames];
    const finish = (end) => { resolve([...seen, end]); socket.terminate(); };
    const proceed = () => {
      while (left.length > 0 && left[0].expect === undefined) {
        const frame = left.shift();
        if (frame.binary !== undefined) {
          socket.send(Buffer.from(frame.binary), { binary: true });
        } else {
          socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
        }
      }
      if (left.length === 0 && !waits) {
        socket.send(JSON.stringify({ type: 'ping', payload: { last: true } }));
      }
    };
    socket.on('open', proceed);
    socket.on('message', (raw) => {
      const message = JSON.parse(raw);
      if (message.type === 'pong' && message.payload?.last) {
        finish('open');
      } else if (message.type === 'ping') {
        socket.send(JSON.stringify({ type: 'pong' })); // the console asks whether we are alive; the reference does that below GraphQL
      } else {
        seen.push(message.type);
        if (left[0]?.expect === message.type) {
          left.shift();
          proceed();
        }
      }
    });
    socket.on('close', (code) => finish(code));
    socket.on('error', reject);
  }));
}

const referenceURL = await reference();
const ours = { stream: stream() };
const theirs = { stream: streamOfReference };
const framesFor = (frames, of) => (typeof frames === 'function' ? frames(of) : frames);
const width = Math.max(...Object.keys(cases).map((name) => name.length));

console.log(`${'violation'.padEnd(width + 5)}  ${'console'.padEnd(30)}  graphql-ws`);
await Promise.all(Object.entries(cases).map(([name, { frames, ...how }]) =>
  check(name.padEnd(width), async () => {
    const [got, want] = await Promise.all([
      play(ws, framesFor(frames, ours), how),
      play(referenceURL, framesFor(frames, theirs), how),
    ]);
    console.log(`     ${name.padEnd(width)}  ${got.join(' ').padEnd(30)}  ${want.join(' ')}`);
    // What was still answered before the end is a matter of time.
    const compared = (seen) => (seen.at(-1) === 'open' ? seen : seen.at(-1));
    same(compared(got), compared(want), 'what the client sees');
  })));
done();
