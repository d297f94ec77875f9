"use strict";
// Fills the side panel with details of the selected node or group.

const button = (text, act, more = {}) => page.make("button", { type: "button", on: { click: act }, ...more }, text);

function openPanel(...content) {
  const was = panel.hidden;
  panel.hidden = false;
  panel.replaceChildren(...content.filter(Boolean));
  panel.scrollTop = 0;
  if (was) resize();
}

function closePanel() {
  if (panel.hidden) return;
  if (panel.contains(document.activeElement)) canvas.focus();
  panel.hidden = true;
  panel.replaceChildren();
  resize();
}

function panelHead(text) {
  return page.make("div", { class: "top" }, page.make("h2", {}, visibleText(text)),
    button("✕", () => choose(null), { "aria-label": "Close the details" }));
}

function showPanel() {
  if (chosen === null) closePanel();
  else if (chosen.node) showNode(chosen);
  else showGroup(chosen);
}

function lineageButtons(item) {
  return [button("Upstream", () => follow(item, "up"), { title: "Show only this node and the nodes it depends on (u)" }),
    button("Downstream", () => follow(item, "down"), { title: "Show only this node and the nodes that depend on it (d)" }),
    button("Both", () => follow(item, "both"))];
}

function showGroup(item) {
  const list = page.make("ul");
  more(list, item.group.members, (node) => [`${visibleText(node.l)}${node.u ? `  ${visibleText(node.u)}` : ""}`, node.place]);
  openPanel(panelHead(item.label),
    page.make("p", { class: "kinds" }, `${item.group.members.length} nodes, shown as one`),
    page.make("div", { class: "acts" }, button("Expand", () => toggle(item)), ...lineageButtons(item)),
    page.make("h3", {}, "Members"), list);
}

// Fills a list with buttons that go to nodes: the first 100, and a button that adds the next 100.
function more(list, all, describe, from = 0) {
  all.slice(from, from + 100).forEach((entry) => {
    const [text, place, verb] = describe(entry);
    const own = button("", () => reveal(place), { title: text });
    if (verb) own.append(page.make("span", { class: "verb" }, `${verb} `));
    own.append(text);
    list.append(page.make("li", {}, own));
  });
  if (all.length > from + 100) {
    const next = page.make("li", {}, button(`${all.length - from - 100} more …`, () => {
      next.remove();
      more(list, all, describe, from + 100);
    }));
    list.append(next);
  }
}

function showNode(item) {
  const node = item.node;
  const acts = node.owns.filter((group) => group.filled).map((group) => button(
    `${group.open ? "Collapse" : "Expand"} ${group.label}`, () => {
      group.open = !group.open;
      keepPlace(item, () => item.key);
    }));
  if (item.box) acts.push(button(`Collapse ${groupTitle(item.box)}`, () => close(item.box)));
  const prefix = data.runs[Math.max(0, node.r)].prefixes[node.n.split(":", 1)[0]] || "";
  const parts = [panelHead(node.l),
    page.make("p", { class: "kinds" }, [KINDS[node.k], ...node.t].join(" · ")),
    ...(node.i || [prefix + node.n.slice(node.n.indexOf(":") + 1)]).map((iri) => page.make("p", { class: "id" }, iri)),
    page.make("div", { class: "acts" }, ...acts, ...lineageButtons(item))];
  if (node.p !== undefined) parts.push(chartOf(node));
  const rows = [...(node.s ? [["started", node.s]] : []), ...(node.e ? [["ended", node.e]] : []), ...node.a];
  if (rows.length) {
    parts.push(page.make("h3", {}, "Attributes"), page.make("table", {}, page.make("tbody", {},
      ...rows.map(([name, text, type]) => page.make("tr", { title: type ? `${name} (${type})` : name },
        page.make("th", { scope: "row" }, name.replace(/^prov(ml)?:/, "")),
        page.make("td", {}, type === "rdf:JSON" ? page.make("pre", {}, indented(text)) : visibleText(text)))))));
  }
  for (const [title, list, end] of [["Depends on", node.out, 1], ["Dependents", node.in, 0]]) {
    if (!list.length) continue;
    const rowsOf = page.make("ul");
    more(rowsOf, list, (place) => {
      const edge = data.edges[place], other = nodes[edge[end]];
      return [`${visibleText(other.l)}${edge[3] ? `  ${edge[3]}` : ""}`, edge[end], relations[edge[2]]];
    });
    parts.push(page.make("h3", {}, `${title} (${list.length})`), rowsOf);
  }
  openPanel(...parts);
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

let by = null, log = false;
function chartOf(node) {
  const curve = { ...data.curves[node.p], label: visibleText(node.l) };
  const axes = axesOf([curve]);
  const own = axes.includes(by) ? by : axes[0];
  const picks = page.make("div", { class: "picks" });
  const element = page.make("div", { class: "chart" }, picks);
  let axis = own;
  const redraw = chart(element, [curve], { by: () => axis, log: () => log, title: visibleText(node.l) });
  axes.forEach((name) => picks.append(button(`by ${name}`, () => {
    by = axis = name;
    press();
  }, { "data-by": name })));
  picks.append(button("log", () => { log = !log; press(); }, { "data-by": "log" }));
  const press = () => {
    for (const pick of picks.children) {
      const on = pick.dataset.by === "log" ? log : pick.dataset.by === axis;
      pick.setAttribute("aria-pressed", on);
    }
    redraw();
  };
  for (const pick of picks.children) {
    pick.setAttribute("aria-pressed", pick.dataset.by === "log" ? log : pick.dataset.by === axis);
  }
  const note = thinnedNote([curve]);
  if (note) element.append(note);
  return element;
}

function showHelp() {
  chosen = null;
  const rows = [["drag, wheel, pinch", "pan and zoom"], ["click", "show a node's details"],
    ["double click", "open or close a group"], ["← ↑ → ↓", "select the nearest node in this direction"],
    ["Enter", "open or close the selected group"], ["+  −  0", "zoom in, zoom out, show everything"], ["/", "search"],
    ["u  d  a", "show upstream, downstream, all nodes"], ["e  c", "expand all, back to the overview"],
    ["t", "switch the theme"], ["Esc", "close the details, then show all nodes"]];
  const list = page.make("dl");
  rows.forEach(([key, does]) => list.append(page.make("dt", {}, page.make("kbd", {}, key)), page.make("dd", {}, does)));
  openPanel(panelHead("Keys"), list, page.make("p", { class: "note" },
    "Earlier nodes are on the left. Each arrow points from a node to a node that it depends on. "
    + "A pile stands for a group of nodes; click + to open it. This page works offline."));
  drawSoon();
}
