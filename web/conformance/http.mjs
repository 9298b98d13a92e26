// GraphQL over HTTP: all audits of the reference implementation. The optional ones (MAY) have to pass as well.

import { serverAudits } from 'graphql-http';
import { check, done, http } from './check.mjs';

for (const audit of serverAudits({ url: http, fetchFn: fetch })) {
  await check(`${audit.id} ${audit.name}`, async () => {
    const result = await audit.fn();
    if (result.status !== 'ok') {
      throw new Error(`${result.status}: ${result.reason}`);
    }
  });
}
done();
