"use strict";
// Holds the state of the graph page: the visible items, their positions, and the selection.
// A group is drawn as one node or, when open, as a box of its members. A group with an owner (the
// samples of a series, the steps of a context) folds into the owner; other groups get their own nodes.

const KINDS = ["entity", "activity", "agent"];
const SIZES = [[182, 54], [172, 48], [150, 60]];
const SERIES = [206, 70];
const BLOCK_GAP = 26, LAYER_GAP = 120, CELL_GAP = 12, BOX_PAD = 14, BOX_HEAD = 30, RUN_GAP = 90;
const LEAST_HIGH = 1300;  // a layer of at most this height is one column
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
  if (group.owner >= 0) nodes[group.owner].owns.push(group);
});
nodes.forEach((node) => { if (node.g >= 0) groups[node.g].members.push(node); });

const shownRelations = new Set(relations.map((_, place) => place));
let reach = null;       // the nodes of an upstream or downstream view; null shows all nodes
let items = [], blocks = [], links = [], boxes = [], frames = [];
let itemOf = new Map(); // each item by its key: a node's number, or g<group> for a closed group without an owner
let chosen = null, hovered = null;
let bounds = { x: 0, y: 0, w: 1, h: 1 };

// Returns the group that contains a group. A group with an owner is in the same group as its owner.
function above(group) {
  if (group.owner >= 0) return nodes[group.owner].g;
  return group.in;
}

// Returns the key of the item that shows a node: itself, or the outermost closed group around it.
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
  const keys = new Array(nodes.length).fill(null);
  for (const node of nodes) {
    if (reach !== null && !reach.has(node.place)) continue;
    const key = keyOf(node);
    keys[node.place] = key;
    let item = itemOf.get(key);
    if (item === undefined) {
      item = typeof key === "number" ? itemOfNode(nodes[key]) : itemOfGroup(groups[+key.slice(1)]);
      itemOf.set(key, item);
      items.push(item);
    }
    item.held += 1;
  }
  const found = new Map();
  for (const [from, to, relation] of data.edges) {
    if (keys[from] === null || keys[to] === null || keys[from] === keys[to]) continue;
    if (!shownRelations.has(relation)) continue;
    const name = `${keys[from]}>${keys[to]}>${relation}`;
    const link = found.get(name);
    if (link) link.count += 1;
    else found.set(name, { a: itemOf.get(keys[from]), b: itemOf.get(keys[to]), relation, count: 1 });
  }
  links = [...found.values()];
  place();
  chosen = chosen && (itemOf.get(chosen.key) || null);
  hovered = null;
  document.documentElement.dataset.shown = items.length;
  drawSoon();
  return before;
}

function itemOfNode(node) {
  const size = node.p !== undefined ? SERIES : SIZES[node.k];
  return { key: node.place, node, group: null, kind: node.k, run: node.r, held: 0,
    label: node.l, under: node.u || "", w: size[0], h: size[1], box: openBox(node.g) };
}

function itemOfGroup(group) {
  const size = SIZES[group.kind];
  return { key: `g${group.place}`, node: null, group, kind: group.kind, run: group.run, held: 0,
    label: group.label, under: group.under || "", w: size[0] + 8, h: size[1], box: openBox(group.in) };
}

function openBox(g) {
  return g >= 0 && groups[g].open && groups[g].boxed ? groups[g] : null;
}
