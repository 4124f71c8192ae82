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

  // What the last operation was sent with: its pictures are for the same caller.
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

  /** Whether the operation that is meant is a subscription. */
  const subscribes = ({ operationName }, document) =>
    (document?.definitions ?? []).some(
      ({ operation, name }) => operation === "subscription" && (!operationName || name?.value === operationName),
    );

  /** The answers of a subscription, as they come; leaving it closes the connection. */
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

  /** What is shown beside a result's value under the mouse: the picture that it is the path of. */
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
    // What was opened stays, to be loaded again.
    link.addEventListener("click", () => (shown = null));
    draw(path, image, link, words).catch((error) => (words.textContent = String(error)));
    return box;
  }

  // Not by GraphiQL's responseTooltip: beside it GraphiQL shows each path of an image itself, and asks without a key.
  place.addEventListener(
    "mouseover",
    ({ target }) => {
      const editor = target.closest(".result-window .CodeMirror")?.CodeMirror;
      if (editor?.getOption("info") === true) editor.setOption("info", { render: preview });
    },
    { capture: true },
  );

  // GraphiQL's history keeps the headers pane, and with it a key, in localStorage whatever shouldPersistHeaders says.
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

  // Of the tab that opens first GraphiQL takes the query from defaultTabs, but the variables from the storage only.
  if (!storage.getItem("graphiql:tabState")) {
    storage.setItem("graphiql:query", examples[0].query);
    storage.setItem("graphiql:variables", examples[0].variables ?? "");
  }

  const { createElement } = React;
  const root = ReactDOM.createRoot(place);
  const plugins = [GraphiQLPluginExplorer.explorerPlugin()];
  const logo = createElement(GraphiQL.Logo, null, " ");

  function show() {
    // A new fetcher makes GraphiQL ask for the schema again.
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
    // The refusal of the schema would stay where results are shown.
    place.querySelector(".result-window .CodeMirror")?.CodeMirror.setValue("");
    show();
  });

  field.value = key();
  show();
})();
