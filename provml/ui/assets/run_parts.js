"use strict";
// What the tabs of the run page share: tables that grow in steps, sections that change in place,
// and the texts of contexts, positions and settings. The tabs register themselves in `ui.runTabs`.

ui.runTabs = new Map();

ui.runParts = (() => {
  const { element, fill, visible } = ui;
  const step = 200;

  // Writes a context path, such as "training > warm-up".
  function context(path) {
    return path === null || path === undefined ? "" : visible(path.join(" > "));
  }

  // Writes a step and an epoch, such as "step 120, epoch 3".
  function position(stepNumber, epoch) {
    const parts = [];
    if (stepNumber !== null && stepNumber !== undefined) parts.push(`step ${stepNumber}`);
    if (epoch !== null && epoch !== undefined) parts.push(`epoch ${epoch}`);
    return parts.join(", ");
  }

  // Writes the seconds between the start of the run and a time, such as "+12.3 s".
  function since(nanoseconds, startedNs) {
    const seconds = Number(BigInt(nanoseconds) - BigInt(startedNs)) / 1e9;
    return `${seconds < 0 ? "−" : "+"}${ui.duration(Math.abs(seconds))}`;
  }

  // Shows long text in a few lines, with a button that shows all of it.
  function longText(text, most = 300) {
    const whole = visible(text);
    if (whole.length <= most) return whole;
    const shown = element("span", {}, `${whole.slice(0, most)}… `);
    const button = element("button", { type: "button", class: "link", onclick: () => fill(shown, whole) }, "show all");
    shown.append(button);
    return shown;
  }

  // Shows a list of names with values. Values are text or elements; null leaves the pair out.
  function facts(pairs) {
    const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return element("dl", { class: "facts" }, shown.map(([name, value]) =>
      [element("dt", {}, name), element("dd", {}, value instanceof Node || Array.isArray(value) ? value : longText(value))]));
  }

  // Makes a table whose rows are added in steps of 200, because a browser draws thousands slowly.
  // Columns are [title, cell function, class]. Returns the element. The element's `show` replaces
  // the items and keeps the number of rows that are shown.
  function growingTable(caption, columns, empty) {
    const body = element("tbody", {});
    const head = columns.map(([title, , kind]) => element("th", { scope: "col", class: kind || null }, title));
    const table = element("table", { class: "list growing" },
      element("caption", { class: "hidden-text" }, caption), element("thead", {}, element("tr", {}, head)), body);
    const more = element("button", { type: "button" });
    const nothing = element("p", { class: "soft" }, empty);
    const made = element("div", {}, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table),
      element("p", {}, more), nothing);
    let items = [];
    let wanted = step;

    function addRows() {
      const rows = items.slice(body.childElementCount, wanted).map((item) =>
        element("tr", {}, columns.map(([title, cell, kind]) => element("td", { class: kind || null, dataset: { title } }, cell(item)))));
      body.append(...rows);
      const rest = items.length - body.childElementCount;
      more.hidden = rest <= 0;
      more.textContent = `Show ${ui.count(Math.min(rest, step))} more of ${ui.count(rest)}`;
    }

    more.addEventListener("click", () => { wanted += step; addRows(); });
    made.show = (now) => {
      items = now;
      body.replaceChildren();
      addRows();
      nothing.hidden = items.length > 0;
      table.parentElement.hidden = items.length === 0;
    };
    return made;
  }

  // Keeps the parts of a page that did not change. `show` draws a part again only if its data has
  // changed, and then keeps the focus and what is unfolded. A part with selected text is drawn
  // again at a later call.
  function sections(container) {
    const parts = new Map();

    function show(name, data, build) {
      let part = parts.get(name);
      if (part === undefined) {
        part = { place: element("div", { class: "part", dataset: { part: name } }), text: null };
        parts.set(name, part);
        container.append(part.place);
      }
      const text = JSON.stringify(data);
      if (text === part.text || isSelected(part.place)) return;
      part.text = text;
      const focused = part.place.contains(document.activeElement) ? document.activeElement.dataset.keep : undefined;
      const open = [...part.place.querySelectorAll("details[open][data-keep]")].map((one) => one.dataset.keep);
      const made = build(data);
      fill(part.place, made);
      part.place.hidden = made === null;
      for (const one of part.place.querySelectorAll("[data-keep]")) {
        if (open.includes(one.dataset.keep)) one.open = true;
        if (focused !== undefined && one.dataset.keep === focused) one.focus();
      }
    }
    return { show };
  }

  function isSelected(place) {
    const selection = document.getSelection();
    return selection !== null && !selection.isCollapsed && place.contains(selection.anchorNode);
  }

  // Writes a number with its noun, such as "1 alert" and "2 alerts".
  function plural(number, noun) {
    return `${ui.count(number)} ${noun}${number === 1 ? "" : "s"}`;
  }

  // Makes a card with a title.
  function card(title, ...content) {
    return element("section", { class: "card" }, element("h2", {}, title), content);
  }

  // Returns a link to the lineage of a file, or only the name if the file has no digest.
  function fileLink(file, text) {
    if (!file.sha256) return element("span", {}, visible(text));
    return element("a", { href: ui.link("file", { digest: file.sha256 }), dataset: { keep: `file ${file.sha256} ${text}` } }, visible(text));
  }

  // Describes the failure of a request for data, and offers to try again.
  function failure(error, again) {
    const box = ui.message("error", "The data can't be loaded", error.message);
    if (again && ui.settings.live) box.append(element("button", { type: "button", onclick: again }, "Try again"));
    return box;
  }

  return { context, position, since, longText, facts, growingTable, sections, plural, card, fileLink, failure };
})();
