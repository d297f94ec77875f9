"use strict";
// Handles user actions: showing parts, opening and closing groups, searching, pointer and keys.

function centre(item, least = .55) {
  const scale = Math.max(d3.zoomTransform(canvas).k, least);
  view.call(zoom.transform, d3.zoomIdentity.translate(wide / 2 - item.x * scale, high / 2 - item.y * scale).scale(scale));
}

// Moves the view just far enough to show a whole node.
function bringIn(item) {
  const at = d3.zoomTransform(canvas), room = 24;
  const off = (centre, half, size) => Math.min(0, size - room - centre - half)
    || Math.max(0, room - centre + half);
  const dx = off(at.applyX(item.x), item.w / 2 * at.k, wide);
  const dy = off(at.applyY(item.y), item.h / 2 * at.k, high);
  if (dx || dy) view.call(zoom.translateBy, dx / at.k, dy / at.k);
}

// Shows the whole graph, at a scale of at least `least`. If the graph is too large at this scale,
// shows the part around the run, or the earliest nodes if there is no run.
function fit(least = .012) {
  const room = 26, top = byId("notice").hidden ? 0 : 44;
  const within = [wide - 2 * room, high - top - 2 * room];
  const whole = Math.min(1.15, within[0] / bounds.w, within[1] / bounds.h);
  const k = Math.max(least, whole);
  const focus = items.find((item) => item.node && item.node.t.includes("Run")) || items[0];
  const from = (low, size, space, spot) => {
    if (size * k <= space + 1) return (space - size * k) / 2 - low * k;
    return Math.min(-low * k, Math.max(space - (low + size) * k, space / 2 - spot * k));
  };
  view.call(zoom.transform, d3.zoomIdentity.translate(
    room + from(bounds.x, bounds.w, within[0], focus ? focus.x : 0),
    top + room + from(bounds.y, bounds.h, within[1], focus ? focus.y : 0)).scale(k));
}

function itemAt(x, y) {
  const [gx, gy] = d3.zoomTransform(canvas).invert([x, y]);
  for (let i = items.length - 1; i >= 0; i -= 1) {
    const item = items[i];
    if (Math.abs(gx - item.x) <= item.w / 2 + 6 && Math.abs(gy - item.y) <= item.h / 2 + 6) return item;
  }
  return null;
}

function boxHeadAt(x, y) {
  const [gx, gy] = d3.zoomTransform(canvas).invert([x, y]);
  return boxes.find((b) => gx >= b.x && gx <= b.x + b.w && gy >= b.y && gy <= b.y + BOX_HEAD) || null;
}

const say = (text) => { byId("said").textContent = text; };

function choose(item, move = false) {
  chosen = item;
  showPanel();  // the panel takes space, so centre the node in the remaining space
  if (item !== null) {
    if (move) centre(item);
    else bringIn(item);
    say(`${visibleText(item.label)}, ${item.group ? "group" : KINDS[item.kind]}${item.under ? `, ${visibleText(item.under)}` : ""}`);
  }
  drawSoon();
}

// Opens or closes the group of an item, and keeps the item at its position on the screen.
function toggle(item) {
  const own = item.group ? [item.group] : item.node.owns;
  if (!own.length) return;
  const open = item.group !== null || own.some((group) => !group.open);
  own.forEach((group) => { group.open = open; });
  keepPlace(item, () => item.group ? item.group.members[0].place : item.key);
}

function close(group) {
  group.open = false;
  const first = items.find((item) => item.box === group);
  keepPlace(first, () => keyOf(group.members[0]));
}

function isInView(item) {
  const at = d3.zoomTransform(canvas), x = at.applyX(item.x), y = at.applyY(item.y);
  return x > 0 && x < wide && y > 0 && y < high;
}

function keepPlace(item, keyAfter) {
  const at = d3.zoomTransform(canvas), x = at.applyX(item.x), y = at.applyY(item.y);
  const wasChosen = chosen !== null;
  keptFlow = true;
  const before = rebuild();
  keptFlow = false;
  const now = itemOf.get(keyAfter());
  if (now) {
    view.call(zoom.transform, d3.zoomIdentity.translate(x - now.x * at.k, y - now.y * at.k).scale(at.k));
    if (wasChosen) choose(now);
  }
  const opened = items.filter((one) => !before.has(one.key));
  if (2 * opened.filter(isInView).length < opened.length) fit(.6);
  say(`${items.length} nodes shown`);
}

function setAll(open) {
  groups.forEach((group) => { group.open = open; });
  rebuild();
  fit(open ? undefined : LEGIBLE);
  showPanel();
  say(`${items.length} nodes shown`);
}

// Shows a node, and opens the groups that hide it.
function reveal(place) {
  if (reach !== null && !reach.has(place)) showAll();
  let changed = false;
  for (let g = nodes[place].g; g >= 0; g = above(groups[g])) {
    if (!groups[g].open) { groups[g].open = true; changed = true; }
  }
  if (changed) {
    keptFlow = true;
    rebuild();
    keptFlow = false;
  }
  choose(itemOf.get(place), true);
}

function follow(item, way) {
  const start = item.node ? [item.node] : item.group.members;
  const found = new Set(start.map((node) => node.place));
  for (const [list, end] of way === "up" ? [["out", 1]] : way === "down" ? [["in", 0]] : [["out", 1], ["in", 0]]) {
    const left = start.map((node) => node.place), seen = new Set(left);
    while (left.length) {
      for (const place of nodes[left.pop()][list]) {
        const edge = data.edges[place];
        if (NOT_LINEAGE.has(relations[edge[2]]) || seen.has(edge[end])) continue;
        seen.add(edge[end]);
        found.add(edge[end]);
        left.push(edge[end]);
      }
    }
  }
  reach = found;
  const text = { up: "Upstream of", down: "Downstream of", both: "Up- and downstream of" }[way];
  byId("notice-text").textContent = `${text} ${visibleText(item.label)}: ${found.size} of ${nodes.length} nodes`;
  byId("notice").hidden = false;
  rebuild();
  fit();
  showPanel();
  say(byId("notice-text").textContent);
}

function showAll() {
  reach = null;
  byId("notice").hidden = true;
  rebuild();
  fit(LEGIBLE);
  showPanel();
}

// ---- search ------------------------------------------------------------------------------------

const search = byId("search"), found = byId("found");
const texts = nodes.map((node) => [node.l, `${node.n} ${node.t.join(" ")} ${KINDS[node.k]}`,
  [node.u || "", ...node.a.map((row) => row[1].slice(0, 300))].join("\n")]
  .map((text) => text.toLowerCase()));
let hits = [], picked = -1;

function look() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  hits = [];
  if (words.length) {
    const found = [];
    texts.forEach((own, place) => {
      // matches in labels come first, then matches in names and types, then matches in values
      let far = own[0] === words.join(" ") ? -1 : 0;
      for (const word of words) {
        const at = own.findIndex((text) => text.includes(word));
        if (at < 0) return;
        far += at === 0 && own[0].startsWith(word) ? 0 : at + 1;
      }
      found.push([far, place]);
    });
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    hits = found.slice(0, 60).map((hit) => hit[1]);
  }
  picked = hits.length ? 0 : -1;
  found.replaceChildren(...hits.map((place, at) => page.make("li", { role: "option", id: `hit${at}`,
    on: { pointerdown: (event) => { event.preventDefault(); go(at); } } },
    page.make("span", { class: "name" }, visibleText(nodes[place].l)),
    page.make("span", { class: "where" }, [nodes[place].t[0] || KINDS[nodes[place].k], visibleText(nodes[place].n), visibleText(nodes[place].u || "")].filter(Boolean).join(" · ")))));
  if (words.length && !hits.length) found.append(page.make("li", { class: "none" }, "nothing found"));
  mark();
}

function mark() {
  const open = search.value.trim() !== "";
  found.hidden = !open;
  search.setAttribute("aria-expanded", open);
  [...found.children].forEach((row, at) => {
    if (row.className !== "none") row.setAttribute("aria-selected", at === picked);
    if (at === picked) row.scrollIntoView({ block: "nearest" });
  });
  if (picked >= 0) search.setAttribute("aria-activedescendant", `hit${picked}`);
  else search.removeAttribute("aria-activedescendant");
}

function go(at) {
  found.hidden = true;
  search.setAttribute("aria-expanded", "false");
  reveal(hits[at]);
  canvas.focus();
}

search.addEventListener("input", look);
search.addEventListener("focus", () => { if (search.value) look(); });
search.addEventListener("blur", () => { found.hidden = true; });
search.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    picked = hits.length ? (picked + (event.key === "ArrowDown" ? 1 : hits.length - 1)) % hits.length : -1;
    mark();
  } else if (event.key === "Enter" && picked >= 0) go(picked);
  else if (event.key === "Escape") { search.value = ""; look(); canvas.focus(); }
  else return;
  event.preventDefault();
});

// ---- pointer and keys --------------------------------------------------------------------------

const tip = byId("tip");

// Returns all texts of an item, because the item itself may show a shortened text.
function tipOf(item) {
  const rows = item.rows.map(([name, value, , note]) => `${name}${note ? ` (${note})` : ""}${name ? ": " : ""}${value}`);
  const where = item.node && data.runs.length > 1 && item.run >= 0 && !item.node.t.includes("Run")
    ? [`of ${data.runs[item.run].label}`] : [];
  return [item.label, item.under, ...rows, ...where].filter(Boolean).map(visibleText).join("\n");
}

canvas.addEventListener("pointermove", (event) => {
  const item = itemAt(event.offsetX, event.offsetY);
  canvas.classList.toggle("over", item !== null || boxHeadAt(event.offsetX, event.offsetY) !== null);
  if (item !== hovered) { hovered = item; drawSoon(); }
  tip.hidden = item === null || event.buttons !== 0;
  if (item !== null) {
    tip.textContent = tipOf(item);
    tip.style.left = `${Math.min(event.offsetX + 14, Math.max(0, wide - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.min(event.offsetY + 16, Math.max(0, high - tip.offsetHeight - 8))}px`;
  }
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; if (hovered) { hovered = null; drawSoon(); } });
let pressed = null;  // the item at the first click, because the view may move before a second click
canvas.addEventListener("click", (event) => {
  if (event.detail > 1) return;
  pressed = null;
  const item = itemAt(event.offsetX, event.offsetY);
  const head = item === null ? boxHeadAt(event.offsetX, event.offsetY) : null;
  const [gx, gy] = d3.zoomTransform(canvas).invert([event.offsetX, event.offsetY]);
  if (head !== null && gx < head.x + 34) { close(head.box); return; }
  if (item !== null && d3.zoomTransform(canvas).k > .3 && (item.group || item.node.owns.length)
    && gx > item.x + item.w / 2 - 24 && gy < item.y - item.h / 2 + 18) { toggle(item); return; }
  pressed = item;
  choose(item);
});
canvas.addEventListener("dblclick", () => {
  if (pressed !== null && itemOf.get(pressed.key) === pressed) toggle(pressed);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
function step([dx, dy]) {
  if (chosen === null) {
    choose(items.find((item) => item.node && item.node.t.includes("Run")) || items[0] || null, true);
    return;
  }
  let best = null, least = Infinity;
  for (const item of items) {
    const x = item.x - chosen.x, y = item.y - chosen.y;
    const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    if (item === chosen || ahead < 12) continue;
    if (ahead + 2.2 * aside < least) { least = ahead + 2.2 * aside; best = item; }
  }
  if (best) choose(best, true);
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (ARROWS[event.key]) step(ARROWS[event.key]);
  else if (event.key === "Enter" || event.key === " ") { if (chosen) toggle(chosen); else step([1, 0]); }
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const acts = {
    "/": () => search.focus(), "+": () => view.call(zoom.scaleBy, 1.3), "=": () => view.call(zoom.scaleBy, 1.3),
    "-": () => view.call(zoom.scaleBy, 1 / 1.3), 0: () => fit(), f: () => fit(), "?": showHelp, e: () => setAll(true),
    c: () => setAll(false), t: () => byId("theme").click(), a: showAll,
    u: () => chosen && follow(chosen, "up"), d: () => chosen && follow(chosen, "down"),
    Escape: () => { if (!panel.hidden) { choose(null); closePanel(); } else if (reach !== null) showAll(); },
  };
  if (acts[event.key]) { acts[event.key](); event.preventDefault(); }
});

byId("in").addEventListener("click", () => view.call(zoom.scaleBy, 1.3));
byId("out").addEventListener("click", () => view.call(zoom.scaleBy, 1 / 1.3));
byId("fit").addEventListener("click", () => fit());
byId("expand").addEventListener("click", () => setAll(true));
byId("collapse").addEventListener("click", () => setAll(false));
byId("all").addEventListener("click", showAll);
byId("help").addEventListener("click", showHelp);

// ---- legend ------------------------------------------------------------------------------------

function legend() {
  KINDS.forEach((kind, place) => {
    const count = nodes.filter((node) => node.k === place).length;
    byId("legend-kinds").append(page.make("span", { class: "entry" },
      page.make("span", { class: `swatch ${kind}` }), kind,
      page.make("span", { class: "count" }, page.number(count))));
  });
  byId("legend-kinds").append(page.make("span", { class: "entry" }, page.make("span", { class: "pointer" }, "→"),
    "points to what came earlier"));
  const rows = byId("legend-rows");
  relations.forEach((name, place) => {
    const count = data.edges.filter((edge) => edge[2] === place).length;
    if (!count) return;
    const tick = page.make("input", { type: "checkbox", on: { change: () => {
      if (tick.checked) shownRelations.add(place);
      else shownRelations.delete(place);
      rebuild();
      fit();
    } } });
    tick.checked = true;
    const line = page.make("span", { class: "swatch line" });
    line.style.borderTopColor = `var(${COLOURS[name] || "--edge"})`;
    if (name === "hadMember") line.style.borderTopStyle = "dashed";
    rows.append(page.make("label", { class: "entry" }, tick, line, name,
      page.make("span", { class: "count" }, page.number(count))));
  });
}

// ---- start -------------------------------------------------------------------------------------

byId("title").textContent = visibleText(data.title);
byId("under").textContent = data.under;
legend();
if (innerWidth < 1000 || innerHeight < 700) byId("legend").open = false;
wide = stage.clientWidth || 1000;
high = stage.clientHeight || 700;
rebuild();
page.theme(() => { readColours(); drawSoon(); });
new ResizeObserver(() => {
  const first = document.documentElement.dataset.readyMs === undefined;
  resize();
  if (first) {
    fit(LEGIBLE);
    requestAnimationFrame(() => {
      draw();
      document.documentElement.dataset.readyMs = Math.round(performance.now());
    });
  }
}).observe(stage);
