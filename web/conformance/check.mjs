// What all checks share: where the server is, how a check is run, and how it is told what became of it.

import WebSocket from 'ws';

/** Where the console is, without a path. */
export const server = process.env.CONSOLE_URL ?? 'http://127.0.0.1:3000';
export const http = server + '/graphql';
export const ws = http.replace(/^http/, 'ws');

/** How long a check may take, in ms. It is long because only a check that fails takes so long. */
const patience = 30_000;

let failed = 0;
let passed = 0;

/** Runs one check, and prints what became of it. A check fails by throwing. */
export async function check(name, f) {
  try {
    await within(patience, f());
    passed++;
    console.log(`PASS ${name}`);
  } catch (reason) {
    failed++;
    console.log(`FAIL ${name} :: ${text(reason)}`);
  }
}

/** Prints the sum, and ends the process: clients that failed may still be trying to connect. */
export function done() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

/** Rejects if promise has not been settled after ms. */
export function within(ms, promise, what = 'an answer') {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} in ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Throws unless got is want, as JSON. */
export function same(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
}

/** A text for whatever a client rejects with: errors, lists of errors of GraphQL, events of a websocket. */
export function text(reason) {
  if (Array.isArray(reason)) {
    return reason.map(text).join('; ');
  }
  if (typeof reason?.code === 'number') {
    return `closed with ${reason.code} ${reason.reason}`;
  }
  return reason?.message ?? String(reason);
}

/** A WebSocket that sends headers, which browsers' cannot, and offers more sub-protocols. */
export function socketWith({ headers = {}, protocols = [] }) {
  return class extends WebSocket {
    constructor(url, wanted) {
      super(url, [wanted ?? []].flat().concat(protocols), { headers });
      this.on('error', () => {}); // clients that leave before they are connected no longer listen
    }
  };
}

/** A name that no other run uses. */
export function unique(prefix) {
  return `${prefix}-${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
}
