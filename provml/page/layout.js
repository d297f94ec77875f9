"use strict";
// Places the blocks in layers, with the earliest on the left, and a box's members in columns.

function place() {
  blocks = [];
  boxes = [];
  frames = [];
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
  const runs = d3.range(-1, data.runs.length)
    .map((run) => blocks.filter((block) => block.run === run)).filter((own) => own.length);
  let top = 0;
  for (const own of runs) {
    const size = layered(own);
    for (const block of own) block.y += top;
    if (data.runs.length > 1 && own[0].run >= 0) {
      frames.push({ x: -40, y: top - 46, w: size.w + 80, h: size.h + 80,
        label: data.runs[own[0].run].label });
    }
    top += size.h + RUN_GAP + (data.runs.length > 1 ? 46 : 0);
  }
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
  const all = [...blocks, ...frames];
  const left = d3.min(all, (b) => b.x) || 0, up = d3.min(all, (b) => b.y) || 0;
  bounds = { x: left, y: up, w: (d3.max(all, (b) => b.x + b.w) || 1) - left,
    h: (d3.max(all, (b) => b.y + b.h) || 1) - up };
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

// Merges edges: if all members of a box have the same edge, draws it once, for the whole box.
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
    const merged = { relation: own[0].relation, count: d3.sum(own, (link) => link.count), box };
    kept.push(side === "a" ? { ...merged, a: box, b: other } : { ...merged, a: other, b: box });
  }
  links = [...links.filter((link) => !gone.has(link)), ...kept];
}

const blockOf = (end) => end.block || end;

// Arranges blocks in layers, from the earliest on the left to the latest. Returns the total size.
function layered(own) {
  const mine = new Set(own);
  for (const block of own) { block.deps = new Set(); block.users = new Set(); block.layer = 0; }
  for (const link of links) {
    const a = blockOf(link.a), b = blockOf(link.b);
    if (a === b || !mine.has(a) || !mine.has(b)) continue;
    a.deps.add(b);
  }
  const order = sorted(own);
  for (const block of order) {
    for (const dep of block.deps) {
      block.layer = Math.max(block.layer, dep.layer + 1);
      dep.users.add(block);
    }
  }
  for (const block of [...order].reverse()) {  // place sources next to their users
    if (!block.deps.size && block.users.size) {
      block.layer = Math.max(0, d3.min([...block.users], (user) => user.layer) - 1);
    }
  }
  const layers = [];
  for (const block of own) (layers[block.layer] = layers[block.layer] || []).push(block);
  const columns = [];
  // a layer that is too high is split into several columns
  const area = d3.sum(own, (block) => (block.w + LAYER_GAP) * (block.h + BLOCK_GAP));
  const highest = Math.max(LEAST_HIGH, Math.sqrt(area / 1.7));
  for (const layer of layers.filter(Boolean)) {
    let column = [], high = 0;
    for (const block of layer) {
      if (column.length && high + block.h > highest) {
        columns.push(column);
        column = [];
        high = 0;
      }
      column.push(block);
      high += block.h + BLOCK_GAP;
    }
    columns.push(column);
  }
  const near = new Map(own.map((block) => [block, [...block.deps, ...block.users].filter((b) => mine.has(b))]));
  const settle = (column, wanted) => {
    let at = -Infinity;
    const places = column.map((block) => {
      at = Math.max(at, wanted(block) - block.h / 2);
      const y = at;
      at += block.h + BLOCK_GAP;
      return y;
    });
    // move the whole column, so that on average its blocks are at their wanted heights
    const shift = d3.mean(column, (block, i) => wanted(block) - block.h / 2 - places[i]) || 0;
    column.forEach((block, i) => { block.y = places[i] + shift; });
  };
  columns.forEach((column, index) => {
    column.forEach((block, at) => { block.column = index; block.y = at * 80; });
    settle(column, (block) => block.y);
  });
  const middle = (block) => block.y + block.h / 2;
  for (let round = 0; round < 14; round += 1) {
    const way = round % 2 ? [...columns].reverse() : columns;
    for (const column of way) {
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
    const wide = d3.max(column, (block) => block.w);
    for (const block of column) block.x = x + (wide - block.w) / 2;
    x += wide + LAYER_GAP;
  });
  const up = d3.min(own, (block) => block.y);
  for (const block of own) block.y -= up;
  return { w: x - LAYER_GAP, h: d3.max(own, (block) => block.y + block.h) };
}

// Sorts blocks so that each follows its dependencies. Removes dependencies that close a cycle.
function sorted(own) {
  const made = [], state = new Map();
  own.forEach((block, place) => { block.items[0].rank = place; });
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
