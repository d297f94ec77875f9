"use strict";
// Draws a chart of curves over step, epoch or time. A curve has a gap at each NaN, and wherever the
// step, epoch or time decreases.

const AXES = { step: "step", epoch: "epoch", time: "time since the start" };
const HUES = 16;
const DASHES = [null, "6 3", "2 3", "7 3 2 3"];

// Returns the axes for which the curves have values, the most useful axis first.
function axesOf(curves) {
  const has = (by) => curves.some((curve) => curve[by] && curve[by].some((x) => x !== null));
  return Object.keys(AXES).filter(has);
}

function points(curve, by) {
  const xs = curve[by];
  const made = [];
  let before = -Infinity;
  curve.value.forEach((y, place) => {
    const x = xs ? xs[place] : null;
    if (x === null) return;
    if (x < before) made.push([x, null]);
    before = x;
    made.push([x, y]);
  });
  return made;
}

function timeUnit(seconds) {
  if (seconds < 1e-3) return [1e-6, "µs"];
  if (seconds < 1) return [1e-3, "ms"];
  if (seconds < 180) return [1, "s"];
  return seconds < 3 * 3600 ? [60, "min"] : [3600, "h"];
}

function colourOf(curve, place) {
  return `var(--c${(curve.hue === undefined ? place : curve.hue) % HUES})`;
}

function dashOf(curve, place) {
  const dash = curve.dash === undefined ? Math.floor(place / HUES) : curve.dash;
  return DASHES[dash % DASHES.length];
}

// Draws a chart in an element, and redraws it if its width changes. Returns a redraw function.
function chart(element, curves, options) {
  const svg = d3.select(element).append("svg").attr("role", "img");
  const key = page.make("div", { class: "key" });
  element.append(key);
  const values = [];
  curves.forEach((curve, place) => {
    const mark = page.make("i");
    mark.style.borderTopColor = colourOf(curve, place);
    if (dashOf(curve, place)) mark.style.borderTopStyle = "dashed";
    const value = page.make("b");
    values.push(value);
    const label = page.make("span", {}, mark, curve.label, value);
    label.append(page.make("small"));
    key.append(label);
  });
  key.hidden = curves.length === 1 && !options.named;

  function draw() {
    const wide = Math.max(200, element.clientWidth);
    const tall = options.tall || 190;
    const edge = { top: 8, right: 12, bottom: 34, left: 54 };
    const by = options.by();
    const log = options.log();
    svg.attr("viewBox", `0 0 ${wide} ${tall}`).attr("height", tall).selectAll("*").remove();
    let own = curves.map((curve) => points(curve, by));
    curves.forEach((curve, place) => {
      const without = curve.value.length > 0 && !curve[by];
      key.children[place].lastChild.textContent = without ? `(no ${by})` : "";
    });
    let unit = "", limit = null;  // the end of the time axis if all charts share it, else null
    if (by === "time") {
      const last = options.longest || d3.max(own, (c) => d3.max(c, (p) => p[0])) || 0;
      const [size, name] = timeUnit(last);
      if (options.longest) limit = options.longest / size;
      own = own.map((c) => c.map(([x, y]) => [x / size, y]));
      unit = `, ${name}`;
    }
    const drawn = (p) => p[1] !== null && (!log || p[1] > 0);
    const all = d3.merge(own).filter(drawn);
    svg.attr("aria-label", `${options.title}: ${all.length} points over ${AXES[by]}`);
    const text = (x, y, anchor, content) => svg.append("text").attr("class", "name")
      .attr("x", x).attr("y", y).attr("text-anchor", anchor).text(content);
    if (!all.length) {
      text(wide / 2, tall / 2, "middle", log ? "nothing above zero to show"
        : "no numbers to show");
      return;
    }
    const span = (of) => {
      const [low, high] = d3.extent(all, of);
      if (low !== high) return [low, high];
      const room = Math.abs(low) * .1 || 1;
      return [low - room, high + room];
    };
    const x = d3.scaleLinear().domain(limit === null ? span((p) => p[0]) : [0, limit])
      .range([edge.left, wide - edge.right]);
    let limits = span((p) => p[1]);
    if (log && limits[0] <= 0) limits = [all[0][1] / 2, all[0][1] * 2];
    const y = (log ? d3.scaleLog() : d3.scaleLinear()).domain(limits)
      .range([tall - edge.bottom, edge.top]).nice();
    const whole = by !== "time";
    const ticks = x.ticks(Math.max(2, Math.floor(wide / 80)))
      .filter((tick) => !whole || Number.isInteger(tick));
    const high = Math.max(2, Math.floor(tall / 38));
    const marks = log ? y.ticks(high).filter((tick, place, every) => every.length < 12
      || Number.isInteger(Math.round(Math.log10(tick) * 1e9) / 1e9)) : y.ticks(high);
    svg.append("g").attr("class", "grid").attr("transform", `translate(${edge.left},0)`)
      .call(d3.axisLeft(y).tickValues(marks).tickSize(edge.left + edge.right - wide)
        .tickFormat(""));
    svg.append("g").attr("transform", `translate(0,${tall - edge.bottom})`)
      .call(d3.axisBottom(x).tickValues(ticks).tickSizeOuter(0)
        .tickFormat((tick) => page.number(tick)));
    svg.append("g").attr("transform", `translate(${edge.left},0)`)
      .call(d3.axisLeft(y).tickValues(marks).tickSize(0).tickPadding(7)
        .tickFormat((tick) => shortNumber(tick, marks)))
      .select(".domain").remove();
    text(wide - edge.right, tall - 3, "end", AXES[by] + unit);

    const line = d3.line().defined(drawn).x((p) => x(p[0])).y((p) => y(p[1]));
    own.forEach((curve, place) => {
      const hue = colourOf(curves[place], place);
      svg.append("path").attr("class", "curve").attr("d", line(curve)).style("stroke", hue)
        .style("stroke-dasharray", dashOf(curves[place], place));
      const few = curve.length <= 40;
      curve.forEach((p, at) => {  // a line can't show a single point between two gaps
        const alone = !(at > 0 && drawn(curve[at - 1]))
          && !(at + 1 < curve.length && drawn(curve[at + 1]));
        if (drawn(p) && (few || alone)) {
          svg.append("circle").attr("class", "lone").attr("r", alone ? 3 : 2.2)
            .attr("cx", x(p[0])).attr("cy", y(p[1])).style("fill", hue);
        }
      });
    });

    const cross = svg.append("line").attr("class", "cross").attr("y1", edge.top)
      .attr("y2", tall - edge.bottom).style("display", "none");
    const node = svg.node();
    node.onpointermove = (event) => {
      const box = node.getBoundingClientRect();
      const wanted = x.invert((event.clientX - box.left) * wide / box.width);
      const near = own.map((curve) => nearest(curve.filter((p) => p[1] !== null), wanted));
      const first = near.filter(Boolean)
        .sort((a, b) => Math.abs(a[0] - wanted) - Math.abs(b[0] - wanted))[0];
      if (!first) return;
      cross.style("display", null).attr("x1", x(first[0])).attr("x2", x(first[0]));
      near.forEach((p, place) => {
        values[place].textContent = p ? page.number(p[1]) : "";
      });
      key.hidden = false;
      element.dataset.at = `${AXES[by]}: ${page.number(first[0])}`;
    };
    node.onpointerleave = () => {
      cross.style("display", "none");
      values.forEach((value) => { value.textContent = ""; });
      key.hidden = curves.length === 1 && !options.named;
    };
  }

  function nearest(curve, wanted) {
    let best = null;
    for (const p of curve) {
      if (best === null || Math.abs(p[0] - wanted) < Math.abs(best[0] - wanted)) best = p;
    }
    return best;
  }

  let before = 0;
  new ResizeObserver(() => {
    if (element.clientWidth !== before) {
      before = element.clientWidth;
      draw();
    }
  }).observe(element);
  return draw;
}

// Formats the number at a tick with enough digits to distinguish all ticks.
function shortNumber(value, ticks) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
    return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  }
  let digits = 4;
  while (digits < 9 && new Set(ticks.map((tick) => tick.toPrecision(digits))).size < ticks.length) {
    digits += 1;
  }
  return String(Number(value.toPrecision(digits)));
}

// Returns a note about the curves that have fewer points than samples.
function thinnedNote(curves) {
  const cut = curves.filter((curve) => curve.shown < curve.count);
  if (!cut.length) return null;
  const text = cut.length === 1
    ? `${page.number(cut[0].shown)} of ${page.number(cut[0].count)} samples are shown: `
    : `${cut.length} of these curves have fewer points than samples: `;
  return page.make("p", { class: "note" }, `${text}the lowest and highest sample of each stretch`);
}
