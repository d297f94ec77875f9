"use strict";
// Draws the graph: redraws the canvas whenever the graph or the view changes.

const zoom = d3.zoom().scaleExtent([.01, 4]).on("zoom", () => drawSoon());
const view = d3.select(canvas).call(zoom).on("dblclick.zoom", null);
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
    "edge", "used", "generated", "derived", "spark"]) paint[name] = page.colour(`--${name}`);
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

  for (const frame of frames) {
    rounded(frame.x, frame.y, frame.w, frame.h, 18);
    pen.strokeStyle = paint["box-line"];
    pen.lineWidth = 1.5;
    pen.setLineDash([6, 6]);
    pen.stroke();
    pen.setLineDash([]);
    pen.textAlign = "left";
    pen.font = `600 17px ${FONT}`;
    pen.fillStyle = paint.ink;
    pen.fillText(fitted(frame.label, frame.w - 40), frame.x + 20, frame.y + 26);
  }
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
      pen.font = `600 12.5px ${FONT}`;
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
    inPaths(own, (link) => {
      const [x1, y1, x2, y2, way] = ends(link);
      curve(x1, y1, x2, y2, way, bow(link, y1, y2), x2);
    }, () => pen.stroke());
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 1.4;
  for (const [number, kind] of KINDS.entries()) {
    const own = items.filter((item) => item.kind === number
      && visible(item.x - item.w / 2, item.y - item.h / 2, item.w, item.h));
    pen.strokeStyle = paint[`${kind}-line`];
    pen.fillStyle = paint[kind];
    inPaths(own, (item) => outline(item), () => { pen.fill(); pen.stroke(); });
  }
  if (hovered !== null) drawItem(hovered, null, scale);
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

function ends(link) {
  const side = (end, from) => {
    const isBox = end.items !== undefined;
    const x = isBox ? end.x + end.w / 2 : end.x, y = isBox ? end.y + end.h / 2 : end.y;
    return { x, y, left: x - end.w / 2, right: x + end.w / 2, top: y - end.h / 2, bottom: y + end.h / 2 };
  };
  const a = side(link.a), b = side(link.b);
  if (a.left >= b.right) return [a.left, a.y, b.right, b.y, -1];
  if (b.left >= a.right) return [a.right, a.y, b.left, b.y, 1];
  return a.y > b.y ? [a.x, a.top, b.x, b.bottom, 0] : [a.x, a.bottom, b.x, b.top, 0];
}

// Returns how far to bend an edge, so that nodes between its ends do not hide it.
function bow(link, y1, y2) {
  const apart = Math.abs(blockOf(link.a).column - blockOf(link.b).column);
  const same = blockOf(link.a).run === blockOf(link.b).run;
  return same && apart > 1 && Math.abs(y1 - y2) < 40 ? 44 + 16 * Math.min(apart, 5) : 0;
}

function curve(x1, y1, x2, y2, way, rise, end) {
  pen.moveTo(x1, y1);
  const bend = way === 0 ? 0 : Math.max(30, Math.abs(x1 - x2) * .45) * way;
  if (way === 0) pen.lineTo(x2, y2);
  else pen.bezierCurveTo(x1 + bend, y1 - rise, x2 - bend, y2 - rise, end, y2);
}

function drawLinks(near, scale, visible) {
  const labelled = scale > .62 && links.length < 400;
  for (const link of links) {
    const [x1, y1, x2, y2, way] = ends(link);
    if (!visible(Math.min(x1, x2) - 60, Math.min(y1, y2) - 60, Math.abs(x1 - x2) + 120, Math.abs(y1 - y2) + 120)) continue;
    const lit = near !== null && touches(link, chosen);
    const member = relations[link.relation] === "hadMember";
    pen.globalAlpha = near === null ? (member ? .55 : .85) : lit ? 1 : .14;
    pen.strokeStyle = pen.fillStyle = edgeColour(link.relation);
    pen.lineWidth = Math.max(lit ? 2.2 : 1.25, .55 / scale) + (link.count > 1 ? .5 : 0);
    pen.setLineDash(member ? [4, 4] : []);
    const rise = bow(link, y1, y2);
    pen.beginPath();
    curve(x1, y1, x2, y2, way, rise, x2 - way * 7);
    pen.stroke();
    pen.setLineDash([]);
    if (scale > .16) arrow(x2, y2, way === 0 ? Math.atan2(y2 - y1, x2 - x1) : way > 0 ? 0 : Math.PI);
    if (labelled && (lit || near === null)) {
      const name = relations[link.relation] + (link.count > 1 ? ` ×${link.count}` : "");
      pen.font = `11px ${FONT}`;
      pen.textAlign = "center";
      const x = (x1 + x2) / 2, y = (y1 + y2) / 2 - rise * .75, size = widthOf(name);
      if (Math.abs(x1 - x2) > size + 26 || way === 0) {
        const colour = pen.fillStyle;
        pen.fillStyle = paint.back;
        pen.globalAlpha *= .9;
        pen.fillRect(x - size / 2 - 3, y - 8, size + 6, 16);
        pen.globalAlpha = 1;
        pen.fillStyle = colour;
        pen.fillText(name, x, y);
      }
    }
  }
  pen.globalAlpha = 1;
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
  if (item.kind === 0) {
    pen.moveTo(x + w, y + h / 2);
    pen.ellipse(x + w / 2, y + h / 2, w / 2, h / 2, 0, 0, 2 * Math.PI);
  } else if (item.kind === 1) pen.rect(x, y, w, h);
  else {
    pen.moveTo(x, y + h * .34);
    pen.lineTo(x + w / 2, y);
    pen.lineTo(x + w, y + h * .34);
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
  if (scale < FAR) {
    pen.globalAlpha = 1;
    return;
  }
  const curve = item.node !== null && item.node.p !== undefined ? data.curves[item.node.p] : null;
  const room = item.w * (item.kind === 0 ? .76 : .92);
  let middle = item.kind === 2 ? item.y + item.h * .12 : item.y;
  if (curve !== null) middle = item.y - 12;
  pen.textAlign = "center";
  pen.fillStyle = paint["node-ink"];
  pen.font = `600 13px ${FONT}`;
  pen.fillText(fitted(item.label, room), item.x, item.under ? middle - 8 : middle);
  if (item.under) {
    pen.font = `11px ${FONT}`;
    pen.fillStyle = paint["node-soft"];
    pen.fillText(fitted(item.under, room), item.x, middle + 8);
  }
  if (curve !== null) spark(curve, item);
  const more = item.node === null ? "+" : item.node.owns.some((g) => !g.open) ? "+"
    : item.node.owns.some((g) => g.members.length) ? "−" : "";
  if (more) {
    const x = item.x + item.w / 2 - (item.kind === 0 ? 14 : 0), y = item.y - item.h / 2 + (item.kind === 0 ? 8 : 0);
    pen.beginPath();
    pen.arc(x, y, 9, 0, 2 * Math.PI);
    pen.fillStyle = paint.front;
    pen.fill();
    pen.lineWidth = 1.2;
    pen.strokeStyle = paint[`${kind}-line`];
    pen.stroke();
    pen.fillStyle = paint.ink;
    pen.font = `600 14px ${FONT}`;
    pen.fillText(more, x, y + .5);
  }
  pen.globalAlpha = 1;
}

// Draws a small plot of a series inside its node.
function spark(curve, item) {
  const values = curve.value, low = curve.low, high = curve.high;
  const many = values.length;
  if (!many || low === null) return;
  const w = item.w * .56, h = 17, x = item.x - w / 2, y = item.y + item.h / 2 - 11;
  const jump = Math.max(1, Math.floor(many / 90));
  pen.beginPath();
  let on = false;
  for (let i = 0; i < many; i += jump) {
    const value = values[i];
    if (value === null) { on = false; continue; }
    const px = x + (many === 1 ? w / 2 : i / (many - 1) * w);
    const py = y - (high === low ? .5 : (value - low) / (high - low)) * h;
    if (on) pen.lineTo(px, py);
    else pen.moveTo(px, py);
    if (!on && many <= 2) pen.arc(px, py, 1.5, 0, 2 * Math.PI);
    on = true;
  }
  pen.strokeStyle = paint.spark;
  pen.lineWidth = 1.3;
  pen.stroke();
}

function rounded(x, y, w, h, r) {
  pen.beginPath();
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

const fits = new Map();
function fitted(text, room) {
  const line = visibleText(text);
  if (widthOf(line) <= room) return line;
  const name = `${pen.font}${Math.round(room)}${line}`;
  let cut = fits.get(name);
  if (cut === undefined) {
    let low = 0, high = Math.min(line.length, 200);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(`${line.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    cut = `${line.slice(0, low)}…`;
    fits.set(name, cut);
  }
  return cut;
}

// Characters that are invisible or change the direction of text; shown as their code points.
const UNSEEN = new RegExp("[\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]", "g");
function visibleText(text) {
  return text.replace(UNSEEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
