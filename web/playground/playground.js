// Starts GraphiQL against this server. Everything comes from the server's own origin: see the Content-Security-Policy
// in playground.go, which allows neither inline scripts nor another host.
"use strict";

(async () => {
  // Relative to the page, so that it also works behind a proxy that puts everything under a path.
  const endpoint = new URL("graphql", location.href);
  const socket = new URL(endpoint);
  socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

  // A browser cannot set headers on a websocket, so the server takes a token as the second sub-protocol, as it does
  // from the Kyma Console. What stands in the Headers editor as Authorization thereby holds for subscriptions too.
  let token = "";
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(url, protocol) {
      super(url, token ? [protocol, token] : protocol);
    }
  };

  const fetcher = GraphiQL.createFetcher({ url: endpoint.href, subscriptionUrl: socket.href });
  const signedIn = (params, options) => {
    const [, header] = Object.entries(options?.headers ?? {}).find(([name]) => name.toLowerCase() === "authorization") ?? [];
    token = /^bearer\s+(\S+)$/i.exec(header ?? "")?.[1] ?? "";
    return fetcher(params, options);
  };

  // GraphiQL keeps tabs and history in the browser. A token typed into the Headers editor is not for the disk, so what
  // it writes goes without headers: shouldPersistHeaders alone leaves them in the history.
  const withoutHeaders = (value) => {
    try {
      return JSON.stringify(JSON.parse(value, (key, part) => (key === "headers" ? undefined : part)));
    } catch {
      return value; // not JSON: a width, a theme
    }
  };
  const storage = {
    getItem: (key) => localStorage.getItem(key),
    setItem: (key, value) => localStorage.setItem(key, withoutHeaders(value)),
    removeItem: (key) => localStorage.removeItem(key),
    clear: () => localStorage.clear(),
    get length() {
      return localStorage.length;
    },
  };

  const examples = await fetch("playground/examples.json").then((answer) => answer.json());
  ReactDOM.createRoot(document.getElementById("playground")).render(
    React.createElement(GraphiQL, {
      fetcher: signedIn,
      defaultTabs: examples,
      storage,
      isHeadersEditorEnabled: true,
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
    }),
  );
})();
