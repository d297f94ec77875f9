"use strict";
// The run page: the head of the run, and a tab for each question about it.

(() => {
  const { element, fill, visible } = ui;
  const { growingTable, failure, longText, plural, card, facts } = ui.runParts;
  const key = ui.address.get("run");
  const reloadMs = 1000;
  const tabs = ["overview", "curves", "machine", "events", "files", "output", "graph", "validity", "downloads"];

  // ---- charts ----------------------------------------------------------------------------------

  function chartRun(page) {
    return { key: page.key, label: `${page.run.experiment}/${page.run.id}`, status: page.run.status, graph: page.run.graph };
  }

  function drawCharts(place, page, options) {
    if (!ui.curves) {
      fill(place, ui.message("error", "The charts can't be drawn", "They need the package plotly: pip install 'provml[ui]'"));
      return { drawn: Promise.resolve(), close() {} };
    }
    return ui.curves(place, { runs: [chartRun(page)], ...options });
  }

  // Draws the readings of the machine as soon as there are any.
  function machineCharts(place, page) {
    let charts = null;
    place.append(element("p", { class: "soft" }, "provml took no readings of the machine."));
    function update() {
      if (charts !== null || page.run.readings.length === 0) return;
      fill(place);
      charts = drawCharts(place, page, { kind: "reading", prefix: "m." });
    }
    update();
    return { drawn: charts === null ? null : charts.drawn, update, close() { if (charts !== null) charts.close(); } };
  }

  // The tab with the curves of the metrics, and with the machine's readings below them.
  ui.runTabs.set("curves", {
    label: "Curves",
    draw(panel, page) {
      const metrics = element("div", {});
      const place = element("div", {});
      panel.append(element("h2", { class: "hidden-text" }, "Metrics"), metrics, element("h2", { class: "apart" }, "Machine"), place);
      const curves = drawCharts(metrics, page, { kind: "metric" });
      const machine = machineCharts(place, page);
      return { ready: curves.drawn, update: machine.update, close() { curves.close(); machine.close(); } };
    },
  });

  ui.runTabs.set("machine", {
    label: "Machine",
    draw(panel, page) {
      const table = growingTable("Readings of the machine", [
        ["Reading", (use) => visible(`${use.kind}: ${use.name}`), "name"],
        ["Rank", (use) => (use.rank === null ? "" : use.rank), "number"],
        ["Mean", (use) => amount(use.mean, use.unit), "number"],
        ["Lowest", (use) => amount(use.minimum, use.unit), "number"],
        ["Highest", (use) => amount(use.maximum, use.unit), "number"],
        ["Total", (use) => amount(use.total, use.unit), "number"],
        ["Above the threshold", (use) => (use.above_s === null ? "" : `${ui.duration(use.above_s)} above ${ui.number(use.threshold)}`)],
      ], "");
      const devices = element("div", {});
      const charts = element("div", {});
      panel.append(table, devices, charts);
      const show = () => table.show(page.run.readings);
      show();
      fill(devices, page.run.machine.devices.map((device) => card(visible(device.name),
        facts(Object.entries(device.facts || {}).map(([name, value]) => [name, ui.valueText(value)])))));
      const chart = machineCharts(charts, page);
      let last = JSON.stringify(page.run.readings);
      return {
        ready: chart.drawn,
        update() {
          chart.update();
          const now = JSON.stringify(page.run.readings);
          if (now !== last) { last = now; show(); }
        },
        close() { chart.close(); },
      };
    },
  });

  function amount(value, unit) {
    if (value === null) return "";
    if (unit === "B") return ui.bytes(Math.round(value));
    return `${ui.number(value)}${unit ? ` ${unit}` : ""}`;
  }

  // ---- graph, validity, downloads --------------------------------------------------------------

  ui.runTabs.set("graph", {
    label: "Graph",
    draw(panel, page) {
      if (!page.run.graph) {
        panel.append(ui.message("empty", "The graph is too large to draw", "Write it with: provml export --format html"));
        return { ready: null, update() {}, close() {} };
      }
      const frame = element("iframe", { class: "graph", src: page.run.graph, title: "The graph of the run" });
      const again = element("button", { type: "button", hidden: true, onclick: () => { again.hidden = true; frame.src = page.run.graph; } }, "The run has changed: draw the graph again");
      const drawing = element("p", { class: "soft", role: "status" }, "Drawing the graph …");
      frame.addEventListener("load", () => { drawing.hidden = true; });
      panel.append(element("div", { class: "row tools" }, element("a", { href: page.run.graph, target: "_blank", rel: "noopener" }, "Open the graph on its own"), again, drawing), frame);
      return { ready: null, update() { again.hidden = false; }, close() {} };
    },
  });

  ui.runTabs.set("validity", {
    label: "Validity",
    draw(panel, page) {
      const place = element("div", { "aria-live": "polite" });
      const again = element("button", { type: "button", onclick: load }, "Check again");
      panel.append(place, element("p", {}, ui.settings.live && again));
      let closed = false;

      async function load() {
        fill(place, element("p", { class: "soft" }, "Checking the run …"));
        again.disabled = true;
        try {
          const report = await ui.load("validity", { run: page.key });
          if (!closed) showReport(place, report);
        } catch (error) {
          if (!closed) fill(place, failure(error, load));
        } finally {
          again.disabled = false;
        }
      }
      return { ready: load(), update() {}, close() { closed = true; } };
    },
  });

  function showReport(place, report) {
    const table = growingTable("Findings", [
      ["Rule", (one) => one.rule.split("#").pop(), "name"],
      ["What is wrong", (one) => [longText(one.message, 500), evidenceOf(one)]],
    ], "");
    table.show(report.findings);
    const checked = report.checks.length ? `Checked: ${report.checks.join(", ")}.` : "Nothing was checked.";
    const total = report.findings.length + report.further;
    fill(place,
      card(report.conforms ? "✓ The graph is valid" : `✗ ${plural(total, "finding")}`,
        element("p", {}, "The run's PROV graph is compared with the rules of W3C's PROV-CONSTRAINTS, such as that nothing is used before it exists. ", checked),
        report.notes.map((note) => element("p", { class: "soft" }, note)), !report.conforms && table),
      card(report.damage.length ? "✗ Files are damaged" : "✓ The files are intact",
        report.damage.length
          ? element("ul", {}, report.damage.map((text) => element("li", {}, text)))
          : element("p", {}, "All records match their checksums.")));
  }

  function evidenceOf(finding) {
    if (finding.evidence.length === 0) return null;
    return element("details", {}, element("summary", {}, plural(finding.evidence.length, "statement")),
      element("pre", {}, finding.evidence.map((one) => one.statement).join("\n")));
  }

  ui.runTabs.set("downloads", {
    label: "Downloads",
    draw(panel, page) {
      if (!ui.settings.live) {
        panel.append(ui.message("empty", "These pages are files, so there is nothing to download here",
          "Write a document of the run with: provml export"));
      } else {
        const place = `download/${page.key.split("/").map(encodeURIComponent).join("/")}`;
        const links = page.run.formats.map((one) => element("li", {},
          element("a", { href: `${place}/${encodeURIComponent(one.format)}`, download: "" }, one.format),
          element("span", { class: "soft" }, ` ${one.suffix} · ${one.about}`)));
        panel.append(card("The run as a document", element("p", { class: "soft" }, "The document is written when you choose it, which takes a moment for a long run."),
          element("ul", { class: "plain formats" }, links)));
      }
      return { ready: null, update() {}, close() {} };
    },
  });

  // ---- the head of the page --------------------------------------------------------------------

  function head(page) {
    const { run } = page;
    const lasts = element("span", {});
    const tick = () => {
      lasts.textContent = run.ended_ns === null && run.status === "running"
        ? `for ${ui.duration(Math.max(0, Date.now() / 1000 - Number(BigInt(run.started_ns) / 1000000n) / 1000))}`
        : run.duration_s === null ? "" : `took ${ui.duration(run.duration_s)}`;
    };
    tick();
    const parent = run.parent && (run.parent.key
      ? element("a", { href: ui.link("run", { run: run.parent.key }) }, visible(run.parent.name))
      : element("span", { title: "This store does not contain the run" }, visible(run.parent.name)));
    const alerts = run.alerts > 0 && element("a", { href: ui.link("run", { run: page.key, tab: "events", show: "alerts" }) }, plural(run.alerts, "alert"));
    const facts = [ui.status(run.status), `started ${ui.time(run.started_ns)}`, lasts, run.owner && `by ${visible(run.owner)}`,
      run.project && `project ${visible(run.project)}`, parent && ["child of ", parent], alerts];
    const links = [
      element("a", { href: ui.link("index", { run: page.key }) }, "Compare with other runs"),
      element("a", { href: ui.link("file", { run: page.key }) }, "Lineage"),
    ];
    const shown = element("div", { class: "head" },
      element("h1", {}, longText(run.experiment, 200), element("span", { class: "soft" }, " / "), longText(run.id, 200)),
      element("p", { class: "row facts-line" }, facts.filter(Boolean).map((one) => element("span", {}, one)), links));
    return { shown, tick };
  }

  // ---- the page --------------------------------------------------------------------------------

  class Page {
    constructor(run) {
      this.key = key;
      this.run = run;
      this.tab = null;
      this.open = null;
      this.headPlace = element("div", {});
      this.alert = element("div", { role: "alert" });
      this.tabs = element("div", { class: "tabs", role: "tablist", "aria-label": "About the run", onkeydown: (event) => this.moveTab(event) });
      this.panel = element("div", { role: "tabpanel", id: "panel", tabindex: "-1" });
      this.headText = null;
      this.tick = () => {};
    }

    showHead() {
      const names = ["status", "started_ns", "duration_s", "owner", "project", "parent", "alerts", "experiment", "id"];
      const text = JSON.stringify(names.map((name) => this.run[name]));
      if (text === this.headText) return;
      this.headText = text;
      const { shown, tick } = head(this);
      this.tick = tick;
      fill(this.headPlace, shown);
    }

    showTabs() {
      fill(this.tabs, tabs.map((name) => element("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel",
        "aria-selected": String(name === this.tab), tabindex: name === this.tab ? "0" : "-1",
        onclick: () => this.choose(name, true),
      }, ui.runTabs.get(name).label)));
      this.panel.setAttribute("aria-labelledby", `tab-${this.tab}`);
    }

    // Opens a tab, and removes the parameters of other tabs from the address.
    async choose(name, push) {
      if (push) history.pushState(null, "", ui.link("run", name === "overview" ? { run: key } : { run: key, tab: name }));
      if (this.open !== null) this.open.close();
      const focused = this.tabs.contains(document.activeElement);
      this.tab = ui.runTabs.has(name) ? name : "overview";
      this.showTabs();
      if (focused) document.getElementById(`tab-${this.tab}`).focus();
      fill(this.panel);
      this.open = ui.runTabs.get(this.tab).draw(this.panel, this);
      await this.open.ready;
    }

    moveTab(event) {
      const at = tabs.indexOf(this.tab);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.choose(tabs[(to + tabs.length) % tabs.length], true);
    }

    // Loads the run again, and updates the open tab.
    async reload() {
      try {
        this.run = await ui.load("run", { run: key });
      } catch (error) {
        this.showGone(error);
        return;
      }
      fill(this.alert);
      this.showHead();
      this.open.update();
    }

    showGone(error) {
      const isGone = error.kind === "RunNotFoundError";
      fill(this.alert, ui.message("error", isGone ? "This run was removed or renamed" : "The run can't be read at the moment",
        isGone ? "The page shows what was read before." : error.message,
        element("a", { href: ui.link("index") }, "All runs")));
    }
  }

  // Reloads the run when it changes: at most once a second, and never before the last answer has
  // arrived.
  function followRun(page) {
    let due = false;
    let busy = false;

    async function reload() {
      if (busy) return;
      busy = true;
      while (due) {
        due = false;
        await page.reload();
        await new Promise((resolve) => { setTimeout(resolve, reloadMs); });
      }
      busy = false;
    }

    ui.follow((news) => {
      if ([...news.changed, ...(news.added || []), ...news.removed].includes(key)) { due = true; reload(); }
    });
    setInterval(() => page.tick(), 1000);
  }

  async function start() {
    if (key === null) {
      fill(ui.main, ui.message("empty", "No run is chosen", element("a", { href: ui.link("index") }, "Choose a run")));
      ui.ready();
      return;
    }
    fill(ui.main, element("p", { class: "soft" }, "Loading the run …"));
    let run;
    try {
      run = await ui.load("run", { run: key });
    } catch (error) {
      fill(ui.main, ui.message("error", "The run can't be shown", error.message,
        element("a", { href: ui.link("index") }, "All runs")));
      ui.ready();
      return;
    }
    ui.title(`${run.experiment}/${run.id}`);
    const page = new Page(run);
    page.showHead();
    fill(ui.main, page.headPlace, page.alert, page.tabs, page.panel);
    const tabKeys = tabs.map((name, place) =>
      [String(place + 1), [`Open ${ui.runTabs.get(name).label}`, () => page.choose(name, true)]]);
    ui.onKeys(Object.fromEntries(tabKeys));
    window.addEventListener("popstate", () => page.choose(ui.address.get("tab") || "overview", false));
    const drawn = page.choose(ui.address.get("tab") || "overview", false);
    followRun(page);
    await drawn.catch(() => {});
    ui.ready();
  }

  start();
})();
