"use strict";
// What the charts are made of: plotly, the curves as columns of numbers, colours, and axes.
// The files curves_*.js share the object `ui.plots`; pages use `ui.curves` alone.

ui.plots = (() => {
  const AXES = new Map([["step", "Step"], ["epoch", "Epoch"], ["time", "Time since start"], ["wall", "Clock time"]]);
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const USUAL_CONTEXTS = ["training", "validation", "evaluation"];
  const EXPORTED_POINTS = 2000;
  const MOST_POINTS = 4000;
  const COLOURS = 16;

  // ---- plotly ----------------------------------------------------------------------------------

  let loading = null;

  // Loads plotly when the first chart needs it, because it takes a moment to parse.
  function loadPlotly() {
    loading ??= new Promise((resolve, reject) => {
      const restore = divertStyles();
      document.head.append(ui.element("script", {
        src: "assets/plotly.min.js",
        onload: () => { restore(); resolve(window.Plotly); },
        onerror: () => {
          restore();
          loading = null;
          reject(new ui.DataError("charts need plotly: run pip install 'provml[ui]' and start provml ui again", "MissingExtra", 0));
        },
      }));
    });
    return loading;
  }

  // The policy of the pages forbids style elements and style attributes, and plotly makes both.
  // A style element that plotly makes becomes a sheet of rules, and a style attribute becomes
  // properties: scripts may set both. The style text of plotly's maps, which no chart uses, is dropped.
  function divertStyles() {
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    document.createElement = (tag, options) => {
      if (String(tag).toLowerCase() !== "style") return Document.prototype.createElement.call(document, tag, options);
      const holder = Document.prototype.createElement.call(document, "template");
      Object.defineProperty(holder, "sheet", { value: sheet });
      Object.defineProperty(holder, "textContent", { set() {} });
      return holder;
    };
    const setAttribute = Element.prototype.setAttribute;
    Element.prototype.setAttribute = function set(name, value) {
      if (name === "style" && this.style) this.style.cssText = value;
      else setAttribute.call(this, name, value);
    };
    return () => { delete document.createElement; };
  }

  // Escapes recorded text, because plotly interprets some HTML in its texts.
  function plotlyText(text, most = 40) {
    const shown = text.length > most ? `${text.slice(0, most - 1)}…` : text;
    return shown.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  }

  // ---- names and colours -----------------------------------------------------------------------

  // Returns the colour for the number of a run. The first 16 colours are in the style sheet, and
  // the others are spread over all hues.
  function colourAt(place) {
    if (place < COLOURS) return ui.colour(`--c${place}`);
    return `hsl(${Math.round(place * 137.508) % 360} 60% ${ui.theme() === "dark" ? 68 : 42}%)`;
  }

  function contextText(context) {
    return context === null || context === undefined ? "no context" : context.join(" / ");
  }

  // Returns what tells a curve apart from the others of its run: context, target and rank.
  function curveText(curve) {
    const parts = curve.context === null && curve.kind !== "metric" ? [] : [contextText(curve.context)];
    if (curve.of) parts.push(`of ${curve.of.join(" ")}`);
    if (curve.rank !== null) parts.push(`rank ${curve.rank}`);
    return parts.join(", ");
  }

  // Numbers the contexts. The usual contexts come first, so that they have the same line style in
  // all charts.
  function contextPlaces(texts) {
    const usual = USUAL_CONTEXTS.filter((text) => texts.has(text));
    const others = [...texts].filter((text) => !USUAL_CONTEXTS.includes(text));
    return new Map([...usual, ...others].map((text, place) => [text, place]));
  }

  function dashAt(place) { return DASHES[place % DASHES.length]; }

  // Returns the prefix of a name, by which charts are grouped: "train" for "train/loss" and for
  // "train.loss".
  function groupOf(series) {
    if (series.kind !== "metric") return series.kind;
    const end = series.name.search(/[/.]/);
    return end > 0 ? series.name.slice(0, end) : "";
  }

  // ---- loading ---------------------------------------------------------------------------------

  // Lists the series of runs: {series: [{name, kind, unit, runs}], notes}.
  async function listSeries(runs, kind, axis) {
    if (ui.settings.live) return ui.load("compare", { kind, part: "series", run: runs });
    const found = new Map();
    for (const curve of (await loadCurves({ runs, kind, axis })).curves) {
      const key = `${curve.kind} ${curve.name}`;
      if (!found.has(key)) found.set(key, { name: curve.name, kind: curve.kind, unit: curve.unit, isCurve: false });
      if (curve.x.length > 1) found.get(key).isCurve = true;
    }
    // curves come before single values
    const order = (one) => [one.kind === "metric" ? "" : one.kind, one.isCurve ? "" : "value", one.name];
    return { series: [...found.values()].sort((a, b) => (String(order(a)) < String(order(b)) ? -1 : 1)), notes: [] };
  }

  // Loads curves over an axis. `request` has the runs, the kind, the axis, and optionally the names
  // of series, the range (from, to) and the width of the chart in pixels.
  async function loadCurves(request, signal) {
    const { runs, kind, axis, series, from, to } = request;
    const answers = ui.settings.live
      ? [await ui.load("curves", {
        axis, from, kind, points: Math.min(MOST_POINTS, Math.max(50, Math.round(request.width || 600))),
        run: runs, series, to,
      }, signal)]
      : await Promise.all(runs.flatMap((run) => exportedRequests(run, kind, axis)).map(([name, parameters]) => ui.load(name, parameters)));
    const curves = [];
    const statuses = new Map();
    for (const answer of answers) {
      for (const run of answer.runs) {
        statuses.set(run.key, run.status);
        for (const one of run.series) {
          if (!series || series.includes(one.name)) curves.push(makeCurve(run.key, one));
        }
      }
    }
    const events = answers.flatMap((answer) => answer.events);
    return { curves, events, statuses, notes: answers.flatMap((answer) => answer.notes || []) };
  }

  function exportedRequests(run, kind, axis) {
    const points = EXPORTED_POINTS;
    const metrics = ["curves", { axis, points, run }];
    const readings = ["curves", { axis: "time", kind: "reading", points, run }];
    return kind === "metric" ? [metrics] : kind === "reading" ? [readings] : [metrics, readings];
  }

  function makeCurve(run, one) {
    const band = one.band || null;
    const numbers = (list) => Float64Array.from(list, (value) => (value === null ? NaN : value));
    const x = Float64Array.from(band ? band.x : one.x);
    const y = numbers(band ? band.mean : one.y);
    return {
      run, x, y, stretches: findStretches(x),
      name: one.name, kind: one.kind, unit: one.unit || "", context: one.context, rank: one.rank, of: one.of,
      count: one.count, thinned: one.thinned, unplaced: one.unplaced || 0, last: one.last,
      marks: one.marks || [], marksCount: one.marks_count || 0,
      band: band ? { low: numbers(band.low), high: numbers(band.high), ranks: band.ranks } : null,
    };
  }

  // Joins the readings that a run's collector took in several contexts, because they are one curve over
  // time: the context only says what the run did meanwhile.
  function joinContexts(curves) {
    const found = new Map();
    for (const curve of curves) {
      const key = JSON.stringify([curve.run, curve.kind, curve.name, curve.rank, curve.of]);
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(curve);
    }
    return [...found.values()].map((parts) => (parts.length === 1 ? { ...parts[0], context: null } : joinCurves(parts)));
  }

  function joinCurves(parts) {
    const points = parts.flatMap((curve) => [...curve.x].map((x, place) => [x, curve.y[place]])).sort((a, b) => a[0] - b[0]);
    const x = Float64Array.from(points, (point) => point[0]);
    const sum = (count) => parts.reduce((total, curve) => total + count(curve), 0);
    return {
      ...parts[0], context: null, band: null, x, y: Float64Array.from(points, (point) => point[1]), stretches: findStretches(x),
      count: sum((curve) => curve.count), unplaced: sum((curve) => curve.unplaced), thinned: parts.some((curve) => curve.thinned),
      marks: parts.flatMap((curve) => curve.marks), marksCount: sum((curve) => curve.marksCount),
    };
  }

  // ---- numbers ---------------------------------------------------------------------------------

  // Returns the stretches [start, end) of a column in which the position never decreases.
  function findStretches(x) {
    const found = [];
    let start = 0;
    for (let place = 1; place <= x.length; place += 1) {
      if (place === x.length || x[place] < x[place - 1]) {
        if (place > start) found.push([start, place]);
        start = place;
      }
    }
    return found;
  }

  // Smooths by an exponential average whose weights fall with the distance on the axis, not with the
  // number of points, so that a curve looks the same however many points of it are drawn.
  function smooth(x, y, width) {
    const made = new Float64Array(y.length);
    let sum = 0;
    let weight = 0;
    let before = NaN;
    for (let place = 0; place < y.length; place += 1) {
      if (Number.isNaN(y[place])) { made[place] = NaN; continue; }
      const distance = x[place] - before;
      const kept = distance >= 0 ? Math.exp(-distance / width) : 0;
      sum = sum * kept + y[place];
      weight = weight * kept + 1;
      before = x[place];
      made[place] = sum / weight;
    }
    return made;
  }

  // Returns the place of the point that is nearest to a position; -1 if the curve has no points.
  // If several stretches pass the position, the last one counts.
  function nearest(curve, at) {
    let best = -1;
    for (const [start, end] of curve.stretches) {
      let low = start;
      let high = end - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (curve.x[middle] < at) low = middle + 1; else high = middle;
      }
      for (const place of [low - 1, low, low + 1]) {
        if (place < start || place >= end || Number.isNaN(curve.y[place])) continue;
        if (best < 0 || Math.abs(curve.x[place] - at) <= Math.abs(curve.x[best] - at)) best = place;
      }
    }
    return best;
  }

  // Returns the lowest and the highest number of all columns; null if there are no numbers. If
  // `outliers` is true, ignores the lowest and the highest 2.5 % of the numbers.
  function rangeOf(columns, outliers) {
    let low = Infinity;
    let high = -Infinity;
    if (outliers) {
      const all = Float64Array.from(columns.flatMap((column) => [...column].filter(Number.isFinite))).sort();
      if (all.length) {
        const last = all.length - 1;
        return [all[Math.floor(last * 0.025)], all[Math.ceil(last * 0.975)]];
      }
    }
    for (const column of columns) {
      for (const value of column) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    return low > high ? null : [low, high];
  }

  // ---- axes ------------------------------------------------------------------------------------

  const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

  // Chooses the distance between ticks in seconds: a round number of seconds, minutes, hours or
  // days.
  function tickSpan(low, high, most) {
    const rough = (high - low) / most;
    const span = SPANS.find((one) => one >= rough);
    if (rough >= 1 && span !== undefined) return span;
    const unit = rough < 1 ? 1 : 86400;
    const ten = 10 ** Math.floor(Math.log10(rough / unit));
    return [1, 2, 5, 10].map((one) => one * ten * unit).find((one) => one >= rough * (1 - 1e-9));
  }

  function multiples(low, high, span) {
    const found = [];
    for (let tick = Math.ceil(low / span); tick * span <= high && found.length < 100; tick += 1) found.push(tick * span);
    return found;
  }

  // Chooses ticks for seconds since the start of a run.
  function timeTicks(low, high, most) {
    const span = tickSpan(low, high, most);
    const values = multiples(low, high, span);
    return { values, texts: values.map((value) => secondsText(value, span)) };
  }

  // Chooses ticks for seconds since 1970, at round times of the browser's time zone. The first tick
  // has the date below it.
  function clockTicks(low, high, most) {
    const span = tickSpan(low, high, most);
    const shift = new Date(low * 1000).getTimezoneOffset() * 60;
    const values = multiples(low - shift, high - shift, span).map((value) => value + shift);
    const texts = values.map((value, place) => {
      const [day, clock] = ui.time(String(BigInt(Math.round(value * 1000)) * 1000000n)).split(" ");
      if (span >= 86400) return day;
      const part = span < 1 ? `.${String(Math.round(value * 1000) % 1000).padStart(3, "0")}` : "";
      const time = span < 60 ? clock + part : clock.slice(0, 5);
      return place === 0 ? `${time}<br>${day}` : time;
    });
    return { values, texts };
  }

  // Chooses ticks for a logarithmic scale between two powers of ten: powers, or 1, 2 and 5 times powers,
  // or round numbers if less than a power of ten is shown.
  function logTicks(low, high, most) {
    const powers = (factors) => {
      const found = [];
      const every = Math.max(1, Math.ceil((high - low) / most));
      for (let power = Math.floor(low); power <= high; power += 1) {
        if (factors.length === 1 && power % every !== 0) continue;
        for (const factor of factors) found.push(Number(`${factor}e${power}`));
      }
      return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
    };
    if (high - low > most / 3) return powers([1]);
    const usual = powers([1, 2, 5]);
    if (usual.length >= 3) return usual;
    const [from, to] = [10 ** low, 10 ** high];
    const ten = 10 ** Math.floor(Math.log10((to - from) / most));
    const span = [1, 2, 5, 10].map((one) => one * ten).find((one) => (to - from) / one <= most) || ten;
    const found = [];
    for (let tick = Math.ceil(from / span); tick * span <= to && found.length < 100; tick += 1) found.push(Number((tick * span).toPrecision(12)));
    return found;
  }

  function secondsText(seconds, span = 1) {
    const sign = seconds < 0 ? "−" : "";
    const whole = Math.abs(seconds);
    if (whole < 60 || span < 1) return `${sign}${Number(whole.toPrecision(span < 1 ? 7 : 4))} s`;
    const two = (part) => String(Math.floor(part)).padStart(2, "0");
    const days = Math.floor(whole / 86400);
    const hours = Math.floor(whole / 3600) % 24;
    const clock = `${days || hours ? `${hours}:` : ""}${days || hours ? two(whole / 60 % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
    return `${sign}${days ? `${days} d ` : ""}${clock}`;
  }

  // Writes a position on an axis.
  function positionText(x, axis) {
    if (axis === "time") return secondsText(x, x < 60 ? 0.001 : 1);
    if (axis === "wall") return ui.time(String(BigInt(Math.round(x * 1000)) * 1000000n));
    return `${AXES.get(axis)} ${ui.number(x)}`;
  }

  return {
    AXES, loadPlotly, plotlyText, colourAt, contextText, curveText, contextPlaces, dashAt, groupOf, listSeries, loadCurves, joinContexts,
    smooth, nearest, rangeOf, timeTicks, clockTicks, logTicks, secondsText, positionText,
  };
})();
