"use strict";
// Builds the page of charts: one chart per series name, with all contexts and ranks.

document.getElementById("title").textContent = data.title;
document.getElementById("under").textContent = data.under;
const plots = document.getElementById("plots");
const all = data.charts.flatMap((one) => one.curves);
const axes = axesOf(data.charts.filter((one) => !one.fixed).flatMap((one) => one.curves));
const longest = d3.max(all, (curve) => d3.max(curve.time || [])) || 0;
let by = axes.includes(data.by) ? data.by : axes[0] || "time";
let log = data.log;
const redraws = [];

for (const [place, one] of data.charts.entries()) {
  if (one.apart && !(place > 0 && data.charts[place - 1].apart)) {
    plots.append(page.make("p", { class: "apart" }, "Readings of the machine"));
  }
  const element = page.make("div", { class: "chart" });
  const own = axesOf(one.curves);
  // readings always have a time axis, whatever axis the metrics have
  const axis = () => (own.includes(one.fixed) ? one.fixed : own.includes(by) ? by : own[0] || "time");
  redraws.push(chart(element, one.curves, { by: axis, log: () => log, tall: 230, longest,
    named: !(one.apart && one.curves.length === 1), title: one.title }));
  const note = thinnedNote(one.curves);
  plots.append(page.make("section", {}, page.make("h2", {}, one.title), element, note));
}

const tabs = document.getElementById("by");
for (const axis of axes) {
  tabs.append(page.make("button", { type: "button", "data-by": axis, on: { click: () => {
    by = axis;
    show();
  } } }, `By ${axis}`));
}
const logs = document.getElementById("log");
logs.addEventListener("click", () => { log = !log; show(); });

function show() {
  for (const tab of tabs.children) tab.setAttribute("aria-pressed", tab.dataset.by === by);
  logs.setAttribute("aria-pressed", log);
  redraws.forEach((redraw) => redraw());
}
page.theme(() => {});
show();
document.documentElement.dataset.readyMs = Math.round(performance.now());
