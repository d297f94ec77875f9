"use strict";
// One chart: the curves of a series in several runs, with a cross-hair and a menu for each point.

ui.plots.makeChart = (() => {
  const plots = ui.plots;
  const MOST_VALUES = 12;
  const MOST_BESIDE = 6; // the most values in a chart that does not have the pointer
  const NEAR_PX = 14;

  // Makes a chart in an element. `series` is {name, kind, unit}. `view` is what all charts of a page
  // share: the runs, the settings, and the functions that they call.
  return function makeChart(series, view) {
    const plot = ui.element("div", { class: "chart-plot" });
    const line = ui.element("div", { class: "chart-line", hidden: true });
    const dots = ui.element("div", { class: "chart-dots", "aria-hidden": "true" });
    const values = ui.element("div", { class: "chart-values", hidden: true });
    const spoken = ui.element("p", { class: "hidden-text", "aria-live": "polite" });
    const notes = ui.element("p", { class: "chart-notes small soft" });
    const title = ui.element("h3", { title: series.name }, series.name);
    const unit = ui.element("span", { class: "soft small" }, series.unit ? ` ${series.unit}` : "");
    const larger = ui.element("button", { class: "plain small", type: "button", "aria-pressed": "false", onclick: changeSize }, "Larger");
    const area = ui.element("div", { class: "chart-area", tabindex: "0", role: "group" }, plot, line, dots, values, spoken);
    const element = ui.element("section", { class: "chart", dataset: { series: series.name, kind: series.kind } },
      ui.element("header", {}, title, unit, ui.element("span", { class: "spacer" }), zoomButtons(), larger), area, notes);

    let full = null; // the curves over the whole axis
    let zoomed = null; // the curves over the range of `zoomedTo`
    let zoomedTo = null;
    let rows = null; // a range of values that the reader chose by dragging
    let axis = view.axis;
    let drawn = [];
    let loading = null;
    let cross = null; // {x, y}: where the cross-hair is; y is null if another chart set it
    let chosen = 0; // the curve that the keys act on
    let menu = null;
    let pending = false;
    let isBound = false;
    let isMissed = false;
    let isClosed = false;

    area.style.setProperty("height", `${view.height}px`);
    plot.append(ui.element("p", { class: "soft chart-wait" }, "Loading…"));

    // On a touch screen, dragging scrolls the page, so the chart has buttons to zoom.
    function zoomButtons() {
      if (!view.isCoarse) return null;
      const zoom = (part) => { if (axes() !== null) zoomBy(part, middle()); };
      return [["+", "Zoom in", 0.5], ["−", "Zoom out", 2]].map(([text, label, part]) => ui.element("button", {
        class: "plain small", type: "button", "aria-label": `${label}: ${series.name}`, onclick: () => zoom(part),
      }, text));
    }

    // ---- data ----------------------------------------------------------------------------------

    function request(range) {
      const wanted = { runs: view.keys(), kind: series.kind === "metric" ? "metric" : "reading", axis, series: [series.name], width: plotWidth() };
      if (range && ui.settings.live) {
        wanted.from = range[0];
        wanted.to = range[1];
      }
      return wanted;
    }

    // Keeps only the curves of this chart's kind: the machine and the process can have readings of
    // the same name.
    function own(answer) {
      const curves = answer.curves.filter((curve) => curve.kind === series.kind);
      return { ...answer, curves: series.kind === "metric" ? curves : plots.joinContexts(curves) };
    }

    // Loads the curves over the whole axis, and draws them. If `changed` is given, loads only these
    // runs again.
    async function load(changed = null) {
      if (isClosed || view.keys().length === 0) return;
      if (changed === null) loading?.abort();
      const control = new AbortController();
      if (changed === null) loading = control;
      try {
        const wanted = request(null);
        if (changed !== null) wanted.runs = changed;
        let answer = own(await plots.loadCurves(wanted, control.signal));
        if (changed === null && axis !== "time" && view.axes.includes("time") && isUnplaced(answer)) {
          axis = "time"; // the samples have no position on the chosen axis
          answer = own(await plots.loadCurves({ ...request(null) }, control.signal));
        }
        if (isClosed) return;
        full = changed === null || full === null ? answer : merge(full, answer, changed);
        view.tell(answer.statuses);
        await plots.loadPlotly();
        if (view.range && axis === view.axis) await loadZoomed(); else draw();
      } catch (error) {
        if (error.name !== "AbortError" && !isClosed && full === null) showError(error);
      }
    }

    function isUnplaced(answer) {
      return answer.curves.length > 0 && answer.curves.every((curve) => curve.x.length === 0 && curve.marksCount === 0 && curve.unplaced > 0);
    }

    function merge(before, answer, changed) {
      return {
        ...answer,
        curves: [...before.curves.filter((curve) => !changed.includes(curve.run)), ...answer.curves],
        events: [...before.events.filter((event) => !changed.includes(event.run)), ...answer.events],
      };
    }

    // Loads finer data for the zoomed range. Until this data arrives, the coarse data is drawn.
    async function loadZoomed() {
      const range = view.range;
      draw();
      if (!ui.settings.live || range === null || axis !== view.axis || !full?.curves.some((curve) => curve.thinned)) return;
      loading?.abort();
      loading = new AbortController();
      try {
        const answer = own(await plots.loadCurves(request(range), loading.signal));
        if (isClosed || view.range !== range) return;
        zoomed = answer;
        zoomedTo = range;
        draw();
      } catch (error) {
        if (error.name !== "AbortError") notes.textContent = `The finer data could not be loaded: ${error.message}`;
      }
    }

    function showError(error) {
      const again = ui.element("button", { type: "button", onclick: () => load() }, "Try again");
      ui.fill(plot, ui.message("error", "This chart could not be loaded", error.message), again);
    }

    // ---- drawing -------------------------------------------------------------------------------

    function plotWidth() { return Math.max(100, (plot.clientWidth || 500) - 70); }

    function range() { return view.range !== null && axis === view.axis ? view.range : null; }

    function data() { return zoomedTo !== null && zoomedTo === range() ? zoomed : full; }

    // Draws the chart. Several calls within a frame draw once.
    function draw() {
      if (pending || isClosed || full === null) return;
      pending = true;
      requestAnimationFrame(() => {
        pending = false;
        if (isClosed || !window.Plotly) return;
        isMissed = plot.clientWidth === 0; // a hidden chart is drawn when it is shown
        if (!isMissed) drawNow();
      });
    }

    function drawNow() {
      drawn = data().curves.filter((curve) => view.isShown(curve)).map(prepare);
      const events = view.events ? data().events.filter((event) => view.isRunShown(event.run) && event.x !== null) : [];
      const traces = [...plots.eventTraces(events), ...drawn.flatMap(plots.curveTraces), ...plots.markTraces(drawn)];
      if (plot.querySelector(".chart-wait, .message")) plot.replaceChildren();
      window.Plotly.react(plot, traces, layout(), { displayModeBar: false, displaylogo: false, doubleClick: false, showTips: false });
      if (!isBound) { isBound = true; plot.on("plotly_relayout", onDragged); }
      area.setAttribute("aria-label", `${series.name}: chart with ${drawn.length} ${drawn.length === 1 ? "curve" : "curves"}. ` +
        "Arrow keys move the cross-hair, Enter opens the links of a point, plus and minus zoom.");
      showNotes();
      element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1);
      view.dim();
      if (cross !== null) showCross(cross.x, cross.y, cross.order);
    }

    // Returns a curve with all that is needed to draw it: also its colour, line style and smoothed
    // values.
    function prepare(curve) {
      if (curve.y.some((value) => Math.abs(value) > plots.FARTHEST)) {
        curve = { ...curve, y: curve.y.map((value) => Math.max(-plots.FARTHEST, Math.min(plots.FARTHEST, value))) }; // plotly's axes fail beyond this
      }
      const isSmooth = view.smooth > 0 && curve.x.length > 2 && !curve.band;
      return {
        ...curve, colour: view.colourOf(curve), dash: view.dashOf(curve), label: view.labelOf(curve),
        shown: isSmooth ? plots.smooth(curve.x, curve.y, smoothWidth()) : curve.y, isSmooth,
      };
    }

    // Returns the width of the average on the axis. It is a part of the whole axis, so zooming does
    // not change it.
    function smoothWidth() {
      const [low, high] = rangeOf(full.curves) || [0, 1];
      return view.smoothPart() * (high - low || 1);
    }

    // Returns the range of positions of the curves that are shown.
    function fullRange() { return rangeOf(full.curves.filter(view.isShown)); }

    function rangeOf(curves) {
      let low = Infinity;
      let high = -Infinity;
      for (const { x } of curves) {
        for (const at of x) {
          if (at < low) low = at;
          if (at > high) high = at;
        }
      }
      for (const { marks } of curves) {
        for (const [at] of marks) { low = Math.min(low, at); high = Math.max(high, at); }
      }
      return low > high ? null : [low, high];
    }

    function layout() {
      const xRange = range() || plots.padRange(fullRange() || [0, 1], 0.01);
      const yRange = rows !== null && rows.log === view.log ? rows.range : plots.valueRange(drawn, view, xRange);
      const size = { width: plot.clientWidth, height: plot.clientHeight, inner: plotWidth() };
      return plots.buildLayout(view, axis, series.unit, size, xRange, yRange, axis === view.axis ? view.at : null);
    }

    function isInRange(curve) {
      const [low, high] = range();
      return curve.x.some((x, place) => x >= low && x <= high && !Number.isNaN(curve.y[place])) || curve.marks.some(([x]) => x >= low && x <= high);
    }

    // Shows notes about what the chart does not show.
    function showNotes() {
      const texts = [];
      const total = (count) => full.curves.reduce((sum, curve) => sum + count(curve), 0);
      if (full.curves.length === 0) texts.push("No samples yet.");
      else if (range() !== null && !drawn.some(isInRange)) texts.push("No values in this range.");
      if (axis !== view.axis) texts.push(`The samples have no ${view.axis}: shown by time.`);
      const unplaced = total((curve) => curve.unplaced);
      if (unplaced > 0 && axis === view.axis) texts.push(`${ui.count(unplaced)} samples have no ${plots.AXES.get(axis).toLowerCase()}.`);
      const marks = total((curve) => curve.marksCount);
      if (marks > 0) texts.push(`${ui.count(marks)} ${marks === 1 ? "value is" : "values are"} NaN or infinite (× ▲ ▼).`);
      if (view.log && drawn.some((curve) => curve.y.some((value) => value <= 0))) texts.push("Values of 0 and below are not on a log scale.");
      const most = Math.max(0, ...drawn.map((curve) => curve.band?.ranks || 0));
      if (most > 0) texts.push(`Band: lowest to highest of ${most} ranks; line: mean.`);
      notes.textContent = [...texts, ...data().notes].join(" ");
    }

    // ---- cross-hair ----------------------------------------------------------------------------

    function axes() {
      const layoutNow = plot._fullLayout;
      return layoutNow?.xaxis?.l2p && layoutNow.yaxis?.l2p ? layoutNow : null;
    }

    function xAt(px) {
      const now = axes();
      return now === null ? null : now.xaxis.p2l(px - now.xaxis._offset);
    }

    // Shows the cross-hair at a position, with the values of the curves there. `y` is the height of
    // the pointer in pixels. If `y` is null, the pointer is in another chart, and `order` contains
    // the runs of that chart, with the nearest to the pointer first. Returns the runs of this chart
    // in the same way.
    function showCross(x, y, order = []) {
      const now = axes();
      cross = { x, y, order };
      if (now === null || full === null) return [];
      const left = now.xaxis._offset + now.xaxis.l2p(x);
      if (!(left >= now.xaxis._offset - 1 && left <= now.xaxis._offset + now.xaxis._length + 1)) { hideCross(); return []; }
      const points = findPoints(x, y, now);
      if (y === null) points.sort((a, b) => rankOf(a, order) - rankOf(b, order));
      line.hidden = false;
      line.style.setProperty("transform", `translateX(${left}px)`);
      line.style.setProperty("height", `${now.yaxis._length}px`);
      const listed = points.slice(0, y === null ? MOST_BESIDE : MOST_VALUES).sort((a, b) => a.top - b.top);
      ui.fill(dots, listed.filter((point) => point.top >= now.yaxis._offset && point.top <= now.yaxis._offset + now.yaxis._length).map((point) => ui.element("i", { style: { left: `${point.left}px`, top: `${point.top}px`, background: point.curve.colour } })));
      showValues(x, listed, points, left);
      return [...new Set(points.map((point) => point.curve.run))];
    }

    function rankOf(point, order) {
      const place = order.indexOf(point.curve.run);
      return place < 0 ? Infinity : place;
    }

    // Returns the points of the curves at a position, with the nearest to the pointer first.
    function findPoints(x, y, now) {
      const perPixel = Math.abs(now.xaxis.p2l(1) - now.xaxis.p2l(0));
      const found = [];
      for (const curve of drawn) {
        const place = plots.nearest(curve, x);
        const mark = curve.marks.find(([at]) => Math.abs(at - x) <= 2 * perPixel && !(place >= 0 && Math.abs(curve.x[place] - x) < Math.abs(at - x)));
        if (mark) { found.push({ curve, x: mark[0], text: mark[1], left: NaN, top: mark[1] === "Infinity" ? -1e9 : 1e9 }); continue; }
        if (place < 0 || isBeyond(curve, x, NEAR_PX * perPixel)) continue;
        const value = view.log ? Math.log10(curve.shown[place]) : curve.shown[place];
        found.push({
          curve, x: curve.x[place], value: curve.shown[place], raw: curve.y[place], place,
          left: now.xaxis._offset + now.xaxis.l2p(curve.x[place]), top: now.yaxis._offset + now.yaxis.l2p(value),
        });
      }
      if (y !== null) found.sort((a, b) => Math.abs(a.top - y) - Math.abs(b.top - y));
      return found;
    }

    function isBeyond(curve, x, space) {
      return curve.stretches.every(([start, end]) => x < curve.x[start] - space || x > curve.x[end - 1] + space);
    }

    function showValues(x, listed, points, left) {
      const now = axes();
      const perPixel = Math.abs(now.xaxis.p2l(1) - now.xaxis.p2l(0));
      const near = data().events.filter((event) => view.events && view.isRunShown(event.run) && Math.abs(event.x - x) <= 5 * perPixel).slice(0, 5);
      const placed = points.filter((point) => Number.isFinite(point.left));
      const at = placed.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best - x) ? point.x : best), placed.length ? placed[0].x : x);
      values.hidden = listed.length === 0 && near.length === 0;
      ui.fill(values, ui.element("p", { class: "small soft" }, plots.positionText(at, axis)),
        listed.map((point) => ui.element("div", { class: point === points[0] && cross.y !== null ? "value first" : "value" },
          swatch(point.curve), ui.element("span", { class: "value-name" }, ui.element("bdi", {}, point.curve.label)),
          ui.element("span", { class: "value-number" }, point.text || plots.valueText(point.value, series.unit)),
          Math.abs(point.x - at) > 3 * perPixel ? ui.element("span", { class: "soft" }, ` at ${plots.positionText(point.x, axis).replace(/^(Step|Epoch) /, "")}`) : null,
          point.curve.isSmooth && !point.text ? ui.element("span", { class: "soft" }, ` (${plots.valueText(point.raw, series.unit)})`) : null,
          point.curve.band && !point.text ? ui.element("span", { class: "soft" }, ` [${plots.valueText(point.curve.band.low[point.place], series.unit)}, ${plots.valueText(point.curve.band.high[point.place], series.unit)}]`) : null)),
        points.length > listed.length ? ui.element("p", { class: "small soft" }, `and ${points.length - listed.length} more curves`) : null,
        near.map((event) => ui.element("p", { class: plots.isAlert(event) ? "event alert" : "event" }, plots.isAlert(event) ? "⚠ " : "◆ ", event.name, event.text ? `: ${event.text.slice(0, 200)}` : "")));
      const box = area.getBoundingClientRect();
      const most = innerWidth - box.left - values.offsetWidth - 6;
      const isRight = left <= plot.clientWidth * 0.55 && left + 14 <= most;
      const place = Math.max(6 - box.left, Math.min(most, isRight ? left + 14 : left - 14 - values.offsetWidth));
      values.style.setProperty("left", `${place}px`);
    }

    function swatch(curve) {
      const dash = { solid: "", dash: "6 3", dot: "2 2", dashdot: "6 2 2 2", longdash: "9 3", longdashdot: "9 2 2 2" }[curve.dash];
      return ui.element("svg", { class: "swatch", viewBox: "0 0 22 8", "aria-hidden": "true" },
        ui.element("svg:line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: curve.colour, "stroke-width": 3, "stroke-dasharray": dash || null }));
    }

    function hideCross() {
      cross = null;
      line.hidden = true;
      values.hidden = true;
      dots.replaceChildren();
    }

    // ---- pointer and keys ----------------------------------------------------------------------

    function place(event) {
      const box = area.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    function onMove(event) {
      if (menu !== null || event.buttons !== 0) return;
      const [left, top] = place(event);
      const x = xAt(left);
      if (x !== null) view.moveCross(x, top, chart);
    }

    let pressed = null;
    function onDown(event) { pressed = menu?.contains(event.target) ? null : place(event); }

    // A click opens the links of the nearest point. A double click shows the whole axis.
    function onUp(event) {
      if (pressed === null) return;
      const [left, top] = place(event);
      const isClick = Math.hypot(left - pressed[0], top - pressed[1]) < 4;
      pressed = null;
      if (!isClick || event.button !== 0 || axes() === null) return;
      if (event.detail > 1) { closeMenu(); reset(); return; }
      const x = xAt(left);
      view.moveCross(x, top, chart);
      const [first] = findPoints(x, top, axes());
      if (first) openMenu(first, left, top, false); else closeMenu();
    }

    function reset() {
      rows = null;
      view.zoom(null);
      draw();
    }

    function onKey(event) {
      if (menu?.contains(event.target)) {
        if (event.key === "Escape") { event.preventDefault(); closeMenu(); area.focus(); }
        return;
      }
      if (event.ctrlKey || event.altKey || event.metaKey || axes() === null) return;
      const at = middle();
      const actions = {
        ArrowRight: () => stepTo(at, event.shiftKey ? 10 : 1), ArrowLeft: () => stepTo(at, event.shiftKey ? -10 : -1),
        ArrowDown: () => choose(1, at), ArrowUp: () => choose(-1, at), Enter: () => openChosen(at),
        "+": () => zoomBy(0.5, at), "=": () => zoomBy(0.5, at), "-": () => zoomBy(2, at), Escape: () => { hideCross(); reset(); },
      };
      if (!Object.hasOwn(actions, event.key)) return;
      event.preventDefault();
      actions[event.key]();
    }

    // Returns the position of the cross-hair, or else the middle of the chart.
    function middle() {
      const { xaxis } = axes();
      return cross === null ? (xaxis.p2l(0) + xaxis.p2l(xaxis._length)) / 2 : cross.x;
    }

    // Returns the curve that the keys act on. If this curve has no points near `x`, chooses another
    // one.
    function chosenCurve(x) {
      chosen = Math.max(0, Math.min(drawn.length - 1, chosen));
      if (drawn.length && isBeyond(drawn[chosen], x, 0)) chosen = Math.max(0, drawn.findIndex((curve) => !isBeyond(curve, x, 0)));
      return drawn[chosen];
    }

    function stepTo(x, count) {
      const curve = chosenCurve(x);
      const from = curve ? plots.nearest(curve, x) : -1;
      if (from < 0) return;
      let to = from;
      const way = Math.sign(count);
      for (let left = Math.abs(count); left > 0; left -= 1) {
        let next = to + way;
        while (next >= 0 && next < curve.x.length && (Number.isNaN(curve.y[next]) || curve.x[next] === curve.x[to])) next += way;
        if (next < 0 || next >= curve.x.length) break;
        to = next;
      }
      say(curve, cross === null ? from : to);
    }

    function choose(way, x) {
      const there = drawn.filter((curve) => !isBeyond(curve, x, 0));
      if (there.length === 0) return;
      const next = there[(there.indexOf(chosenCurve(x)) + way + there.length) % there.length];
      chosen = drawn.indexOf(next);
      say(next, plots.nearest(next, x));
    }

    function say(curve, at) {
      if (at < 0) return;
      const now = axes();
      const value = view.log ? Math.log10(curve.shown[at]) : curve.shown[at];
      cross = { x: curve.x[at], order: [], y: now.yaxis._offset + now.yaxis.l2p(value) };
      view.moveCross(cross.x, cross.y, chart);
      spoken.textContent = `${curve.label}: ${plots.valueText(curve.shown[at], series.unit)} at ${plots.positionText(curve.x[at], axis)}`;
    }

    function openChosen(x) {
      const curve = chosenCurve(x);
      const at = curve ? plots.nearest(curve, x) : -1;
      if (at < 0) return;
      say(curve, at);
      const now = axes();
      openMenu({ curve, x: curve.x[at], value: curve.shown[at] }, now.xaxis._offset + now.xaxis.l2p(curve.x[at]), cross.y, true);
    }

    function zoomBy(part, x) {
      const now = axes();
      const [low, high] = [now.xaxis.p2l(0), now.xaxis.p2l(now.xaxis._length)];
      const [first, last] = plots.padRange(fullRange() || [low, high], 0.01);
      const range = [Math.max(first, x - (x - low) * part), Math.min(last, x + (high - x) * part)];
      if (axis === view.axis) view.zoom(range[0] <= first && range[1] >= last ? null : range);
    }

    // ---- menu ----------------------------------------------------------------------------------

    function openMenu(point, left, top, isKey) {
      closeMenu();
      values.hidden = true;
      menu = ui.element("div", { class: "chart-menu", role: "dialog", "aria-label": `Links of ${point.curve.label}` },
        ui.element("p", {}, swatch(point.curve), " ", ui.element("bdi", {}, point.curve.label)),
        ui.element("p", { class: "soft small" }, `${point.text || plots.valueText(point.value, series.unit)} at ${plots.positionText(point.x, axis)}`),
        view.linksOf(point.curve, point.x, axis, series),
        ui.element("button", { class: "plain small", type: "button", onclick: () => { closeMenu(); area.focus(); } }, "Close"));
      area.append(menu);
      menu.style.setProperty("left", `${Math.max(4, Math.min(left + 8, area.clientWidth - menu.offsetWidth - 4))}px`);
      menu.style.setProperty("top", `${Math.max(4, Math.min(top, area.clientHeight - 60))}px`);
      if (isKey) menu.querySelector("a, button").focus();
    }

    function closeMenu() {
      menu?.remove();
      menu = null;
    }

    // ---- size ----------------------------------------------------------------------------------

    function changeSize() {
      const isLarge = element.classList.toggle("large");
      larger.setAttribute("aria-pressed", String(isLarge));
      area.style.setProperty("height", `${isLarge ? Math.max(420, view.height * 1.6) : view.height}px`);
    }

    const sizes = new ResizeObserver(() => {
      if (isMissed && plot.clientWidth > 0) draw();
      else if (window.Plotly && plot._fullLayout && (plot._fullLayout.width !== plot.clientWidth || plot._fullLayout.height !== plot.clientHeight)) draw();
    });
    sizes.observe(plot);
    area.addEventListener("pointermove", onMove);
    area.addEventListener("pointerleave", () => { if (menu === null) view.moveCross(null, null, chart); });
    area.addEventListener("pointerdown", onDown, true);
    window.addEventListener("mouseup", onUp, true);
    area.addEventListener("keydown", onKey);
    area.addEventListener("focusout", (event) => { if (!area.contains(event.relatedTarget) && menu === null) view.moveCross(null, null, chart); });

    // Plotly calls this with a range that was dragged. All charts share the range of positions.
    function onDragged(change) {
      const [low, high] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (change["yaxis.range[0]"] !== undefined) rows = { log: view.log, range: [change["yaxis.range[0]"], change["yaxis.range[1]"]] };
      if (low === undefined || axis !== view.axis) { draw(); return; }
      view.zoom([low, high]);
    }

    const chart = {
      element, series, load, draw, loadZoomed,
      setAxis() { axis = view.axis; full = null; zoomed = null; zoomedTo = null; rows = null; closeMenu(); },
      // Shows the cross-hair, or hides it if `x` is null. Returns the runs there, nearest first.
      cross(x, y, order) {
        if (menu !== null) return [];
        if (x !== null) return showCross(x, y, order);
        hideCross();
        return [];
      },
      axis: () => axis,
      plotOf: () => plot,
      drawn: () => drawn,
      runs: () => new Set(full === null ? [] : full.curves.map((curve) => curve.run)),
      contexts: () => (full === null ? [] : full.curves.filter((curve) => curve.kind === "metric" || curve.context !== null).map((curve) => plots.contextText(curve.context))),
      isLoaded: () => full !== null,
      // Frees the memory of a chart that is far out of view. Loading the chart again draws it
      // again.
      release() {
        if (plot._fullLayout === undefined) return;
        window.Plotly.purge(plot);
        isBound = false;
        full = null; zoomed = null; zoomedTo = null;
        hideCross();
      },
      close() {
        isClosed = true;
        loading?.abort();
        sizes.disconnect();
        window.removeEventListener("mouseup", onUp, true);
        closeMenu();
        if (plot._fullLayout !== undefined) window.Plotly.purge(plot);
      },
    };
    return chart;
  };
})();
