"use strict";
// The search box of the runs page: conditions as in `provml runs --where`, completed from the
// names that the store's runs use, with examples and with errors in place.

(() => {
  const MOST_SHOWN = 12;
  const STATUSES = ["running", "finished", "failed", "crashed", "killed"];
  const FIELDS = ["status", "experiment", "started", "ended", "duration_s", "id", "project", "owner", "parent", "children",
    "sample_count", "exception", "script", "command", "git_commit", "git_dirty", "reason"];

  // Makes the search box.
  //   apply(text): called when the reader searches.
  // Returns {form, show(text), fail(text), names(columns, runs)}: `show` sets the text, `fail`
  // shows an error or removes it, and `names` sets the names that can be completed.
  function makeSearch(apply) {
    const live = ui.settings.live;
    const list = ui.element("ul", { id: "completions", role: "listbox", "aria-label": "Completions", hidden: true });
    const field = ui.element("input", {
      id: "search", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", autocapitalize: "off",
      "aria-label": live ? "Search runs by words or a condition" : "Search runs by words", "aria-expanded": "false",
      "aria-controls": "completions", "aria-autocomplete": "list", "aria-describedby": "search-error search-note",
      placeholder: live ? "Search: words, or a condition such as params.lr < 0.01" : "Search: words (conditions need provml ui)",
    });
    const clear = ui.element("button", { type: "button", class: "plain clear", "aria-label": "Clear the search", hidden: true }, "×");
    const error = ui.element("p", { id: "search-error", class: "search-error", role: "alert" });
    const note = ui.element("p", { id: "search-note", class: "search-note soft small" });
    const form = ui.element("form", { class: "search", role: "search" },
      ui.element("div", { class: "search-box" }, field, clear, list), error, note);
    let given = null;
    let values = [];
    let examples = [];
    let shown = [];
    let active = -1;
    let applied = "";

    function names(columns, runs) { given = { columns, runs }; }

    // Lists the completions only when they are first needed, because there can be tens of
    // thousands.
    function listNames() {
      if (given === null) return;
      values = completable(given.columns);
      examples = makeExamples(given.columns, given.runs);
      given = null;
    }

    function search(text) {
      applied = text;
      close();
      apply(text);
    }

    function show(text) {
      applied = text;
      field.value = text;
      clear.hidden = text === "";
      explain();
    }

    // Shows in which facts of a run the words are searched.
    function explain() {
      const condition = ui.runs.asCondition(applied);
      note.textContent = live && applied.trim() !== "" && condition !== applied.trim()
        ? "Runs that contain all these words in their id, experiment, status or command." : "";
    }

    function fail(text) {
      error.textContent = text || "";
      if (text) { note.textContent = ""; field.setAttribute("aria-invalid", "true"); }
      else { field.removeAttribute("aria-invalid"); explain(); }
    }

    // ---- completions ---------------------------------------------------------------------------

    function open() {
      if (!live) return;
      listNames();
      const before = field.value.slice(0, field.selectionStart);
      shown = field.value === "" ? examples.map((text) => ({ text, whole: true })) : complete(before, values);
      active = -1;
      ui.fill(list, field.value === "" && shown.length > 0 ? ui.element("li", { class: "heading", role: "presentation" }, "Examples") : null,
        shown.map((option, place) => ui.element("li", {
          role: "option", id: `completion-${place}`, "aria-selected": "false",
          onmousedown: (event) => { event.preventDefault(); take(place); },
        }, ui.element("code", {}, ui.runs.shorten(option.text)), option.note && ui.element("span", { class: "soft" }, ` ${option.note}`))));
      list.hidden = shown.length === 0;
      field.setAttribute("aria-expanded", String(!list.hidden));
      field.removeAttribute("aria-activedescendant");
    }

    function close() {
      list.hidden = true;
      active = -1;
      field.setAttribute("aria-expanded", "false");
      field.removeAttribute("aria-activedescendant");
    }

    function move(by) {
      if (list.hidden) { open(); if (list.hidden) return; }
      active = (active + by + shown.length + (active < 0 && by < 0 ? 1 : 0)) % shown.length;
      const options = [...list.querySelectorAll("[role=option]")];
      options.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
      field.setAttribute("aria-activedescendant", options[active].id);
      options[active].scrollIntoView({ block: "nearest" });
    }

    // Replaces the typed text with a completion.
    function take(place) {
      const option = shown[place];
      if (option.whole) {
        field.value = option.text;
      } else {
        const caret = field.selectionStart;
        const start = caret - option.replaced;
        field.setRangeText(option.text, start, caret, "end");
      }
      field.focus();
      clear.hidden = false;
      close();
    }

    field.addEventListener("input", () => { clear.hidden = field.value === ""; open(); });
    field.addEventListener("focus", () => { if (field.value === "") open(); });
    field.addEventListener("blur", close);
    field.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        move(event.key === "ArrowDown" ? 1 : -1);
      } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) {
        event.preventDefault();
        take(active);
      } else if (event.key === "Escape") {
        if (!list.hidden) { event.preventDefault(); close(); } else field.blur();
      }
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); search(field.value); });
    clear.addEventListener("click", () => { show(""); search(""); field.focus(); close(); });
    return { form, field, show, fail, names };
  }

  // Returns all names that a condition can contain, as {text, bare, note}.
  function completable(columns) {
    const made = FIELDS.map((name) => ({ text: name, bare: name, note: "" }));
    for (const [name, contexts] of columns.metrics) {
      made.push({ text: ui.runs.metric(name, undefined, "last"), bare: name, note: "metric" });
      for (const context of contexts.slice(0, 20)) {
        for (const field of ["last", "min", "max"]) {
          made.push({ text: ui.runs.metric(name, ui.runs.contextParts(context), field), bare: name, note: `metric, ${field}` });
        }
      }
    }
    for (const name of columns.params) made.push({ text: ui.runs.setting("params", name), bare: name, note: "parameter" });
    for (const name of columns.tags) made.push({ text: ui.runs.setting("tags", name), bare: name, note: "tag" });
    return made;
  }

  // Returns the completions of the typed text, best first. `replaced` is the number of typed
  // characters that a completion replaces.
  function complete(before, values) {
    const status = /\bstatus\s*(?:==|!=|in)\s*\(?\s*("?\w*)$/.exec(before);
    if (status !== null) {
      return STATUSES.map((name) => ({ text: `"${name}"`, note: "", replaced: status[1].length }))
        .filter((option) => option.text.slice(1).startsWith(status[1].replace('"', "")));
    }
    if ((withoutNames(before).match(/"/g) || []).length % 2 === 1) return [];
    const typed = /[A-Za-z_]\w*(?:\.\w*|\["[^"]*"?(?:\]|$))*$/.exec(before);
    if (typed === null) return [];
    const text = typed[0].toLowerCase();
    const rank = (option) => {
      const own = option.text.toLowerCase();
      const bare = option.bare.toLowerCase();
      if (own === text) return -1;
      return own.startsWith(text) ? 0 : bare.startsWith(text) ? 1 : bare.includes(text) ? 2 : -1;
    };
    return values.map((option) => ({ ...option, rank: rank(option), replaced: typed[0].length }))
      .filter((option) => option.rank >= 0)
      .sort((one, other) => one.rank - other.rank || one.text.length - other.text.length)
      .slice(0, MOST_SHOWN);
  }

  // Removes quoted names, as in params["a.b"], so that only the quotes of texts remain.
  function withoutNames(text) {
    return text.replace(/\["[^"]*"?(?:\]|$)/g, "");
  }

  // Returns examples of conditions that make sense for these runs.
  function makeExamples(columns, runs) {
    const made = ['status == "failed"'];
    for (const name of columns.params) {
      const value = ui.runs.setting("params", name);
      const numbers = runs.map((run) => run.values[value]).filter((one) => typeof one === "number").sort((a, b) => a - b);
      if (numbers.length > 1 && numbers[0] < numbers[numbers.length - 1]) {
        const middle = numbers[Math.floor((numbers.length - 1) / 2)];
        made.push(`${value} <= ${ui.number(middle)}`);
        break;
      }
    }
    const [metric] = columns.metrics;
    if (metric !== undefined) {
      const value = ui.runs.metric(metric[0], metric[1].length ? ui.runs.contextParts(metric[1][0]) : undefined, "min");
      made.push(`${value} < 0.5 and status == "finished"`);
    }
    const today = new Date(Date.now() - 24 * 3600 * 1000);
    const two = (part) => String(part).padStart(2, "0");
    made.push(`started >= "${today.getFullYear()}-${two(today.getMonth() + 1)}-${two(today.getDate())}" or status == "running"`);
    return made;
  }

  Object.assign(ui.runs, { makeSearch });
})();
