"use strict";
// The graph of a lineage: contents and runs, from causes on the left to effects on the right.
// Each node is a button, so the graph can be explored with a pointer, a finger or the keyboard.

ui.lineage = (() => {
  const { element, fill, count } = ui;
  const width = 212;
  const height = 58;
  const columnGap = 56;
  const rowGap = 14;
  const margin = 16;
  const mostInColumn = 12;

  // ---- layout ----------------------------------------------------------------------------------

  // Puts the nodes into columns by their layer, and orders each column by the neighbours' places,
  // so that few edges cross. Returns [{layer, numbers}], where `numbers` are indices of nodes.
  function arrange(nodes, edges) {
    const byLayer = new Map();
    nodes.forEach((node, number) => {
      if (!byLayer.has(node.layer)) byLayer.set(node.layer, []);
      byLayer.get(node.layer).push(number);
    });
    const columns = [...byLayer].sort(([one], [other]) => one - other).map(([layer, numbers]) => ({ layer, numbers }));
    const neighbours = nodes.map(() => []);
    for (const [cause, effect] of edges) { neighbours[cause].push(effect); neighbours[effect].push(cause); }
    const place = nodes.map(() => 0);
    const note = (column) => column.numbers.forEach((number, at) => { place[number] = at - column.numbers.length / 2; });
    const start = columns.findIndex(({ layer }) => layer === 0);
    const order = columns.map((column, at) => [Math.abs(at - start), column]).sort(([one], [other]) => one - other);
    columns.forEach(note);
    for (let sweep = 0; sweep < 4; sweep += 1) {
      for (const [, column] of order) {
        const middle = (number) => neighbours[number].reduce((sum, other) => sum + place[other], 0) / (neighbours[number].length || 1);
        const middles = new Map(column.numbers.map((number) => [number, middle(number)]));
        column.numbers.sort((one, other) => middles.get(one) - middles.get(other));
        note(column);
      }
    }
    return columns;
  }

  // ---- nodes -----------------------------------------------------------------------------------

  function short(text, most) { return text.length > most ? `${text.slice(0, most)}…` : text; }

  // Shortens a name in the middle, because the end, such as a file's suffix, often says more.
  function shortName(name) {
    const text = ui.visible(name);
    return text.length > 25 ? `${text.slice(0, 14)}…${text.slice(-10)}` : text;
  }

  function hidden(text) { return element("span", { class: "hidden-text" }, text); }

  // Returns the metric that tells most about a run: a validation or test metric if there is one.
  function mainMetric(metrics) {
    return metrics.find(([, context]) => /valid|test|eval/i.test(context || "")) || metrics[0];
  }

  function lines(node) {
    if (node.type === "run") {
      const metric = mainMetric(node.metrics);
      const detail = metric ? `${short(ui.visible(metric[0]), 40)} ${ui.number(metric[2])}` : ui.time(node.started_ns);
      return [hidden("Run "), element("span", { class: "title" }, shortName(node.experiment), " ",
        element("span", { class: "id" }, ui.visible(node.name.slice(-8)))),
      element("span", { class: "detail" }, ui.status(node.status), ` · ${detail}`)];
    }
    const more = node.names.length > 1 ? ` and ${node.names.length - 1} more name${node.names.length > 2 ? "s" : ""}` : "";
    return [element("span", { class: "title" }, shortName(node.name)),
      element("span", { class: "detail" }, `${short(node.purpose || node.kind, 40)}${node.size === null ? "" : ` · ${ui.bytes(node.size)}`}${more}`)];
  }

  // ---- edges -----------------------------------------------------------------------------------

  function edgePath(from, to) {
    if (from.x === to.x) { // a file and its folder may be in one column
      const x = from.x + width;
      return `M${x} ${from.y + height / 2}C${x + 40} ${from.y + height / 2},${x + 40} ${to.y + height / 2},${x} ${to.y + height / 2}`;
    }
    const [x1, y1, x2, y2] = [from.x + width, from.y + height / 2, to.x, to.y + height / 2];
    const bend = Math.max(30, (x2 - x1) / 2);
    return `M${x1} ${y1}C${x1 + bend} ${y1},${x2 - bend} ${y2},${x2 - 7} ${y2}`;
  }

  // ---- the graph -------------------------------------------------------------------------------

  // Draws a lineage into a container.
  //   answer    the answer to the request "file"
  //   onLook    is called with a node when the node is looked at
  //   onCentre  is called with a node that is to become the start
  function lineage(container, { answer, onLook, onCentre }) {
    const { nodes, edges } = answer;
    const columns = arrange(nodes, edges);
    const open = new Set();
    const places = new Map();
    const buttons = new Map();
    const canvas = element("div", { class: "canvas" });
    const scroller = element("div", { class: "lineage", role: "group", "aria-label": "Lineage: causes on the left, effects on the right" }, canvas);
    let current = Math.max(0, nodes.findIndex((node) => node.start));

    function draw() {
      places.clear();
      buttons.clear();
      const shown = columns.map(({ layer, numbers }) => {
        const all = open.has(layer) || numbers.length <= mostInColumn + 1;
        return { layer, numbers: all ? numbers : visible(numbers), rest: all ? 0 : numbers.length - mostInColumn };
      });
      const rows = Math.max(...shown.map(({ numbers, rest }) => numbers.length + (rest ? 1 : 0)));
      const full = rows * (height + rowGap) - rowGap;
      const extras = [];
      shown.forEach(({ layer, numbers, rest }, column) => {
        const x = margin + column * (width + columnGap);
        const own = (numbers.length + (rest ? 1 : 0)) * (height + rowGap) - rowGap;
        numbers.forEach((number, row) => places.set(number, { x, y: margin + (full - own) / 2 + row * (height + rowGap) }));
        if (rest) extras.push(moreButton(layer, rest, x, margin + (full - own) / 2 + numbers.length * (height + rowGap)));
      });
      const size = { width: 2 * margin + shown.length * (width + columnGap) - columnGap, height: 2 * margin + full };
      canvas.style.setProperty("width", `${size.width}px`);
      canvas.style.setProperty("height", `${size.height}px`);
      fill(canvas, drawEdges(size), [...places].map(([number, at]) => nodeButton(number, at)), extras);
    }

    // Returns the nodes of a long column that are shown at first: the start, and the first others
    // in order.
    function visible(numbers) {
      const chosen = new Set([...numbers].sort((one, other) => Number(nodes[other].start) - Number(nodes[one].start)).slice(0, mostInColumn));
      return numbers.filter((number) => chosen.has(number));
    }

    function drawEdges(size) {
      const paths = edges.filter(([cause, effect]) => places.has(cause) && places.has(effect)).map(([cause, effect, kind]) =>
        element("svg:path", { d: edgePath(places.get(cause), places.get(effect)), class: `edge ${kind}`, "marker-end": "url(#arrow)", dataset: { ends: `${cause} ${effect}` } }));
      const arrow = element("svg:marker", { id: "arrow", viewBox: "0 0 8 8", refX: "6", refY: "4", markerUnits: "userSpaceOnUse", markerWidth: "9", markerHeight: "9", orient: "auto" },
        element("svg:path", { d: "M0 0L8 4L0 8z", class: "arrow" }));
      return element("svg", { width: size.width, height: size.height, "aria-hidden": "true" }, element("svg:defs", {}, arrow), paths);
    }

    function nodeButton(number, { x, y }) {
      const node = nodes[number];
      const button = element("button", {
        type: "button", class: `node ${node.type}${node.start ? " start" : ""}`, tabindex: number === current ? "0" : "-1",
        title: node.type === "run" ? node.key : short(node.name, 300), dataset: { number },
        style: { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` },
        onclick: () => { look(number); if (!node.start) onCentre(node); },
        onfocus: () => look(number), onkeydown: (event) => move(event, number),
        onpointerenter: () => shine(number), onpointerleave: () => shine(current),
      }, lines(node), node.start && hidden(", the start"), node.hidden && element("span", { class: "hidden-count" }, `+${count(node.hidden)}`, hidden(" not shown")));
      buttons.set(number, button);
      return button;
    }

    function moreButton(layer, rest, x, y) {
      return element("button", {
        type: "button", class: "more", style: { left: `${x}px`, top: `${y}px`, width: `${width}px` },
        onclick: () => { open.add(layer); draw(); shine(current); buttons.get(current)?.focus(); },
      }, `${count(rest)} more`);
    }

    // Highlights the edges of a node.
    function shine(number) {
      for (const path of canvas.querySelectorAll("path.edge")) {
        path.classList.toggle("near", path.dataset.ends.split(" ").map(Number).includes(number));
      }
    }

    function look(number) {
      buttons.get(current)?.setAttribute("tabindex", "-1");
      current = number;
      buttons.get(number)?.setAttribute("tabindex", "0");
      shine(number);
      onLook(nodes[number]);
    }

    // The arrow keys move to the nearest cause or effect, and up and down within a column.
    function move(event, number) {
      const at = places.get(number);
      const near = (others) => others.filter((other) => places.has(other))
        .sort((one, other) => Math.abs(places.get(one).y - at.y) - Math.abs(places.get(other).y - at.y))[0];
      const column = [...places].filter(([, place]) => place.x === at.x).sort(([, one], [, other]) => one.y - other.y).map(([other]) => other);
      const targets = {
        ArrowLeft: () => near(edges.filter(([, effect]) => effect === number).map(([cause]) => cause)),
        ArrowRight: () => near(edges.filter(([cause]) => cause === number).map(([, effect]) => effect)),
        ArrowUp: () => column[column.indexOf(number) - 1],
        ArrowDown: () => column[column.indexOf(number) + 1],
      };
      if (!targets[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      const target = targets[event.key]();
      if (target !== undefined) buttons.get(target).focus();
    }

    // Scrolls so that the start is in the middle.
    function centre() {
      const at = places.get(current);
      if (!at) return;
      scroller.scrollLeft = at.x + width / 2 - scroller.clientWidth / 2;
      scroller.scrollTop = at.y + height / 2 - scroller.clientHeight / 2;
    }

    draw();
    fill(container, scroller);
    look(current);
    centre();
    return { focus: () => buttons.get(current)?.focus({ preventScroll: true }) };
  }

  return lineage;
})();
