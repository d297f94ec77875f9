"use strict";
// How parameters relate to a metric over the runs: a scatter chart and parallel coordinates.

(() => {
  const MOST_AXES = 8;
  const WIDTH = 960;
  const HEIGHT = 320;
  let redraw = () => {};
  ui.onTheme(() => redraw());

  ui.comparison.showRelations = async (panel, { values, runs }) => {
    const params = ui.comparison.sortSettings(values.parts.params.filter((entry) => entry.differs));
    if (values.metrics.length === 0 || params.length === 0) {
      ui.fill(panel, ui.message("empty", values.metrics.length === 0 ? "These runs recorded no metrics" : "No parameter differs between these runs", "Compare runs that differ in a parameter to see how a metric depends on it."));
      return;
    }
    const state = { metric: chooseMetric(values.metrics), summary: chosen("value", [...ui.comparison.SUMMARIES.keys()], "last"), param: chosen("param", params.map((entry) => entry.name), params[0].name) };
    const scatter = ui.element("div", { class: "relation-plot", role: "img" });
    const parallel = ui.element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Parallel coordinates" });
    const table = ui.element("details", { class: "same" });
    const metricNames = values.metrics.map(ui.comparison.metricName);
    const pick = (label, options, now, set) => ui.element("label", {}, `${label} `, ui.element("select", { onchange: (event) => { set(event.target.value); keep(); draw(); } },
      options.map(([value, text]) => ui.element("option", { value, selected: value === now }, text.length > 60 ? `${text.slice(0, 59)}…` : text))));
    ui.fill(panel, ui.element("div", { class: "card row" },
      pick("Metric", metricNames.map((name, place) => [String(place), name]), String(state.metric), (place) => { state.metric = Number(place); }),
      pick("Value", [...ui.comparison.SUMMARIES], state.summary, (name) => { state.summary = name; }),
      pick("Parameter", params.map((entry) => [entry.name, entry.name]), state.param, (name) => { state.param = name; })),
    ui.element("section", { class: "card" }, ui.element("h2", {}, "Metric by parameter"), scatter, table),
    ui.element("section", { class: "card" }, ui.element("h2", {}, "All parameters that differ"),
      ui.element("p", { class: "soft small" }, "Each line is a run, from blue for the lowest value of the metric to orange for the highest. Point at a line, or move to it with Tab, to read its values."), parallel));

    function keep() {
      ui.address.set({ metric: metricNames[state.metric], value: state.summary === "last" ? null : state.summary, param: state.param });
    }

    function draw() {
      const metric = { name: `${metricNames[state.metric]} (${ui.comparison.SUMMARIES.get(state.summary).toLowerCase()})`, values: values.metrics[state.metric].values.map((value) => (value === null ? null : value[state.summary])) };
      const param = params.find((entry) => entry.name === state.param);
      drawParallel(parallel, [...params.slice(0, MOST_AXES), metric], runs);
      ui.fill(table, ui.element("summary", {}, "The values as a table"),
        ui.comparison.runTable([{ name: param.name, cells: param.values.map(textOf) }, { name: metric.name, cells: metric.values.map(textOf) }], runs, "Values of the chart"));
      return drawScatter(scatter, param, metric, runs);
    }
    redraw = () => { if (scatter.isConnected) draw(); };
    await draw().catch((error) => ui.fill(scatter, ui.message("error", "The chart could not be drawn", error.message)));
  };

  function chosen(name, choices, fallback) {
    const value = ui.address.get(name);
    return choices.includes(value) ? value : fallback;
  }

  // Returns the place of the metric in the address, or else of a validation metric, which says most
  // about a run.
  function chooseMetric(metrics) {
    const wanted = metrics.findIndex((metric) => ui.comparison.metricName(metric) === ui.address.get("metric"));
    if (wanted >= 0) return wanted;
    return Math.max(0, metrics.findIndex((metric) => metric.context?.[0] === "validation"));
  }

  function textOf(value) {
    return value === null || value === undefined ? null : ui.number(typeof value === "string" && value !== "" && !Number.isNaN(Number(value)) ? Number(value) : value);
  }

  // ---- scales ----------------------------------------------------------------------------------

  // Makes a scale for values. The scale of positive numbers is logarithmic if the highest is at
  // least 50 times the lowest; otherwise, the scale of numbers is linear. Texts are spaced evenly.
  // `at` returns a position from 0 to 1, or null for a missing value.
  function makeScale(values) {
    const known = values.filter((value) => value !== null && value !== undefined);
    const numbers = known.map(Number);
    if (known.length > 0 && known.every((value) => value !== "" && value !== true && value !== false) && numbers.every(Number.isFinite)) {
      const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
      const isLog = low > 0 && high / low >= 50;
      const map = isLog ? Math.log10 : (value) => value;
      const span = map(high) - map(low);
      return { isNumeric: true, isLog, low, high, ticks: [low, high], at: (value) => (isMissing(value) ? null : span === 0 ? 0.5 : (map(Number(value)) - map(low)) / span) };
    }
    const texts = [...new Set(known.map(String))].sort();
    return { isNumeric: false, isLog: false, texts, ticks: texts, at: (value) => (value === null || value === undefined ? null : texts.length === 1 ? 0.5 : texts.indexOf(String(value)) / (texts.length - 1)) };
  }

  function isMissing(value) { return value === null || value === undefined || value === "" || !Number.isFinite(Number(value)); }

  // ---- scatter ---------------------------------------------------------------------------------

  async function drawScatter(host, param, metric, runs) {
    const Plotly = await ui.plots.loadPlotly();
    const scales = [makeScale(param.values), makeScale(metric.values)];
    const shown = runs.map((run, place) => place).filter((place) => [param, metric].every((one, side) => scales[side].at(one.values[place]) !== null));
    const place = (one, scale) => shown.map((index) => (scale.isNumeric ? Number(one.values[index]) : scale.texts.indexOf(String(one.values[index]))));
    const ink = ui.colour("--soft");
    const axis = (one, scale) => ({
      title: { text: ui.plots.plotlyText(one.name, 60) + (scale.isLog ? " (log scale)" : ""), font: { size: 12, color: ink } }, type: scale.isLog ? "log" : "linear", automargin: true,
      gridcolor: ui.colour("--line"), zeroline: false, tickfont: { size: 11, color: ink }, tickformat: scale.isNumeric ? "~g" : "",
      ...(scale.isNumeric ? {} : { tickmode: "array", tickvals: scale.texts.map((text, index) => index), ticktext: scale.texts.map((text) => ui.plots.plotlyText(text, 24)) }),
    });
    host.setAttribute("aria-label", `${metric.name} by ${param.name}, for ${shown.length} runs. The table below has the values.`);
    await Plotly.react(host, [{
      type: "scatter", mode: "markers", x: place(param, scales[0]), y: place(metric, scales[1]), uid: "runs",
      marker: { size: 11, color: shown.map((index) => ui.plots.colourAt(runs[index].place)), line: { width: 1, color: ui.colour("--front") } }, hoverinfo: "text",
      text: shown.map((index) => [runs[index].label, `${param.name}: ${textOf(param.values[index])}`, `${metric.name}: ${textOf(metric.values[index])}`].map((text) => ui.plots.plotlyText(text, 80)).join("<br>")),
    }], {
      margin: { l: 60, r: 16, t: 10, b: 48 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false, hovermode: "closest", font: { family: getComputedStyle(document.body).fontFamily }, dragmode: false,
      xaxis: axis(param, scales[0]), yaxis: axis(metric, scales[1]), height: 340, width: host.clientWidth,
      hoverlabel: { bgcolor: ui.colour("--front"), bordercolor: ui.colour("--line"), font: { color: ui.colour("--ink"), size: 12 }, align: "left" },
    }, { displayModeBar: false, displaylogo: false, showTips: false });
    if (!host.dataset.bound) {
      host.dataset.bound = "1";
      host.on("plotly_click", (event) => location.assign(host.links[event.points[0].pointNumber]));
    }
    host.links = shown.map((index) => ui.link("run", { run: runs[index].key }));
  }

  // ---- parallel coordinates --------------------------------------------------------------------

  // These are drawn as SVG. Plotly's own chart needs WebGL, which may be missing, and can't be used
  // with the keyboard.
  function drawParallel(host, entries, runs) {
    const columns = entries.map((entry) => ({ ...entry, scale: makeScale(entry.values) }));
    const xOf = (place) => 70 + place * ((WIDTH - 140) / Math.max(1, columns.length - 1));
    const yOf = (part) => HEIGHT - 42 - part * (HEIGHT - 84);
    const lines = runs.map((run, index) => {
      const points = columns.map((column, place) => [xOf(place), column.scale.at(column.values[index])]).filter(([, part]) => part !== null).map(([x, part]) => `${x.toFixed(1)},${yOf(part).toFixed(1)}`);
      const text = `${run.label}. ${columns.map((column) => `${column.name}: ${textOf(column.values[index]) ?? "not recorded"}`).join(", ")}`;
      return ui.element("svg:a", { href: ui.link("run", { run: run.key }), class: "parallel-run", "aria-label": text },
        ui.element("svg:title", {}, text), ui.element("svg:polyline", { class: "parallel-reach", points: points.join(" ") }),
        ui.element("svg:polyline", { class: "parallel-line", points: points.join(" "), style: { stroke: colourOf(columns.at(-1), index) } }));
    });
    const axes = columns.map((column, place) => ui.element("svg:g", { class: "parallel-axis" },
      ui.element("svg:line", { x1: xOf(place), x2: xOf(place), y1: yOf(0), y2: yOf(1) }),
      ui.element("svg:text", { x: xOf(place), y: 20, class: "parallel-name" }, cut(column.name, 22), ui.element("svg:title", {}, column.name)),
      ticksOf(column.scale).map(([part, text]) => ui.element("svg:text", { x: xOf(place) + 6, y: yOf(part) + 4 }, cut(text, 14))),
      column.scale.isLog ? ui.element("svg:text", { x: xOf(place), y: HEIGHT - 8, class: "parallel-name soft" }, "log scale") : null));
    ui.fill(host, ui.element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "parallel", role: "group", "aria-label": "Parallel coordinates" }, lines, axes));
  }

  function colourOf(metric, index) {
    const part = metric.scale.at(metric.values[index]);
    return part === null ? ui.colour("--soft") : `color-mix(in oklab, ${ui.colour("--c1")} ${Math.round(part * 100)}%, ${ui.colour("--c0")})`;
  }

  function ticksOf(scale) {
    const ticks = scale.ticks.length > 6 ? [scale.ticks[0], scale.ticks.at(-1)] : scale.ticks;
    return [...new Set(ticks)].map((tick) => [scale.at(tick), textOf(tick)]);
  }

  function cut(text, most) { return text.length > most ? `${text.slice(0, most - 1)}…` : text; }
})();
