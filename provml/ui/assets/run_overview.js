"use strict";
// The first tab of the run page: answers to what a person asks first.

(() => {
  const { element, valueText, visible, count } = ui;
  const { context, position, longText, facts, sections, plural, card, fileLink } = ui.runParts;
  const mostMetrics = 12;
  const mostSettings = 30;
  const mostFiles = 8;
  const mostDamage = 6;
  const restMs = 5000;

  // ---- results and settings --------------------------------------------------------------------

  function resultCard({ metrics, total, key }) {
    if (metrics.length === 0) return null;
    const rows = metrics.slice(0, mostMetrics).map((one) => metricRow(one, key));
    const rest = metrics.slice(mostMetrics).map((one) => metricRow(one, key));
    const left = total - metrics.length;
    return card("Result",
      metricTable(rows),
      rest.length > 0 && element("details", { dataset: { keep: "metrics" } },
        element("summary", { dataset: { keep: "metrics summary" } }, `${count(rest.length)} more series`), metricTable(rest)),
      left > 0 && element("p", { class: "soft" }, `${count(left)} more series are on the tab Curves.`));
  }

  function metricTable(rows) {
    const head = ["Metric", "Last", "Lowest", "Highest"].map((title, place) =>
      element("th", { scope: "col", class: place ? "number" : null }, title));
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Metrics" },
      element("table", { class: "list" }, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)));
  }

  function metricRow(one, key) {
    const link = ui.link("run", { run: key, tab: "curves", series: one.name });
    const place = [context(one.context), one.rank === null ? "" : `rank ${one.rank}`, one.of ? visible(one.of.join(" ")) : ""];
    const named = [one.name, ...place.filter((text) => text !== "")].join(" ");
    return element("tr", {},
      element("th", { scope: "row", class: "name" },
        element("a", { href: link, dataset: { keep: `metric ${named}` } }, longText(one.name, 80)),
        element("span", { class: "soft small" }, " ", longText(place.filter((text) => text !== "").join(" · "), 80))),
      valueCell(one.last, one.last_at, one.unit), valueCell(one.min, one.min_at, one.unit), valueCell(one.max, one.max_at, one.unit));
  }

  function valueCell(value, [step, epoch], unit) {
    const shown = typeof value === "string" ? visible(value.length > 60 ? `${value.slice(0, 60)}…` : value) : valueText(value);
    return element("td", { class: "number" }, value === null ? "–" : shown, unit && value !== null ? ` ${unit}` : "",
      value !== null && element("span", { class: "soft small at" }, position(step, epoch)));
  }

  function settingsCard({ values, count: total }) {
    if (total === 0) return null;
    const own = values.filter(([, , source]) => source !== "default");
    const defaults = values.filter(([, , source]) => source === "default");
    const lists = [settingsTable(own.slice(0, mostSettings))];
    lists.push(foldedSettings(own.slice(mostSettings), "more settings"));
    lists.push(foldedSettings(defaults, "left at defaults"));
    const left = total - values.length;
    return card("Settings", lists, left > 0 && element("p", { class: "soft" }, `${count(left)} more: run provml show`));
  }

  // The table is built when the reader opens it, because there may be thousands of settings.
  function foldedSettings(values, label) {
    if (values.length === 0) return null;
    const place = element("div", {});
    return element("details", {
      dataset: { keep: label },
      ontoggle: (event) => { if (event.target.open && !place.firstChild) place.append(settingsTable(values)); },
    }, element("summary", { dataset: { keep: `${label} summary` } }, `${count(values.length)} ${label}`), place);
  }

  function settingsTable(values) {
    return element("table", { class: "list settings" }, element("tbody", {}, values.map(([name, value]) =>
      element("tr", {}, element("th", { scope: "row", class: "name" }, longText(name, 120)),
        element("td", {}, longText(valueText(value)))))));
  }

  function valuesCard(title, values) {
    const pairs = Object.entries(values);
    if (pairs.length === 0) return null;
    return card(title, settingsTable(pairs.slice(0, mostSettings)),
      foldedSettings(pairs.slice(mostSettings), "more"));
  }

  // ---- data, code, machine ---------------------------------------------------------------------

  function dataCard({ files, key }) {
    const used = uniqueFiles(files.filter((file) => file.role === "in"));
    const made = uniqueFiles(files.filter((file) => file.role === "out"));
    if (used.length + made.length === 0) return null;
    return card("Data and models", fileList("Used", used, key), fileList("Made", made, key),
      element("p", {}, element("a", { href: ui.link("file", { run: key }), dataset: { keep: "lineage" } }, "Lineage of this run")));
  }

  // Keeps the last version of each name. Printed output comes last.
  function uniqueFiles(files) {
    const last = new Map(files.map((file) => [`${file.kind} ${file.name}`, file]));
    const isOutput = (file) => Number(["stdout", "stderr", "output"].includes(file.name));
    return [...last.values()].sort((one, other) => isOutput(one) - isOutput(other));
  }

  function fileList(title, files, key) {
    if (files.length === 0) return null;
    const items = files.slice(0, mostFiles).map((file) => element("li", {},
      fileLink(file, file.name.length > 120 ? `${file.name.slice(0, 120)}…` : file.name),
      element("span", { class: "soft small" }, ` ${visible(file.purpose || file.kind)}${file.size === null ? "" : ` · ${ui.bytes(file.size)}`}`)));
    const rest = files.length - mostFiles;
    return [element("h3", {}, title), element("ul", { class: "plain" }, items,
      rest > 0 && element("li", {}, element("a", { href: ui.link("run", { run: key, tab: "files" }), dataset: { keep: `more ${title}` } }, `${count(rest)} more`)))];
  }

  function codeCard(run) {
    const { script, git, counts } = run;
    const commit = git && git.commit;
    const changes = git && git.dirty === true ? element("strong", {}, " with uncommitted changes") : null;
    const pairs = [
      ["Command", run.command && element("code", {}, longText(run.command))],
      ["Script", script && script.path && fileLink(script, script.path)],
      ["Commit", commit && [element("code", {}, commit.slice(0, 12)), git.branch ? ` on ${git.branch}` : "", changes]],
      ["Repository", git && git.remote],
      ["Code files", counts.code ? element("a", { href: ui.link("run", { run: run.key, tab: "files" }), dataset: { keep: "code" } }, count(counts.code)) : null],
      ["Folder", run.working_folder],
    ];
    if (pairs.every(([, value]) => !value)) return null;
    return card("Code", facts(pairs));
  }

  function machineCard(run) {
    const { machine } = run;
    const system = machine.platform || [machine.system, machine.release].filter(Boolean).join(" ");
    const cpus = machine.cpus ? `${machine.usable_cpus || machine.cpus} of ${machine.cpus} cores` : "";
    const packages = Object.entries(run.packages);
    return card("Machine", facts([
      ["Host", machine.host],
      ["System", system],
      ["Processor", [machine.cpu, cpus].filter(Boolean).join(", ")],
      ["Memory", machine.memory_bytes && ui.bytes(machine.memory_bytes)],
      ["Devices", machine.devices.map((device) => device.name).join(", ")],
      ["Python", run.python && run.python.split(" ")[0]],
      ["Framework", run.framework],
    ]), foldedSettings(packages, "packages"),
    foldedSettings(Object.entries(run.variables), "environment variables"));
  }

  // ---- state, end and relations ----------------------------------------------------------------

  function endCard(run) {
    const { exception, output } = run;
    const lines = output === null ? [] : output.lines;
    const failed = !["running", "finished"].includes(run.status);
    const title = run.status === "running" ? "Output so far" : failed ? "How it ended" : "End of the output";
    if (lines.length === 0 && !exception && !(failed && run.reason)) return null;
    const link = output !== null && output.name !== null && element("p", {},
      element("a", { href: ui.link("run", { run: run.key, tab: "output", name: output.name }), dataset: { keep: "output" } }, `All of ${output.name}`));
    return card(title,
      failed && run.reason && element("p", {}, longText(run.reason, 1000)),
      exception && element("p", { class: "bad" }, longText(`${exception.type || "Exception"}: ${exception.message || ""}`, 1000)),
      lines.length > 0 && element("pre", { class: "end", tabindex: "0", "aria-label": "Last lines" }, lines.join("\n")), link);
  }

  function troubleCard({ damage, dropped }) {
    const texts = [];
    if (dropped.samples) texts.push(`${plural(dropped.samples, "sample")} not recorded`);
    if (dropped.events) texts.push(`${plural(dropped.events, "event")} not recorded`);
    for (const [reason, found] of Object.entries(damage)) texts.push(found === 1 ? visible(reason) : `${visible(reason)}: ${count(found)}`);
    if (texts.length === 0) return null;
    return element("section", { class: "card trouble" }, element("h2", {}, "What is missing"),
      element("ul", {}, texts.slice(0, mostDamage).map((text) => element("li", {}, text))),
      texts.length > mostDamage && element("details", { dataset: { keep: "damage" } },
        element("summary", { dataset: { keep: "damage summary" } }, `${count(texts.length - mostDamage)} more`),
        element("ul", {}, texts.slice(mostDamage).map((text) => element("li", {}, text)))),
      element("p", { class: "soft" }, "The damaged records are left out of everything that is shown. The tab Validity checks all files."));
  }

  function childrenCard({ children, total, id }) {
    if (total === 0) return null;
    const rows = children.map((child) => element("tr", {},
      element("th", { scope: "row", class: "name" },
        element("a", { href: ui.link("run", { run: child.key }), dataset: { keep: `child ${child.key}` } }, visible(`${child.experiment}/${child.id}`))),
      element("td", {}, ui.status(child.status)), element("td", {}, ui.time(child.started_ns)),
      element("td", { class: "number" }, ui.duration(child.duration_s))));
    return card(`Child runs (${count(total)})`,
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Child runs" }, element("table", { class: "list" }, element("tbody", {}, rows))),
      element("p", {}, element("a", { href: ui.link("compare", { run: children.slice(0, 50).map((child) => child.key) }), dataset: { keep: "compare children" } }, "Compare the child runs")),
      total > children.length && element("p", {}, element("a", { href: ui.link("index", { where: `parent == ${JSON.stringify(id)}` }), dataset: { keep: "children" } }, "All child runs")));
  }

  // ---- the tab ---------------------------------------------------------------------------------

  // Loads the children. An export holds all runs in one answer.
  async function loadChildren(key) {
    const answer = await ui.load("runs", ui.settings.live ? { limit: 100, parent: key } : {});
    const children = ui.settings.live ? answer.runs : answer.runs.filter((run) => run.parent === key);
    return { children: children.slice(0, 100), total: ui.settings.live ? answer.total : children.length };
  }

  function draw(panel, page) {
    const main = element("div", { class: "overview" });
    panel.append(main);
    const parts = sections(main);
    const { key } = page;
    let closed = false;
    let asked = 0;
    let files = [];
    let children = { children: [], total: 0 };

    function show(run) {
      parts.show("trouble", { damage: run.damage, dropped: run.dropped }, troubleCard);
      const failed = !["running", "finished"].includes(run.status);
      const end = { key, status: run.status, reason: run.reason, exception: run.exception, output: run.output };
      if (failed) parts.show("end", end, endCard);
      parts.show("result", { metrics: run.metrics, total: run.metrics_count, key }, resultCard);
      parts.show("settings", run.settings, settingsCard);
      parts.show("data", { files, key }, dataCard);
      parts.show("code", pick(run, ["key", "command", "script", "git", "counts", "working_folder"]), codeCard);
      parts.show("machine", pick(run, ["machine", "packages", "variables", "python", "framework"]), machineCard);
      if (!failed) parts.show("end", end, endCard);
      parts.show("tags", run.tags, (values) => valuesCard("Tags", values));
      parts.show("metadata", run.metadata, (values) => valuesCard("Metadata", values));
      parts.show("children", { ...children, id: run.id }, childrenCard);
    }

    // The files and the children are loaded after the rest, so that the rest does not wait.
    async function showMore() {
      asked = Date.now();
      const limit = ui.settings.live ? { limit: 500 } : {};
      const [one, other] = await Promise.allSettled([ui.load("files", { ...limit, run: key }), loadChildren(key)]);
      if (closed) return;
      if (one.status === "fulfilled") files = one.value.files;
      if (other.status === "fulfilled") children = other.value;
      show(page.run);
    }

    show(page.run);
    return {
      ready: showMore(),
      update() {
        show(page.run);
        if (Date.now() - asked > restMs || page.run.status !== "running") showMore();
      },
      close() { closed = true; },
    };
  }

  function pick(object, names) {
    return Object.fromEntries(names.map((name) => [name, object[name]]));
  }

  ui.runTabs.set("overview", { label: "Overview", draw });
})();
