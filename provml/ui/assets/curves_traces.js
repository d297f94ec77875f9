"use strict";
// How a chart is drawn: the traces and the layout that plotly draws, from curves and settings.

Object.assign(ui.plots, (() => {
  const plots = ui.plots;
  const FEW_POINTS = 30;
  const FARTHEST = 1e300; // plotly's axes fail beyond this value
  const NARROWEST = 1e-300; // and on a shorter range
  const MARKS = new Map([["NaN", ["x-thin-open", 0.03]], ["Infinity", ["triangle-up", 0.97]], ["-Infinity", ["triangle-down", 0.03]]]);

  // Returns the traces of a curve: its band, the raw values behind a smoothed line, the line, and
  // lone points.
  function curveTraces(curve, place) {
    const uid = `c${place}`;
    const base = { x: curve.x, type: "scatter", mode: "lines", hoverinfo: "skip", connectgaps: false };
    const made = [];
    if (curve.band) {
      const edge = { ...base, line: { width: 0 } };
      made.push({ ...edge, y: curve.band.low, uid: `${uid}l` },
        { ...edge, y: curve.band.high, uid: `${uid}h`, fill: "tonexty", fillcolor: fade(curve.colour, 0.2) });
    }
    if (curve.isSmooth) {
      made.push({ ...base, y: curve.y, uid: `${uid}r`, opacity: 0.25, line: { color: curve.colour, width: 1 } });
    }
    const points = curve.x.length <= FEW_POINTS;
    made.push({
      ...base, y: curve.shown, uid, mode: points ? "lines+markers" : "lines",
      line: { color: curve.colour, width: curve.rank === null ? 1.7 : 1, dash: curve.dash },
      marker: { color: curve.colour, size: 4.5 },
    });
    const alone = points ? [] : findLonePoints(curve.y);
    if (alone.length) {
      made.push({ ...base, uid: `${uid}p`, mode: "markers", x: alone.map((place) => curve.x[place]), y: alone.map((place) => curve.shown[place]), marker: { color: curve.colour, size: 4.5 } });
    }
    return made;
  }

  // Finds the points between two gaps, which a line would not show.
  function findLonePoints(y) {
    const found = [];
    for (let place = 0; place < y.length; place += 1) {
      const isAlone = (place === 0 || Number.isNaN(y[place - 1])) && (place === y.length - 1 || Number.isNaN(y[place + 1]));
      if (!Number.isNaN(y[place]) && isAlone) found.push(place);
    }
    return found;
  }

  // Returns marks at the lower or upper edge of the chart for values that are not finite.
  function markTraces(drawn) {
    const marker = { symbol: [], color: [], size: 8, line: { width: 1.6, color: [] } };
    const [x, y] = [[], []];
    for (const curve of drawn) {
      for (const [at, text] of curve.marks) {
        const [symbol, place] = MARKS.get(text) || MARKS.get("NaN");
        x.push(at); y.push(place); marker.symbol.push(symbol); marker.color.push(curve.colour); marker.line.color.push(curve.colour);
      }
    }
    return x.length ? [{ x, y, yaxis: "y2", type: "scatter", mode: "markers", hoverinfo: "skip", uid: "marks", marker, cliponaxis: false }] : [];
  }

  // Returns thin lines for events, and thicker lines for alerts. The cross-hair shows their texts.
  function eventTraces(shown) {
    return [[false, "--soft", 1, "dot"], [true, "--bad", 1.5, "solid"]].flatMap(([alert, colour, width, dash]) => {
      const own = shown.filter((event) => isAlert(event) === alert);
      if (own.length === 0) return [];
      return [{
        x: own.flatMap((event) => [event.x, event.x, null]), y: own.flatMap(() => [0, 1, null]), yaxis: "y2", type: "scatter", uid: `events${alert}`,
        mode: "lines", hoverinfo: "skip", opacity: 0.7, line: { color: ui.colour(colour), width, dash },
      }];
    });
  }

  function isAlert(event) { return ["warning", "error", "critical", "alert"].includes(String(event.level).toLowerCase()); }

  // Writes a value. Bytes are shown in a suitable unit, such as 25.9 MB.
  function valueText(value, unit) {
    return unit === "B" && typeof value === "number" && value >= 0 ? ui.bytes(value) : ui.number(value);
  }

  // Returns the layout of a chart. `unit` is the unit of the values. `size` is {width, height,
  // inner} in pixels, where `inner` is the width of the axis. `xRange` and `yRange` are the ranges
  // to show, and `at` is a position to mark, or null.
  function buildLayout(view, axis, unit, size, xRange, yRange, at) {
    const ink = ui.colour("--soft");
    const grid = ui.colour("--line");
    const font = { family: getComputedStyle(document.body).fontFamily, size: 11, color: ink };
    const common = { gridcolor: grid, linecolor: grid, zeroline: false, tickfont: font, automargin: false, fixedrange: view.isCoarse };
    const x = { ...common, range: xRange, type: "linear", exponentformat: "power", separatethousands: true };
    if (axis === "time" || axis === "wall") {
      const choose = axis === "time" ? plots.timeTicks : plots.clockTicks;
      const ticks = choose(xRange[0], xRange[1], Math.max(2, size.inner / 90));
      Object.assign(x, { tickmode: "array", tickvals: ticks.values, ticktext: ticks.texts });
    } else x.nticks = Math.max(2, Math.round(size.inner / 60));
    const y = { ...common, range: yRange, type: view.log ? "log" : "linear", nticks: 7, tickformat: unit === "B" ? "~s" : "~g" };
    if (view.log) {
      const ticks = plots.logTicks(y.range[0], y.range[1], Math.max(3, size.height / 30));
      Object.assign(y, { tickmode: "array", tickvals: ticks, ticktext: ticks.map((tick) => valueText(tick, unit)) });
    }
    const marked = at === null ? [] : [{ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: ui.colour("--accent"), width: 2 } }];
    return {
      margin: { l: 58, r: 12, t: 8, b: axis === "wall" ? 40 : 26 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false, hovermode: false,
      dragmode: view.isCoarse ? false : "zoom", xaxis: x, yaxis: y, shapes: marked, width: size.width, height: size.height, font,
      yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
    };
  }

  // Returns the range of values to show between two positions, in the units of the axis.
  function valueRange(drawn, view, [low, high]) {
    const columns = drawn.flatMap((curve) => {
      const parts = curve.band ? [curve.band.low, curve.band.high] : [curve.y];
      return parts.map((column) => column.filter((value, place) => curve.x[place] >= low && curve.x[place] <= high && (!view.log || value > 0)));
    });
    const found = plots.rangeOf(columns, view.outliers);
    if (found === null) return [0, 1];
    const [least, most] = found.map((value) => Math.max(-FARTHEST, Math.min(FARTHEST, value)));
    return padRange(view.log ? [Math.log10(least), Math.log10(most)] : [least, most], 0.06);
  }

  // Returns a range with some space on both sides.
  function padRange([low, high], part) {
    const space = Math.max(NARROWEST, (high - low) * part || Math.abs(low) * part || 1);
    return [low - space, high + space];
  }

  function fade(colour, opacity) {
    const parts = colour.startsWith("#") ? [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16)) : null;
    return parts ? `rgba(${parts.join(",")},${opacity})` : colour.replace(")", ` / ${opacity})`);
  }

  return { FARTHEST, curveTraces, markTraces, eventTraces, isAlert, buildLayout, valueText, valueRange, padRange };
})());
