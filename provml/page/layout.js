"use strict";
// Places the blocks in layers, with the earliest first, and a box's members in columns.

function place() {
  blocks = [];
  boxes = [];
  const boxOf = new Map();
  for (const item of items) {
    if (item.box === null) {
      item.block = { items: [item], w: item.w, h: item.h, run: item.run, box: null };
      blocks.push(item.block);
      continue;
    }
    let block = boxOf.get(item.box);
    if (block === undefined) {
      block = { items: [], run: item.run, box: item.box };
      boxOf.set(item.box, block);
      blocks.push(block);
    }
    block.items.push(item);
    item.block = block;
  }
  for (const block of blocks) {
    if (block.box === null) continue;
    // sort members that have a time (steps, epochs, events) by time
    if (block.items.every((item) => item.node && item.node.s)) {
      block.items.sort((a, b) => d3.ascending(a.node.s, b.node.s) || a.key - b.key);
    }
    shapeBox(block);
  }
  mergeLinks();
  markImplied();
  blocks.sort((a, b) => importance(a.items[0]) - importance(b.items[0]));
  arrange();
  for (const block of blocks) {
    if (block.box === null) {
      block.items[0].x = block.x + block.w / 2;
      block.items[0].y = block.y + block.h / 2;
      continue;
    }
    boxes.push(block);
    block.items.forEach((item, at) => {
      const row = at % block.rows, column = Math.floor(at / block.rows);
      item.x = block.x + BOX_PAD + column * (block.cell[0] + CELL_GAP) + block.cell[0] / 2;
      item.y = block.y + BOX_HEAD + row * (block.cell[1] + CELL_GAP) + block.cell[1] / 2;
    });
  }
  bounds = boundsOf(blocks);
}

// The order of cards and nodes in a layer, with the most important first.
const IMPORTANCE = ["Run", "Dataset", "Input", "Model", "Results", "settings", "Artifact", "code",
  "machine", "readings"];
function importance(item) {
  if (item.kind === 2) return IMPORTANCE.length + 1;
  const node = item.node || item.group.members[0];
  const names = item.group ? [item.group.label.split(" ")[0], ...node.t] : node.t;
  const found = names.map((name) => IMPORTANCE.indexOf(name)).filter((at) => at >= 0);
  return found.length ? found[0] : IMPORTANCE.length;
}

// Marks derivations that other edges imply: a run used the old node and made the new one. Marked
// edges are drawn only for the selected node.
function markImplied() {
  if (links.length > MOST_TRIED) return;
  const made = new Map();
  for (const link of links) {
    if (relations[link.relation] !== "wasGeneratedBy") continue;
    if (!made.has(link.a)) made.set(link.a, new Set());
    made.get(link.a).add(link.b);
  }
  const used = new Set(links.filter((link) => relations[link.relation] === "used")
    .map((link) => `${keyText(link.a)}>${keyText(link.b)}`));
  for (const link of links) {
    link.implied = relations[link.relation] === "wasDerivedFrom" && isSingle(link)
      && [...made.get(link.a) || []].some((maker) => used.has(`${keyText(maker)}>${keyText(link.b)}`));
  }
}

const keyText = (end) => (end.items ? `box${end.box.place}` : end.key);

function boundsOf(own) {
  const left = d3.min(own, (b) => b.x) || 0, up = d3.min(own, (b) => b.y) || 0;
  return { x: left, y: up, w: (d3.max(own, (b) => b.x + b.w) || 1) - left,
    h: (d3.max(own, (b) => b.y + b.h) || 1) - up };
}

// Lays out the blocks from left to right, or from top to bottom if this makes them appear larger.
function arrange() {
  const scale = (size) => Math.min(1, (wide - 40) / size.w, (high - 40) / size.h);
  if (keptFlow) {
    layered(blocks, flow);
    return;
  }
  if (wide < NARROW) {
    flow = STACKED;
    layered(blocks, blocks.length > MOST_TRIED ? DOWN : STACKED);
    return;
  }
  flow = ACROSS;
  const across = scale(layered(blocks, ACROSS));
  if (blocks.length > MOST_TRIED || across === 1) return;
  flow = DOWN;
  if (scale(layered(blocks, DOWN)) > 1.1 * across) return;
  flow = ACROSS;
  layered(blocks, ACROSS);
}

// Arranges a box's members in columns, so that the box is about as wide as it is high.
function shapeBox(block) {
  const wide = d3.max(block.items, (item) => item.w), high = d3.max(block.items, (item) => item.h);
  const many = block.items.length;
  const columns = Math.max(1, Math.min(many, Math.round(Math.sqrt(many * high / wide * 1.15))));
  block.rows = Math.ceil(many / columns);
  const used = Math.ceil(many / block.rows);
  block.cell = [wide, high];
  block.w = 2 * BOX_PAD + used * (wide + CELL_GAP) - CELL_GAP;
  block.h = BOX_HEAD + BOX_PAD + block.rows * (high + CELL_GAP) - CELL_GAP;
}

// Merges edges: if all members of a box have the same edge to a node, the box gets this edge.
function mergeLinks() {
  const kept = [], ends = new Map();
  for (const link of links) {
    for (const [own, other, side] of [[link.a, link.b, "a"], [link.b, link.a, "b"]]) {
      const box = own.block;
      if (box.box === null || other.block === box) continue;
      const name = `${box.box.place}${side}${other.key}>${link.relation}`;
      const entry = ends.get(name);
      if (entry) entry.links.push(link);
      else ends.set(name, { box, side, other, links: [link] });
    }
  }
  const gone = new Set();
  for (const { box, side, other, links: own } of ends.values()) {
    if (own.length < box.items.length || box.items.length < 2 || own.some((l) => gone.has(l))) continue;
    own.forEach((link) => gone.add(link));
    const merged = { relation: own[0].relation, mask: own[0].mask, via: NO_LANES,
      implied: false, count: d3.sum(own, (link) => link.count), box };
    kept.push(side === "a" ? { ...merged, a: box, b: other } : { ...merged, a: other, b: box });
  }
  links = [...links.filter((link) => !gone.has(link)), ...kept];
}

const blockOf = (end) => end.block || end;

// The directions of a layout. The layers follow one another along x or along y. `size` and `at`
// name a block's extent and position along this axis, `breadth` and `place` those across the axis.
const ACROSS = { size: "w", at: "x", breadth: "h", place: "y", gap: 124, between: BLOCK_GAP,
  lane: 12 };
const DOWN = { size: "h", at: "y", breadth: "w", place: "x", gap: 58, between: 30, lane: 12 };
const STACKED = { ...DOWN, gap: 44, between: 12, lane: 2 };  // for narrow screens
const NARROW = 560;
// Relations that say nothing about which node came first, or that say the opposite.
const UNORDERED = new Set(["wasInvalidatedBy", "specializationOf", "alternateOf", "mentionOf",
  "wasEndedBy"]);
let flow = ACROSS, keptFlow = false;  // true keeps the direction when a group opens
const MOST_TRIED = 120;  // with more blocks, only one direction is tried

// Arranges blocks in layers, from the earliest to the latest. Returns the total size.
function layered(own, way) {
  const { size, at: along, breadth, place: spot, gap, between } = way;
  const mine = new Set(own);
  const unordered = d3.sum(relations, (name, place) => (UNORDERED.has(name) ? 1 << place : 0));
  for (const block of own) { block.deps = new Set(); block.users = new Set(); block.layer = 0; }
  for (const link of links) {
    const a = blockOf(link.a), b = blockOf(link.b);
    link.via = NO_LANES;
    if (a === b || !mine.has(a) || !mine.has(b)) continue;
    if ((link.mask & ~unordered) === 0) continue;
    a.deps.add(b);
  }
  const order = sorted(own);
  for (const block of order) {
    for (const dep of block.deps) {
      block.layer = Math.max(block.layer, dep.layer + 1);
      dep.users.add(block);
    }
  }
  for (const block of [...order].reverse()) {  // place each source next to the blocks that use it
    if (!block.deps.size && block.users.size) {
      block.layer = Math.max(0, d3.min([...block.users], (user) => user.layer) - 1);
    }
  }
  const layers = [];
  for (const block of own) (layers[block.layer] = layers[block.layer] || []).push(block);
  const columns = [];
  // a layer that is too high is split into several columns
  const area = d3.sum(own, (block) => (block[size] + gap) * (block[breadth] + between));
  const highest = way === STACKED ? wide / LEGIBLE - 90 : Math.max(LEAST_LONG, Math.sqrt(area / 1.7));
  for (const layer of layers.filter(Boolean)) {
    let column = [], long = 0;
    for (const block of layer) {
      if (column.length && long + block[breadth] > highest) {
        columns.push(column);
        column = [];
        long = 0;
      }
      column.push(block);
      long += block[breadth] + between;
    }
    columns.push(column);
  }
  const near = new Map(own.map((block) => [block, []]));
  const settle = (column, wanted) => {
    let at = -Infinity;
    const places = column.map((block) => {
      at = Math.max(at, wanted(block) - block[breadth] / 2);
      const own = at;
      at += block[breadth] + between;
      return own;
    });
    // move the whole column, so that on average its blocks are at their wanted heights
    const shift = d3.mean(column, (block, i) => wanted(block) - block[breadth] / 2 - places[i]) || 0;
    column.forEach((block, i) => { block[spot] = places[i] + shift; });
  };
  columns.forEach((column, index) => column.forEach((block) => { block.column = index; }));
  if (own.length <= MOST_TRIED) addLanes(columns, near);
  else for (const block of own) near.set(block, [...block.deps, ...block.users]);
  columns.forEach((column) => {
    column.forEach((block, at) => { block[spot] = at * 80; });
    settle(column, (block) => block[spot]);
  });
  const middle = (block) => block[spot] + block[breadth] / 2;
  for (let round = 0; round < 14; round += 1) {
    for (const column of round % 2 ? [...columns].reverse() : columns) {
      const wanted = new Map(column.map((block) => {
        const others = near.get(block).filter((b) => b.column !== block.column);
        return [block, others.length ? d3.mean(others, middle) : middle(block)];
      }));
      column.sort((a, b) => wanted.get(a) - wanted.get(b) || a.items[0].rank - b.items[0].rank);
      settle(column, (block) => wanted.get(block));
    }
  }
  let x = 0;
  columns.forEach((column) => {
    const longest = d3.max(column, (block) => block[size]);
    for (const block of column) block[along] = x + (longest - block[size]) / 2;
    x += longest + gap;
  });
  const all = columns.flat(), first = d3.min(all, (block) => block[spot]);
  for (const block of all) block[spot] -= first;
  return boundsOf(own);
}

// Adds a lane to each column that an edge crosses, so that no node hides the edge.
function addLanes(columns, near) {
  const lanes = new Map();
  const join = (one, other) => { near.get(one).push(other); near.get(other).push(one); };
  for (const link of links) {
    const a = blockOf(link.a), b = blockOf(link.b);
    if (a === b) continue;
    const name = `${Math.min(a.number, b.number)} ${Math.max(a.number, b.number)}`;
    if (!lanes.has(name) && !link.implied) {
      const made = [], step = a.column < b.column ? 1 : -1;
      for (let at = a.column + step; at !== b.column && a.column !== b.column; at += step) {
        const lane = { items: [{ rank: 1e6 }], w: flow.lane, h: flow.lane, column: at };
        columns[at].push(lane);
        near.set(lane, []);
        made.push(lane);
      }
      [a, ...made].forEach((one, at) => join(one, made[at] || b));
      lanes.set(name, { from: a, made });
    }
    const own = lanes.get(name);
    if (own) link.via = own.from === a ? own.made : [...own.made].reverse();
  }
}

// Sorts blocks so that each follows its dependencies. Removes dependencies that close a cycle.
function sorted(own) {
  const made = [], state = new Map();
  own.forEach((block, place) => { block.items[0].rank = place; block.number = place; });
  for (const start of own) {
    if (state.has(start)) continue;
    const stack = [[start, [...start.deps]]];
    state.set(start, 1);
    while (stack.length) {
      const [block, left] = stack[stack.length - 1];
      const next = left.pop();
      if (next === undefined) {
        state.set(block, 2);
        made.push(block);
        stack.pop();
      } else if (!state.has(next)) {
        state.set(next, 1);
        stack.push([next, [...next.deps]]);
      } else if (state.get(next) === 1) block.deps.delete(next);
    }
  }
  return made;
}
