// The clients, each behind the same three functions:
//
//   run(query, variables)                        resolves to the data, and rejects with what the client says of errors
//   subscribe(query, variables, take, failed)    calls take with each result; returns a function that unsubscribes
//   close()
//
// They are opened with a way to sign in: { init } goes into connection_init, { headers } where the client can send them,
// and { protocols } behind the sub-protocol.

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { BatchHttpLink } from '@apollo/client/link/batch-http';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient as createSSE } from 'graphql-sse';
import { createClient } from 'graphql-ws';
import gql from 'graphql-tag';
import { http, socketWith, ws } from './check.mjs';

// These are older than modules.
const require = createRequire(import.meta.url);
const { ApolloClient: Apollo2 } = require('apollo-client');
const { InMemoryCache: Cache2 } = require('apollo-cache-inmemory');
const { split } = require('apollo-link');
const { HttpLink: HttpLink2 } = require('apollo-link-http');
const { WebSocketLink } = require('apollo-link-ws');
const older = require('subscriptions-transport-ws');
const newer = require('subscriptions-transport-ws-0.11');

/** graphql-ws and graphql-sse have the same interface. */
function overIterator(client) {
  return {
    async run(query, variables) {
      for await (const { data, errors } of client.iterate({ query, variables })) {
        if (errors) {
          throw errors;
        }
        return data;
      }
    },
    subscribe(query, variables, take, failed) {
      return client.subscribe({ query, variables }, { next: take, error: failed, complete() {} });
    },
    close: () => client.dispose(),
  };
}

function graphqlWS({ init, ...how }) {
  return overIterator(createClient({ url: ws, webSocketImpl: socketWith(how), connectionParams: init, retryAttempts: 0 }));
}

function graphqlSSE({ headers }) {
  return overIterator(createSSE({ url: http, headers, singleConnection: false, retryAttempts: 0 }));
}

/** subscriptions-transport-ws, as the Console opens it: the token, if any, behind the sub-protocol. */
function legacy({ SubscriptionClient }) {
  return ({ init, headers, protocols = [] }) => {
    const client = new SubscriptionClient(ws, { reconnect: false, connectionParams: init }, socketWith({ headers }), ['graphql-ws', ...protocols]);
    return {
      run: (query, variables) => new Promise((resolve, reject) => {
        const lost = client.onDisconnected(() => reject(new Error('the connection is lost')));
        client.onError(reject);
        client.request({ query, variables }).subscribe({
          next: ({ data, errors }) => (errors ? reject(errors) : resolve(data)),
          error: reject,
          complete: lost,
        });
      }),
      subscribe(query, variables, take, failed) {
        const { unsubscribe } = client.request({ query, variables }).subscribe({ next: take, error: failed });
        return unsubscribe;
      },
      close: () => client.close(),
    };
  };
}

/** What the Apollo Clients have in common. */
function overApollo(client, close) {
  const isMutation = (document) => document.definitions[0].operation === 'mutation';
  return {
    async run(query, variables) {
      const document = gql(query);
      const { data } = isMutation(document)
        ? await client.mutate({ mutation: document, variables })
        : await client.query({ query: document, variables, fetchPolicy: 'no-cache' });
      return JSON.parse(JSON.stringify(data, (key, value) => (key === '__typename' ? undefined : value)));
    },
    subscribe(query, variables, take, failed) {
      const running = client.subscribe({ query: gql(query), variables, fetchPolicy: 'no-cache' }).subscribe({
        next: ({ data, error, errors }) => take({ data, errors: error ? [error] : errors }),
        error: failed,
      });
      return () => running.unsubscribe();
    },
    close,
  };
}

/** Apollo Client 2.x as the Console has it: queries by POST, subscriptions by subscriptions-transport-ws. */
function apollo2({ headers }) {
  const socket = new older.SubscriptionClient(ws, { reconnect: false, lazy: true }, socketWith({ headers }), ['graphql-ws']);
  const isSubscription = ({ query }) => query.definitions.some((d) => d.operation === 'subscription');
  const link = split(isSubscription, new WebSocketLink(socket), new HttpLink2({ uri: http, headers, fetch }));
  return overApollo(new Apollo2({ link, cache: new Cache2() }), () => socket.close());
}

/** Apollo Client of today: subscriptions by graphql-ws, and queries by the link that is given. */
function apollo(newLink) {
  return ({ headers }) => {
    const socket = createClient({ url: ws, webSocketImpl: socketWith({ headers }), retryAttempts: 0 });
    const link = ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket),
      newLink(headers),
    );
    return overApollo(new ApolloClient({ link, cache: new InMemoryCache() }), () => socket.dispose());
  };
}

const sha256 = (document) => createHash('sha256').update(document).digest('hex');

/** All clients, by name. */
export const clients = {
  'graphql-ws': graphqlWS,
  'subscriptions-transport-ws 0.9': legacy(older),
  'subscriptions-transport-ws 0.11': legacy(newer),
  'graphql-sse, distinct connections': graphqlSSE,
  'Apollo Client 2': apollo2,
  'Apollo Client': apollo((headers) => new HttpLink({ uri: http, headers, fetch })),
  'Apollo Client, in batches': apollo((headers) => new BatchHttpLink({ uri: http, headers, fetch, batchInterval: 1 })),
  'Apollo Client, automatic persisted queries by GET': apollo((headers) =>
    new PersistedQueryLink({ sha256, useGETForHashedQueries: true }).concat(new HttpLink({ uri: http, headers, fetch }))),
};
