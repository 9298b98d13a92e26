// Signing in: every place where a client can put its token, with the token of somebody who may do everything, of somebody
// who may do nothing, and with one that is none.

import { check, done, text } from './check.mjs';
import { clients } from './drivers.mjs';

const tokens = { admin: process.env.TOKEN_ADMIN, nobody: process.env.TOKEN_NOBODY, wrong: 'nonsense' };

const header = (token) => ({ headers: { Authorization: `Bearer ${token}` } });
const init = (token) => ({ init: { Authorization: `Bearer ${token}` } });
const protocol = (token) => ({ protocols: [token] });

const ways = [
  ['graphql-ws', 'Authorization', header],
  ['graphql-ws', 'connection_init', init],
  ['graphql-ws', 'second sub-protocol', protocol],
  ['subscriptions-transport-ws 0.9', 'Authorization', header],
  ['subscriptions-transport-ws 0.9', 'connection_init', init],
  ['subscriptions-transport-ws 0.9', 'second sub-protocol', protocol],
  ['subscriptions-transport-ws 0.11', 'connection_init', init],
  ['graphql-sse, distinct connections', 'Authorization', header],
  ['Apollo Client 2', 'Authorization', header],
  ['Apollo Client', 'Authorization', header],
];

/** Asks for what only some may see, and returns "granted", "denied" or how it failed. */
async function ask(client, signIn) {
  const c = clients[client](signIn);
  try {
    await c.run('{ applications { name } }');
    return 'granted';
  } catch (reason) {
    return text(reason).includes('access denied') ? 'denied' : text(reason);
  } finally {
    c.close();
  }
}

for (const [client, place, signIn] of ways) {
  const as = (who) => ask(client, signIn(tokens[who]));
  await check(`${client}, token in ${place}: who may`, async () => expect(await as('admin'), 'granted'));
  await check(`${client}, token in ${place}: who may not`, async () => expect(await as('nobody'), 'denied'));
  await check(`${client}, token in ${place}: a wrong token`, async () => {
    const got = await as('wrong');
    if (!/401|403|Unauthorized|Forbidden|connection is lost/.test(got)) {
      throw new Error(`it is not refused: ${got}`);
    }
  });
}
done();

function expect(got, want) {
  if (got !== want) {
    throw new Error(`got ${got}, want ${want}`);
  }
}
