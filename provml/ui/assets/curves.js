"use strict";
// The charts of one or more runs: a chart for each series name, with settings that all charts share.
// compare.html and run.html use `ui.curves`.

ui.curves = (() => {
  const plots = ui.plots;
  const AT_ONCE = 3; // charts that load at the same time
  const MOST_KEPT = 24; // charts that stay drawn when they are out of view
  const EVERY_MS = 1000; // the shortest time between two drawings of a run in progress
  const MANY_RUNS = 12; // with more runs than this, the legend shows each name on a single line
  const SERIES_EVERY_MS = 5000;
  const PARAMETERS = ["axis", "smooth", "log", "outliers", "events", "find", "closed", "from", "to", "at", "series", "hide", "without"];

  return function curves(container, options) {
    const prefix = options.prefix || "";
    const kind = options.kind || "metric";
    const axes = (options.axes || (kind === "reading" ? ["time", "wall"] : [...plots.AXES.keys()])).filter((axis) => ui.settings.live || kind !== "reading" || axis === "time");
    const get = (name) => ui.address.get(prefix + name);
    const set = (changes) => ui.address.set(Object.fromEntries(Object.entries(changes).map(([name, value]) => [prefix + name, value])));
    const all = (name) => ui.address.all(prefix + name);

    let runs = options.runs;
    const hidden = new Set(all("hide"));
    const without = new Set(all("without"));
    const closed = new Set(all("closed"));
    const charts = new Map(); // by kind and name
    const visible = new Set();
    const waiting = [];
    let busy = 0;
    let contexts = new Map();
    const seenContexts = new Set();
    let listed = [];
    let finishFirst;
    const drawn = new Promise((resolve) => { finishFirst = resolve; });
    let isClosed = false;
    let highlighted = null;

    // The settings and functions that all charts share.
    const view = {
      axes, height: options.height || 240,
      axis: axes.includes(get("axis")) ? get("axis") : axes[0],
      smooth: Math.min(1, Math.max(0, Number(get("smooth")) || 0)),
      log: get("log") === "1", outliers: get("outliers") === "1", events: get("events") !== "0",
      range: null, at: null,
      isCoarse: matchMedia("(pointer: coarse)").matches,
      keys: () => runs.filter((run) => !run.isRemoved).map((run) => run.key),
      isRunShown: (key) => !hidden.has(key),
      isShown: (curve) => !hidden.has(curve.run) && !without.has(plots.contextText(curve.context)),
      colourOf: (curve) => plots.colourAt(runs.length > 1 ? colourPlace(curve.run) : contexts.get(plots.contextText(curve.context)) || 0),
      dashOf: (curve) => (runs.length > 1 || curve.kind === "metric" ? plots.dashAt(contexts.get(plots.contextText(curve.context)) || 0) : "solid"),
      labelOf: (curve) => [runs.length > 1 ? labelOf(curve.run) : null, plots.curveText(curve)].filter(Boolean).join(" · ") || curve.name,
      // The cube makes small amounts of smoothing easy to choose.
      smoothPart: () => 0.25 * view.smooth ** 3,
      zoom, tell, linksOf, moveCross, dim,
    };
    readRange();

    function placeOf(key) { return runs.findIndex((run) => run.key === key); }
    function colourPlace(key) { return runOf(key)?.place ?? placeOf(key); }
    function runOf(key) { return runs[placeOf(key)]; }
    function labelOf(key) { return runOf(key)?.label || key.split("/").pop(); }

    function readRange() {
      const [from, to, at] = ["from", "to", "at"].map((name) => (get(name) === null || get(name) === "" ? NaN : Number(get(name))));
      view.range = Number.isFinite(from) && Number.isFinite(to) && from < to ? [from, to] : null;
      view.at = Number.isFinite(at) ? at : null;
    }

    // ---- the frame -----------------------------------------------------------------------------

    const list = ui.element("div", { class: "chart-groups" });
    const note = ui.element("div", {});
    const moreNote = ui.element("div", {});
    const legend = options.legend || ui.element("div", {});
    const isLegendOwn = !options.legend;
    const toolbar = options.toolbar === false ? null : makeToolbar();
    const frame = ui.element("div", { class: runs.length > 1 && isLegendOwn ? "curves with-legend" : "curves" },
      toolbar, ui.element("div", { class: "curves-body" }, isLegendOwn ? legend : null, ui.element("div", { class: "curves-list" }, note, list, moreNote)));
    ui.fill(container, frame);
    ui.fill(note, ui.element("p", { class: "soft" }, "Loading the list of curves…"));
    fillLegend();

    function makeToolbar() {
      const axisButtons = axes.map((axis) => ui.element("button", {
        type: "button", dataset: { axis }, "aria-pressed": String(axis === view.axis), onclick: () => chooseAxis(axis),
      }, plots.AXES.get(axis)));
      const smoothText = ui.element("output", { class: "smooth-text small soft", title: "An exponential average. The values as recorded are drawn faintly behind it." }, smoothLabel());
      const smooth = ui.element("input", {
        type: "range", min: 0, max: 1, step: 0.01, value: String(view.smooth), "aria-label": "Smoothing",
        oninput: (event) => { view.smooth = Number(event.target.value); smoothText.textContent = smoothLabel(); set({ smooth: view.smooth || null }); redraw(); },
      });
      const find = ui.element("input", {
        type: "search", placeholder: "Filter charts", "aria-label": "Filter charts by name", value: get("find") || "", class: "chart-find",
        oninput: (event) => { set({ find: event.target.value }); filter(); },
      });
      return ui.element("div", { class: "curves-tools card row", role: "group", "aria-label": "Settings of the charts" },
        axes.length > 1 ? ui.element("div", { class: "segments", role: "group", "aria-label": "Horizontal axis" }, axisButtons) : null,
        ui.element("label", { class: "row smooth" }, "Smoothing ", smooth, smoothText),
        toggle("Log scale", "log", view.log, (on) => { view.log = on; }),
        toggle("Ignore outliers", "outliers", view.outliers, (on) => { view.outliers = on; }, "Fit the scale to 95 % of the values"),
        ui.element("button", {
          type: "button", "aria-pressed": String(view.events), onclick: (event) => press(event.target, !view.events, (on) => { view.events = on; set({ events: on ? null : "0" }); }),
        }, "Events"),
        ui.element("button", { type: "button", class: "zoom-out", hidden: view.range === null, onclick: () => zoom(null) }, "Show all"),
        ui.element("span", { class: "spacer" }), find);
    }

    function toggle(text, name, isOn, apply, hint) {
      return ui.element("button", {
        type: "button", title: hint, "aria-pressed": String(isOn), dataset: { setting: name },
        onclick: (event) => press(event.target, event.target.getAttribute("aria-pressed") !== "true", (on) => { apply(on); set({ [name]: on ? "1" : null }); }),
      }, text);
    }

    function press(button, isOn, apply) {
      button.setAttribute("aria-pressed", String(isOn));
      apply(isOn);
      redraw();
    }

    // Returns a text that says how far the average reaches, as a part of the whole axis.
    function smoothLabel() {
      if (view.smooth === 0) return "off";
      const part = view.smoothPart() * 100;
      return `average over ${part < 1 ? part.toFixed(part < 0.1 ? 3 : 2) : part.toFixed(1)} % of the axis`;
    }

    function chooseAxis(axis) {
      view.axis = axis;
      view.range = null;
      view.at = null;
      for (const button of toolbar.querySelectorAll("[data-axis]")) button.setAttribute("aria-pressed", String(button.dataset.axis === axis));
      set({ axis: axis === axes[0] ? null : axis, from: null, to: null, at: null });
      showZoomed();
      for (const chart of charts.values()) { chart.setAxis(); if (visible.has(chart)) enqueue(chart); }
    }

    // ---- legend --------------------------------------------------------------------------------

    function fillLegend() {
      if (runs.length < 2 && contexts.size < 2) { ui.fill(legend); return; }
      const isOpen = legend.querySelector("details")?.open ?? innerWidth > 900;
      const rows = runs.length < 2 ? [] : runs.map((run) => ui.element("li", {
        class: run.isRemoved ? "legend-run removed" : "legend-run", dataset: { run: run.key },
        onmouseenter: () => highlight(run.key), onmouseleave: () => highlight(null), onfocusin: () => highlight(run.key), onfocusout: () => highlight(null),
      },
      ui.element("label", { title: run.label || run.key },
        ui.element("input", { type: "checkbox", checked: !hidden.has(run.key), onchange: (event) => hide([run.key], !event.target.checked) }),
        ui.element("span", { class: "legend-colour", "aria-hidden": "true", style: { background: plots.colourAt(colourPlace(run.key)) } }),
        ui.element("bdi", { class: "legend-name" }, labelOf(run.key))),
      run.isRemoved ? ui.element("span", { class: "small soft" }, "removed or renamed") : ui.element("span", { class: "legend-links small" },
        run.status ? ui.status(run.status) : null, runLinks(run).map(([text, address]) => ui.element("a", { href: address, "aria-label": `${text} of ${labelOf(run.key)}` }, text)))));
      const styles = contexts.size < 2 ? [] : [...contexts].map(([text, place]) => ui.element("button", {
        type: "button", class: "small context", "aria-pressed": String(!without.has(text)), title: without.has(text) ? "Show these curves" : "Hide these curves",
        onclick: () => { if (!without.delete(text)) without.add(text); set({ without: [...without] }); fillLegend(); redraw(); },
      }, contextSwatch(place), ui.element("bdi", {}, text)));
      const box = ui.element("details", { class: "legend card", open: isOpen },
        ui.element("summary", {}, runs.length > 1 ? `${runs.length} runs` : "Contexts"),
        styles.length ? ui.element("div", { class: "row legend-contexts" }, styles) : null,
        runs.length > 1 ? ui.element("div", { class: "row small" },
          ui.element("button", { type: "button", class: "small", onclick: () => hide(runs.map((run) => run.key), false) }, "Show all runs"),
          ui.element("button", { type: "button", class: "small", onclick: () => hide(runs.map((run) => run.key), true) }, "Hide all")) : null,
        rows.length ? ui.element("ul", { class: rows.length > MANY_RUNS ? "legend-runs many" : "legend-runs" }, rows) : null);
      const focus = legend.contains(document.activeElement) ? [...legend.querySelectorAll("input, button, a, summary")].indexOf(document.activeElement) : -1;
      const top = legend.querySelector(".legend-runs")?.scrollTop || 0;
      ui.fill(legend, box);
      if (rows.length) legend.querySelector(".legend-runs").scrollTop = top;
      if (focus >= 0) legend.querySelectorAll("input, button, a, summary")[focus]?.focus();
    }

    function contextSwatch(place) {
      const dash = { solid: null, dash: "6 3", dot: "2 2", dashdot: "6 2 2 2", longdash: "9 3", longdashdot: "9 2 2 2" }[plots.dashAt(place)];
      const colour = runs.length > 1 ? "currentColor" : plots.colourAt(place);
      return ui.element("svg", { class: "swatch", viewBox: "0 0 22 8", "aria-hidden": "true" },
        ui.element("svg:line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash }));
    }

    function runLinks(run) {
      const graph = run.graph === undefined ? `graph/${run.key.split("/").map(encodeURIComponent).join("/")}.html` : run.graph;
      return [["Run", ui.link("run", { run: run.key })], graph ? ["Graph", graph] : null, ["Data", ui.link("run", { run: run.key, tab: "files" })]].filter(Boolean);
    }

    // Returns the links of a point: to the run at this position, to the run's graph and to its
    // data.
    function linksOf(curve, x, axis, series) {
      const run = runOf(curve.run) || { key: curve.run };
      const tab = series.kind === "metric" ? "curves" : "machine";
      const here = ui.link("run", { run: run.key, tab, axis, at: String(x), series: series.name });
      const others = runLinks(run).slice(1);
      return ui.element("ul", {}, ui.element("li", {}, ui.element("a", { href: here }, `Run at ${plots.positionText(x, axis).toLowerCase()}`)),
        others.map(([text, address]) => ui.element("li", {}, ui.element("a", { href: address }, text))),
        runs.length > 1 ? ui.element("li", {}, ui.element("button", { type: "button", class: "small", onclick: () => { hide(runs.map((one) => one.key), true); hide([run.key], false); } }, "Show only this run")) : null);
    }

    function hide(keys, isHidden) {
      for (const key of keys) if (isHidden) hidden.add(key); else hidden.delete(key);
      set({ hide: [...hidden] });
      fillLegend();
      redraw();
    }

    // Makes the curves of a run stand out while the pointer or focus is on the run's row in the
    // legend.
    function highlight(key) {
      highlighted = key;
      for (const chart of visible) dimChart(chart);
    }

    function dim() { if (highlighted !== null) highlight(highlighted); }

    function dimChart(chart) {
      const traces = chart.plotOf().querySelectorAll(".scatterlayer > .trace");
      for (const trace of traces) {
        const place = /\btracec(\d+)/.exec(trace.getAttribute("class"));
        if (place === null) continue;
        const isOther = highlighted !== null && chart.drawn()[Number(place[1])]?.run !== highlighted;
        trace.style.setProperty("opacity", isOther ? "0.12" : "1");
      }
    }

    // ---- charts --------------------------------------------------------------------------------

    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const chart = charts.get(entry.target.dataset.id);
        if (chart === undefined) continue;
        if (entry.isIntersecting) {
          visible.add(chart);
          if (!chart.isLoaded()) enqueue(chart); else if (chart.isStale) { chart.isStale = false; enqueue(chart); }
        } else visible.delete(chart);
      }
      releaseSome();
      settle();
    }, { rootMargin: "250px 0px" });

    function enqueue(chart, changed = null) {
      const found = waiting.find((one) => one.chart === chart);
      if (found) {
        found.changed = changed === null || found.changed === null ? null : [...new Set([...found.changed, ...changed])];
        return;
      }
      waiting.push({ chart, changed });
      next();
    }

    async function next() {
      if (busy >= AT_ONCE || waiting.length === 0 || isClosed) return;
      const { chart, changed } = waiting.shift();
      if (!visible.has(chart)) { next(); return; }
      busy += 1;
      try { await chart.load(changed); } finally { busy -= 1; }
      noteContexts(chart);
      settle();
      next();
    }

    // If no chart is loading, resolves `drawn` after the browser has painted the charts.
    function settle() {
      if (busy === 0 && waiting.length === 0) requestAnimationFrame(() => requestAnimationFrame(finishFirst));
    }

    function noteContexts(chart) {
      const before = contexts.size;
      chart.contexts().forEach((text) => seenContexts.add(text));
      contexts = plots.contextPlaces(seenContexts);
      if (contexts.size === before) return;
      fillLegend();
      redraw();
    }

    function releaseSome() {
      const far = [...charts.values()].filter((chart) => !visible.has(chart) && chart.isLoaded());
      for (const chart of far.slice(0, Math.max(0, far.length - MOST_KEPT))) chart.release();
    }

    function redraw() { for (const chart of charts.values()) if (chart.isLoaded()) chart.draw(); }

    async function start() {
      plots.loadPlotly().catch(() => {}); // meanwhile, the data is loaded; the charts show an error if this fails
      try {
        const found = await plots.listSeries(view.keys(), kind, axes[0]);
        listed = found.series;
        ui.fill(moreNote, found.notes.map((text) => ui.element("p", { class: "soft" }, text)));
        if (options.series) listed = listed.filter((one) => options.series.includes(one.name));
      } catch (error) {
        ui.fill(note, ui.message("error", "The curves could not be loaded", error.message));
        finishFirst();
        return;
      }
      if (isClosed) return;
      buildGroups();
      if (get("series")) reveal(get("series"));
      setTimeout(settle, 300); // if no chart is in view
    }

    function buildGroups() {
      ui.fill(note, listed.length === 0 ? emptyMessage() : null);
      const groups = new Map();
      for (const series of listed) {
        const group = plots.groupOf(series);
        if (!groups.has(group)) groups.set(group, []);
        groups.get(group).push(series);
      }
      const alone = [...groups].filter(([name, members]) => name !== "" && members.length === 1 && members[0].kind === "metric" && groups.size > 1);
      for (const [name, members] of alone) { groups.set("", [...(groups.get("") || []), ...members]); groups.delete(name); }
      const order = [...groups.keys()].sort((a, b) => (a === "" ? -1 : b === "" ? 1 : 0));
      const isPlain = groups.size <= 1 && kind === "metric";
      ui.fill(list, order.map((name) => buildGroup(name, groups.get(name), isPlain)));
      filter();
    }

    function buildGroup(name, members, isPlain) {
      const grid = ui.element("div", { class: "chart-grid" }, members.map((series) => chartOf(series).element));
      if (isPlain) return [ui.element("h2", { class: "hidden-text" }, "Charts"), grid];
      const title = name === "" ? "Metrics" : name;
      return ui.element("details", {
        class: "chart-group", open: !closed.has(name), dataset: { group: name },
        ontoggle: (event) => { if (event.target.open) closed.delete(name); else closed.add(name); set({ closed: [...closed] }); },
      }, ui.element("summary", {}, ui.element("h2", {}, ui.element("bdi", {}, title)), ui.element("span", { class: "soft small" }, ` ${members.length}`)), grid);
    }

    function idOf(series) { return `${series.kind} ${series.name}`; }

    function chartOf(series) {
      const id = idOf(series);
      if (!charts.has(id)) {
        const chart = plots.makeChart(series, view);
        chart.element.dataset.id = id;
        charts.set(id, chart);
        observer.observe(chart.element);
      }
      return charts.get(id);
    }

    function emptyMessage() {
      if (options.empty) return ui.message("empty", options.empty);
      return kind === "reading"
        ? ui.message("empty", "No readings of the machine", "Readings are taken once a second while a run is in progress. Short runs may have none.")
        : ui.message("empty", "No metrics", "Record values with provml.log_metric(\"loss\", 0.5, step=1) in the script, or run the script with provml run.");
    }

    function filter() {
      const text = (get("find") || "").trim().toLowerCase();
      for (const chart of charts.values()) chart.element.hidden = text !== "" && !chart.series.name.toLowerCase().includes(text);
      for (const group of list.querySelectorAll(".chart-group")) group.hidden = !group.querySelector(".chart:not([hidden])");
      const isNone = listed.length > 0 && !list.querySelector(".chart:not([hidden])");
      ui.fill(note, listed.length === 0 ? emptyMessage() : isNone ? ui.message("empty", `No chart's name contains “${text}”`, "Clear the filter to see all charts.") : null);
    }

    function reveal(name) {
      const chart = [...charts.values()].find((one) => one.series.name === name);
      if (chart === undefined) return;
      const group = chart.element.closest("details");
      if (group) group.open = true;
      chart.element.scrollIntoView({ block: "center" });
    }

    // ---- what charts call ----------------------------------------------------------------------

    // Shows a range of positions in all charts; null shows everything.
    function zoom(range) {
      if (range !== null && !(range[0] < range[1])) return;
      view.range = range;
      const [from, to] = range === null ? [null, null] : range.map(String);
      set({ from, to });
      showZoomed();
      for (const chart of charts.values()) if (chart.isLoaded()) { if (range === null || !visible.has(chart)) chart.draw(); else chart.loadZoomed(); }
    }

    function showZoomed() { if (toolbar !== null) toolbar.querySelector(".zoom-out").hidden = view.range === null; }

    let crossFrame = 0;
    function moveCross(x, y, from) {
      cancelAnimationFrame(crossFrame);
      crossFrame = requestAnimationFrame(() => {
        const order = from.cross(x, y);
        for (const chart of visible) {
          if (chart !== from) chart.cross(x !== null && chart.axis() === from.axis() ? x : null, null, order);
        }
      });
    }

    // Updates the status of the runs from an answer.
    function tell(statuses) {
      let isNew = false;
      for (const run of runs) {
        const status = statuses.get(run.key);
        if (status !== undefined && status !== run.status) { run.status = status; isNew = true; }
      }
      if (isNew) fillLegend();
    }

    // ---- runs in progress ----------------------------------------------------------------------

    const changed = new Set();
    let timer = null;
    let listedAt = performance.now();

    const unfollow = ui.follow((news) => {
      const keys = new Set(runs.map((run) => run.key));
      for (const key of news.changed || []) if (keys.has(key)) changed.add(key);
      const removed = (news.removed || []).filter((key) => keys.has(key));
      if (removed.length) {
        for (const run of runs) if (removed.includes(run.key)) run.isRemoved = true;
        fillLegend();
      }
      if (changed.size) timer ??= setTimeout(refreshChanged, EVERY_MS);
    });

    async function refreshChanged() {
      const keys = [...changed].filter((key) => !runOf(key)?.isRemoved);
      changed.clear();
      timer = null;
      if (keys.length === 0 || isClosed) return;
      refresh(keys);
      if (performance.now() - listedAt < SERIES_EVERY_MS) return;
      listedAt = performance.now();
      const found = await plots.listSeries(view.keys(), kind, axes[0]).catch(() => null);
      const wanted = found?.series.filter((one) => !options.series || options.series.includes(one.name));
      if (isClosed || !wanted) return;
      const before = new Map(listed.map((one) => [idOf(one), one.runs]));
      listed = wanted;
      if (wanted.some((one) => !before.has(idOf(one)))) buildGroups();
      for (const one of wanted) if (before.has(idOf(one)) && before.get(idOf(one)) !== one.runs) reload(charts.get(idOf(one)), null);
    }

    // Loads runs again in each chart that shows them. If `keys` is null, loads all runs again.
    function refresh(keys = null) {
      for (const chart of charts.values()) {
        const own = keys === null ? null : keys.filter((key) => chart.runs().has(key));
        if (own === null || own.length) reload(chart, own);
      }
    }

    function reload(chart, keys) {
      if (visible.has(chart)) enqueue(chart, keys);
      else if (chart.isLoaded()) chart.isStale = true;
    }

    ui.onTheme(() => { if (!isClosed) { fillLegend(); redraw(); } });
    start();

    return {
      drawn, refresh,
      setRuns(others) {
        const before = runs.map((run) => run.key).join("\n");
        runs = others;
        frame.className = runs.length > 1 && isLegendOwn ? "curves with-legend" : "curves";
        fillLegend();
        if (before === runs.map((run) => run.key).join("\n")) { redraw(); return; }
        for (const chart of charts.values()) { chart.setAxis(); if (visible.has(chart)) enqueue(chart); }
        start();
      },
      show(at, series) {
        view.at = Number(at);
        set({ at: String(at), series });
        if (series) reveal(series);
        redraw();
      },
      close() {
        isClosed = true;
        unfollow();
        clearTimeout(timer);
        observer.disconnect();
        for (const chart of charts.values()) chart.close();
        charts.clear();
        set(Object.fromEntries(PARAMETERS.map((name) => [name, null])));
        ui.fill(container);
      },
    };
  };
})();
