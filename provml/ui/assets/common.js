"use strict";
// What every page uses: data, links, text, keys, the theme, and news from the server.
// The object `ui` is the only global name. Recorded text only ever becomes text, never markup.

const ui = (() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const main = document.getElementById("main");

  // ---- elements --------------------------------------------------------------------------------

  // Makes an element. Attributes whose name starts with "on" are listeners, `dataset` and `style`
  // are objects, and null attributes and children are left out. Children are elements or text.
  function element(tag, attributes, ...children) {
    const made = tag === "svg" || tag.startsWith("svg:")
      ? document.createElementNS("http://www.w3.org/2000/svg", tag.replace("svg:", ""))
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "dataset") Object.assign(made.dataset, value);
      else if (name === "style") for (const [key, text] of Object.entries(value)) made.style.setProperty(key, text);
      else if (name === "value") made.value = value;
      else if (name === "checked" || name === "disabled" || name === "selected") made[name] = true;
      else made.setAttribute(name, value === true ? "" : value);
    }
    append(made, children);
    return made;
  }

  function append(parent, children) {
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      parent.append(child instanceof Node ? child : String(child));
    }
  }

  // Replaces the content of an element.
  function fill(parent, ...children) {
    parent.replaceChildren();
    append(parent, children);
  }

  // Returns a box with a message. The kind is "empty", if there is nothing to show, or "error".
  function message(kind, title, ...details) {
    return element("div", { class: `message ${kind}`, role: kind === "error" ? "alert" : "status" },
      element("p", { class: "message-title" }, title), details.map((detail) => element("p", {}, detail)));
  }

  // ---- text ------------------------------------------------------------------------------------

  // Writes a number with six digits, as the command line does. Text passes unchanged.
  function number(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
    const text = value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(5) : value.toPrecision(6);
    if (text.includes("e")) return text.replace(/\.?0+e/, "e");
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  }

  // Writes any recorded value: numbers as `number` does, mappings and lists as JSON.
  function valueText(value) {
    if (value === true || value === false || value === null || typeof value === "object") return JSON.stringify(value);
    return number(value);
  }

  // Returns a text with escapes for characters that are invisible or change the direction of text,
  // so that a name can't look like another name. The command line does the same. Spaces alone are
  // shown in quotes.
  function visible(text) {
    const whole = String(text);
    if (whole !== "" && whole.trim() === "") return JSON.stringify(whole);
    return whole.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  }

  function count(value) {
    return value === null || value === undefined ? "–" : value.toLocaleString("en");
  }

  function duration(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return `${hours} h ${minutes % 60} min`;
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  }

  // Writes a time, given as nanoseconds since 1970 in a decimal text, in the browser's time zone.
  function time(nanoseconds) {
    if (nanoseconds === null || nanoseconds === undefined) return "–";
    const date = new Date(Number(BigInt(nanoseconds) / 1000000n));
    const two = (part) => String(part).padStart(2, "0");
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
      `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  }

  function bytes(size) {
    if (size === null || size === undefined) return "–";
    const units = ["B", "kB", "MB", "GB", "TB"];
    let place = 0;
    while (size >= 1000 && place < units.length - 1) { size /= 1000; place += 1; }
    return `${place ? size.toPrecision(3) : size} ${units[place]}`;
  }

  // Returns a run's status as a mark that does not rely on colour alone.
  function status(text) {
    const signs = { running: "●", finished: "✓", failed: "✗", crashed: "✗", killed: "✗", unreadable: "!" };
    return element("span", { class: `status status-${text}` },
      element("span", { "aria-hidden": "true" }, signs[text] || "·"), ` ${text}`);
  }

  // ---- links and the address -------------------------------------------------------------------

  // Turns an object into the query of an address. A list repeats its name; null is left out.
  function query(parameters) {
    const pairs = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters || {})) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== null && one !== undefined && one !== "") pairs.append(name, one);
      }
    }
    return pairs.toString();
  }

  // Returns the address of a page: "index", "compare", "run" or "file".
  function link(page, parameters) {
    const text = query(parameters);
    return `${page}.html${text ? `?${text}` : ""}`;
  }

  // The state of the page is in its address, so that every view can be reloaded, bookmarked and
  // sent. `get` and `all` read a parameter. `set` changes parameters without loading the page
  // again.
  const address = {
    get: (name) => new URLSearchParams(location.search).get(name),
    all: (name) => new URLSearchParams(location.search).getAll(name),
    set(changes, push = false) {
      const now = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(changes)) {
        now.delete(name);
        for (const one of Array.isArray(value) ? value : [value]) {
          if (one !== null && one !== undefined && one !== "") now.append(name, one);
        }
      }
      const text = now.toString();
      history[push ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname.split("/").pop() || "index.html");
    },
  };

  // ---- data ------------------------------------------------------------------------------------

  class DataError extends Error {
    constructor(text, kind, status) { super(text); this.kind = kind; this.status = status; }
  }

  // Loads data by name. On a server, the server answers; in an export, a file in the folder "data"
  // contains the answer to this request. Rejects with a DataError that says what is wrong.
  async function load(name, parameters, signal) {
    const text = query(parameters);
    if (!settings.live) {
      const sorted = new URLSearchParams(text);
      sorted.sort();
      return loadFile(`${name}?${sorted}`);
    }
    let answer;
    try {
      answer = await fetch(`data/${name}${text ? `?${text}` : ""}`, { signal, credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new DataError("the server does not answer: is provml ui still running?", "Offline", 0);
    }
    const body = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
    if (!answer.ok) throw new DataError(body.error, body.kind, answer.status);
    return body;
  }

  const received = new Map();
  const waiting = new Map();

  function loadFile(request) {
    const place = Object.hasOwn(ui.exported || {}, request) ? ui.exported[request] : undefined;
    if (place === undefined) {
      return Promise.reject(new DataError("this export does not contain the data: run provml ui to see it", "NotExported", 404));
    }
    if (!waiting.has(place)) {
      waiting.set(place, new Promise((resolve, reject) => {
        const script = element("script", {
          src: `data/${place}.js`,
          onload: () => {
            const [data, failed] = received.get(place) || [{ error: `the file data/${place}.js is damaged` }, true];
            if (failed) reject(new DataError(data.error, data.kind, 400)); else resolve(data);
          },
          onerror: () => reject(new DataError(`the file data/${place}.js is missing from the export`, "NotExported", 404)),
        });
        document.head.append(script);
      }));
    }
    return waiting.get(place);
  }

  // ---- news ------------------------------------------------------------------------------------

  const listeners = new Set();
  let isFollowing = false;

  // Calls a function with {added, changed, removed} whenever runs of the store change. These are
  // lists of keys. Whenever the connection opens, the function is called with empty lists, because
  // earlier changes are not known. Returns a function that stops the calls. In an export, nothing
  // ever changes.
  function follow(listener) {
    listeners.add(listener);
    if (settings.live && !isFollowing) {
      isFollowing = true;
      if (navigator.locks && window.BroadcastChannel) shareConnection(); else connectWhileVisible();
    }
    return () => listeners.delete(listener);
  }

  // Takes what the connection says: whether it is open, and the news.
  function hear({ state, news }) {
    const shown = document.getElementById("connection");
    shown.textContent = state === "live" ? "live" : "not connected";
    shown.dataset.state = state;
    if (news) for (const one of [...listeners]) one(news);
  }

  function connect(tell) {
    const source = new EventSource("live");
    source.onopen = () => tell({ state: "live", news: { added: [], changed: [], removed: [] } });
    source.onerror = () => tell({ state: "lost" });
    source.onmessage = (event) => tell({ state: "live", news: JSON.parse(event.data) });
    return source;
  }

  // A browser opens at most six connections to a server, and a seventh page would never load. So one
  // of the open pages has the connection and passes on what it says. When that page closes, the next
  // one connects.
  function shareConnection() {
    const name = `provml ${new URL("live", location.href).pathname}`;
    const channel = new BroadcastChannel(name);
    let state = null; // of the connection, on the page that has it
    let hasHeard = false;
    channel.onmessage = ({ data }) => {
      if (data.isQuestion) {
        if (state !== null) channel.postMessage({ state, news: state === "live" ? { added: [], changed: [], removed: [] } : null, isAnswer: true });
      } else if (!data.isAnswer || !hasHeard) {
        hasHeard = true;
        hear(data);
      }
    };
    channel.postMessage({ isQuestion: true });
    navigator.locks.request(name, () => new Promise(() => {
      connect((said) => {
        state = said.state;
        channel.postMessage(said);
        hear(said);
      });
    }));
  }

  // Over plain HTTP from another machine, browsers have no locks: there, only visible pages connect.
  function connectWhileVisible() {
    let source = null;
    const change = () => {
      if (document.hidden) {
        source?.close();
        source = null;
      } else source ??= connect(hear);
    };
    document.addEventListener("visibilitychange", change);
    change();
  }

  // ---- keys ------------------------------------------------------------------------------------

  const keys = new Map();

  // Assigns actions to keys: {"c": ["Compare the chosen runs", () => ...]}. Keys that are pressed
  // in a field, or together with Ctrl, Alt or Meta, keep their usual meaning.
  function onKeys(actions) {
    for (const [key, action] of Object.entries(actions)) keys.set(key, action);
  }

  function showKeys() {
    const names = { " ": "Space", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" };
    fill(document.getElementById("keys-list"), [...keys].map(([key, [text]]) =>
      [element("dt", {}, element("kbd", {}, names[key] || key)), element("dd", {}, text)]));
    document.getElementById("keys").showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const field = event.target.closest("input, textarea, select, [contenteditable]");
    if (field !== null && !["checkbox", "radio", "range"].includes(field.type)) return;
    if (document.querySelector("dialog[open]") !== null) return;
    // a focused button or link handles Enter and Space itself
    if ((event.key === "Enter" || event.key === " ") && event.target.closest("button, a, summary, input") !== null) return;
    const action = keys.get(event.key);
    if (action === undefined) return;
    event.preventDefault();
    action[1](event);
  });
  document.getElementById("keys-button").addEventListener("click", showKeys);

  // ---- theme -----------------------------------------------------------------------------------

  const themeButton = document.getElementById("theme-button");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const themeListeners = new Set();

  function stored(name) {
    try { return localStorage.getItem(name); } catch { return null; }
  }

  function store(name, value) {
    try { localStorage.setItem(name, value); } catch { /* a browser may forbid it */ }
  }

  function theme() { return document.documentElement.dataset.theme; }

  function applyTheme() {
    const chosen = stored("provml-theme");
    const now = chosen === "dark" || chosen === "light" ? chosen : system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = now;
    themeButton.textContent = now === "dark" ? "Light" : "Dark";
    themeButton.setAttribute("aria-label", now === "dark" ? "Use light colours" : "Use dark colours");
    for (const listener of themeListeners) listener(now);
  }

  function changeTheme() {
    store("provml-theme", theme() === "dark" ? "light" : "dark");
    applyTheme();
  }

  system.addEventListener("change", applyTheme);
  themeButton.addEventListener("click", changeTheme);
  applyTheme();

  // Calls a function whenever the colours change, so that charts are drawn again.
  function onTheme(listener) { themeListeners.add(listener); }

  // Returns the value of a colour of the style sheet, such as "--ink".
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  onKeys({
    "?": ["Show the keys", showKeys],
    g: ["Go to the runs", () => location.assign(link("index"))],
    f: ["Go to the files", () => location.assign(link("file"))],
    t: ["Change between light and dark", changeTheme],
  });

  // Marks the page as drawn. Tests and scripts wait for this mark.
  function ready() {
    document.documentElement.dataset.readyMs = String(Math.round(performance.now()));
  }

  function title(text) { document.title = `${text} · ${settings.store}`; }

  return {
    settings, main, element, fill, message, number, valueText, visible, count, duration, time, bytes, status,
    query, link, address, load, DataError, follow, onKeys, theme, onTheme, colour, stored, store,
    ready, title,
    exported: null,
    receive: (place, data, failed) => received.set(place, [data, failed]),
  };
})();
if (typeof provmlExported === "object") ui.exported = provmlExported;
