"use strict";
// Holds the state of the graph page: the visible items, their positions, and the selection.
// A group is drawn as one node or, when open, as a box of its members. A group with an owner (the
// samples of a series, the steps of a context) folds into the owner; other groups get their own nodes.

const KINDS = ["entity", "activity", "agent"];
const BLOCK_GAP = 22, CELL_GAP = 12, BOX_PAD = 14, BOX_HEAD = 30;
const LEGIBLE = .89;  // at this scale, the smallest text has 11 pixels
const LEAST_LONG = 1300;  // a layer of at most this length is not split
const NOT_OF_OWNERS = new Set(["wasStartedBy", "alternateOf"]);
const REPEATED = new Set(["hadMember", "wasAttributedTo"]);
const NOT_LINEAGE = new Set(["hadMember", "alternateOf"]);
const COLOURS = { used: "--used", wasGeneratedBy: "--generated", wasDerivedFrom: "--derived" };
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

const nodes = data.nodes, groups = data.groups, relations = data.relations;
const canvas = document.getElementById("canvas"), pen = canvas.getContext("2d");
const stage = document.getElementById("stage"), panel = document.getElementById("panel");
const byId = (id) => document.getElementById(id);

// ---- the whole graph: neighbours, members ------------------------------------------------------

nodes.forEach((node, place) => { node.place = place; node.out = []; node.in = []; node.owns = []; });
data.edges.forEach((edge, place) => {
  nodes[edge[0]].out.push(place);
  nodes[edge[1]].in.push(place);
});
groups.forEach((group, place) => {
  group.place = place;
  group.members = [];
  group.open = group.open === 1;
  group.filled = false;  // whether the group contains a node, directly or in another group
  if (group.owner >= 0) nodes[group.owner].owns.push(group);
});
nodes.forEach((node) => {
  if (node.g >= 0) groups[node.g].members.push(node);
  for (let g = node.g; g >= 0 && !groups[g].filled; g = above(groups[g])) groups[g].filled = true;
});

const shownRelations = new Set(relations.map((_, place) => place));
let reach = null;       // the nodes of an upstream or downstream view; null shows all nodes
let items = [], blocks = [], links = [], boxes = [];
let itemOf = new Map(); // each item by its key: a node's number, or g<group> for a closed group without an owner
let chosen = null, hovered = null;
let bounds = { x: 0, y: 0, w: 1, h: 1 };

// Returns the group that contains a group. A group with an owner is in the same group as its owner.
function above(group) {
  if (group.owner >= 0) return nodes[group.owner].g;
  return group.in;
}

// Returns the key of the item that shows a node: the node, or the outermost closed group around it.
function keyOf(node) {
  let key = node.place;
  for (let g = node.g; g >= 0; g = above(groups[g])) {
    if (!groups[g].open) key = groups[g].owner >= 0 ? groups[g].owner : `g${g}`;
  }
  return key;
}

// ---- visible items -----------------------------------------------------------------------------

function rebuild() {
  const before = itemOf;
  itemOf = new Map();
  items = [];
  const keys = nodes.map((node) => (reach !== null && !reach.has(node.place) ? null : keyOf(node)));
  measured = new Set(keys).size < MOST_MEASURED;
  for (const key of keys) {
    if (key === null) continue;
    let item = itemOf.get(key);
    if (item === undefined) {
      item = typeof key === "number" ? itemOfNode(nodes[key]) : itemOfGroup(groups[+key.slice(1)]);
      itemOf.set(key, item);
      items.push(item);
    }
    item.held += 1;
  }
  links = linksBetween(keys);
  place();
  chosen = chosen && (itemOf.get(chosen.key) || null);
  hovered = null;
  document.documentElement.dataset.shown = items.length;
  drawSoon();
  return before;
}

// Returns the visible edges. Several edges between the same two items become one edge, whose `mask`
// has one bit for each relation.
function linksBetween(keys) {
  const found = new Map(), degree = new Map(), numbers = new Map();
  const numberOf = (key) => {
    let number = numbers.get(key);
    if (number === undefined) numbers.set(key, number = numbers.size);
    return number;
  };
  for (const [from, to, relation] of data.edges) {
    const a = keys[from], b = keys[to];
    if (a === null || b === null || a === b || !shownRelations.has(relation)) continue;
    // some relations do not hold for the owner: a reading may start an alert, but not its run
    if (a !== from && (NOT_OF_OWNERS.has(relations[relation])
      || (REPEATED.has(relations[relation]) && nodes[from].t.includes("Results")))) continue;
    if (b !== to && nodes[to].t.includes("SamplesFile")) continue;
    const name = numberOf(a) * nodes.length + numberOf(b);
    const link = found.get(name);
    if (link) {
      link.count += 1;
      link.mask |= 1 << relation;
      continue;
    }
    found.set(name, { a: itemOf.get(a), b: itemOf.get(b), relation, count: 1, mask: 1 << relation,
      via: NO_LANES, implied: false, box: null });
    degree.set(a, (degree.get(a) || 0) + 1);
    degree.set(b, (degree.get(b) || 0) + 1);
  }
  // leave out edges from the results to nodes that already have an edge to the run
  return [...found.values()].filter((link) => !(REPEATED.has(relations[link.relation])
    && isSingle(link) && link.a.node && link.a.node.t.includes("Results")
    && degree.get(link.a.key) > 1 && degree.get(link.b.key) > 1));
}

const NO_LANES = [];
const isSingle = (link) => (link.mask & (link.mask - 1)) === 0;

function itemOfNode(node) {
  const item = { key: node.place, node, group: null, kind: node.k, run: node.r, held: 0,
    label: node.l, under: node.u || "", rows: node.f || [], more: 0, box: openBox(node.g) };
  return sized(item);
}

function itemOfGroup(group) {
  const item = { key: `g${group.place}`, node: null, group, kind: group.kind, run: group.run,
    held: 0, label: group.label, under: group.under || "", rows: group.rows || [],
    more: group.more || 0, box: openBox(group.in) };
  return sized(item);
}

function openBox(g) {
  return g >= 0 && groups[g].open && groups[g].boxed ? groups[g] : null;
}

// ---- sizes and texts ---------------------------------------------------------------------------

const TITLE = { font: `600 14px ${FONT}`, high: 18 }, UNDER = { font: `12.5px ${FONT}`, high: 17 };
const ROW = { font: `13px ${FONT}`, high: 18 }, VALUE = { font: `600 13px ${FONT}` };
const WIDEST_TITLE = 200, WIDEST_CARD = 344, MOST_LINES = 3, LEAST_WIDE = 124, SPARK_WIDE = 54, ROW_GAP = 14, VALUES_WIDE = 170;
const MOST_MEASURED = 3000, WIDTH_OF_LETTER = 8.2;
let measured = true;  // whether to measure the widths of texts; measuring very many is slow

// Returns the width of a text. Each font has its own pen, because setting a font is slow.
const rulers = new Map();
function widthIn(font, text) {
  if (!measured) return text.length * WIDTH_OF_LETTER;
  let ruler = rulers.get(font);
  if (ruler === undefined) {
    ruler = { pen: document.createElement("canvas").getContext("2d"), known: new Map() };
    ruler.pen.font = font;
    rulers.set(font, ruler);
  }
  let size = ruler.known.get(text);
  if (size === undefined) {
    size = ruler.pen.measureText(visibleText(text)).width;
    ruler.known.set(text, size);
  }
  return size;
}

// Sets the size of an item from its texts. An item with rows is a card.
function sized(item) {
  const isCard = item.rows.length > 0, widest = wide < NARROW ? 280 : WIDEST_CARD;
  const room = isCard ? widest - 60 : WIDEST_TITLE;
  item.lines = widthIn(TITLE.font, item.label) <= room ? [visibleText(item.label)] : wrapped(item.label, room);
  let long = d3.max(item.lines, (line) => widthIn(TITLE.font, line));
  long = Math.max(long, Math.min(WIDEST_TITLE, item.under ? widthIn(UNDER.font, item.under) : 0));
  item.values = 0;  // the width of the column of values
  let names = 0;
  for (const [name, value, curve, note] of item.rows) {
    if (!name) { long = Math.max(long, widthIn(ROW.font, value)); continue; }
    item.values = Math.max(item.values, Math.min(widthIn(VALUE.font, value), VALUES_WIDE));
    names = Math.max(names, widthIn(ROW.font, name) + (note ? widthIn(UNDER.font, note) + 6 : 0)
      + (curve >= 0 ? SPARK_WIDE + 8 : 0));
  }
  long = Math.max(long, names + (names ? ROW_GAP : 0) + item.values);
  const curve = item.node !== null && item.node.p !== undefined && data.curves[item.node.p].value.length > 1;
  item.w = Math.max(LEAST_WIDE, Math.min(long, widest - 32) + 32);
  item.head = item.lines.length * TITLE.high + (item.under ? UNDER.high : 0);
  const rows = item.rows.length + (item.more ? 1 : 0);
  item.h = 20 + item.head + (rows ? rows * ROW.high + 8 : 0) + (curve ? 22 : 0)
    + (item.kind === 2 ? 12 : 0);
  return item;
}

// Splits a label into a few lines. The middle of a longer text is left out.
function wrapped(text, room) {
  pen.font = TITLE.font;
  const lines = [];
  let rest = visibleText(text);
  while (widthOf(rest) > room && lines.length < MOST_LINES - 1) {
    const cut = cutAt(rest, room);
    lines.push(rest.slice(0, cut).trim());
    rest = rest.slice(cut).trim();
  }
  return [...lines, fitted(rest, room)];
}

// Returns how many characters of a line fit, preferably up to the end of a word.
function cutAt(line, room) {
  let low = 1, high = Math.min(line.length, 200);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(line.slice(0, middle)).width <= room) low = middle;
    else high = middle - 1;
  }
  const words = line.slice(0, low).search(/[\s/._,:-][^\s/._,:-]*$/);
  return words > low / 2 ? words + 1 : low;
}
