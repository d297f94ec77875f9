"use strict";
// The file page: hashes a file in the browser, and shows its lineage over all runs of the store.

(() => {
  const { element, fill, visible, count } = ui;
  const starts = ["digest", "content", "name", "run"];
  const digestPattern = /^[0-9a-f]{8,64}$/i;

  const field = element("input", { type: "search", id: "start", placeholder: "SHA-256 digest, name or path", "aria-label": "SHA-256 digest, name or path of a file" });
  const chooser = element("input", { type: "file", id: "chooser", class: "hidden-text", tabindex: "-1", "aria-hidden": "true", onchange: () => takeFiles(chooser.files) });
  const progress = element("p", { role: "status", class: "soft" });
  const zone = element("div", { class: "zone" },
    element("p", {}, element("strong", {}, "Drop a file here"), " to see where it came from, and what was made from it."),
    element("div", { class: "row" },
      element("button", { type: "button", class: "primary", onclick: () => chooser.click() }, "Choose a file"), chooser,
      element("form", { class: "row", role: "search", onsubmit: (event) => { event.preventDefault(); find(field.value.trim()); } },
        field, element("button", { type: "submit" }, "Find"))),
    element("p", { class: "soft small" }, "Your browser computes the digest. The file does not leave it."), progress);
  const result = element("div", {});
  const panel = element("aside", { class: "card details", "aria-label": "The chosen node", "aria-live": "off" });
  let asked = 0;
  let hashing = null;

  // ---- the start -------------------------------------------------------------------------------

  function find(text) {
    if (text === "") return;
    open(digestPattern.test(text) ? { digest: text.toLowerCase() } : { name: text });
  }

  async function takeFiles(files) {
    if (files.length === 0) return;
    if (hashing !== null) hashing.abort();
    hashing = new AbortController();
    const { signal } = hashing;
    const file = files[0];
    zone.classList.remove("over");
    try {
      const digest = await ui.fileDigest(file, (part) => {
        progress.textContent = `Reading ${file.name}: ${Math.round(part * 100)} %`;
      }, signal);
      if (signal.aborted) return;
      progress.textContent = `${file.name} has the digest ${digest}${files.length > 1 ? `. Only the first of ${count(files.length)} files is shown.` : ""}`;
      open({ digest }, file.name);
    } catch (error) {
      if (error.name !== "AbortError") fill(progress, element("span", { class: "bad" }, error.message));
    }
  }

  document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) zone.classList.remove("over"); });
  document.addEventListener("drop", (event) => { event.preventDefault(); takeFiles(event.dataTransfer.files); });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) takeFiles(event.clipboardData.files);
    else if (event.target !== field) find(event.clipboardData.getData("text").trim());
  });

  // ---- loading ---------------------------------------------------------------------------------

  // Opens a lineage, and notes it in the address.
  function open(start, fileName, focus = false) {
    const cleared = Object.fromEntries(starts.map((name) => [name, null]));
    ui.address.set({ ...cleared, ...start, depth: null }, true);
    return show(fileName, focus);
  }

  function chosenStart() {
    for (const name of starts) {
      const value = ui.address.get(name);
      if (value) return { [name]: value };
    }
    return null;
  }

  async function show(fileName, focus = false) {
    const start = chosenStart();
    const own = asked += 1;
    field.value = start ? start.digest || start.name || "" : "";
    if (start === null) {
      fill(result, element("h1", { class: "hidden-text" }, "Lineage of a file"), introduction());
      return;
    }
    result.setAttribute("aria-busy", "true");
    if (!result.firstChild || result.querySelector(".message")) fill(result, element("p", { class: "soft" }, "Looking through the runs of the store …"));
    try {
      const answer = await ui.load("file", { ...start, depth: ui.address.get("depth") });
      if (own !== asked) return;
      if (answer.found) showLineage(answer, focus);
      else fill(result, element("h1", { class: "hidden-text" }, "Lineage of a file"), notFound(answer, fileName));
    } catch (error) {
      if (own === asked) fill(result, failed(error));
    } finally {
      if (own === asked) result.removeAttribute("aria-busy");
    }
  }

  function introduction() {
    return ui.message("empty", "No file is chosen",
      "provml finds a file by its content, so it may have another name than when the run used it.",
      "On the page of a run, each file leads here.");
  }

  function notFound(answer, fileName) {
    const what = visible(fileName || answer.start);
    return ui.message("empty", `No run of this store made or used ${what.length > 200 ? `${what.slice(0, 200)}…` : what}`,
      answer.reason.includes("begin with") ? `${answer.reason}.` : "",
      "If the file has changed since, its content is another one. Look for its name instead.",
      "A run knows the files that its script logged, and under provml run all files that its command opened. If the run is in another store, open that with: provml ui --store FOLDER");
  }

  function failed(error) {
    if (error.kind === "NotExported") {
      return ui.message("empty", "These pages do not contain the lineage of this file",
        "They are files without a server. Run provml ui, or on the command line: provml lineage DIGEST");
    }
    return ui.message("error", "The lineage can't be shown", error.message);
  }

  // ---- the lineage -----------------------------------------------------------------------------

  function showLineage(answer, focus) {
    const start = answer.nodes.find((node) => node.start) || answer.nodes[0];
    if (start === undefined) {
      fill(result, ui.message("empty", "This run used and made no files that provml knows"));
      return;
    }
    const title = start.type === "run" ? `Lineage of run ${visible(start.experiment)}/${visible(start.name)}` : `Lineage of ${visible(start.name)}`;
    ui.title(title.slice(0, 200));
    const runs = answer.nodes.filter((node) => node.type === "run").length;
    const contents = answer.nodes.length - runs;
    const place = element("div", {});
    fill(result,
      element("h1", {}, title.length > 300 ? `${title.slice(0, 300)}…` : title),
      element("p", { class: "soft" }, `${plural(contents, "content", "contents")} and ${plural(runs, "run", "runs")}. Left: what it was made from. Right: what was made from it. Choose a node to walk on from it.`),
      notes(answer), element("div", { class: "split" }, place, panel));
    const graph = ui.lineage(place, { answer, onLook: showNode, onCentre: walk });
    if (focus) graph.focus();
  }

  function plural(number, one, many) { return `${count(number)} ${number === 1 ? one : many}`; }

  function notes(answer) {
    const texts = answer.notes.slice(0, 20);
    if (answer.left_out) texts.push(`${count(answer.left_out)} nodes that are farther away are left out: choose a node to go on from it.`);
    const deeper = answer.more_depth && ui.settings.live && element("p", {}, element("button", {
      type: "button", class: "link", onclick: () => { ui.address.set({ depth: Math.min(1000, answer.depth * 4) }, true); show(); },
    }, `Follow more than ${answer.depth} steps`));
    return [texts.map((text) => element("p", { class: "soft small" }, text)), deeper];
  }

  function walk(node) {
    const start = node.type === "run" ? { run: node.key } : node.digest && node.key === node.digest ? { digest: node.digest } : { content: node.key };
    return open(start, null, true);
  }

  // ---- the chosen node -------------------------------------------------------------------------

  function facts(pairs) {
    const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
    return element("dl", { class: "facts" }, shown.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  }

  function runLink(key) { return element("a", { href: ui.link("run", { run: key }) }, visible(key)); }

  function showNode(node) {
    fill(panel, node.type === "run" ? runDetails(node) : contentDetails(node));
  }

  function contentDetails(node) {
    const part = (role, title) => {
      const places = node.places.filter((place) => place.role === role);
      if (places.length === 0) return null;
      return [element("h3", {}, title), element("ul", {}, places.map((place) => element("li", {}, runLink(place.run),
        element("div", { class: "soft small" }, [ui.time(place.time_ns), place.context, place.step === null ? "" : `step ${place.step}`, place.path].filter(Boolean).map(visible).join(" · ")))))];
    };
    const left = node.places_count - node.places.length;
    return [element("h2", {}, visible(node.name)),
      facts([["Kind", visible(node.purpose || node.kind)], ["Size", node.size === null ? null : ui.bytes(node.size)],
        ["Also called", visible(node.names.slice(1).join(", "))],
        ["SHA-256", node.digest ? element("code", {}, node.digest) : "none: the content was not hashed"]]),
      part("out", "Made by"), part("in", "Used by"), left > 0 && element("p", { class: "soft" }, `and ${count(left)} more runs`)];
  }

  function runDetails(node) {
    const metric = ([name, context, last]) => [visible(context ? `${name} (${context})` : name), ui.number(last)];
    const table = (title, pairs, total) => pairs.length > 0 && [element("h3", {}, title), facts(pairs),
      total > pairs.length && element("p", { class: "soft" }, `and ${count(total - pairs.length)} more`)];
    return [element("h2", {}, element("a", { href: ui.link("run", { run: node.key }) }, visible(`${node.experiment}/${node.name}`))),
      facts([["Status", ui.status(node.status)], ["Started", ui.time(node.started_ns)], ["Duration", node.duration_s === null ? null : ui.duration(node.duration_s)],
        ["Owner", node.owner && visible(node.owner)], ["Commit", node.commit && `${node.commit.slice(0, 12)}${node.dirty ? " with changes" : ""}`],
        ["Code", visible(node.code.map((code) => code.name).join(", "))]]),
      table("Last values", node.metrics.map(metric), node.metrics_count), table("Settings", node.params.map((pair) => pair.map(visible)), node.params_count)];
  }

  // ---- the page --------------------------------------------------------------------------------

  fill(ui.main, zone, result);
  window.addEventListener("popstate", () => show(null, false));
  ui.onKeys({
    "/": ["Find a digest, a name or a path", () => field.focus()],
    o: ["Choose a file", () => chooser.click()],
    "←": ["In the graph: go to what this was made from", () => {}],
    "→": ["In the graph: go to what was made from this", () => {}],
  });
  ui.follow((news) => { // the lineage of a new run is shown when the page is opened again
    if ((news.added || []).length + news.removed.length > 0 && result.querySelector(".message.empty") && chosenStart()) show();
  });
  show().then(() => ui.ready());
})();
