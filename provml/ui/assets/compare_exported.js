"use strict";
// Compares runs in an export. Without a server, the comparison is built from the answers about each
// run.

(() => {
  // Returns the same data as the server's answer "compare", as far as the answers "run" and "files"
  // contain it.
  ui.comparison.loadExported = async (keys) => {
    const answers = await Promise.allSettled(keys.map((key) => ui.load("run", { run: key })));
    const known = keys.filter((key, place) => answers[place].status === "fulfilled");
    if (known.length === 0) throw answers[0].reason;
    const runs = answers.filter((answer) => answer.status === "fulfilled").map((answer) => answer.value);
    const files = await Promise.all(known.map((key) => ui.load("files", { run: key }).catch(() => ({ files: [] }))));
    return {
      runs: runs.map(describeRun),
      missing: keys.filter((key) => !known.includes(key)),
      parts: {
        params: compareEach(runs.map((run) => new Map((run.settings?.values || []).map(([name, value]) => [name, exactText(value)])))),
        tags: compareEach(runs.map((run) => mapOf(run.tags))),
        state: compareEach(runs.map((run) => new Map([["experiment", run.experiment], ["command", run.command], ["script", run.script?.path], ["git_commit", run.git?.commit], ["git_dirty", run.git?.dirty]]))),
        environment: compareEach(runs.map((run) => mapOf({ python: run.python, ...flatten(run.machine), ...flatten(run.variables, "variables.") }))),
        packages: compareEach(runs.map((run) => mapOf(run.packages))),
        resources: compareEach(runs.map((run) => mapOf(run.reading_summaries))),
        data: compareEach(files.map(digestsOf)),
      },
      metrics: compareMetrics(runs),
      unrecorded: {},
      notes: [],
    };
  };

  function describeRun(run) {
    return { key: run.key, id: run.id, experiment: run.experiment, status: run.status, reason: run.reason, started_ns: run.started_ns, ended_ns: run.ended_ns, duration_s: run.duration_s, graph: run.graph };
  }

  function exactText(value) {
    return value === null || typeof value === "string" ? value : JSON.stringify(value);
  }

  // Returns a Map, because names such as "__proto__" have a special meaning in an object.
  function mapOf(object) {
    return new Map(Object.entries(object || {}).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [name, exactText(value)]));
  }

  function flatten(object, prefix = "") {
    const simple = Object.entries(object || {}).filter(([, value]) => value !== null && typeof value !== "object");
    return Object.fromEntries(simple.map(([name, value]) => [prefix + name, value]));
  }

  function digestsOf(answer) {
    const found = new Map();
    for (const file of answer.files) {
      const digest = file.sha256 || file.uri;
      if (file.role === "code" || !digest) continue;
      const name = `${file.kind} ${file.name}`;
      found.set(name, [...new Set([...(found.get(name) || []), digest])]);
    }
    return found;
  }

  // Converts the values of the runs, which are one Map for each run, to entries like the server's.
  function compareEach(maps) {
    const names = [...new Set(maps.flatMap((map) => [...map.keys()]))].sort();
    return names.map((name) => {
      const values = maps.map((map) => map.get(name) ?? null);
      const differs = values.some((value) => JSON.stringify(value) !== JSON.stringify(values[0]));
      return { name, differs, values: differs ? values : values.slice(0, 1) };
    }).filter((entry) => entry.differs || entry.values[0] !== null);
  }

  function compareMetrics(runs) {
    const found = new Map();
    for (const [place, run] of runs.entries()) {
      for (const series of run.metrics || []) {
        if (series.kind !== "metric") continue;
        const of = series.of ? series.of.join("/") : null;
        const key = JSON.stringify([series.name, series.context, of, series.rank]);
        if (!found.has(key)) found.set(key, { name: series.name, context: series.context, of, rank: series.rank, unit: series.unit, values: runs.map(() => null) });
        found.get(key).values[place] = { last: series.last, min: series.min, max: series.max, count: series.count };
      }
    }
    return [...found.keys()].sort().map((key) => found.get(key));
  }
})();
