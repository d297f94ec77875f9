"use strict";
// The page that compares runs: curves over one another, and what differs between the runs.

(() => {
  const MOST_RUNS = 50;
  const TABS = new Map([
    ["curves", "Curves"], ["results", "Results"], ["settings", "Settings"], ["code", "Code"], ["data", "Data"], ["environment", "Environment"], ["relations", "Relations"],
  ]);
  const REFRESH_MS = 5000;
  const SLOW_MS = 2000;

  let keys = [...new Set(ui.address.all("run"))];
  let runs = [];
  let values = null; // the answer with the values of all runs
  let charts = null;
  let chartRuns = []; // the runs in the charts, including runs that were removed later
  const places = new Map(); // by key: the colour number of a run, which stays the same if other runs are removed
  let tab = TABS.has(ui.address.get("tab")) ? ui.address.get("tab") : "curves";
  const panels = new Map();

  const tabList = ui.element("div", { class: "tabs", role: "tablist", "aria-label": "What to compare" },
    [...TABS].map(([name, text], place) => ui.element("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => open(name),
      onkeydown: (event) => moveTab(event, place),
    }, text)));
  const heading = ui.element("h1", {}, "Compare");
  const notes = ui.element("div", {});

  function moveTab(event, place) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (way === undefined) return;
    event.preventDefault();
    const names = [...TABS.keys()];
    const next = names[(place + way + names.length) % names.length];
    open(next);
    document.getElementById(`tab-${next}`).focus();
  }

  // ---- the runs --------------------------------------------------------------------------------

  // Names runs by the parameters that tell them apart, the end of their id, and the experiment.
  function nameRuns() {
    const differing = (values?.parts.params || []).filter((entry) => entry.differs && entry.values.every((value) => value === null || shortNumber(value).length <= 16)
      && new Set(entry.values.map((value) => (value === null ? null : shortNumber(value)))).size > 1);
    const told = ui.comparison.sortSettings(differing).slice(0, 2);
    const experiments = new Set(runs.map((run) => run.experiment));
    for (const [place, run] of runs.entries()) {
      const own = told.filter((entry) => entry.values[place] !== null).map((entry) => `${shortName(entry.name)}=${shortNumber(entry.values[place])}`);
      // of an id that provml made, the part after the time tells runs apart
      const id = (run.id || run.key.split("/").pop()).replace(/^\d{8}T\d{6}-(?=\w+$)/, "");
      run.label = [...own, id, experiments.size > 1 ? run.experiment : null].filter(Boolean).join(" · ");
    }
  }

  // A long name would hide the end of the label, which tells the runs apart.
  function shortName(name) {
    const last = name.split(".").pop();
    return last.length > 16 ? `${last.slice(0, 15)}…` : last;
  }

  function shortNumber(text) {
    const number = Number(text);
    return text === "" || Number.isNaN(number) ? String(text) : ui.number(Number(number.toPrecision(3)));
  }

  async function loadValues() {
    if (ui.settings.live) return ui.load("compare", { run: keys });
    return ui.comparison.loadExported(keys);
  }

  function takeValues(answer) {
    values = answer;
    runs = answer.runs.map((run) => ({ ...run }));
    for (const run of runs) {
      if (!places.has(run.key)) places.set(run.key, places.size);
      run.place = places.get(run.key);
    }
    nameRuns();
    const count = runs.length;
    ui.fill(heading, `Compare ${count} ${count === 1 ? "run" : "runs"}`);
    ui.title(`Compare ${count} runs`);
    const missing = answer.missing || [];
    ui.fill(notes,
      missing.length ? ui.message("error", missing.length === 1 ? "A run is missing" : `${missing.length} runs are missing`, "It was renamed or removed, or it can't be read: ", missing.join(", ")) : null,
      count === 1 ? ui.message("empty", "Only one run is here", "Choose more runs on the page of runs, and press Compare.") : null);
  }

  // ---- tabs ------------------------------------------------------------------------------------

  function open(name) {
    tab = name;
    ui.address.set({ tab: name === "curves" ? null : name });
    for (const button of tabList.children) {
      const isOpen = button.id === `tab-${name}`;
      button.setAttribute("aria-selected", String(isOpen));
      button.tabIndex = isOpen ? 0 : -1;
    }
    for (const [own, panel] of panels) panel.hidden = own !== name;
    return show(name);
  }

  // Fills the panel of a tab. The curves stay; the other panels are filled each time.
  async function show(name) {
    const panel = panels.get(name);
    if (name === "curves") {
      if (charts === null) {
        chartRuns = runs.map((run) => ({ ...run }));
        charts = ui.curves(panel, { runs: chartRuns });
      }
      await charts.drawn;
      return;
    }
    const builders = {
      results: ui.comparison.showResults, settings: ui.comparison.showSettings, environment: ui.comparison.showEnvironment, data: ui.comparison.showData,
      code: ui.comparison.showCode, relations: ui.comparison.showRelations,
    };
    const scrolled = [...panel.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    await builders[name](panel, { values, runs, keys });
    for (const [place, box] of [...panel.querySelectorAll(".scroll")].entries()) box.scrollLeft = scrolled[place] || 0;
  }

  // Reads the values again while runs are in progress, and keeps the reader's place.
  let timer = null;
  const changed = new Set();
  function follow(news) {
    for (const key of [...(news.changed || []), ...(news.removed || [])]) if (keys.includes(key)) changed.add(key);
    if (changed.size) timer ??= setTimeout(refresh, REFRESH_MS);
  }

  async function refresh() {
    timer = null;
    changed.clear();
    try {
      const answer = await loadValues();
      const same = JSON.stringify(answer) === JSON.stringify(values);
      if (same) return;
      takeValues(answer);
      chartRuns = chartRuns.map((run) => {
        const now = runs.find((one) => one.key === run.key);
        return now ? { ...now } : { ...run, isRemoved: true };
      });
      charts?.setRuns(chartRuns);
      const panel = panels.get(tab);
      if (["results", "settings", "environment", "data"].includes(tab) && !panel.contains(document.activeElement)) await show(tab);
    } catch (error) {
      ui.fill(notes, ui.message("error", "The runs could not be read again", error.message));
    }
  }

  // ---- start -----------------------------------------------------------------------------------

  async function start() {
    if (keys.length < 2) {
      ui.fill(ui.main, ui.message("empty", "Choose runs to compare", "Go to the runs, choose two or more of them, and press Compare.", ui.element("a", { href: ui.link("index") }, "Go to the runs")));
      if (keys.length === 0) { ui.ready(); return; }
    }
    const cut = keys.length > MOST_RUNS ? keys.length : 0;
    keys = keys.slice(0, MOST_RUNS);
    const waiting = ui.element("p", { class: "soft" }, "Reading the runs…");
    ui.fill(ui.main, waiting);
    const slow = setTimeout(() => waiting.append(" The first look at runs of many samples takes longer."), SLOW_MS);
    if (tab === "curves") ui.plots.loadPlotly().catch(() => {}); // parsed while the runs are read; the charts say if it is missing
    try {
      takeValues(await loadValues());
      clearTimeout(slow);
    } catch (error) {
      clearTimeout(slow);
      ui.fill(ui.main, ui.message("error", "The runs could not be compared", error.message, ui.element("a", { href: ui.link("index") }, "Go to the runs")));
      ui.ready();
      return;
    }
    for (const name of TABS.keys()) {
      panels.set(name, ui.element("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true }));
    }
    if (cut) notes.append(ui.message("empty", `Only the first ${MOST_RUNS} of ${cut} runs are compared`));
    ui.fill(ui.main, ui.element("div", { class: "row compare-head" }, heading, ui.element("a", { class: "small", href: ui.link("index", { run: keys }) }, "Choose other runs")), notes, tabList, [...panels.values()]);
    ui.onKeys(Object.fromEntries([...TABS].map(([name, text], place) => [String(place + 1), [`Show ${text.toLowerCase()}`, () => open(name)]])));
    ui.follow(follow);
    await open(tab).catch((error) => ui.fill(panels.get(tab), ui.message("error", "This could not be loaded", error.message)));
    ui.ready();
  }

  start();
})();
