"use strict";
// The grid of the runs page. Only the visible rows have elements, and these elements are reused
// while the grid scrolls, so that 10,000 rows scroll as smoothly as 20.

(() => {
  const WIDE_ROW = 34;
  const NARROW_ROW = 84;
  const SPARE_ROWS = 6;
  const SVG = "http://www.w3.org/2000/svg";

  // Makes the grid in an element. `table` says what the grid shows:
  //   row(place): the row at a place, as `arrangeRows` makes them; count(): how many there are;
  //   keyAt(place): the key of the run there, or null.
  //   isOpen(run): whether the children of the run are shown;
  //   chosenPlace(run): the number of the run among the chosen runs.
  //   sort(): the value that sorts, with "-" for descending.
  // and what it does: open(run), toggle(place), choose(place, range), sortBy(value), moved(first, last).
  class Grid {
    constructor(host, table) {
      this.table = table;
      this.host = host;
      this.columns = [];
      this.slots = [];
      this.active = -1;
      this.version = 0;
      this.viewHeight = 0;
      this.topKey = null;     // the first visible run, and how far it is scrolled out, when last drawn
      this.topOffset = 0;
      this.activeKey = null;  // the marked run when last drawn
      this.head = ui.element("div", { class: "grid-head", role: "rowgroup" });
      this.body = ui.element("div", { class: "grid-body", role: "rowgroup" });
      host.append(this.head, this.body);
      this.drawing = 0;
      host.addEventListener("scroll", () => this.drawSoon(), { passive: true });
      this.sizes = new ResizeObserver(() => this.resize());
      this.sizes.observe(host);
      this.body.addEventListener("click", (event) => this.click(event));
      this.body.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
      this.body.addEventListener("mouseover", explainCut);
    }

    get rowHeight() { return this.narrow ? NARROW_ROW : WIDE_ROW; }

    setColumns(columns) {
      this.columns = columns;
      this.forget();
      this.resize();
    }

    // Makes new elements for all rows, because the columns changed.
    forget() {
      for (const slot of this.slots) slot.row.remove();
      this.slots = [];
      this.drawHead();
    }

    resize() {
      const narrow = this.host.clientWidth < 640;
      if (narrow !== this.narrow) {
        this.narrow = narrow;
        this.host.classList.toggle("narrow", narrow);
        this.forget();
      }
      // the height of the view without the headings; measured only here, because measuring lays out
      // the page
      this.viewHeight = this.host.clientHeight - (narrow ? 0 : this.head.offsetHeight);
      this.update();
    }

    // Draws all rows again, after the data changed.
    update() {
      this.version += 1;
      const count = this.table.count();
      if (this.active >= count) this.active = count - 1;
      this.host.setAttribute("aria-rowcount", count + 1);
      this.host.setAttribute("aria-colcount", this.columns.length + 1);
      this.body.style.setProperty("height", `${count * this.rowHeight}px`);
      this.draw();
    }

    drawSoon() {
      if (this.drawing) return;
      this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.draw(); });
    }

    // Returns the first and last visible place.
    range() {
      const count = this.table.count();
      const first = Math.max(0, Math.floor(this.host.scrollTop / this.rowHeight));
      return [first, Math.min(count - 1, Math.floor((this.host.scrollTop + this.viewHeight) / this.rowHeight))];
    }

    draw() {
      const [first, last] = this.range();
      const from = Math.max(0, first - SPARE_ROWS);
      const to = Math.min(this.table.count() - 1, last + SPARE_ROWS);
      this.assign(from, to);
      for (const slot of this.slots) this.paint(slot);
      this.mark();
      this.topKey = this.table.keyAt(first);
      this.topOffset = this.host.scrollTop - first * this.rowHeight;
      this.table.moved(first, last);
    }

    // Gives each place an element: its own if it has one, otherwise one that is no longer visible.
    // The elements stay in the order of the rows, because a screen reader reads them in this order.
    assign(from, to) {
      const wanted = Math.max(0, to - from + 1);
      const kept = new Map();
      const free = [];
      for (const slot of this.slots) {
        if (slot.place >= from && slot.place <= to && !kept.has(slot.place)) kept.set(slot.place, slot);
        else free.push(slot);
      }
      const slots = [];
      for (let place = from; place < from + wanted; place += 1) {
        const slot = kept.get(place) || free.shift() || this.makeSlot();
        if (slot.place !== place) {
          slot.place = place;
          slot.version = -1;
          if (kept.size > 0) slot.row.remove();  // so that the rows that stay need not move
        }
        slots.push(slot);
      }
      for (const slot of free) slot.row.remove();
      let after = this.body.firstChild;
      for (const slot of slots) {
        if (slot.row === after) after = after.nextSibling;
        else this.body.insertBefore(slot.row, after);
      }
      this.slots = slots;
    }

    makeSlot() {
      const row = ui.element("div", { class: "grid-row", role: "row" });
      const box = ui.element("input", { type: "checkbox", tabindex: "-1", class: "choose", "aria-label": "Choose this run" });
      const toggle = ui.element("button", { type: "button", tabindex: "-1", class: "plain toggle" });
      const name = ui.element("a", { tabindex: "-1", class: "name" });
      const first = ui.element("div", { class: "cell first", role: "rowheader" }, box, toggle, name);
      row.append(first);
      const slot = { row, box, toggle, name, first, place: -1, version: -1, cells: [] };
      if (this.narrow) addNarrowCells(slot);
      else slot.cells = this.columns.filter((column) => column.kind !== "name").map((column) => makeCell(row, column));
      return slot;
    }

    // Fills a row's element with the content of its place.
    paint(slot) {
      if (slot.version === this.version) return;
      slot.version = this.version;
      const row = this.table.row(slot.place);
      const run = row === undefined || row.list === undefined ? null : row.list.at(row.place);
      slot.row.id = `row-${slot.place}`;
      slot.row.style.setProperty("transform", `translateY(${slot.place * this.rowHeight}px)`);
      setAttribute(slot.row, "aria-rowindex", slot.place + 2);
      slot.row.classList.toggle("group", row.group !== undefined);
      slot.row.classList.toggle("loading", run === null && row.group === undefined);
      if (row.group !== undefined) this.paintGroup(slot, row);
      else this.paintRun(slot, row, run);
    }

    paintGroup(slot, row) {
      const value = row.group.value;
      const text = value === null ? "no value" : ui.runs.shorten(ui.valueText(value));
      setText(slot.name, `${ui.runs.shorten(this.table.groupLabel())} = ${text}`);
      slot.name.removeAttribute("href");
      setAttribute(slot.row, "aria-level", 1);
      setAttribute(slot.row, "aria-selected", null);
      setLevel(slot, 0);
      slot.box.hidden = true;
      showToggle(slot, !row.folded, row.folded ? "Show the runs of this group" : "Hide the runs of this group");
      for (const cell of slot.cells) clearCell(cell);
      if (slot.cells[0]) setText(slot.cells[0].node, `${ui.count(row.group.count)} ${row.group.count === 1 ? "run" : "runs"}`);
      slot.row.classList.remove("chosen");
    }

    paintRun(slot, row, run) {
      setLevel(slot, row.level - 1);
      setAttribute(slot.row, "aria-level", row.level);
      slot.box.hidden = run === null;
      if (run === null) {
        setText(slot.name, "loading");
        slot.name.removeAttribute("href");
        showToggle(slot, null);
        for (const cell of slot.cells) clearCell(cell);
        slot.row.classList.remove("chosen");
        return;
      }
      setText(slot.name, ui.runs.shorten(run.id));
      setAttribute(slot.name, "href", ui.link("run", { run: run.key }));
      const open = run.children ? this.table.isOpen(run) : null;
      const children = `${ui.count(run.children)} child ${run.children === 1 ? "run" : "runs"}`;
      showToggle(slot, open, `${open ? "Hide" : "Show"} ${children}`);
      const chosen = this.table.chosenPlace(run);
      slot.box.checked = chosen >= 0;
      slot.row.classList.toggle("chosen", chosen >= 0);
      setAttribute(slot.row, "aria-selected", chosen >= 0);
      if (chosen >= 0) slot.first.style.setProperty("--mark", `var(--c${chosen % 16})`);
      if (this.narrow) paintNarrow(slot, run, this.columns);
      else for (const cell of slot.cells) paintCell(cell, run);
    }

    // Updates the durations of the visible runs that are in progress.
    tick() {
      for (const slot of this.slots) {
        const row = this.table.row(slot.place);
        const run = row && row.list ? row.list.at(row.place) : null;
        if (run === null || run.status !== "running") continue;
        if (this.narrow) paintNarrow(slot, run, this.columns);
        else for (const cell of slot.cells) if (cell.column.kind === "duration") paintCell(cell, run);
      }
    }

    // ---- headings ------------------------------------------------------------------------------

    drawHead() {
      const tracks = this.columns.map((column) => column.kind === "name" ? `minmax(${column.width}px, 1.4fr)` : `minmax(${column.width}px, 1fr)`);
      this.host.style.setProperty("--columns", tracks.join(" "));
      const width = this.columns.reduce((sum, column) => sum + column.width, 40);
      this.host.style.setProperty("--width", `${width}px`);
      const cells = this.columns.map((column) => this.makeHeading(column));
      ui.fill(this.head, ui.element("div", { class: "grid-row head", role: "row", "aria-rowindex": "1" }, cells));
    }

    makeHeading(column) {
      const sort = this.table.sort();
      const way = sort === column.value ? "ascending" : sort === `-${column.value}` ? "descending" : null;
      const text = [
        ui.element("span", { class: "label" }, ui.runs.shorten(column.label),
          way && ui.element("span", { class: "way", "aria-hidden": "true" }, way === "ascending" ? " ▲" : " ▼")),
        column.detail && ui.element("span", { class: "detail" }, ui.runs.shorten(column.detail)),
      ];
      return ui.element("div", {
        class: `cell${column.kind === "name" ? " first" : ""}${column.numeric ? " number" : ""}`, role: "columnheader", "aria-sort": way,
      }, column.kind === "curve" ? text : ui.element("button", {
        type: "button", class: "plain", title: `Sort by ${ui.runs.shorten(column.value)}`,
        onclick: () => this.table.sortBy(column.value),
      }, text));
    }

    // ---- pointer and keyboard ------------------------------------------------------------------

    click(event) {
      const element = event.target.closest(".grid-row");
      const slot = this.slots.find((one) => one.row === element);
      if (slot === undefined || event.defaultPrevented) return;
      const row = this.table.row(slot.place);
      const link = event.target.closest("a[href]");
      if (link !== null && (event.ctrlKey || event.metaKey)) return;
      this.setActive(slot.place, false);
      if (event.target.closest(".toggle") !== null || row.group !== undefined) this.table.toggle(slot.place);
      else if (event.target === slot.box || event.shiftKey) this.table.choose(slot.place, event.shiftKey);
      else if (row.list !== undefined && row.list.at(row.place) !== null && String(getSelection()) === "") {
        event.preventDefault();
        this.table.open(row.list.at(row.place), event.ctrlKey || event.metaKey);
        return;
      }
      if (link !== null) event.preventDefault();
      this.host.focus({ preventScroll: true });
    }

    // Moves the mark of the keyboard to a place, and scrolls there.
    setActive(place, scroll = true) {
      const count = this.table.count();
      if (count === 0) return;
      this.active = Math.max(0, Math.min(count - 1, place));
      if (scroll) this.reveal(this.active);
      this.mark();
    }

    reveal(place) {
      const top = place * this.rowHeight;
      const height = this.viewHeight;
      if (top < this.host.scrollTop) this.host.scrollTop = top;
      else if (top + this.rowHeight > this.host.scrollTop + height) this.host.scrollTop = top + this.rowHeight - height;
      this.draw();
    }

    mark() {
      let shown = null;
      for (const slot of this.slots) {
        const active = slot.place === this.active;
        slot.row.classList.toggle("active", active);
        if (active) shown = slot.row.id;
      }
      this.activeKey = this.table.keyAt(this.active);
      setAttribute(this.host, "aria-activedescendant", shown);
    }
  }

  // ---- cells -----------------------------------------------------------------------------------

  function makeCell(row, column) {
    const node = ui.element("div", { class: `cell ${column.kind}`, role: "gridcell" });
    row.append(node);
    return { node, column, text: null, curve: null };
  }

  function paintCell(cell, run) {
    if (cell.column.kind === "curve") return paintCurve(cell, run.curve || null);
    if (cell.column.kind === "status") return paintStatus(cell, run);
    const [text, number] = ui.runs.cellText(cell.column, run);
    if (cell.column.kind === "time") cell.node.title = ui.time(cell.column.of(run));
    cell.node.classList.toggle("number", number);
    setText(cell.node, text);
    return undefined;
  }

  function clearCell(cell) {
    cell.status = null;
    cell.curve = null;
    cell.node.replaceChildren();
    cell.node.removeAttribute("title");
  }

  function paintStatus(cell, run) {
    const name = `${run.status}${run.damage ? " damaged" : ""}`;
    if (cell.status === name && cell.node.firstChild !== null) return;
    cell.status = name;
    ui.fill(cell.node, ui.status(run.status), run.damage ? ui.element("span", { class: "damage", title: `Damaged: ${run.damage}` },
      ui.element("span", { "aria-hidden": "true" }, " !"), ui.element("span", { class: "hidden-text" }, " damaged")) : null);
  }

  function paintCurve(cell, curve) {
    const name = curve === null ? "" : JSON.stringify(curve);
    if (cell.curve === name) return;
    cell.curve = name;
    if (curve === null) { cell.node.replaceChildren(); cell.node.removeAttribute("title"); return; }
    let path = cell.node.querySelector("path");
    if (path === null) {
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", "0 0 100 24");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      path = document.createElementNS(SVG, "path");
      svg.append(path);
      cell.node.replaceChildren(svg, ui.element("span", { class: "hidden-text" }));
    }
    path.setAttribute("d", curvePath(curve.y));
    const text = curveText(curve);
    cell.node.title = text;
    cell.node.lastChild.textContent = text;
  }

  // Returns the path of a curve in a box of 100 by 24. Null is a gap; a single point is a dot.
  function curvePath(ys) {
    const known = ys.filter((y) => y !== null);
    const low = Math.min(...known);
    const range = Math.max(...known) - low;
    const scale = (y) => (range > 0 && Number.isFinite(range) ? 22 - 20 * ((y - low) / range) : 12).toFixed(1);
    let path = "";
    let pen = false;
    ys.forEach((y, place) => {
      if (y === null) { pen = false; return; }
      const x = (ys.length < 2 ? 50 : 2 + 96 * place / (ys.length - 1)).toFixed(1);
      const single = !pen && (place + 1 >= ys.length || ys[place + 1] === null);
      path += `${pen ? "L" : "M"}${x} ${scale(y)}${single ? "h.01" : ""}`;
      pen = true;
    });
    return path;
  }

  function curveText(curve) {
    const known = curve.y.filter((y) => y !== null);
    const context = curve.context === undefined ? "" : `, ${ui.runs.contextText(ui.runs.contextParts(curve.context))}`;
    const name = ui.runs.shorten(`${curve.name}${context}`);
    return known.length === 0 ? name : `${name}: from ${ui.number(known[0])} to ${ui.number(known[known.length - 1])}`;
  }

  // ---- rows on a narrow screen -----------------------------------------------------------------

  function addNarrowCells(slot) {
    const part = (name) => {
      const node = ui.element("div", { class: `cell ${name}`, role: "gridcell" });
      slot.row.append(node);
      return { node, column: { kind: name }, text: null };
    };
    slot.facts = part("facts");
    slot.values = part("values");
    slot.status = part("status");
    slot.curve = part("curve");
    slot.cells = [slot.facts, slot.status, slot.values, slot.curve];
  }

  // Shows a run in three lines: its name and status, when it ran, and its first values.
  function paintNarrow(slot, run, columns) {
    const [started] = ui.runs.cellText(ui.runs.column("started"), run);
    const facts = [run.experiment, started, ui.duration(ui.runs.runningFor(run))];
    setText(slot.facts.node, ui.runs.shorten(facts.filter((fact) => fact).join(" · ")));
    paintStatus(slot.status, run);
    const shown = columns.filter((column) => column.kind === "value" || column.detail !== "");
    const values = shown.map((column) => [column, ui.runs.cellText(column, run)[0]]).filter(([, text]) => text !== "");
    setText(slot.values.node, values.slice(0, 6).map(([column, text]) =>
      `${ui.runs.shorten(column.label)} ${text}`).join(" · "));
    paintCurve(slot.curve, columns.some((column) => column.kind === "curve") ? run.curve || null : null);
  }

  // ---- small parts -----------------------------------------------------------------------------

  // Changing the page is slower than reading it, so text and attributes are written only if they
  // differ.
  function setText(node, text) {
    const own = node.firstChild;
    if (own !== null && own === node.lastChild && own.nodeType === Node.TEXT_NODE) {
      if (own.nodeValue !== text) own.nodeValue = text;
    } else if (own !== null || text !== "") node.textContent = text;
  }

  function setAttribute(node, name, value) {
    if (value === null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }

  function setLevel(slot, level) {
    if (slot.level === level) return;
    slot.level = level;
    slot.first.style.setProperty("--level", level);
  }

  function showToggle(slot, open, label = "") {
    slot.toggle.classList.toggle("unused", open === null);
    slot.toggle.disabled = open === null;
    setText(slot.toggle, open === null ? "" : open ? "▾" : "▸");
    setAttribute(slot.toggle, "aria-label", label || null);
    setAttribute(slot.toggle, "title", label || null);
    setAttribute(slot.row, "aria-expanded", open);
  }

  // Shows the whole text of a cell that is cut off, when the pointer rests on the cell.
  function explainCut(event) {
    const cell = event.target.closest(".cell, .name");
    if (cell === null || cell.classList.contains("curve") || cell.classList.contains("time")) return;
    if (cell.scrollWidth > cell.clientWidth + 1) cell.title = cell.textContent;
    else cell.removeAttribute("title");
  }

  Object.assign(ui.runs, { Grid });
})();
