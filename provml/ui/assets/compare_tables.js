"use strict";
// The tables of the page that compares runs: settings, results, data and environment.

ui.comparison = (() => {
  const WIDE = 8; // with more runs than this, each run is a row

  // ---- tables ----------------------------------------------------------------------------------

  function runHead(run) {
    return [
      ui.element("span", { class: "legend-colour", "aria-hidden": "true", style: { background: ui.plots.colourAt(run.place) } }), " ",
      ui.element("a", { href: ui.link("run", { run: run.key }), title: run.key }, ui.element("bdi", {}, run.label)),
    ];
  }

  // Makes a table with one cell for each run and name. `entries` are [{name, cells}], where `cells`
  // has an element or a text for each run. If there are few runs, each run is a column. If there
  // are many, each run is a row, and the rows can be sorted.
  function runTable(entries, runs, caption) {
    const isWide = runs.length > WIDE;
    const body = ui.element("tbody", {});
    const nameHead = (name) => ui.element("th", { scope: "row", class: "name" }, ui.element("bdi", {}, name));
    const head = isWide ? entries.map((entry) => sortHead(entry, body)) : runs.map((run) => ui.element("th", { scope: "col" }, runHead(run)));
    const lines = isWide
      ? runs.map((run, place) => [ui.element("th", { scope: "row", class: "name" }, runHead(run)), entries.map((entry) => cell(entry.cells[place]))])
      : entries.map((entry) => [nameHead(entry.name), entry.cells.map(cell)]);
    ui.fill(body, lines.map((line, place) => ui.element("tr", { dataset: { place } }, line)));
    return ui.element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, ui.element("table", { class: "run-table" },
      ui.element("caption", { class: "hidden-text" }, caption),
      ui.element("thead", {}, ui.element("tr", {}, ui.element("th", { scope: "col", class: "name" }, isWide ? "Run" : "Name"), head)), body));
  }

  // Makes the heading of a column. Pressing the heading sorts the rows: ascending, then descending.
  function sortHead(entry, body) {
    const head = ui.element("th", { scope: "col" }, ui.element("button", {
      type: "button", class: "plain sort",
      onclick: () => {
        const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way);
        const order = sortPlaces(entry.cells, way === "ascending" ? 1 : -1);
        const rows = new Map([...body.children].map((row) => [Number(row.dataset.place), row]));
        body.append(...order.map((place) => rows.get(place)));
      },
    }, ui.element("bdi", {}, entry.name)));
    return head;
  }

  // Returns the places of the cells in sorted order: numbers come before texts, and missing values
  // last.
  function sortPlaces(cells, way) {
    const keys = cells.map((content) => {
      const text = content === null ? null : typeof content === "string" ? content : content instanceof Node ? content.textContent : String(content);
      return text === null ? [2, ""] : text !== "" && !Number.isNaN(Number(text)) ? [0, Number(text)] : [1, text];
    });
    return [...keys.keys()].sort((a, b) => keys[a][0] - keys[b][0] || way * (keys[a][1] < keys[b][1] ? -1 : keys[a][1] > keys[b][1] ? 1 : 0) || a - b);
  }

  function cell(content) {
    const isNumber = typeof content === "string" && content !== "" && !Number.isNaN(Number(content));
    return ui.element("td", { class: isNumber ? "number" : null }, content === null ? ui.element("span", { class: "soft" }, "–") : content);
  }

  // Shortens a text of several lines or hundreds of characters. Opening the shortened text shows
  // all of it.
  function longText(text) {
    if (text === null || text === undefined) return null;
    const shown = String(text);
    if (shown.length <= 160 && !shown.includes("\n")) return shown;
    return ui.element("details", { class: "long" }, ui.element("summary", {}, `${shown.slice(0, 80)}…`), ui.element("pre", {}, shown));
  }

  // Writes numbers with six digits, or exactly if six digits would make different numbers look the same.
  function valueCells(texts) {
    const short = texts.map((text) => {
      const isNumber = text !== null && text !== "" && !Number.isNaN(Number(text));
      return isNumber ? ui.number(Number(text)) : text;
    });
    const isExact = new Set(short).size === new Set(texts).size;
    return (isExact ? short : texts).map(longText);
  }

  // Shows the entries of a part that differ, and folds those that are the same in all runs.
  function showPart(title, entries, runs, makeCells = valueCells) {
    const differing = entries.filter((entry) => entry.differs);
    const same = entries.filter((entry) => !entry.differs && entry.values[0] !== null);
    if (differing.length + same.length === 0) return null;
    return ui.element("section", { class: "card" }, ui.element("h2", {}, title),
      differing.length ? runTable(differing.map((entry) => ({ name: entry.name, cells: makeCells(entry.values) })), runs, title) : null,
      same.length ? ui.element("details", { class: "same" }, ui.element("summary", {}, sameText(same.length, differing.length)),
        ui.element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `${title} that are the same` }, ui.element("table", {}, ui.element("tbody", {},
          same.map((entry) => ui.element("tr", {}, ui.element("th", { scope: "row", class: "name" }, ui.element("bdi", {}, entry.name)), cell(makeCells(entry.values)[0]))))))) : null);
  }

  function sameText(same, differing) {
    if (differing === 0) return `All ${ui.count(same)} are the same in these runs`.replace("All 1 are", "One value, which is");
    return same === 1 ? "1 is the same" : `${ui.count(same)} are the same`;
  }

  function labelsOf(keys, runs) {
    return keys.map((key) => runs.find((run) => run.key === key)?.label || key).join(", ");
  }

  // Returns a note about the runs that did not record a part, so that nobody mistakes a gap for a
  // difference.
  function unrecordedNote(values, runs, part, what) {
    const keys = values.unrecorded?.[part] || [];
    if (keys.length === 0) return null;
    const who = keys.length === runs.length ? "These runs recorded" : keys.length === 1 ? `${labelsOf(keys, runs)} recorded` : `${keys.length} runs recorded`;
    return ui.element("p", { class: "soft", title: labelsOf(keys, runs) }, `${who} no ${what}.`);
  }

  function fillPanel(panel, parts, emptyText) {
    const shown = parts.flat().filter((part) => part !== null && part !== undefined);
    ui.fill(panel, shown.length ? shown : ui.message("empty", emptyText));
  }

  // ---- settings, environment, data -------------------------------------------------------------

  const STATE_NAMES = new Map([["experiment", "Experiment"], ["parent", "Parent"], ["script", "Script"], ["command", "Command"], ["git_commit", "Git commit"], ["git_dirty", "Uncommitted changes"]]);

  function showSettings(panel, { values, runs }) {
    const state = values.parts.state.map((entry) => ({ ...entry, name: STATE_NAMES.get(entry.name) || entry.name, values: entry.values.map((value) => (value === true ? "yes" : value === false ? "no" : value)) }));
    fillPanel(panel, [
      showPart("Parameters", values.parts.params, runs), unrecordedNote(values, runs, "parameters", "parameters"),
      showPart("Tags", values.parts.tags, runs), showPart("Command", state, runs), unrecordedNote(values, runs, "command", "command"),
      noteList(values.notes),
    ], "These runs recorded no settings.");
  }

  function noteList(notes) {
    return (notes || []).map((note) => ui.element("p", { class: "soft" }, note));
  }

  function showEnvironment(panel, { values, runs }) {
    fillPanel(panel, [
      unrecordedNote(values, runs, "environment", "interpreter and no packages"),
      showPart("Machine and interpreter", values.parts.environment, runs), showPart("Packages", values.parts.packages, runs),
      showPart("Readings of the machine", values.parts.resources, runs),
    ], "These runs recorded no environment.");
  }

  function showData(panel, { values, runs }) {
    const entries = values.parts.data;
    const groups = new Map([["dataset", "Datasets"], ["input", "Inputs"], ["model", "Models"], ["artifact", "Artifacts"]]);
    const kindOf = (entry) => entry.name.split(" ", 1)[0];
    const parts = [...groups].map(([kind, title]) => showPart(title, entries.filter((entry) => kindOf(entry) === kind)
      .map((entry) => ({ ...entry, name: entry.name.slice(kind.length + 1) })), runs, digestCells));
    const others = showPart("Other files", entries.filter((entry) => !groups.has(kindOf(entry))), runs, digestCells);
    fillPanel(panel, [...parts, others, unrecordedNote(values, runs, "data", "data")], "These runs recorded no data.");
  }

  // Shows digests as links to the lineage of the content. Different contents get different letters,
  // which are easier to compare than digests.
  function digestCells(lists) {
    const letters = new Map();
    const letterOf = (digest) => {
      if (!letters.has(digest)) letters.set(digest, letters.size < 26 ? String.fromCharCode(65 + letters.size) : String(letters.size + 1));
      return letters.get(digest);
    };
    return lists.map((list) => (list === null ? null : list.map((digest) => ui.element("div", { class: "digest" },
      lists.length > 1 ? ui.element("b", { class: "letter" }, letterOf(digest)) : null, " ",
      /^[0-9a-f]{64}$/.test(digest) ? ui.element("a", { class: "mono", href: ui.link("file", { digest }), title: digest }, digest.slice(0, 12)) : longText(digest)))));
  }

  // Puts the parameters first that most runs have with different values, and of these the numbers.
  function sortSettings(params) {
    const ranks = new Map(params.map((entry) => {
      const known = entry.values.filter((value) => value !== null);
      const others = known.filter((value) => value === "" || Number.isNaN(Number(value))).length;
      return [entry, [new Set(known).size === 1, -known.length, others]];
    }));
    const compare = (one, other) => {
      const place = ranks.get(one).findIndex((rank, at) => rank !== ranks.get(other)[at]);
      return place < 0 ? 0 : ranks.get(one)[place] - ranks.get(other)[place];
    };
    return [...params].sort(compare);
  }

  // ---- results ---------------------------------------------------------------------------------

  // Names a series by its name, context, target and rank.
  function metricName(metric) {
    return [metric.name, metric.context === null ? null : metric.context.join(" / "), metric.of ? `of ${metric.of}` : null, metric.rank === null ? null : `rank ${metric.rank}`].filter(Boolean).join(" · ");
  }

  // The values of a metric that the page can show or draw.
  const SUMMARIES = new Map([["last", "Last"], ["min", "Lowest"], ["max", "Highest"], ["count", "Samples"]]);

  function showResults(panel, { values, runs }) {
    if (values.metrics.length === 0) { fillPanel(panel, [], "These runs recorded no metrics."); return; }
    const chosen = SUMMARIES.has(ui.address.get("value")) ? ui.address.get("value") : "last";
    const choice = ui.element("div", { class: "segments", role: "group", "aria-label": "Which value" }, [...SUMMARIES].map(([name, text]) => ui.element("button", {
      type: "button", "aria-pressed": String(name === chosen), dataset: { value: name },
      onclick: () => {
        ui.address.set({ value: name === "last" ? null : name });
        showResults(panel, { values, runs });
        panel.querySelector(`[data-value="${name}"]`).focus();
      },
    }, text)));
    const entries = values.metrics.map((metric) => ({
      name: metricName(metric) + (metric.unit ? ` (${metric.unit})` : ""),
      cells: metric.values.map((value) => (value === null ? null : ui.number(value[chosen]))),
    }));
    ui.fill(panel, ui.element("section", { class: "card" }, ui.element("div", { class: "row results-head" }, ui.element("h2", {}, "Metrics"), choice), runTable(entries, runs, "Metrics")), unrecordedNote(values, runs, "metrics", "metrics"));
  }

  return { SUMMARIES, runTable, sortSettings, showPart, showSettings, showEnvironment, showData, showResults, metricName, labelsOf, noteList };
})();
