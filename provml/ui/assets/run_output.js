"use strict";
// The tab of the run page that shows printed output, or another text that the run kept a copy of.
// The text is loaded in parts of 64 kB, of which at most 12 are on the page at once.

(() => {
  const { element, fill, count } = ui;
  const { failure } = ui.runParts;
  const partBytes = 64 * 1024;
  const mostParts = 12;
  const atEnd = 40;
  const printedMs = 2000;

  // A view of one log. It is a list of parts that follow one another.
  function logView(page, source, log) {
    const text = element("div", { class: "log", tabindex: "0", role: "log", "aria-live": "off", "aria-label": `Text of ${log.name}` });
    const place = element("span", { class: "soft", role: "status" });
    const buttons = [
      ["First", () => jump(0)], ["Last", () => toEnd()],
    ].map(([label, action]) => element("button", { type: "button", onclick: action }, label));
    const field = element("input", { type: "search", placeholder: "Find in the text", "aria-label": "Find in the text",
      onkeydown: (event) => { if (event.key === "Enter") search(); } });
    const found = element("div", { class: "found" });
    const follows = element("input", { type: "checkbox", checked: log.live });
    const tools = element("div", { class: "row tools" }, field,
      element("button", { type: "button", onclick: () => search() }, "Find"), ui.settings.live && buttons,
      log.live && element("label", { class: "row" }, follows, "Follow"), place);
    const notes = element("div", {}, log.notes.map((note) => element("p", { class: "soft" }, note)));
    const box = element("div", {}, tools, notes, found, text);
    let parts = [];
    let size = log.size;
    let waiting = 0;
    let queue = Promise.resolve();

    function show() {
      const first = parts[0];
      const last = parts[parts.length - 1];
      place.textContent = size === 0 ? "empty" : first.offset === 0 && last.end >= size
        ? ui.bytes(size) : `${ui.bytes(first.offset)} to ${ui.bytes(last.end)} of ${ui.bytes(size)}`;
    }

    function addPart(part, before) {
      if (part.end <= part.offset && parts.length > 0) return;
      const made = { offset: part.offset, end: part.end, text: part.text, node: element("pre", {}, part.text) };
      if (before) {
        const height = text.scrollHeight;
        text.prepend(made.node);
        parts.unshift(made);
        text.scrollTop += text.scrollHeight - height;
        while (parts.length > mostParts) parts.pop().node.remove();
      } else {
        text.append(made.node);
        parts.push(made);
        while (parts.length > mostParts) {
          const height = text.scrollHeight;
          parts.shift().node.remove();
          text.scrollTop -= height - text.scrollHeight;
        }
      }
    }

    function replace(part) {
      parts = [];
      text.replaceChildren();
      addPart(part, false);
      size = Math.max(size, part.size || 0);
      show();
    }

    // Loads the part that begins at {offset} or ends at {before}. Without these, loads the last
    // part.
    async function load(place) {
      const answer = await ui.load("output", { limit: partBytes, run: page.key, ...place, ...source });
      size = answer.size;
      return answer;
    }

    // Runs requests one after another. After the last one, checks whether more text is needed,
    // because the reader may have scrolled in the meantime.
    function enqueue(action) {
      waiting += 1;
      queue = queue.then(async () => {
        try {
          await action();
          show();
          if (waiting === 1) setTimeout(more);
        } catch (error) {
          place.textContent = error.message;
        } finally {
          waiting -= 1;
        }
      });
      return queue;
    }

    // Skips the request if another one is under way, because the request will be made again later.
    function once(action) { if (waiting === 0) enqueue(action); }

    const jump = (offset) => enqueue(async () => { replace(await load({ offset })); text.scrollTop = 0; });

    const toEnd = () => enqueue(async () => {
      if (parts[parts.length - 1].end < size) replace(await load({}));
      text.scrollTop = text.scrollHeight;
    });

    function more() {
      const first = parts[0];
      const last = parts[parts.length - 1];
      if (!ui.settings.live) return;
      if (text.scrollTop < 200 && first.offset > 0) {
        once(async () => addPart(await load({ before: first.offset }), true));
      } else if (text.scrollHeight - text.scrollTop - text.clientHeight < 200 && last.end < size) {
        once(async () => addPart(await load({ offset: last.end }), false));
      }
    }

    // Adds the text that was printed since the last request. The view moves only if it was at the
    // end.
    function update() {
      once(async () => {
        const last = parts[parts.length - 1];
        const wasAtEnd = text.scrollHeight - text.scrollTop - text.clientHeight < atEnd;
        const answer = await load({ offset: last.end });
        if (answer.size < last.end) replace(await load({}));
        else if (answer.end > last.end) addPart(answer, false);
        if (follows.checked && wasAtEnd) text.scrollTop = text.scrollHeight;
      });
    }

    // ---- search --------------------------------------------------------------------------------

    async function search() {
      const wanted = field.value;
      fill(found);
      mark("");
      if (wanted === "") return;
      try {
        const answer = ui.settings.live
          ? await ui.load("output", { find: wanted, run: page.key, ...source }) : searchHere(wanted);
        showMatches(answer, wanted);
      } catch (error) {
        fill(found, failure(error));
      }
    }

    // An export holds only a part of the text, so only that part is searched.
    function searchHere(wanted) {
      const lines = parts.flatMap((part) => part.text.split("\n"));
      const matches = lines.filter((line) => line.toLowerCase().includes(wanted.toLowerCase()));
      return { matches: matches.slice(0, 500).map((line) => ({ offset: null, line: line.slice(0, 300) })), more: matches.length > 500 };
    }

    function showMatches({ matches, more: isCut }, wanted) {
      const label = matches.length === 0 ? "No line contains this text." : `${isCut ? "More than " : ""}${count(matches.length)} lines`;
      const items = matches.map((match) => element("li", {}, element("button", {
        type: "button", class: "link line", onclick: () => goTo(match, wanted),
      }, highlighted(match.line, wanted))));
      fill(found, element("p", { role: "status" }, label), element("ol", { class: "matches", tabindex: "0", "aria-label": "Matches" }, items));
      if (matches.length > 0) goTo(matches[0], wanted);
    }

    async function goTo(match, wanted) {
      if (match.offset !== null && !(parts[0].offset <= match.offset && match.offset < parts[parts.length - 1].end)) {
        await jump(match.offset);
      }
      mark(wanted, match.line);
    }

    // Marks the text in the part of the log that is on the page, and scrolls to the chosen line.
    function mark(wanted, line) {
      let chosen = null;
      for (const part of parts) {
        fill(part.node, highlighted(part.text, wanted));
        const marks = chosen === null && line ? [...part.node.querySelectorAll("mark")] : [];
        chosen = marks.find((one) => around(one).includes(line.trim())) || chosen || null;
      }
      if (chosen) text.scrollTop += chosen.getBoundingClientRect().top - text.getBoundingClientRect().top - text.clientHeight / 3;
    }

    function around(node) {
      const before = node.previousSibling ? node.previousSibling.textContent.split("\n").pop() : "";
      const after = node.nextSibling ? node.nextSibling.textContent.split("\n")[0] : "";
      return before + node.textContent + after;
    }

    text.addEventListener("scroll", more, { passive: true });
    replace(log);
    return { box, update, start() { text.scrollTop = text.scrollHeight; more(); } };
  }

  // Splits text into pieces, and marks the pieces that match. Marks at most 2,000 pieces.
  function highlighted(text, wanted) {
    if (wanted === "") return text;
    const lower = text.toLowerCase();
    const own = wanted.toLowerCase();
    if (lower.length !== text.length) return text; // positions would differ
    const pieces = [];
    let done = 0;
    for (let at = lower.indexOf(own); at >= 0 && pieces.length < 4000; at = lower.indexOf(own, done)) {
      pieces.push(text.slice(done, at), element("mark", {}, text.slice(at, at + own.length)));
      done = at + own.length;
    }
    return [...pieces, text.slice(done)];
  }

  function draw(panel, page) {
    const choice = element("div", { class: "row tools" });
    const place = element("div", {});
    panel.append(choice, place);
    let view = null;
    let names = "";
    let status = page.run.status;
    let closed = false;

    async function load() {
      try {
        const digest = ui.address.get("digest");
        if (digest !== null) showLog({ digest }, await ui.load("output", { digest, limit: partBytes, offset: 0, run: page.key }), false);
        else showLogs((await ui.load("output", { run: page.key })).logs);
      } catch (error) {
        if (!closed && view === null) fill(place, failure(error, load));
      }
    }

    function showLogs(logs) {
      if (closed) return;
      if (logs.length === 0) {
        fill(place, ui.message("empty", "The run kept no output",
          "provml run keeps what a command prints. Start the script with: provml run python train.py"));
        return;
      }
      const asked = ui.address.get("name");
      const failed = !["running", "finished"].includes(page.run.status);
      const wanted = logs.find((log) => log.name === asked) || (failed && logs.find((log) => log.name === "stderr" && log.size > 0)) || logs[0];
      names = logs.map((log) => log.name).join();
      fill(choice, logs.map((log) => element("button", {
        type: "button", "aria-pressed": String(log === wanted),
        onclick: () => { ui.address.set({ name: log.name }); load(); },
      }, `${log.name} (${ui.bytes(log.size)})`)));
      showLog({ name: wanted.name }, wanted, true);
    }

    function showLog(source, log, isEnd) {
      if (closed) return;
      view = logView(page, source, log);
      fill(place, element("h2", {}, log.name), view.box);
      if (isEnd) view.start();
    }

    // The list of logs changes when the command begins to print, and when it ends.
    async function update() {
      const isNew = page.run.status !== status || names === "";
      status = page.run.status;
      if (view !== null) view.update();
      if (isNew && ui.address.get("digest") === null) await load();
    }

    // A command may print without recording anything. The server does not report this, so ask
    // regularly.
    const timer = setInterval(() => { if (view !== null && page.run.status === "running") view.update(); }, printedMs);
    return { ready: load(), update, close() { closed = true; clearInterval(timer); } };
  }

  ui.runTabs.set("output", { label: "Output", draw });
})();
