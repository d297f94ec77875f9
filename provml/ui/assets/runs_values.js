"use strict";
// The columns of the runs page: how a value is named in conditions, its heading, and its text.
// `ui.runs` is what the scripts of this page share.

ui.runs = {};

(() => {
  const FIELDS = ["last", "min", "max", "count"];
  // Words that Python reserves: `params.lambda` is a syntax error, `params["lambda"]` is not.
  const RESERVED = new Set(("False None True and as assert async await break class continue def del elif else " +
    "except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield").split(" "));

  // The values that every run has. `of` reads the value from the answer. Values without `of` must
  // be requested.
  const OWN = new Map(Object.entries({
    id: { label: "Run", kind: "name", width: 284, of: (run) => run.id },
    status: { label: "Status", kind: "status", width: 112, of: (run) => run.status },
    experiment: { label: "Experiment", kind: "text", width: 128, of: (run) => run.experiment },
    started: { label: "Started", kind: "time", width: 152, of: (run) => run.started_ns },
    ended: { label: "Ended", kind: "time", width: 152, of: (run) => run.ended_ns },
    duration_s: { label: "Duration", kind: "duration", width: 104, of: (run) => run.duration_s },
    curve: { label: "Curve", kind: "curve", width: 112, of: (run) => run.curve },
    project: { label: "Project", kind: "text", width: 120, of: (run) => run.project },
    owner: { label: "Owner", kind: "text", width: 110, of: (run) => run.owner },
    reason: { label: "Reason", kind: "text", width: 200, of: (run) => run.reason },
    parent: { label: "Parent", kind: "text", width: 220, of: (run) => run.parent },
    children: { label: "Children", kind: "value", width: 92, of: (run) => run.children },
    sample_count: { label: "Samples", kind: "value", width: 100, of: (run) => run.samples },
    exception: { label: "Exception", kind: "text", width: 220 },
    script: { label: "Script", kind: "text", width: 160 },
    command: { label: "Command", kind: "text", width: 260 },
    git_commit: { label: "Git commit", kind: "text", width: 120 },
    git_dirty: { label: "Git changes", kind: "value", width: 104 },
    dropped_samples: { label: "Dropped samples", kind: "value", width: 130 },
  }));

  const ROOTS = new Map([["params", "parameter"], ["tags", "tag"], ["reading_summaries", "reading"], ["metrics", "metric"]]);

  function step(name, reserved) {
    return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED.has(name) && !reserved.includes(name)
      ? `.${name}` : `[${JSON.stringify(name)}]`;
  }

  // Returns how a condition names a parameter ("params"), tag ("tags") or reading.
  function setting(root, name) { return root + step(name, []); }

  // Returns how a condition names a metric. The context is a list of names, null for the
  // samples without a context, or undefined for all contexts together. The field is "last",
  // "min", "max" or "count".
  function metric(name, context, field) {
    const where = context === undefined ? ""
      : context === null ? "[None]"
        : context.length === 1 ? step(context[0], FIELDS) : `[${context.map((part) => JSON.stringify(part)).join(", ")}]`;
    return `metrics${step(name, where === "" ? FIELDS : [])}${where}${field === "last" ? "" : `.${field}`}`;
  }

  // Splits the name of a value into its steps; null if it is not such a name.
  function parse(value) {
    const first = /^[A-Za-z_]\w*/.exec(value);
    if (first === null) return null;
    const steps = [];
    let rest = value.slice(first[0].length);
    while (rest !== "") {
      const dotted = /^\.([A-Za-z_]\w*)/.exec(rest);
      const quoted = dotted === null ? /^\[((?:"(?:[^"\\]|\\.)*"|None)(?:, ?(?:"(?:[^"\\]|\\.)*"|None))*)\]/.exec(rest) : null;
      if (dotted === null && quoted === null) return null;
      if (dotted !== null) steps.push([dotted[1]]);
      else {
        try {
          steps.push(JSON.parse(`[${quoted[1].replace(/(^|, ?)None/g, "$1null")}]`));
        } catch { return null; }
      }
      rest = rest.slice((dotted || quoted)[0].length);
      if (dotted !== null) steps[steps.length - 1].dotted = true;
    }
    return { root: first[0], steps };
  }

  // Returns the column of a value: its name in conditions, its heading in two lines, how it is
  // shown, its width, and how to read it from a run.
  function column(value) {
    const own = OWN.get(value);
    if (own !== undefined) {
      return { value, label: own.label, detail: "", kind: own.kind, width: own.width, of: own.of || ((run) => run.values[value]) };
    }
    const made = { value, label: value, detail: "", kind: "value", width: 116, of: (run) => run.values[value] };
    const parts = parse(value);
    if (parts === null || !ROOTS.has(parts.root) || parts.steps.length === 0) return made;
    if (parts.root !== "metrics") {
      made.label = parts.steps.map(([name]) => name).join(".");
      made.detail = ROOTS.get(parts.root);
      return made;
    }
    const [[name], ...rest] = parts.steps;
    const last = rest[rest.length - 1];
    const field = last !== undefined && last.dotted && FIELDS.includes(last[0]) ? rest.pop()[0] : "last";
    made.label = name;
    made.detail = `${rest.length ? contextText(rest[0][0] === null ? null : [...rest[0]]) : "all contexts"} · ${field}`;
    return made;
  }

  // Returns the one form of a value's name that this page uses, because the same value can be
  // written in several ways: params["lr"] is params.lr.
  function standardName(value) {
    const parts = parse(value);
    if (parts === null || !ROOTS.has(parts.root) || parts.steps.length === 0) return value;
    if (parts.root !== "metrics") return setting(parts.root, parts.steps.map(([name]) => name).join("."));
    const [name, ...rest] = parts.steps;
    const last = rest[rest.length - 1];
    const field = last !== undefined && last.dotted && FIELDS.includes(last[0]) ? rest.pop()[0] : "last";
    return metric(name[0], rest.length === 0 ? undefined : rest[0][0] === null ? null : [...rest[0]], field);
  }

  function contextText(context) {
    return context === null ? "no context" : context.join(" / ");
  }

  // Returns the text of a value in a column, and whether it is a number. Times are shown without
  // seconds.
  function cellText(made, run) {
    const value = made.of(run);
    if (value === null || value === undefined) return ["", false];
    if (made.kind === "time") return [ui.time(value).slice(0, 16), false];
    if (made.kind === "duration") return [ui.duration(runningFor(run)), true];
    if (typeof value === "number") return [ui.number(value), true];
    const text = typeof value === "string" ? value : ui.valueText(value);
    return [shorten(text), made.kind === "value" && /^-?(?:\d+|NaN|Infinity)$/.test(text)];
  }

  // Returns whether most values of a column are numbers. Such a column is aligned right, with
  // its heading.
  function isNumeric(made, runs) {
    if (made.kind !== "value") return made.kind === "duration";
    const filled = runs.map((run) => cellText(made, run)).filter(([text]) => text !== "");
    return filled.filter(([, number]) => number).length * 2 > filled.length;
  }

  // Returns the width of a column in pixels, so that its heading and most of its values fit.
  function fittingWidth(made, runs) {
    if (["status", "curve", "time", "duration"].includes(made.kind)) return made.width;
    const name = made.kind === "name";
    const lengths = runs.map((run) => (name ? shorten(run.id) : cellText(made, run)[0]).length);
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    const heading = Math.max(9 * made.label.length + 36, 6.6 * made.detail.length + 22);
    const least = name ? 200 : Math.min(heading, 160);
    return Math.round(Math.max(least, Math.min(8.6 * longest + (name ? 80 : 24), name ? 380 : 240)));
  }

  // Returns a text as the table shows it: on one line, with hidden characters as escapes. A name of
  // 10,000 characters would make each scrolled row slow; the run's page shows it all.
  function shorten(text) {
    const shown = ui.visible(text.length > 300 ? `${text.slice(0, 300)}…` : text);
    return shown.replace(/\s+/g, " ");
  }

  // Returns how long a run has lasted, in seconds. For a run in progress, the time since the answer
  // arrived is added, by the browser's clock, because the server's clock may differ.
  function runningFor(run) {
    if (run.status !== "running" || run.duration_s === null || run.received === undefined) return run.duration_s;
    return run.duration_s + Math.max(0, (performance.now() - run.received) / 1000);
  }

  // Compares two values for sorting: numbers, then text. Runs without a value come last in either
  // direction, as they do in `provml runs`.
  function compare(one, other, down) {
    const missing = [one, other].map((value) => value === null || value === undefined || value === "NaN");
    if (missing[0] || missing[1]) return missing[0] - missing[1];
    const numbers = [one, other].map(asNumber);
    const order = numbers[0] !== null && numbers[1] !== null ? numbers[0] - numbers[1]
      : numbers[0] !== null ? -1 : numbers[1] !== null ? 1
        : String(one) < String(other) ? -1 : String(one) > String(other) ? 1 : 0;
    return down ? -order : order;
  }

  function asNumber(value) {
    if (typeof value === "number") return value;
    if (typeof value !== "string" || !/^-?(?:\d+|Infinity)$/.test(value)) return null;
    return Number(value);
  }

  Object.assign(ui.runs, { OWN, setting, metric, standardName, column, contextText, cellText, isNumeric, fittingWidth, runningFor, shorten, compare });
})();
