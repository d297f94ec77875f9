"use strict";
// Differences between the code of two runs, as unified diffs.

(() => {
  const MOST_LINES = 5000;

  // Shows the lines of a unified diff, with line numbers and colours.
  ui.diff = (lines) => {
    let [before, after] = [0, 0];
    const rows = lines.slice(0, MOST_LINES).map((line) => {
      const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)/.exec(line);
      if (hunk) { [before, after] = [Number(hunk[1]), Number(hunk[2])]; return diffRow("hunk", "", "", line); }
      if (before === 0 && after === 0) return diffRow("file", "", "", line);
      if (line.startsWith("+")) { after += 1; return diffRow("added", "", after - 1, line); }
      if (line.startsWith("-")) { before += 1; return diffRow("removed", before - 1, "", line); }
      if (!line.startsWith(" ")) return diffRow("file", "", "", line);
      before += 1;
      after += 1;
      return diffRow("", before - 1, after - 1, line);
    });
    if (lines.length > MOST_LINES) rows.push(diffRow("file", "", "", `… ${ui.count(lines.length - MOST_LINES)} more lines: see provml diff`));
    return ui.element("div", { class: "scroll diff", tabindex: "0", role: "group", "aria-label": "Diff" },
      ui.element("table", {}, ui.element("tbody", {}, rows)));
  };

  function diffRow(kind, before, after, line) {
    return ui.element("tr", { class: kind || null },
      ui.element("td", { class: "line-number" }, before), ui.element("td", { class: "line-number" }, after),
      ui.element("td", { class: "line" }, ui.element("code", {}, line === "" ? " " : line)));
  }

  const loaded = new Map();

  function loadPair(first, other) {
    const key = JSON.stringify([first, other]);
    if (!loaded.has(key)) {
      const loading = ui.load("compare", { part: "code", run: [first, other] });
      loading.catch(() => loaded.delete(key));
      loaded.set(key, loading);
    }
    return loaded.get(key);
  }

  ui.comparison.showCode = async (panel, { runs }) => {
    if (!ui.settings.live) {
      ui.fill(panel, ui.message("empty", "This export does not contain the code", "Run provml ui on the store to see the diffs, or provml diff in a terminal."));
      return;
    }
    if (runs.length < 2) { ui.fill(panel, ui.message("empty", "Choose two runs to compare their code")); return; }
    const keys = runs.map((run) => run.key);
    let first = keys.includes(ui.address.get("base")) ? ui.address.get("base") : keys[0];
    let other = keys.includes(ui.address.get("other")) && ui.address.get("other") !== first ? ui.address.get("other") : keys.find((key) => key !== first);
    const result = ui.element("div", { "aria-live": "polite" });
    const choose = (label, get, set) => ui.element("label", {}, `${label} `, ui.element("select", {
      onchange: (event) => { set(event.target.value); ui.address.set({ base: first, other }); draw(); },
    }, runs.map((run) => ui.element("option", { value: run.key, selected: run.key === get() }, run.label))));
    ui.fill(panel, ui.element("div", { class: "card row" },
      choose("From", () => first, (key) => { first = key; }), choose("to", () => other, (key) => { other = key; }),
      ui.element("span", { class: "soft small" }, "Removed lines are those of the first run.")), result);

    async function draw() {
      if (first === other) { ui.fill(result, ui.message("empty", "Choose two different runs")); return; }
      ui.fill(result, ui.element("p", { class: "soft" }, "Comparing the code…"));
      const wanted = [first, other];
      let answer;
      try {
        answer = await loadPair(first, other);
      } catch (error) {
        ui.fill(result, ui.message("error", "The code could not be compared", error.message));
        return;
      }
      if (wanted[0] !== first || wanted[1] !== other) return;
      const files = answer.pairs[0]?.files || [];
      const without = ui.comparison.labelsOf(answer.unrecorded, runs);
      ui.fill(result, files.map((file) => ui.element("details", { class: "card diff-file", open: files.length <= 12 },
        ui.element("summary", {}, ui.element("h2", {}, ui.element("bdi", {}, file.name)), changeCount(file.lines)), ui.diff(file.lines))),
      files.length === 0 && answer.unrecorded.length === 0 ? ui.message("empty", "The recorded code is the same") : null,
      answer.unrecorded.length ? ui.message("empty", `No code was recorded by ${without}`, "provml run records the code by itself. In a script, call provml.log_source_code().") : null,
      ui.comparison.noteList(answer.notes));
    }
    await draw();
  };

  function changeCount(lines) {
    const count = (sign) => lines.filter((line) => line.startsWith(sign) && !line.startsWith(sign.repeat(3))).length;
    return ui.element("span", { class: "small" }, ui.element("span", { class: "count-added" }, ` +${count("+")}`), ui.element("span", { class: "count-removed" }, ` −${count("-")}`));
  }
})();
