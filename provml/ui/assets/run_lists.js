"use strict";
// The tabs of the run page that are lists: events and alerts, and files.

(() => {
  const { element, visible, count } = ui;
  const { context, position, since, longText, growingTable, fileLink, failure } = ui.runParts;

  // Builds a tab that shows one table: a field that filters it, a choice, and the notes.
  function listTab({ name, label, hint, choices, matches, columns, empty, total }) {
    function draw(panel, page) {
      const field = element("input", {
        type: "search", placeholder: hint, "aria-label": hint, value: ui.address.get("find") || "",
        oninput: () => { ui.address.set({ find: field.value }); show(); },
      });
      const chosen = element("select", { "aria-label": `Which ${label.toLowerCase()}`, onchange: () => { ui.address.set({ show: chosen.value }); show(); } },
        choices.map(([value, text]) => element("option", { value }, text)));
      const asked = ui.address.get("show");
      chosen.value = choices.some(([value]) => value === asked) ? asked : choices[0][0];
      const shown = element("span", { class: "soft", role: "status" });
      const notes = element("div", {});
      const table = growingTable(label, columns(page), empty);
      const place = element("div", {});
      panel.append(element("div", { class: "row tools" }, field, chosen, shown), notes, place);
      let items = null;
      let known = null;
      let closed = false;

      function show() {
        if (items === null) return;
        const wanted = field.value.toLowerCase();
        const found = items.filter((item) => matches(item, chosen.value) && (wanted === "" || item.searched.includes(wanted)));
        shown.textContent = found.length === items.length ? count(items.length) : `${count(found.length)} of ${count(items.length)}`;
        table.show(found);
      }

      async function load() {
        try {
          const answer = await ui.load(name, { run: page.key });
          if (closed) return;
          known = answer.total;
          items = answer[name];
          for (const item of items) item.searched = searchedText(item);
          ui.fill(notes, answer.notes.map((note) => element("p", { class: "soft" }, note)));
          if (place.firstChild !== table) ui.fill(place, table);
          show();
        } catch (error) {
          if (!closed && items === null) ui.fill(place, failure(error, load));
        }
      }

      return { ready: load(), update() { if (known !== total(page.run)) load(); }, close() { closed = true; } };
    }
    ui.runTabs.set(name, { label, draw });
  }

  function searchedText(item) {
    const { searched, time_ns: time, ...rest } = item;
    return JSON.stringify(rest).toLowerCase();
  }

  // ---- events ----------------------------------------------------------------------------------

  function eventColumns(page) {
    const started = page.run.started_ns;
    const seconds = (event) => Number(BigInt(event.time_ns) - BigInt(started)) / 1e9;
    return [
      ["Time", (event) => element("time", { title: ui.time(event.time_ns) }, since(event.time_ns, started)), "nowrap"],
      ["Event", (event) => [event.level && element("strong", { class: `level-${event.level}` }, `${event.level} `), longText(event.name, 120)], "name"],
      ["Details", (event) => [event.text, detailText(event)]],
      ["Source", (event) => longText(event.source || "", 80)],
      ["Where", (event) => [context(event.context), position(event.step, event.epoch)].filter(Boolean).join(", ")],
      ["Curves", (event) => element("a", {
        href: ui.link("run", { run: page.key, tab: "curves", axis: "time", at: seconds(event) }),
      }, "show", element("span", { class: "hidden-text" }, ` the curves at ${since(event.time_ns, started)}`))],
    ];
  }

  function detailText(event) {
    if (event.metadata === null || event.metadata === undefined) return event.of ? visible(event.of.join(" ")) : null;
    if (typeof event.metadata !== "object") return longText(event.metadata);
    const pairs = Object.entries(event.metadata).map(([key, value]) => `${key}: ${ui.valueText(value)}`);
    return longText(pairs.join(", "));
  }

  listTab({
    name: "events",
    label: "Events",
    hint: "Find events",
    choices: [["all", "All"], ["alerts", "Alerts"], ["own", "Events of the script"]],
    matches: (event, choice) => choice === "all" || (choice === "alerts") === (event.level !== null) && (choice === "alerts" || event.source !== "provml"),
    columns: eventColumns,
    total: (run) => run.events,
    empty: "No events. A script logs one with run.log_event(\"name\").",
  });

  // ---- files -----------------------------------------------------------------------------------

  const roles = { in: "used", out: "made", code: "code" };

  function fileColumns(page) {
    return [
      ["Name", (file) => [fileLink(file, file.name.length > 200 ? `${file.name.slice(0, 200)}…` : file.name), pathText(file)], "name"],
      ["Kind", (file) => [`${roles[file.role]}: ${visible(file.purpose || file.kind)}`, factsText(file)]],
      ["Size", (file) => ui.bytes(file.size), "number"],
      ["SHA-256", (file) => (file.sha256 ? element("code", { title: file.sha256 }, file.sha256.slice(0, 12)) : element("span", { class: "soft" }, "none"))],
      ["Where", (file) => [context(file.context), position(file.step, file.epoch)].filter(Boolean).join(", ")],
      ["Time", (file) => element("time", { title: ui.time(file.time_ns) }, since(file.time_ns, page.run.started_ns)), "nowrap"],
      ["Copy", (file) => copyLink(file, page)],
    ];
  }

  function pathText(file) {
    const text = file.path || file.uri;
    return text && text !== file.name ? element("div", { class: "soft small path" }, longText(text, 160)) : null;
  }

  function factsText(file) {
    const text = Object.entries(file.facts).map(([key, value]) => `${key} ${ui.valueText(value)}`).join(", ");
    return text ? element("div", { class: "soft small" }, longText(text, 160)) : null;
  }

  // Only a server can show a copy, because an export contains no copies except the printed output.
  function copyLink(file, page) {
    if (!file.copy) return "";
    if (!ui.settings.live || !file.sha256) return "kept";
    const target = ["stdout", "stderr", "output"].includes(file.name) ? { name: file.name } : { digest: file.sha256 };
    return element("a", { href: ui.link("run", { run: page.key, tab: "output", ...target }) }, "show", element("span", { class: "hidden-text" }, ` the copy of ${file.name}`));
  }

  listTab({
    name: "files",
    label: "Files",
    hint: "Find files",
    choices: [["all", "All"], ["in", "Used"], ["out", "Made"], ["code", "Code"]],
    matches: (file, choice) => choice === "all" || file.role === choice,
    columns: fileColumns,
    total: (run) => run.files,
    empty: "No files. provml run finds the files of a command; a script logs them with run.log_dataset and run.log_model.",
  });
})();
