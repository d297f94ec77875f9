"use strict";
// Chooses the columns of the table of runs. The first columns tell the runs apart. The reader can
// choose and order other columns in a dialog.

(() => {
  const MOST_COLUMNS = 50;
  const ASKED_PARAMETERS = 300;
  const ASKED_LENGTH = 30_000;
  const MOST_PARAMETERS = 6;
  const MOST_METRICS = 3;
  const ASKED_METRICS = 9;
  const OTHER_CONTEXTS = 3;
  const MOST_LISTED = 100;
  const BASE = ["id", "status", "experiment", "curve", "duration_s", "started"];
  const TELLING = ["accuracy", "acc", "f1", "auc", "loss", "perplexity", "bleu", "reward", "return", "error"];
  const NAME_TAGS = ["name", "run_name", "mlflow.runName"];

  // ---- the columns at first --------------------------------------------------------------------

  // Returns the values to request for choosing the first columns. They must fit in an address.
  function candidates(columns) {
    let left = ASKED_LENGTH;
    return [
      ...mainMetrics(columns).flat(),
      ...columns.tags.filter((name) => NAME_TAGS.includes(name)).map((name) => ui.runs.setting("tags", name)),
      ...columns.params.slice(0, ASKED_PARAMETERS).map((name) => ui.runs.setting("params", name)),
    ].filter((value) => {
      const length = encodeURIComponent(value).length;
      if (length > left) return false;
      left -= length;
      return true;
    });
  }

  // Returns the metrics that a person asks for first: metrics with well-known names come first. Each
  // is a list of contexts to choose from, of which a validation or test context is the first.
  function mainMetrics(columns) {
    const ranked = columns.metrics.map(([name, contexts], place) => ({ name, contexts, place, rank: rankMetric(name) }));
    ranked.sort((one, other) => one.rank - other.rank || one.place - other.place);
    return ranked.slice(0, ASKED_METRICS).map(({ name, contexts }) => {
      const parts = contexts.map((context) => ui.runs.contextParts(context));
      const judging = parts.find((context) => context !== null && /^(?:test|eval|val)/i.test(context[0]));
      const others = parts.filter((context) => context !== judging).slice(0, OTHER_CONTEXTS);
      const field = /loss|error|perplexity/i.test(name) ? "min" : TELLING.some((word) => name.toLowerCase().includes(word)) ? "max" : "last";
      return [...(judging ? [judging] : []), ...others].map((context) => ui.runs.metric(name, context, field));
    });
  }

  function rankMetric(name) {
    const words = name.toLowerCase().split(/[^a-z0-9]+/);
    const place = TELLING.findIndex((word) => words.includes(word));
    return place < 0 ? TELLING.length : place;
  }

  // Returns the first columns: what every run has, the main metrics, and the parameters that differ
  // between these runs. A parameter that few of the runs have does not tell them apart. The metrics
  // that many of the runs have come first.
  function firstColumns(columns, runs) {
    const differing = candidates(columns).filter((value) => differs(runs.map((run) => run.values[value])));
    const countKnown = (value) => runs.filter((run) => run.values[value] !== null && run.values[value] !== undefined).length;
    const common = (value) => countKnown(value) * 4 >= runs.length;
    const parameters = differing.filter((value) => value.startsWith("params") && common(value));
    const ranks = new Map(parameters.map((value) => [value, Math.max(...runs.map((run) => rankSetting(run.values[value])))]));
    parameters.sort((one, other) => ranks.get(one) - ranks.get(other));
    const tags = differing.filter((value) => value.startsWith("tags"));
    const known = mainMetrics(columns)
      .map((values) => values.find(common) || values.find((value) => countKnown(value) > 0))
      .filter((value) => value !== undefined);
    const metrics = [...known.filter(common), ...known.filter((value) => !common(value))].slice(0, MOST_METRICS);
    const own = BASE.filter((value) => value !== "experiment" || differs(runs.map((run) => run.experiment)) || runs.length < 2);
    const end = own.indexOf("duration_s");
    return [...own.slice(0, end), ...tags, ...metrics, ...parameters.slice(0, MOST_PARAMETERS), ...own.slice(end)];
  }

  // Numbers and short words tell more about a run than paths and lists do.
  function rankSetting(value) {
    if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean") return 0;
    if (typeof value !== "string") return 2;
    return /^-?(?:\d+|NaN|Infinity)$/.test(value) ? 0 : value.length <= 20 ? 1 : 2;
  }

  function differs(values) {
    const known = values.filter((value) => value !== null && value !== undefined);
    return new Set(known.map((value) => JSON.stringify(value))).size > 1;
  }

  // ---- the dialog ------------------------------------------------------------------------------

  // Makes the dialog that chooses columns.
  //   chosen(): the values that are shown, in order; choose(values): shows others;
  //   reset(): shows the first columns; names(): the columns of the last answer.
  // Returns a function that opens the dialog.
  function makeColumnsDialog({ chosen, choose, reset, names }) {
    const filter = ui.element("input", { type: "search", placeholder: "Find a column", "aria-label": "Find a column", oninput: drawOffers });
    const order = ui.element("ol", { class: "order", "aria-label": "Shown columns" });
    const offers = ui.element("div", { class: "offers" });
    const dialog = ui.element("dialog", { class: "columns", "aria-labelledby": "columns-title" },
      ui.element("div", { class: "row" }, ui.element("h2", { id: "columns-title" }, "Columns"), ui.element("span", { class: "spacer" }),
        ui.element("button", { type: "button", onclick: () => { reset(); draw(); } }, "Reset"),
        ui.element("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Done")),
      ui.element("div", { class: "columns-parts" },
        ui.element("section", {}, ui.element("h3", {}, "Shown"), order),
        ui.element("section", {}, ui.element("h3", {}, "Add"), filter, offers)));
    document.body.append(dialog);

    function draw() { drawOrder(); drawOffers(); }

    function change(values) {
      choose(values.slice(0, MOST_COLUMNS));
      drawOrder();
      for (const box of offers.querySelectorAll("input")) box.checked = chosen().includes(box.value);
    }

    function drawOrder() {
      const values = chosen();
      ui.fill(order, values.map((value, place) => {
        const column = ui.runs.column(value);
        const label = ui.runs.shorten(`${column.label}${column.detail ? ` (${column.detail})` : ""}`);
        const button = (name, text, enabled, action) => ui.element("button", {
          type: "button", class: "plain", "aria-label": `${name} ${label}`, title: name, disabled: !enabled,
          dataset: { value, action: name }, onclick: () => { action(); refocus(value, name); },
        }, text);
        return ui.element("li", {}, ui.element("span", { class: "label" }, label),
          button("Move up", "↑", place > 1, () => change(moved(values, place, -1))),
          button("Move down", "↓", place > 0 && place < values.length - 1, () => change(moved(values, place, 1))),
          button("Remove", "×", place > 0, () => change(values.filter((one) => one !== value))));
      }));
    }

    // The list is drawn again after a press, so this moves the focus to the same button of the new
    // list.
    function refocus(value, name) {
      const same = [...order.querySelectorAll("button:not(:disabled)")].filter((one) => one.dataset.value === value);
      (same.find((one) => one.dataset.action === name) || same[0] || filter).focus();
    }

    function drawOffers() {
      const wanted = filter.value.toLowerCase();
      const { params, tags, metrics } = names();
      const own = [...ui.runs.OWN].filter(([value]) => value !== "id").map(([value, column]) => ({ name: column.label, options: [[value, ""]] }));
      const settings = (root, list) => list.map((name) => ({ name, options: [[ui.runs.setting(root, name), ""]] }));
      const results = metrics.flatMap(([name, contexts]) => (contexts.length ? contexts.slice(0, 100).map((context) => ui.runs.contextParts(context)) : [undefined])
        .map((context) => ({
          name, context: context === undefined ? "all contexts" : ui.runs.contextText(context),
          options: ["last", "min", "max"].map((field) => [ui.runs.metric(name, context, field), field]),
        })));
      ui.fill(offers, [["Metrics", results], ["Parameters", settings("params", params)], ["Tags", settings("tags", tags)], ["Run", own]]
        .map(([title, list]) => drawSection(title, list.filter((one) => `${one.name} ${one.context || ""}`.toLowerCase().includes(wanted)))));
    }

    function drawSection(title, list) {
      if (list.length === 0) return null;
      const more = list.length - MOST_LISTED;
      return ui.element("fieldset", {}, ui.element("legend", {}, `${title} (${list.length})`),
        list.slice(0, MOST_LISTED).map(drawOffer),
        more > 0 ? ui.element("p", { class: "soft small" }, `${ui.count(more)} more: type a part of the name above.`) : null);
    }

    function drawOffer({ name, context, options }) {
      const shown = ui.runs.shorten(name);
      const box = ([value, field]) => ui.element("label", {}, ui.element("input", {
        type: "checkbox", value, checked: chosen().includes(value), "aria-label": [shown, context, field].filter((part) => part).join(", "),
        onchange: (event) => change(event.target.checked ? [...chosen(), value] : chosen().filter((one) => one !== value)),
      }), field === "" ? shown : field);
      if (context === undefined) return ui.element("div", { class: "offer" }, options.map(box));
      return ui.element("div", { class: "offer" }, ui.element("span", { class: "label" }, shown, ui.element("span", { class: "soft" }, ` ${ui.runs.shorten(context)}`)), options.map(box));
    }

    return () => { filter.value = ""; draw(); dialog.showModal(); filter.focus(); };
  }

  function moved(values, place, by) {
    const made = [...values];
    [made[place], made[place + by]] = [made[place + by], made[place]];
    return made;
  }

  // Converts a context to a list of names. The server sends a list, one name, or null for no
  // context.
  function contextParts(context) {
    return typeof context === "string" ? [context] : context;
  }

  Object.assign(ui.runs, { BASE, candidates, firstColumns, makeColumnsDialog, contextParts });
})();
