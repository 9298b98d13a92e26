// A query, a mutation and a subscription with each of the clients that people have.

import { check, done, same, text, unique, within } from './check.mjs';
import { clients } from './drivers.mjs';

const create = 'mutation($name: String!) { createApplication(name: $name) { name } }';
const remove = 'mutation($name: String!) { deleteApplication(name: $name) { name } }';
const watch = 'subscription { applicationEvent { type application { name } } }';

/** All that a subscription has yielded, and will. */
class Events {
  #all = [];
  #changed = () => {};

  /** Takes a result. */
  put({ data, errors }) {
    this.#all.push(errors ? { failed: text(errors) } : data.applicationEvent);
    this.#changed();
  }

  /** Resolves once there has been an event of that type about the application. */
  until(type, name, ms) {
    const found = new Promise((resolve, reject) => {
      this.#changed = () => {
        const failure = this.#all.find((e) => e.failed);
        if (failure) {
          reject(new Error(failure.failed));
        } else if (this.#all.some((e) => e.type === type && e.application.name === name)) {
          resolve();
        }
      };
      this.#changed();
    });
    return within(ms, found, `${type} of ${name}`);
  }
}

async function exercise(client) {
  const { applications } = await client.run('{ applications { name } }');
  if (!Array.isArray(applications)) {
    throw new Error(`applications is ${JSON.stringify(applications)}`);
  }
  const events = new Events();
  const stop = client.subscribe(watch, {}, (result) => events.put(result), (reason) => events.put({ errors: [reason] }));
  // Nothing says when a subscription has begun, so changes are made until one arrives.
  const made = [];
  try {
    for (let seen = false; !seen;) {
      const name = unique('conformance');
      const { createApplication } = await client.run(create, { name });
      made.push(name);
      same(createApplication, { name }, 'createApplication');
      seen = await events.until('ADD', name, 1000).then(() => true, (reason) => {
        if (made.length > 10) {
          throw reason;
        }
        return false;
      });
    }
  } finally {
    for (const name of made) {
      same((await client.run(remove, { name })).deleteApplication, { name }, 'deleteApplication');
    }
  }
  await events.until('DELETE', made.at(-1), 10_000);
  stop();
  const refused = await client.run('{ applications { nothing } }').then(() => 'no error', text);
  if (!refused.includes('Cannot query field')) {
    throw new Error(`a document that is not valid: ${refused}`);
  }
}

for (const [name, open] of Object.entries(clients)) {
  await check(name, async () => {
    const client = open({});
    try {
      await exercise(client);
    } finally {
      client.close();
    }
  });
}
done();
