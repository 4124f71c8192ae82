"use strict";
(() => {
  const KEY = "lineal:api-key";
  const form = document.getElementById("key-form");
  const field = document.getElementById("key");
  const status = document.getElementById("key-status");
  const place = document.getElementById("graphiql");
  const examples = JSON.parse(document.getElementById("examples").textContent);

  if (!window.GraphiQL || !window.GraphiQLPluginExplorer) {
    place.firstElementChild.textContent =
      "GraphiQL could not be loaded. Run scripts/setup-graphiql on the server to install its files there.";
    return;
  }

  const key = () => sessionStorage.getItem(KEY) ?? "";

  function say(text, tone) {
    status.textContent = text;
    status.dataset.tone = tone;
  }

  function requestHeaders(pane) {
    const headers = new Headers(pane);
    const authorization = headers.get("authorization") ?? "";
    if (/^(bearer)?$/i.test(authorization)) {
      headers.delete("authorization");
      if (key()) headers.set("authorization", `Bearer ${key()}`);
    }
    headers.set("accept", "application/graphql-response+json, application/json;q=0.9");
    headers.set("content-type", "application/json");
    return headers;
  }

  function tell(response, headers) {
    const sent = headers.has("authorization");
    if (response.status === 401) {
      const first = "The first API key is in <data-dir>/admin-key on the server.";
      say(sent ? `The API key is not accepted. ${first}` : `An API key is required. ${first}`, "refused");
    } else {
      say(sent ? "Key accepted." : "No API key is required.", "fine");
    }
  }

  // The headers of the last operation: its pictures are requested as the same caller.
  let authorization = null;

  async function answer(operation, pane) {
    const headers = requestHeaders(pane);
    authorization = headers.get("authorization");
    const response = await fetch(location.pathname, { method: "POST", headers, body: JSON.stringify(operation) });
    tell(response, headers);
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
    }
  }

  /** Whether the selected operation is a subscription. */
  const subscribes = ({ operationName }, document) =>
    (document?.definitions ?? []).some(
      ({ operation, name }) => operation === "subscription" && (!operationName || name?.value === operationName),
    );

  /** Yields the results of a subscription as they arrive. Ending the iteration closes the connection. */
  function answers(operation, pane) {
    const leaving = new AbortController();

    async function* listen() {
      const headers = requestHeaders(pane);
      headers.set("accept", "text/event-stream");
      const request = { method: "POST", headers, body: JSON.stringify(operation), signal: leaving.signal };
      const response = await fetch(location.pathname, request);
      tell(response, headers);
      if (!response.ok) {
        yield await response.json();
        return;
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        const events = (text + read.value).split("\n\n");
        text = events.pop();
        for (const event of events) {
          const data = event.split("\n").find((line) => line.startsWith("data: "));
          if (data) yield JSON.parse(data.slice("data: ".length));
        }
      }
    }

    const listening = listen();
    return {
      [Symbol.asyncIterator]: () => listening,
      next: () => listening.next(),
      return: async () => {
        leaving.abort();
        return { done: true, value: undefined };
      },
    };
  }

  const PICTURE = /^\/(lineage\/[\w.-]+|models\/[\w.-]+\/metrics\/[^/]*)\.svg$/;
  const prefix = location.pathname.replace(/\/graphql$/, "");
  let shown = null;

  async function draw(path, image, link, words) {
    const headers = authorization ? { authorization } : {};
    const response = await fetch(prefix + path, { headers });
    if (!response.ok) {
      words.textContent = (await response.json()).errors[0].message;
      return;
    }
    if (shown) URL.revokeObjectURL(shown);
    shown = URL.createObjectURL(await response.blob());
    link.href = image.src = shown;
    words.remove();
    image.hidden = link.hidden = false;
  }

  /** Shows the picture next to a value under the mouse, if the value is the path of a picture. */
  function preview(token) {
    const path = token.type === "string" && token.string.endsWith('"') ? JSON.parse(token.string) : "";
    if (!PICTURE.test(path)) return undefined;
    const box = document.createElement("div");
    const [image, link, words] = ["img", "a", "p"].map((tag) => box.appendChild(document.createElement(tag)));
    box.className = "picture";
    image.hidden = link.hidden = true;
    image.alt = "";
    words.textContent = "Drawing …";
    Object.assign(link, { textContent: "Open", target: "_blank", rel: "noopener" });
    // The URL of an opened picture stays valid, so that its tab can be reloaded.
    link.addEventListener("click", () => (shown = null));
    draw(path, image, link, words).catch((error) => (words.textContent = String(error)));
    return box;
  }

  // Not with GraphiQL's responseTooltip: next to it, GraphiQL shows each image path itself, and requests it without a key.
  place.addEventListener(
    "mouseover",
    ({ target }) => {
      const editor = target.closest(".result-window .CodeMirror")?.CodeMirror;
      if (editor?.getOption("info") === true) editor.setOption("info", { render: preview });
    },
    { capture: true },
  );

  // GraphiQL's history stores the headers pane, and with it a key, in localStorage regardless of shouldPersistHeaders.
  const withoutHeaders = (name, value) =>
    /^graphiql:(queries|favorites)$/.test(name)
      ? JSON.stringify(JSON.parse(value, (field, inner) => (field === "headers" ? undefined : inner)))
      : value;

  const storage = {
    getItem: (name) => localStorage.getItem(name),
    setItem: (name, value) => localStorage.setItem(name, withoutHeaders(name, value)),
    removeItem: (name) => localStorage.removeItem(name),
    clear: () => Object.keys(localStorage).filter((name) => name.startsWith("graphiql:")).forEach(storage.removeItem),
    get length() {
      return Object.keys(localStorage).filter((name) => name.startsWith("graphiql:")).length;
    },
  };

  // For the first tab, GraphiQL takes the query from defaultTabs, but the variables only from the storage.
  if (!storage.getItem("graphiql:tabState")) {
    storage.setItem("graphiql:query", examples[0].query);
    storage.setItem("graphiql:variables", examples[0].variables ?? "");
  }

  const { createElement } = React;
  const root = ReactDOM.createRoot(place);
  const plugins = [GraphiQLPluginExplorer.explorerPlugin()];
  const logo = createElement(GraphiQL.Logo, null, " ");

  function show() {
    // A new fetcher makes GraphiQL request the schema again.
    const fetcher = (operation, options) =>
      (subscribes(operation, options?.documentAST) ? answers : answer)(operation, options?.headers);
    root.render(
      createElement(
        GraphiQL,
        {
          fetcher,
          plugins,
          storage,
          defaultTabs: examples,
          defaultHeaders: JSON.stringify({ Authorization: "Bearer " }, null, 2),
          defaultEditorToolsVisibility: true,
          inputValueDeprecation: true,
          isHeadersEditorEnabled: true,
          shouldPersistHeaders: false,
          showPersistHeadersSettings: false,
        },
        logo,
      ),
    );
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, field.value.trim().replace(/^bearer\s+/i, ""));
    // The refusal of the schema request would stay in the results pane.
    place.querySelector(".result-window .CodeMirror")?.CodeMirror.setValue("");
    show();
  });

  field.value = key();
  show();
})();
