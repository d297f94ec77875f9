"use strict";
// Draws the graph: redraws the canvas whenever the graph or the view changes.

const zoom = d3.zoom().scaleExtent([.01, 4]).on("zoom", () => drawSoon());
const view = d3.select(canvas).call(zoom).on("dblclick.zoom", null);
const LABEL_SIZE = 11.5;
const TINY = .1;
const FAR = .3;  // at a smaller scale, text is unreadable
let waiting = false, paint = {}, wide = 1, high = 1, sharp = 1;

function drawSoon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function readColours() {
  for (const name of ["back", "front", "ink", "soft", "line", "accent", "entity", "entity-line",
    "activity", "activity-line", "agent", "agent-line", "node-ink", "node-soft", "box", "box-line",
    "edge", "used", "generated", "derived", "spark", "failed"]) paint[name] = page.colour(`--${name}`);
}

function resize() {
  sharp = window.devicePixelRatio || 1;
  wide = stage.clientWidth;
  high = stage.clientHeight;
  canvas.width = Math.round(wide * sharp);
  canvas.height = Math.round(high * sharp);
  draw();
}

function edgeColour(relation) {
  return paint[(COLOURS[relations[relation]] || "--edge").slice(2)];
}

function draw() {
  const at = d3.zoomTransform(canvas), scale = at.k;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.textBaseline = "middle";  // set again, because resizing the canvas resets the baseline
  pen.fillStyle = paint.back;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.setTransform(sharp * scale, 0, 0, sharp * scale, sharp * at.x, sharp * at.y);
  const seen = { x: -at.x / scale, y: -at.y / scale, w: wide / scale, h: high / scale };
  const visible = (x, y, w, h) => x + w > seen.x && x < seen.x + seen.w && y + h > seen.y && y < seen.y + seen.h;
  const near = nearChosen();

  for (const block of boxes) {
    if (!visible(block.x, block.y, block.w, block.h)) continue;
    rounded(block.x, block.y, block.w, block.h, 12);
    pen.fillStyle = paint.box;
    pen.fill();
    pen.strokeStyle = paint["box-line"];
    pen.lineWidth = 1;
    pen.stroke();
    if (scale > .3) {
      pen.textAlign = "left";
      pen.font = `600 13px ${FONT}`;
      pen.fillStyle = paint.soft;
      pen.fillText(`−  ${fitted(groupTitle(block.box), block.w - 50)}`, block.x + BOX_PAD, block.y + 16);
    }
  }
  if (scale < FAR && near === null) {
    drawFar(visible, scale);
    return;
  }
  drawLinks(near, scale, visible);
  for (const item of items) {
    if (visible(item.x - item.w / 2, item.y - item.h / 2, item.w, item.h)) drawItem(item, near, scale);
  }
}

// Draws nodes without text, for small scales. Many shapes form one path, which is faster.
function drawFar(visible, scale) {
  for (const [number, name] of relations.entries()) {
    const own = links.filter((link) => link.relation === number);
    pen.globalAlpha = (name === "hadMember" ? .5 : .75) / (own.length > 400 ? 3 : 1);
    pen.strokeStyle = edgeColour(number);
    pen.lineWidth = Math.max(1.25, .55 / scale);
    inPaths(own, farCurve, () => pen.stroke());
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 1.4;
  for (const [number, kind] of KINDS.entries()) {
    const own = items.filter((item) => item.kind === number
      && visible(item.x - item.w / 2, item.y - item.h / 2, item.w, item.h));
    pen.strokeStyle = paint[`${kind}-line`];
    pen.fillStyle = paint[kind];
    inPaths(own, scale < TINY ? farOutline : (item) => outline(item), () => { pen.fill(); pen.stroke(); });
  }
  if (hovered !== null) drawItem(hovered, null, scale);
}

// Adds an item's outline without round corners, for scales at which they can't be seen.
function farOutline(item) {
  pen.rect(item.x - item.w / 2, item.y - item.h / 2, item.w, item.h);
}

// Adds an edge to the path, as `curve` does. Makes no objects, because there may be very many edges.
function farCurve(link) {
  if (link.via.length) { curve(link, 0); return; }
  const { a, b } = link, isBox = a.items !== undefined || b.items !== undefined;
  if (isBox || flow !== ACROSS) { curve(link, 0); return; }
  const forward = b.x - b.w / 2 >= a.x + a.w / 2 ? 1 : a.x - a.w / 2 >= b.x + b.w / 2 ? -1 : 0;
  if (!forward) { curve(link, 0); return; }
  const x1 = a.x + forward * a.w / 2, x2 = b.x - forward * b.w / 2;
  const far = Math.max(26, Math.abs(x1 - x2) * .48);
  pen.moveTo(x1, a.y);
  pen.bezierCurveTo(x1 + forward * far, a.y, x2 - forward * far, b.y, x2, b.y);
}

function inPaths(all, add, finish) {
  for (let at = 0; at < all.length; at += 200) {
    pen.beginPath();
    all.slice(at, at + 200).forEach(add);
    finish();
  }
}

function groupTitle(group) {
  return group.title || group.label;
}

function nearChosen() {
  if (chosen === null) return null;
  const near = new Set([chosen]);
  for (const link of links) {
    if (touches(link, chosen)) {
      for (const end of [link.a, link.b]) (end.items || [end]).forEach((item) => near.add(item));
    }
  }
  return near;
}

function touches(link, item) {
  return link.a === item || link.b === item || (link.box && link.box.items.includes(item));
}

// Returns the two ends of an edge, and the direction in which the edge leaves its first end.
function ends(link) {
  const side = (end) => {
    const isBox = end.items !== undefined;
    const x = isBox ? end.x + end.w / 2 : end.x, y = isBox ? end.y + end.h / 2 : end.y;
    const pile = end.group ? 8 : 0;  // the other nodes of a pile are drawn to the right and below
    return { x, y, left: x - end.w / 2, right: x + end.w / 2 + pile, top: y - end.h / 2, bottom: y + end.h / 2 + pile };
  };
  const a = side(link.a), b = side(link.b);
  const sideways = a.left >= b.right ? [a.left, a.y, b.right, b.y, -1, 0]
    : b.left >= a.right ? [a.right, a.y, b.left, b.y, 1, 0] : null;
  const upright = a.top >= b.bottom ? [a.x, a.top, b.x, b.bottom, 0, -1]
    : b.top >= a.bottom ? [a.x, a.bottom, b.x, b.top, 0, 1] : null;
  return (flow === DOWN ? upright || sideways : sideways || upright) || [a.x, a.top, b.x, b.bottom, 0, -1];
}

// Returns how far to bend an edge, so that nodes between its ends do not hide it.
function bow(link, from, to) {
  const apart = Math.abs(blockOf(link.a).column - blockOf(link.b).column);
  return apart > 1 && Math.abs(from - to) < 40 ? 44 + 16 * Math.min(apart, 5) : 0;
}

// Returns the points that an edge passes: its ends, and the lanes between them.
function pointsOf(link) {
  const [x1, y1, x2, y2, dx, dy] = ends(link);
  const lanes = link.via.map((lane) => [lane.x + lane.w / 2, lane.y + lane.h / 2]);
  return { points: [[x1, y1], ...lanes, [x2, y2]], dx, dy };
}

// Adds an edge to the path. `short` is the room that the arrow head needs at the end of the edge.
function curve(link, short) {
  const { points, dx, dy } = pointsOf(link);
  const rise = points.length > 2 ? 0 : dx ? bow(link, points[0][1], points[1][1]) : bow(link, points[0][0], points[1][0]);
  pen.moveTo(...points[0]);
  for (let at = 1; at < points.length; at += 1) {
    const [x1, y1] = points[at - 1], [x2, y2] = points[at], end = at === points.length - 1 ? short : 0;
    const far = (dx ? Math.abs(x1 - x2) : Math.abs(y1 - y2)) * .48;
    pen.bezierCurveTo(x1 + dx * far - dy * dy * rise, y1 + dy * far - dx * dx * rise,
      x2 - dx * far - dy * dy * rise, y2 - dy * far - dx * dx * rise, x2 - dx * end, y2 - dy * end);
  }
}

function drawLinks(near, scale, visible) {
  const labels = [];
  const size = LABEL_SIZE / Math.min(1, scale);
  for (const link of links) {
    const [x1, y1, x2, y2, dx, dy] = ends(link);
    if (!link.via.length && !visible(Math.min(x1, x2) - 60, Math.min(y1, y2) - 60, Math.abs(x1 - x2) + 120, Math.abs(y1 - y2) + 120)) continue;
    const lit = near !== null && touches(link, chosen);
    if (link.implied && !lit) continue;
    const member = relations[link.relation] === "hadMember";
    pen.globalAlpha = near === null ? (member ? .6 : .9) : lit ? 1 : .14;
    pen.strokeStyle = pen.fillStyle = edgeColour(link.relation);
    pen.lineWidth = Math.max(lit ? 2.2 : 1.4, .55 / scale) + (link.count > 1 ? .4 : 0);
    pen.setLineDash(member ? [4, 4] : []);
    pen.beginPath();
    curve(link, 7);
    pen.stroke();
    pen.setLineDash([]);
    if (scale > .16) arrow(x2, y2, Math.atan2(dy, dx));
    if (lit || (near === null && scale > .5 && links.length < 60)) labels.push(link);
  }
  pen.globalAlpha = 1;
  pen.font = `${size}px ${FONT}`;
  pen.textAlign = "center";
  const taken = [], named = new Set();
  for (const link of labels) {
    // edges of one relation between the same two layers need only one label
    const alike = `${link.relation} ${blockOf(link.a).column} ${blockOf(link.b).column}`;
    if (near === null && named.has(alike)) continue;
    if (labelLink(link, size, taken)) named.add(alike);
  }
}

// Writes the relation of an edge near the middle of the edge. Returns false if there is no room.
function labelLink(link, size, taken) {
  const { points: [[x1, y1], [x2, y2]], dx, dy } = pointsOf(link);
  const name = relations[link.relation], long = widthOf(name);
  if (dx && Math.abs(x1 - x2) < long + 10) return false;
  const rise = link.via.length ? 0 : dx ? bow(link, y1, y2) : bow(link, x1, x2);
  const meets = (one, o) => one.x < o.x + o.w && o.x < one.x + one.w && one.y < o.y + o.h && o.y < one.y + one.h;
  for (const part of [.5, .4, .6]) {
    // x and y of a point on the edge: nearly linear along the layout, and S-shaped across it
    const s = part * part * (3 - 2 * part);
    const x = x1 + (x2 - x1) * (dx ? part : s) - dy * dy * rise * .75;
    const y = y1 + (y2 - y1) * (dx ? s : part) - dx * dx * rise * .75;
    const box = { x: x - long / 2 - 3, y: y - size * .7, w: long + 6, h: size * 1.4 };
    const hidden = (item) => meets(box, { x: item.x - item.w / 2 - 2, y: item.y - item.h / 2 - 2,
      w: item.w + (item.group ? 12 : 4), h: item.h + (item.group ? 12 : 4) });
    if (taken.some((other) => meets(box, other)) || items.some(hidden)) continue;
    taken.push(box);
    pen.fillStyle = paint.back;
    pen.globalAlpha = .85;
    pen.fillRect(box.x, box.y, box.w, box.h);
    pen.globalAlpha = 1;
    pen.fillStyle = paint.soft;
    pen.fillText(name, x, y);
    return true;
  }
  return false;
}

function arrow(x, y, angle) {
  pen.save();
  pen.translate(x, y);
  pen.rotate(angle);
  pen.beginPath();
  pen.moveTo(0, 0);
  pen.lineTo(-10, -4.5);
  pen.lineTo(-10, 4.5);
  pen.closePath();
  pen.fill();
  pen.restore();
}

function shape(item, dx = 0, dy = 0) {
  pen.beginPath();
  outline(item, dx, dy);
}

function outline(item, dx = 0, dy = 0) {
  const { w, h } = item, x = item.x - w / 2 + dx, y = item.y - h / 2 + dy;
  if (item.kind === 0) roundedPath(x, y, w, h, Math.min(h / 2, 24));
  else if (item.kind === 1) pen.rect(x, y, w, h);
  else {
    pen.moveTo(x, y + 16);
    pen.lineTo(x + w / 2, y);
    pen.lineTo(x + w, y + 16);
    pen.lineTo(x + w, y + h);
    pen.lineTo(x, y + h);
    pen.closePath();
  }
}

function drawItem(item, near, scale) {
  const kind = KINDS[item.kind];
  const lit = near === null || near.has(item);
  pen.globalAlpha = lit ? 1 : .4;
  pen.lineWidth = 1.4;
  pen.strokeStyle = paint[`${kind}-line`];
  pen.fillStyle = paint[kind];
  if (item.group !== null) {  // a closed group is drawn as a pile
    for (const away of [8, 4]) {
      shape(item, away, away);
      if (lit) pen.fill();
      pen.stroke();
    }
  }
  shape(item);
  pen.fill();
  if (item === chosen) {
    pen.strokeStyle = paint.accent;
    pen.lineWidth = Math.max(3.5, 2 / scale);
  } else if (item === hovered) pen.lineWidth = 2.6;
  pen.stroke();
  if (scale >= FAR) drawTexts(item, kind);
  pen.globalAlpha = 1;
}

// Writes the texts of an item: its label, the line below it, and its rows.
function drawTexts(item, kind) {
  const curve = item.node !== null && item.node.p !== undefined ? data.curves[item.node.p] : null;
  let y = item.y - item.h / 2 + 10 + (item.kind === 2 ? 10 : 0);
  pen.textAlign = "center";
  pen.fillStyle = paint["node-ink"];
  pen.font = TITLE.font;
  for (const line of item.lines) {
    pen.fillText(fitted(line, item.w - 16), item.x, y + TITLE.high / 2);
    y += TITLE.high;
  }
  if (item.under) {
    pen.font = UNDER.font;
    pen.fillStyle = paint["node-soft"];
    pen.fillText(fitted(item.under, item.w - 24), item.x, y + UNDER.high / 2);
    y += UNDER.high;
  }
  if (item.rows.length) y = drawRows(item, y + 6);
  if (curve !== null) spark(curve, item.x - item.w * .3, y + 19, item.w * .6, 17);
  drawSign(item, kind);
}

function drawRows(item, top) {
  const left = item.x - item.w / 2 + 16, right = item.x + item.w / 2 - 16;
  let y = top;
  for (const [name, value, curve, note] of item.rows) {
    let room = right - left;
    const middle = y + ROW.high / 2;
    y += ROW.high;
    if (!name) {
      pen.textAlign = "center";
      pen.font = ROW.font;
      pen.fillStyle = FAILED.test(value) ? paint.failed : paint["node-ink"];
      pen.fillText(fitted(value, room), item.x, middle);
      continue;
    }
    pen.textAlign = "right";
    pen.font = VALUE.font;
    pen.fillStyle = paint["node-ink"];
    const shown = fitted(value, Math.max(item.values, room * .3));
    pen.fillText(shown, right, middle);
    room -= (curve >= 0 ? item.values : widthOf(shown)) + ROW_GAP / 2;
    if (curve >= 0) {
      spark(data.curves[curve], right - item.values - 8 - SPARK_WIDE, middle + 6, SPARK_WIDE, 12);
      room -= SPARK_WIDE + 8;
    }
    pen.textAlign = "left";
    pen.font = ROW.font;
    const own = fitted(name, room);
    pen.fillText(own, left, middle);
    room -= widthOf(own) + 6;
    if (note && room > 20) {
      const from = left + widthOf(own) + 6;
      pen.font = UNDER.font;
      pen.fillStyle = paint["node-soft"];
      pen.fillText(fitted(note, room), from, middle);
    }
  }
  if (item.more) {
    pen.textAlign = "center";
    pen.font = UNDER.font;
    pen.fillStyle = paint["node-soft"];
    pen.fillText(`${page.number(item.more)} more`, item.x, y + ROW.high / 2);
    y += ROW.high;
  }
  return y;
}

// Draws the button that opens or closes the groups of an item.
function drawSign(item, kind) {
  const sign = item.node === null ? "+" : item.node.owns.some((g) => !g.open && g.filled) ? "+"
    : item.node.owns.some((g) => g.filled) ? "−" : "";
  if (!sign) return;
  const x = item.x + item.w / 2 - (item.kind === 1 ? 0 : 8), y = item.y - item.h / 2 + (item.kind === 0 ? 4 : 0);
  pen.beginPath();
  pen.arc(x, y, 9, 0, 2 * Math.PI);
  pen.fillStyle = paint.front;
  pen.fill();
  pen.lineWidth = 1.2;
  pen.strokeStyle = paint[`${kind}-line`];
  pen.stroke();
  pen.fillStyle = paint.ink;
  pen.textAlign = "center";
  pen.font = `600 14px ${FONT}`;
  pen.fillText(sign, x, y + .5);
}

const FAILED = /^(failed|crashed|killed|lost|[A-Za-z.]*(Error|Exception|Interrupt)\b)/;

// Draws a small plot of a curve. The plot's lower left corner is at (x, y).
function spark(curve, x, y, w, h) {
  const values = curve.value, low = curve.low, high = curve.high;
  const many = values.length;
  if (many < 2 || low === null) return;
  const jump = Math.max(1, Math.floor(many / 90));
  pen.beginPath();
  let on = false;
  for (let i = 0; i < many; i += jump) {
    const value = values[i];
    if (value === null) { on = false; continue; }
    const px = x + i / (many - 1) * w;
    const py = y - (high === low ? .5 : (value - low) / (high - low)) * h;
    if (on) pen.lineTo(px, py);
    else pen.moveTo(px, py);
    on = true;
  }
  pen.strokeStyle = paint.spark;
  pen.lineWidth = 1.3;
  pen.stroke();
}

function rounded(x, y, w, h, r) {
  pen.beginPath();
  roundedPath(x, y, w, h, r);
}

function roundedPath(x, y, w, h, r) {
  pen.moveTo(x + r, y);
  pen.arcTo(x + w, y, x + w, y + h, r);
  pen.arcTo(x + w, y + h, x, y + h, r);
  pen.arcTo(x, y + h, x, y, r);
  pen.arcTo(x, y, x + w, y, r);
  pen.closePath();
}

const widths = new Map();
function widthOf(text) {
  const name = pen.font + text;
  let size = widths.get(name);
  if (size === undefined) {
    size = pen.measureText(text).width;
    widths.set(name, size);
  }
  return size;
}

// Returns a text that fits into the given width. Leaves out the middle of a longer text, because
// names often differ at their ends. The tooltip and the panel show the whole text.
const fits = new Map();
function fitted(text, room) {
  const line = visibleText(text);
  if (widthOf(line) <= room) return line;
  const name = `${pen.font}${Math.round(room)}${line}`;
  let cut = fits.get(name);
  if (cut === undefined) {
    const part = (size) => `${line.slice(0, Math.ceil(size / 2))}…${line.slice(line.length - Math.floor(size / 2))}`;
    let low = 0, high = Math.min(line.length - 1, 200);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(part(middle)).width <= room) low = middle;
      else high = middle - 1;
    }
    cut = part(low);
    fits.set(name, cut);
  }
  return cut;
}

// Characters that are invisible or change the direction of text; shown as their code points.
const UNSEEN = new RegExp("[\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]", "g");
function visibleText(text) {
  return text.replace(UNSEEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
