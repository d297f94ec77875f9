"use strict";
// The page of all runs: a table to search, sort, group and choose from. The table changes while
// runs are in progress.

(() => {
  const { Grid, RunList, arrangeRows, column } = ui.runs;
  const MOST_CHOSEN = 50;
  const REFRESH_MS = 1000;
  const RETRY_MS = 5000;
  const DEFAULT_SORT = "-started";

  // The state of the view, as in the address. `show` is null until the reader chooses columns.
  const state = {};

  function readAddress() {
    const show = ui.address.all("show");
    Object.assign(state, {
      where: ui.address.get("where") || "",
      sort: ui.address.get("sort") || DEFAULT_SORT,
      group: ui.address.get("group") || "",
      show: show.length > 0 ? ["id", ...show.filter((value) => value !== "id")] : null,
      open: new Set(ui.address.all("open")),
      folded: new Set(ui.address.all("fold")),
      chosen: ui.address.all("run").slice(0, MOST_CHOSEN),
    });
  }

  function writeAddress(push = false) {
    ui.address.set({
      where: state.where, sort: state.sort === DEFAULT_SORT ? null : state.sort, group: state.group,
      show: state.show === null ? null : state.show.filter((value) => value !== "id"),
      open: [...state.open], fold: [...state.folded], run: state.chosen,
    }, push);
  }

  let shownColumns = ui.runs.BASE;
  let root = null;      // the list whose runs are shown
  let next = null;      // the list that replaces `root` when its first page has arrived
  let rows = [];
  const children = new Map();
  let known = { params: [], tags: [], metrics: [] };

  // ---- the parts of the page -------------------------------------------------------------------

  const search = ui.runs.makeSearch((text) => {
    state.where = text.trim();
    writeAddress(true);
    reload();
  });
  const groupChoice = ui.element("select", { id: "group", onchange: () => regroup(groupChoice.value) });
  const sortChoice = ui.element("select", { id: "sort", onchange: () => setSort(sortChoice.value) });
  const copyButton = ui.element("button", { type: "button", id: "copy", title: "Copy the command that lists these runs on the terminal", onclick: copyCommand }, "Copy command");
  const total = ui.element("span", { id: "total", role: "status" });
  const compareButton = ui.element("button", { type: "button", id: "compare", class: "primary", onclick: compareRuns });
  const clearButton = ui.element("button", { type: "button", id: "clear", onclick: () => setChosen([]) }, "Clear");
  const chips = ui.element("ul", { class: "chips", "aria-label": "Chosen runs" });
  const advice = ui.element("span", { id: "advice", class: "soft", role: "status" });
  const notices = ui.element("div", { class: "notices" });
  const host = ui.element("div", {
    id: "grid", class: "grid", role: "treegrid", tabindex: "0", "aria-label": "Runs", "aria-multiselectable": "true",
  });
  const empty = ui.element("div", { class: "empty" });
  const openColumns = ui.runs.makeColumnsDialog({
    chosen: () => state.show || shownColumns, names: () => known,
    choose: (values) => { state.show = values; writeAddress(); showColumns(); },
    reset: () => { state.show = null; columnsChosen = false; writeAddress(); reload(true); },
  });

  document.body.classList.add("runs-page");
  ui.fill(ui.main,
    ui.element("h1", { class: "hidden-text" }, "Runs"),
    ui.element("div", { class: "runs-bar" }, search.form,
      ui.element("div", { class: "row tools" },
        ui.element("button", { type: "button", id: "columns", onclick: openColumns }, "Columns"),
        ui.element("label", { class: "labelled" }, ui.element("span", {}, "Group by"), groupChoice),
        ui.element("label", { class: "labelled narrow-only" }, ui.element("span", {}, "Sort by"), sortChoice), ui.settings.live ? copyButton : null)),
    ui.element("div", { class: "row chosen-bar" }, total, ui.element("span", { class: "spacer" }), advice, chips, clearButton, compareButton),
    notices, empty, host);

  const grid = new Grid(host, {
    row: (place) => rows[place], keyAt, count: () => rows.length, sort: () => state.sort,
    isOpen: (run) => state.open.has(run.key), chosenPlace: (run) => state.chosen.indexOf(run.key),
    groupLabel: () => column(state.group).label,
    open: openRun, toggle, choose, sortBy, moved,
  });

  // ---- loading ---------------------------------------------------------------------------------

  function request() {
    const own = ui.runs.OWN;
    const show = (state.show || shownColumns).filter((value) => !(own.has(value) && own.get(value).of));
    return { where: state.where, sort: state.sort, group: state.group, show };
  }

  // Loads the table again. The old rows stay until the new rows have arrived.
  function reload(keepPlace = false) {
    begin(request(), () => (keepPlace ? host.scrollTop : 0));
  }

  // Loads a list. `findTop` returns the scroll position for the time when the list has arrived.
  function begin(wanted, findTop) {
    if (next !== null) next.end();
    host.setAttribute("aria-busy", "true");
    next = new RunList(wanted, (list) => { if (list === next) replace(list, findTop()); else arrived(list); }, failed);
    next.load(0);
  }

  // Shows a list instead of the previous list.
  function replace(list, top) {
    next = null;
    if (root !== null) root.end();
    for (const own of children.values()) own.end();
    children.clear();
    root = list;
    known = list.answer.columns;
    const drawn = chooseColumns(list);
    search.fail("");
    host.setAttribute("aria-busy", String(!drawn));
    drawColumns();
    arrived(list);
    host.scrollTop = top;
    grid.draw();
    if (drawn) ui.ready();
  }

  function drawColumns() {
    grid.setColumns((state.show || shownColumns).map((value) => {
      const made = column(value);
      const { runs } = root.answer;
      return { ...made, numeric: ui.runs.isNumeric(made, runs), width: ui.runs.fittingWidth(made, runs) };
    }));
  }

  // Shows other columns, immediately if their values are already loaded.
  function showColumns() {
    if (next === null && root !== null && request().show.every((value) => root.request.show.includes(value))) drawColumns();
    else reload(true);
  }

  const CANDIDATES = `provml-columns ${ui.settings.store}`;

  // Returns the values that the first columns were chosen from last time. If they are still the
  // same, which is likely, one request is enough.
  function guessCandidates() {
    try {
      const values = JSON.parse(ui.stored(CANDIDATES));
      return Array.isArray(values) ? values.filter((value) => typeof value === "string").slice(0, 400) : [];
    } catch { return []; }
  }

  let columnsChosen = false;

  // Chooses the first columns, which depend on the values of the runs. If these values are not
  // loaded yet, requests them and returns false.
  function chooseColumns(list) {
    if (state.show !== null || columnsChosen || list.answer.runs.length === 0) return true;
    const show = ui.runs.candidates(known);
    if (list.request.chooses && show.every((value) => list.request.show.includes(value))) {
      columnsChosen = true;
      shownColumns = ui.runs.firstColumns(known, list.answer.runs);
      list.request = request();
      ui.store(CANDIDATES, JSON.stringify(show));
      return true;
    }
    if (show.length === 0) return true;
    begin({ ...request(), show, chooses: true }, () => host.scrollTop);
    return false;
  }

  let late = false;  // whether the page says that it is not up to date

  // Updates the table after a page of a list has arrived.
  function arrived(list) {
    if (late) { late = false; advice.textContent = ""; }
    if (list === root) {
      known = root.answer.columns;
      search.names(known, root.answer.runs);
      drawChoices();
      drawNotices(root.answer);
    }
    arrange();
  }

  function failed(error, list) {
    host.setAttribute("aria-busy", "false");
    if (list === next) next = null;
    if (root === null) {
      ui.fill(empty, ui.message("error", "The runs can't be shown", error.message), ui.element("p", { class: "row" },
        ui.element("button", { type: "button", onclick: () => reload() }, "Try again"),
        ui.element("a", { href: "index.html" }, "Show all runs")));
      host.hidden = true;
    } else if (error.status === 400) search.fail(error.message);
    else {
      late = true;
      advice.textContent = `Not up to date: ${error.message}`;
      setTimeout(() => { wanted = true; refreshSoon(); }, RETRY_MS);
    }
    if (root === null) { drawTotal(); ui.ready(); }
  }

  // ---- rows ------------------------------------------------------------------------------------

  // Arranges the rows again, and keeps the visible rows in place.
  function arrange() {
    // the keys as they were drawn: by now, other runs can be at these places
    const { topKey, topOffset, activeKey } = grid;
    rows = root === null ? [] : arrangeRows(root, childrenOf, state.group ? state.folded : new Set());
    const moved = topKey === null || host.scrollTop === 0 ? -1 : placeOf(topKey);
    const activePlace = activeKey === null ? -1 : placeOf(activeKey);
    if (activePlace >= 0) grid.active = activePlace;
    const filled = rows.length > 0;
    host.hidden = !filled;
    ui.fill(empty, filled || root === null ? null : explainEmpty());
    grid.update();
    if (moved >= 0 && moved * grid.rowHeight + topOffset !== host.scrollTop) {
      host.scrollTop = moved * grid.rowHeight + topOffset;
      grid.draw();
    }
    drawTotal();
    drawChosen();
  }

  function runAt(place) {
    const row = rows[place];
    return row === undefined || row.list === undefined ? null : row.list.at(row.place);
  }

  function keyAt(place) {
    const run = runAt(place);
    return run === null ? null : run.key;
  }

  function placeOf(key) {
    return rows.findIndex((row) => row.list !== undefined && (row.list.at(row.place) || {}).key === key);
  }

  // Returns the list of a run's children if they are shown. The first call begins to load the list.
  function childrenOf(run) {
    if (!state.open.has(run.key)) return undefined;
    if (!children.has(run.key)) {
      const { where, sort, show } = root.request;
      const list = new RunList({ where, sort, show, parent: run.key }, arrived, failed);
      children.set(run.key, list);
      list.load(0);
    }
    return children.get(run.key);
  }

  // Loads the pages that have become visible, once the scrolling pauses.
  let pause = 0;
  function moved(first, last) {
    clearTimeout(pause);
    pause = setTimeout(() => {
      const ranges = new Map();
      for (let place = Math.max(0, first - 20); place <= Math.min(rows.length - 1, last + 20); place += 1) {
        const { list, place: own } = rows[place];
        if (list === undefined) continue;
        const range = ranges.get(list) || [own, own];
        ranges.set(list, [Math.min(range[0], own), Math.max(range[1], own)]);
      }
      for (const [list, range] of ranges) list.want(...range);
    }, 60);
  }

  function explainEmpty() {
    if (state.where !== "") {
      const isCondition = ui.runs.asCondition(state.where) === state.where.trim();
      const advice = ui.settings.live || !isCondition ? "Change the search, or clear it to see all runs." : "These pages are files, where the search finds only words. Run provml ui to search with conditions.";
      return [ui.message("empty", "No runs match", advice),
        ui.element("p", {}, ui.element("button", { type: "button", onclick: () => { state.where = ""; search.show(""); writeAddress(true); reload(); } }, "Clear the search"))];
    }
    return ui.message("empty", "This store has no runs yet",
      ui.element("span", {}, "Record one with ", ui.element("code", {}, "provml run train.py"), " or ", ui.element("code", {}, "provml.start_run()"), "."),
      ui.settings.live ? "It appears here when it starts." : "");
  }

  // ---- toolbar ---------------------------------------------------------------------------------

  function drawTotal() {
    if (root === null || root.total === null) { total.textContent = ""; return; }
    const sorted = state.sort === DEFAULT_SORT ? ", newest first" : "";
    const folded = root.answer.runs.some((run) => run.children) ? ", child runs folded" : "";
    const text = `${ui.count(root.total)} ${root.total === 1 ? "run" : "runs"}${state.where ? " found" : ""}`;
    if (total.textContent !== text + sorted + folded) ui.fill(total, text, ui.element("span", { class: "wide-only" }, sorted + folded));
  }

  let choicesOf = "";

  function drawChoices() {
    const grouping = [["", "no groups"], ...["experiment", "status", "project", "owner"].map((value) => [value, column(value).label]),
      ...known.params.map((name) => [ui.runs.setting("params", name), `${name} (parameter)`]),
      ...known.tags.map((name) => [ui.runs.setting("tags", name), `${name} (tag)`])];
    if (state.group !== "" && !grouping.some(([value]) => value === state.group)) grouping.push([state.group, state.group]);
    const sorting = (state.show || shownColumns).filter((value) => value !== "curve").flatMap((value) => {
      const { label, detail } = column(value);
      const text = `${label}${detail ? ` (${detail})` : ""}`;
      return [[value, `${text} ▲`], [`-${value}`, `${text} ▼`]];
    });
    if (!sorting.some(([value]) => value === state.sort)) sorting.push([state.sort, state.sort]);
    const now = JSON.stringify([grouping, sorting, state.sort, state.group]);
    if (now === choicesOf) return;
    choicesOf = now;
    const option = (chosen) => ([value, text]) => ui.element("option", { value, selected: value === chosen }, ui.runs.shorten(text));
    ui.fill(groupChoice, grouping.map(option(state.group)));
    ui.fill(sortChoice, sorting.map(option(state.sort)));
  }

  // Lists the runs that can't be read, and what else the answer says.
  let noticesOf = "";
  function drawNotices({ unread, notes }) {
    const now = JSON.stringify([unread, notes]);
    if (now === noticesOf) return;
    noticesOf = now;
    const list = unread || [];
    const texts = (notes || []).map((note) => ui.element("p", { class: "notice" }, ui.runs.shorten(note)));
    ui.fill(notices, texts.length < 2 ? texts
      : ui.element("details", { class: "notice" }, ui.element("summary", {}, `${ui.count(texts.length)} notes`), texts),
      list.length === 0 ? null : ui.element("details", { class: "notice unread" },
        ui.element("summary", {}, ui.element("span", { class: "status-unreadable", "aria-hidden": "true" }, "! "), `${ui.count(list.length)} ${list.length === 1 ? "run" : "runs"} can't be read`),
        ui.element("ul", {}, list.map(({ path, reason }) => ui.element("li", {}, ui.element("code", {}, ui.runs.shorten(path)), `: ${ui.runs.shorten(reason)}`)))));
  }

  function regroup(value) {
    state.group = value;
    state.folded.clear();
    writeAddress(true);
    reload();
  }

  // Sorts by a value: first ascending, then descending, then in the default order.
  function sortBy(value) {
    setSort(state.sort === value ? `-${value}` : state.sort === `-${value}` ? DEFAULT_SORT : value);
  }

  function setSort(sort) {
    state.sort = sort;
    writeAddress(true);
    grid.drawHead();
    reload();
  }

  // Copies the command that shows the same runs on the terminal.
  async function copyCommand() {
    const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const where = ui.runs.asCondition(state.where);
    const own = ui.runs.OWN;
    const show = (state.show || shownColumns).filter((value) => !own.has(value));
    const command = ["provml runs", where && `--where ${quoted(where)}`, `--sort ${quoted(state.sort)}`, ...show.map((value) => `--show ${quoted(value)}`)];
    try {
      await navigator.clipboard.writeText(command.filter((part) => part).join(" "));
      copyButton.textContent = "Copied";
    } catch {
      copyButton.textContent = "The browser did not allow it";
    }
    setTimeout(() => { copyButton.textContent = "Copy command"; }, 2000);
  }

  // ---- choosing runs ---------------------------------------------------------------------------

  function drawChosen() {
    const chosen = state.chosen;
    const shown = chosen.slice(0, 6);
    ui.fill(chips, shown.map((key, place) => {
      const name = ui.runs.shorten(key.split("/").pop());
      const chip = ui.element("li", { class: "chip", title: name }, ui.element("span", { class: "chip-name" }, name),
        ui.element("button", { type: "button", class: "plain", "aria-label": `Remove ${name}`, onclick: () => setChosen(chosen.filter((one) => one !== key)) }, "×"));
      chip.style.setProperty("--mark", `var(--c${place % 16})`);
      return chip;
    }), chosen.length > shown.length ? ui.element("li", { class: "chip more" }, `${chosen.length - shown.length} more`) : null);
    clearButton.hidden = chosen.length === 0;
    compareButton.disabled = chosen.length < 2;
    compareButton.textContent = chosen.length === 0 ? "Compare" : `Compare (${chosen.length})`;
    compareButton.title = chosen.length < 2 ? "Choose two or more runs first" : "Compare the chosen runs (c)";
  }

  function setChosen(keys) {
    state.chosen = keys.slice(0, MOST_CHOSEN);
    advice.textContent = keys.length > MOST_CHOSEN ? `At most ${MOST_CHOSEN} runs can be compared.` : "";
    writeAddress();
    drawChosen();
    grid.update();
  }

  let lastChosen = null;

  // Chooses a run, or cancels the choice. With `range`, chooses all runs from the last chosen run
  // to this one.
  async function choose(place, range) {
    const key = keyAt(place);
    if (key === null) return;
    const from = lastChosen === null ? -1 : placeOf(lastChosen);
    lastChosen = key;
    if (!range || from < 0) {
      setChosen(state.chosen.includes(key) ? state.chosen.filter((one) => one !== key) : [...state.chosen, key]);
      return;
    }
    const step = place < from ? -1 : 1;
    const keys = new Set(state.chosen);
    for (let one = from; one !== place + step && keys.size <= MOST_CHOSEN; one += step) {
      const row = rows[one];
      if (row.list === undefined) continue;
      if (row.list.at(row.place) === null) await row.list.load(Math.floor(row.place / ui.runs.PAGE));
      const run = row.list.at(row.place);
      if (run !== null) keys.add(run.key);
    }
    setChosen([...keys]);
  }

  function compareRuns() {
    if (state.chosen.length < 2) {
      advice.textContent = "Choose two or more runs first: Space chooses the marked run.";
      return;
    }
    leave(ui.link("compare", { run: state.chosen }));
  }

  // ---- opening ---------------------------------------------------------------------------------

  function openRun(run, newTab = false) {
    const target = ui.link("run", { run: run.key });
    if (newTab) window.open(target, "_blank", "noopener");
    else leave(target);
  }

  // Goes to another page, and stores the place in the table for the way back.
  function leave(target) {
    keepPlace();
    location.assign(target);
  }

  function keepPlace() {
    history.replaceState({ top: host.scrollTop, active: grid.active }, "");
  }

  // Folds or opens a group or the children of a run.
  function toggle(place, open) {
    const row = rows[place];
    if (row === undefined) return;
    const run = runAt(place);
    const [set, name, isOpen] = row.group !== undefined
      ? [state.folded, JSON.stringify(row.group.value), row.folded]
      : [state.open, run && run.children ? run.key : null, run !== null && !state.open.has(run.key)];
    if (name === null || (open !== undefined && open !== isOpen)) return;
    if (set.has(name)) set.delete(name); else set.add(name);
    writeAddress();
    arrange();
  }

  // ---- keys ------------------------------------------------------------------------------------

  function move(by, event) {
    const before = grid.active;
    grid.setActive(before < 0 ? grid.range()[0] : before + by);
    host.focus({ preventScroll: true });
    if (event.shiftKey) extend(before);
  }

  // Chooses the marked run and the run that was marked before it.
  function extend(before) {
    const keys = [keyAt(before), keyAt(grid.active)].filter((key) => key !== null);
    lastChosen = keys[keys.length - 1] || lastChosen;
    setChosen([...new Set([...state.chosen, ...keys])]);
  }

  function movePage(way) {
    const [first, last] = grid.range();
    grid.setActive((grid.active < 0 ? first : grid.active) + way * Math.max(1, last - first - 1));
  }

  // Folds the row if it is open. Otherwise, goes from a child run to its parent, or from a run to
  // the heading of its group.
  function moveOut(place) {
    const run = runAt(place);
    const isOpen = run === null ? rows[place] && !rows[place].folded : state.open.has(run.key);
    if (isOpen) { toggle(place, false); return; }
    for (let one = place - 1; one >= 0; one -= 1) {
      if (rows[one].group !== undefined || rows[one].level < rows[place].level) { grid.setActive(one); return; }
    }
  }

  const own = (action) => () => { if (grid.active >= 0) action(grid.active); };
  ui.onKeys({
    "/": ["Go to the search box", () => search.field.focus()],
    j: ["Mark the next run", (event) => move(1, event)],
    k: ["Mark the run before", (event) => move(-1, event)],
    J: ["Mark and choose the next run", (event) => move(1, event)],
    K: ["Mark and choose the run before", (event) => move(-1, event)],
    ArrowDown: ["Mark the next run", (event) => move(1, event)],
    ArrowUp: ["Mark the run before", (event) => move(-1, event)],
    ArrowRight: ["Show the child runs", own((place) => toggle(place, true))],
    ArrowLeft: ["Hide the child runs, or go to the parent", own(moveOut)],
    " ": ["Choose the marked run", own((place) => { if (rows[place].group !== undefined) toggle(place); else choose(place, false); })],
    Enter: ["Open the marked run", own((place) => { const run = runAt(place); if (run === null) toggle(place); else openRun(run); })],
    Home: ["Mark the first run", () => grid.setActive(0)],
    End: ["Mark the last run", () => grid.setActive(rows.length - 1)],
    PageDown: ["Mark a run one page down", () => movePage(1)],
    PageUp: ["Mark a run one page up", () => movePage(-1)],
    c: ["Compare the chosen runs", compareRuns],
    x: ["Choose no runs", () => setChosen([])],
    o: ["Choose the columns", openColumns],
  });

  // ---- news ------------------------------------------------------------------------------------

  let wanted = false;
  let refreshing = 0;
  let refreshed = 0;

  // Loads the visible rows again: at most once a second, less often if the answers take long, and
  // not while the page is hidden.
  function refreshSoon() {
    if (refreshing || document.hidden || root === null || !wanted) return;
    const rest = Math.max(REFRESH_MS, 5 * root.tookMs) - (performance.now() - refreshed);
    refreshing = setTimeout(refresh, Math.max(0, rest));
  }

  async function refresh() {
    wanted = false;
    const [first] = grid.range();
    root.markStale();
    for (const [key, list] of children) { if (state.open.has(key)) list.markStale(); else { list.end(); children.delete(key); } }
    const row = rows[first];
    await root.load(row !== undefined && row.list === root ? Math.floor(row.place / ui.runs.PAGE) : 0);
    refreshed = performance.now();
    refreshing = 0;
    moved(...grid.range());
    refreshSoon();
  }

  ui.follow((news) => {
    const gone = new Set(news.removed);
    const left = state.chosen.filter((key) => !gone.has(key));
    if (left.length < state.chosen.length) {
      const lost = state.chosen.length - left.length;
      setChosen(left);
      advice.textContent = `${lost} chosen ${lost === 1 ? "run was" : "runs were"} removed or renamed.`;
    }
    for (const key of gone) state.open.delete(key);
    wanted = true;
    refreshSoon();
  });
  document.addEventListener("visibilitychange", refreshSoon);
  setInterval(() => { if (!document.hidden) grid.tick(); }, 1000);
  addEventListener("pagehide", keepPlace);
  addEventListener("popstate", () => { readAddress(); search.show(state.where); search.fail(""); reload(); });

  // ---- start -----------------------------------------------------------------------------------

  readAddress();
  ui.title("Runs");
  search.show(state.where);
  drawChosen();
  const { top = 0, active = -1 } = history.state || {};
  grid.active = active;  // on the way back from a run, the same row is marked
  const guessed = state.show === null ? guessCandidates() : [];
  begin(guessed.length > 0 ? { ...request(), show: guessed, chooses: true } : request(), () => top);
})();
