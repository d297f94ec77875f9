"use strict";
// The runs that the table shows: lists that load pages of 200 runs as they are needed, and the
// order in which groups, runs and child runs follow one another.

(() => {
  const PAGE = 200;
  const AT_ONCE = 2;

  // ---- where answers come from -----------------------------------------------------------------

  // Asks the server. The parameters are in alphabetical order.
  function askServer(request, signal) {
    const { group, limit, offset, parent, show, sort, where } = request;
    return ui.load("runs", { group, limit, offset, parent, show, sort, where: asCondition(where) }, signal);
  }

  const WORDS = /^[^<>=!()[\]"'{},]+$/;
  const CONDITION = /^\s*(?:params|tags|metrics|reading_summaries)\.|(?:^|\s)(?:and|or|not|in|is)(?:\s|$)|^\s*(?:True|False|git_dirty)\s*$/;

  // Returns the condition for what is typed in the search box. Plain words become a condition that
  // looks for each word in a run's id, experiment, status and command.
  function asCondition(text) {
    const typed = (text || "").trim();
    if (typed === "" || !WORDS.test(typed) || CONDITION.test(typed)) return typed;
    return typed.split(/\s+/).map((word) => {
      const quoted = JSON.stringify(word);
      const places = ["id", "experiment", "status", "command"].map((place) => `${quoted} in ${place}`);
      return `(${places.join(" or ")})`;
    }).join(" and ");
  }

  let exported = null;

  // Answers a request from the file of an export that contains all runs with all their values. Only
  // plain words can be searched, because conditions need the server.
  async function askExport(request) {
    if (exported === null) exported = ui.load("runs", {}).then(nameValues);
    const all = await exported;
    const words = (request.where || "").toLowerCase().split(/\s+/).filter((word) => word !== "");
    const found = words.length === 0 ? all.runs : all.runs.filter((run) => {
      const text = searchText(run);
      return words.every((word) => text.includes(word));
    });
    const keys = new Set(found.map((run) => run.key));
    let listed = found.filter((run) => request.parent ? run.parent === request.parent : !keys.has(run.parent));
    const down = (request.sort || "").startsWith("-");
    const sorting = ui.runs.column((request.sort || "-started").replace(/^-/, ""));
    const started = ui.runs.column("started");
    listed = [...listed].sort((one, other) => compareRuns(sorting, one, other, down) || compareRuns(started, one, other, false));
    let groups;
    if (request.group) [groups, listed] = groupRuns(listed, ui.runs.column(request.group));
    return {
      ...all, total: listed.length, offset: request.offset, groups,
      runs: listed.slice(request.offset, request.offset + request.limit),
    };
  }

  // Renames the values of an export's runs to the names that this page uses.
  function nameValues(answer) {
    for (const run of answer.runs) {
      const values = Object.create(null);
      for (const [name, value] of Object.entries(run.values || {})) values[ui.runs.standardName(name)] = value;
      run.values = values;
    }
    return answer;
  }

  // Times are nanoseconds as decimal text, because a JavaScript number would round them.
  function compareRuns(sorting, one, other, down) {
    const values = [sorting.of(one), sorting.of(other)];
    if (sorting.kind !== "time" || values.includes(null) || values.includes(undefined)) {
      return ui.runs.compare(...values, down);
    }
    const order = BigInt(values[0]) < BigInt(values[1]) ? -1 : BigInt(values[0]) > BigInt(values[1]) ? 1 : 0;
    return down ? -order : order;
  }

  function searchText(run) {
    if (run.found === undefined) {
      const values = Object.values(run.values || {}).filter((value) => value !== null);
      run.found = [run.id, run.experiment, run.project, run.owner, run.status, run.reason, ...values].join("\n").toLowerCase();
    }
    return run.found;
  }

  function groupRuns(listed, column) {
    const found = new Map();
    for (const run of listed) {
      const value = column.of(run);
      const name = JSON.stringify(value === undefined ? null : value);
      if (!found.has(name)) found.set(name, []);
      found.get(name).push({ ...run, group: JSON.parse(name) });
    }
    const ordered = [...found.values()].sort((one, other) => ui.runs.compare(one[0].group, other[0].group, false));
    return [ordered.map((runs) => ({ value: runs[0].group, count: runs.length })), ordered.flat()];
  }

  const ask = ui.settings.live ? askServer : askExport;

  // ---- lists -----------------------------------------------------------------------------------

  // The runs that match a request, loaded page by page.
  class RunList {
    // `changed` is called with the list when a page has arrived. `failed` is called with an error
    // and the list.
    constructor(request, changed, failed) {
      this.request = request;
      this.changed = changed;
      this.failed = failed;
      this.total = null;
      this.groups = null;
      this.answer = null;
      this.tookMs = 0;
      this.pages = new Map();
      this.stale = new Set();
      this.loading = new Map();
      this.ended = new AbortController();
    }

    // Returns the run at a place; null if it is not loaded.
    at(place) {
      const page = this.pages.get(Math.floor(place / PAGE));
      return page === undefined ? null : page[place % PAGE] || null;
    }

    // Loads the pages that hold the places from `first` to `last`, if that is needed.
    want(first, last) {
      const end = this.total === null ? 0 : Math.max(0, this.total - 1);
      for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.min(last, end) / PAGE); page += 1) {
        if (this.pages.has(page) && !this.stale.has(page)) continue;
        if (this.loading.has(page) || this.loading.size >= AT_ONCE) continue;
        this.load(page);
      }
    }

    // Loads one page. The promise resolves when the request has ended, and never rejects.
    load(page) {
      if (this.loading.has(page)) return this.loading.get(page);
      this.stale.delete(page);
      const began = performance.now();
      const promise = ask({ ...this.request, offset: page * PAGE, limit: PAGE }, this.ended.signal).then((answer) => {
        this.loading.delete(page);
        if (this.ended.signal.aborted) return;
        this.tookMs = performance.now() - began;
        for (const run of answer.runs) { run.received = performance.now(); run.values = run.values || {}; }
        if (this.total !== null && this.total !== answer.total) this.markStale(page);
        this.total = answer.total;
        this.groups = answer.groups || null;
        this.answer = answer;
        this.pages.set(page, answer.runs);
        this.changed(this);
      }, (error) => {
        this.loading.delete(page);
        if (error.name !== "AbortError" && !this.ended.signal.aborted) this.failed(error, this);
      });
      this.loading.set(page, promise);
      return promise;
    }

    // Marks all pages except one as possibly changed. These pages load again when they are next
    // shown.
    markStale(except) {
      for (const page of this.pages.keys()) if (page !== except) this.stale.add(page);
    }

    // Stops loading, because the list is no longer shown.
    end() { this.ended.abort(); }

    // Loads all pages, for actions that need every run.
    async loadAll() {
      await this.load(0);
      for (let page = 1; page * PAGE < (this.total || 0); page += 1) {
        if (!this.pages.has(page) || this.stale.has(page)) await this.load(page);
      }
    }
  }

  // ---- the order of rows -----------------------------------------------------------------------

  // Returns the rows of the table. Each is {list, place, level} for a run, {group, number, folded}
  // for the heading of a group, or {waiting, level} for child runs that are still loading.
  //   root: the list of the runs at the top.
  //   childrenOf: returns the list of a run's children if they are shown, or undefined.
  //   folded: the group values, as JSON, whose runs are hidden.
  function arrangeRows(root, childrenOf, folded) {
    const rows = [];
    const total = root.total || 0;
    let place = 0;
    (root.groups || []).forEach((group, number) => {
      const end = Math.min(total, place + group.count);
      const hidden = folded.has(JSON.stringify(group.value));
      rows.push({ group, number, from: place, to: end, folded: hidden });
      if (!hidden) addRuns(rows, root, place, end, 2, childrenOf);
      place = end;
    });
    addRuns(rows, root, place, total, 1, childrenOf);
    return rows;
  }

  function addRuns(rows, list, first, end, level, childrenOf) {
    for (let place = first; place < end; place += 1) {
      rows.push({ list, place, level });
      const run = list.at(place);
      const children = run === null || !run.children ? undefined : childrenOf(run);
      if (children === undefined || level > 20) continue;
      if (children.total === null) rows.push({ waiting: true, level: level + 1 });
      else addRuns(rows, children, 0, children.total, level + 1, childrenOf);
    }
  }

  Object.assign(ui.runs, { PAGE, RunList, arrangeRows, ask, asCondition });
})();
