"""The page of a run's graph, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml import Context
from provml.errors import ExportError, MissingExtraError
from provml.export import export, export_bundles
from provml.graph.view import View

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [SCRIPT, "</script><img src=x onerror=alert(2)>", "<!--<script>", "\u2028a\u2029b", '"&']


def record(store: Path, run_id: str = "one") -> Path:
    """A run with twelve epochs, twenty series, three contexts, and names that are markup."""
    with provml.start_run("digits", store=store, formats=(), run_id=run_id, owner="tester") as run:
        run.log_params({f"p{i:02}": i for i in range(12)})
        run.log_param("markup", SCRIPT)
        run.log_dataset("train", np.zeros(4), context="training")
        for epoch in range(12):
            for context in ("training", "validation", "evaluation"):
                for series in range(20):
                    value = 1 / (epoch + series + 1)
                    run.log_metric(f"metric {series:02}", value, Context(context), epoch)
        for name in HOSTILE:
            run.log_metric(name, 1.0, Context.TRAINING, 0)
        run.log_model("net", {"w": 1.0}, context="training", step=11)
        run.log_event(HOSTILE[1], source=SCRIPT)
    return run.path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder, and its pages."""
    path = record(tmp_path_factory.mktemp("store"))
    for detail in ("series", "sample"):
        export(path, "html", path / f"{detail}.html", detail)
    return path


def embedded(path: Path) -> dict[str, Any]:
    """The data that a page holds."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


# -- what is in the file --------------------------------------------------------------------------


def test_the_page_has_every_node_and_edge_of_the_run(folder: Path) -> None:
    """Something that was recorded could not be found on the page."""
    for detail in ("series", "sample"):
        data = embedded(folder / f"{detail}.html")
        statements = list(provml.load(folder).statements(detail))
        elements = {str(s.id) for s in statements if s.id is not None}
        assert {node["n"] for node in data["nodes"]} == elements
        plans = sum("prov:plan" in s.arguments for s in statements)
        relations = sum(s.id is None for s in statements)
        assert len(data["edges"]) == relations + plans


def test_the_default_detail_is_series(folder: Path, tmp_path: Path) -> None:
    """A run with thousands of samples would become an unreadable page."""
    mapping = export(folder, "html", tmp_path / "page.html")
    assert mapping.detail == "series"


def test_nothing_that_was_recorded_is_markup(folder: Path) -> None:
    """A metric's name could run a script in the browser of anyone who opens the page."""
    text = (folder / "series.html").read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    content = text[start : text.index("</script>", start)]
    assert not set("<>&\u2028\u2029") & set(content)
    assert SCRIPT in [node["l"] for node in json.loads(content)["nodes"]]


def test_the_policy_names_what_may_run_and_forbids_the_rest(folder: Path) -> None:
    """An injected script would run, or the page would load something."""
    text = (folder / "series.html").read_text(encoding="utf-8")
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    policy = found[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_long_series_keeps_its_extremes(store: Path) -> None:
    """A spike among many samples, or the fact that points were left out, would be invisible."""
    with provml.start_run("long", store=store, formats=()) as run:
        for step in range(100_000):
            run.log_metric("loss", 5.0 if step == 41_234 else 1.0, Context.TRAINING, step)
        run.log_metric("loss", float("nan"), Context.TRAINING, 100_000)
    export(run.path, "html", store / "page.html")
    (curve,) = embedded(store / "page.html")["curves"]
    assert curve["count"] == 100_001
    assert curve["shown"] == len(curve["value"]) < 5_000
    assert curve["step"][curve["value"].index(5)] == 41_234
    assert curve["value"][-1] is None


def test_a_page_of_too_many_nodes_is_refused(store: Path) -> None:
    """A page with a million nodes would hang the browser."""
    with provml.start_run("long", store=store, formats=()) as run:
        for step in range(60_000):
            run.log_metric("loss", 1.0, Context.TRAINING, step)
    with pytest.raises(ExportError, match="--detail series"):
        export(run.path, "html", store / "page.html", "sample")
    assert not (store / "page.html").exists()


def test_the_missing_library_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the export would end in a traceback."""
    monkeypatch.setattr("provml.page._PACKAGE", "no-such-package")
    monkeypatch.setattr("provml.page._read_d3", __import__("provml.page").page._read_d3.__wrapped__)
    with pytest.raises(MissingExtraError, match=r"pip install 'provml\[html\]'"):
        export(folder, "html", folder / "none.html")
    assert not (folder / "none.html").exists()


def test_a_page_of_a_part(folder: Path, tmp_path: Path) -> None:
    """A page could not be limited to the surroundings of a model, or would hold hidden nodes."""
    view = View(around="net", reach="up")
    export(folder, "html", tmp_path / "part.html", view=view)
    data = embedded(tmp_path / "part.html")
    labels = {node["l"] for node in data["nodes"]}
    assert {"net", "train", "training", "p00"} <= labels
    assert "validation" not in labels
    assert not any(label.startswith("metric") for label in labels)
    assert data["curves"] == []
    both = {place for edge in data["edges"] for place in edge[:2]}
    assert both <= set(range(len(data["nodes"])))


def test_readings_and_defaults_are_folded_but_not_the_settings(store: Path) -> None:
    """A card would show the defaults of a library, and leave out the learning rate."""
    with provml.start_run("digits", store=store, formats=(), owner="tester") as run:
        run.log_params({f"torch.flag_{name}": False for name in "abcdefghijkl"})
        run.log_params({"lr": 0.1, "epochs": 3, "optimizer": "sgd"})
        run.log_params({f"layers.{number}.width": 64 for number in range(20)})
        run.log_metric("loss", 0.5, Context.TRAINING, 0)
        run.log_metric("accuracy", 0.9, Context.EVALUATION)
        run.log_system_metrics(Context.TRAINING, 0)
    export(run.path, "html", store / "page.html")
    data = embedded(store / "page.html")
    (settings,) = [group for group in data["groups"] if group["label"] == "settings"]
    assert settings["rows"][:4] == [
        ["lr", "0.1"],
        ["epochs", "3"],
        ["optimizer", "sgd"],
        ["layers.N.width", "64"],
    ]
    assert settings["more"] + sum(name != "layers.N.width" for name, _ in settings["rows"]) == 15
    (results,) = [node for node in data["nodes"] if "Results" in node["t"]]
    assert [[row[0], row[1], row[3]] for row in results["f"]] == [
        ["accuracy", "0.9", "evaluation"],
        ["loss", "0.5", "training"],
    ]
    (readings,) = [group for group in data["groups"] if group["label"] == "readings"]
    place = data["groups"].index(readings)
    folded = [node for node in data["nodes"] if node["g"] == place]
    assert folded
    assert all(node["l"].startswith("machine ") for node in folded)


def test_a_failed_run_says_why_at_first_sight(store: Path) -> None:
    """A reader would have to open the details to see that a run failed."""
    with (
        pytest.raises(FloatingPointError),
        provml.start_run("failing", store=store, formats=()) as run,
    ):
        raise FloatingPointError("loss is NaN")
    export(run.path, "html", store / "page.html")
    (node,) = [node for node in embedded(store / "page.html")["nodes"] if "Run" in node["t"]]
    rows = [value for _, value in node["f"]]
    assert rows[0].startswith("failed after ")
    assert rows[1] == "FloatingPointError: loss is NaN"


# -- in the browser -------------------------------------------------------------------------------


def test_the_page_opens_with_groups_folded(folder: Path, browser: Any) -> None:
    """A run's page would open with a confusing heap of all its nodes."""
    browser.open(folder / "series.html")
    assert 5 < browser.shown() < 60
    browser.find("#expand").click()
    assert browser.shown() == len(embedded(folder / "series.html")["nodes"])
    browser.find("#collapse").click()
    assert 5 < browser.shown() < 30


FIRST_SIGHT = """
  const k = d3.zoomTransform(canvas).k, at = d3.zoomTransform(canvas);
  const stage = document.getElementById("stage").getBoundingClientRect();
  const legend = document.querySelector("footer").getBoundingClientRect();
  const linked = new Set(links.filter(l => !l.implied).flatMap(l => [l.a, l.b]));
  const sizes = [TITLE, UNDER, ROW, VALUE].map(t => parseFloat(t.font.match(/[0-9.]+px/)));
  return {
    text: Math.min(...sizes) * k,
    alone: items.filter(i => !linked.has(i)).map(i => i.label),
    labels: items.map(i => i.label),
    under: stage.bottom > legend.top,
    cut: items.filter(i => at.applyX(i.x - i.w / 2) < 0 || at.applyX(i.x + i.w / 2) > wide
      || at.applyY(i.y - i.h / 2) < 0 || at.applyY(i.y + i.h / 2) > high).map(i => i.label) };"""


@pytest.mark.parametrize("size", [(1400, 900), (900, 600), (390, 800)])
def test_the_first_sight_is_legible(folder: Path, browser: Any, size: tuple[int, int]) -> None:
    """The page would open with tiny text, lone nodes, hashes as names, or a hidden part."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.open(folder / "series.html")
        seen = browser.run(FIRST_SIGHT)
        assert seen["text"] >= 11
        assert seen["alone"] == []
        assert not seen["under"]
        assert not [label for label in seen["labels"] if re.search("[0-9a-f]{8}", label)]
        assert {"digits", "train", "settings", "results", "net"} <= set(seen["labels"])
        if size == (1400, 900):
            assert seen["cut"] == []
        scroll = browser.run("return document.documentElement.scrollWidth")
        assert scroll <= size[0]
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_shortened_text_can_be_read(store: Path, browser: Any) -> None:
    """The end of a long name would be nowhere on the page."""
    name = "model/decoder/" + "layer/" * 12 + "weight"
    with provml.start_run("long", store=store, formats=()) as run:
        run.log_param(name, "x" * 60)
        run.log_param("lr", 0.1)
    export(run.path, "html", store / "page.html")
    browser.open(store / "page.html")
    tip = browser.run("return tipOf(items.find(item => item.label === 'settings'))")
    assert f"{name}: {'x' * 60}" in tip


def test_the_graph_is_drawn(folder: Path, browser: Any) -> None:
    """The canvas would stay blank: colours of entity, activity and agent are on it."""
    browser.open(folder / "series.html")
    colours = browser.run(
        """const c = document.getElementById('canvas'), seen = {};
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        for (let i = 0; i < d.length; i += 4) {
          const k = `${d[i]},${d[i+1]},${d[i+2]}`; seen[k] = (seen[k] || 0) + 1; }
        return ['255,252,135', '159,177,252', '254,211,127'].map(k => seen[k] || 0);"""
    )
    assert min(colours) > 200


def test_a_search_finds_what_is_folded_away(folder: Path, browser: Any) -> None:
    """A series in a closed group could not be found."""
    browser.open(folder / "series.html")
    before = browser.shown()
    browser.search("metric 07 validation")
    assert "metric 07" in browser.panel()
    assert "series/validation/metric%2007" in browser.panel()
    assert browser.shown() > before
    assert "12 samples" in browser.run("return document.getElementById('said').textContent")


def test_a_series_shows_its_attributes_and_a_chart(folder: Path, browser: Any) -> None:
    """A click on a series would not say what its values were."""
    browser.open(folder / "series.html")
    browser.search("metric 00 training")
    assert "count" in browser.panel()
    path = browser.until("return document.querySelector('.chart path.curve').getAttribute('d')")
    assert path.count("L") == 11
    places = [float(x) for x in re.findall(r"[ML]([\d.]+),", path)]
    assert places == sorted(places)
    assert places[-1] - places[0] > 200
    label = browser.run("return document.querySelector('.chart svg').getAttribute('aria-label')")
    assert label == "metric 00: 12 points over step"


@pytest.mark.slow
def test_only_what_is_up_or_downstream_is_shown(folder: Path, browser: Any) -> None:
    """A model's origins could not be separated from the rest."""
    browser.open(folder / "series.html")
    every = browser.shown()
    browser.search("net model")
    browser.click("Upstream")
    notice = browser.find("#notice-text").text
    assert notice.startswith("Upstream of net")
    assert browser.shown() < every
    browser.search("train dataset")
    assert not browser.run("return [...itemOf.values()].some(i => i.label === 'validation')")
    browser.click("Show all")
    browser.search("train dataset")
    browser.click("Downstream")
    assert browser.run("return [...itemOf.values()].some(i => i.label === 'net')")
    assert not browser.run("return [...itemOf.values()].some(i => i.label === 'validation')")


def test_steps_and_samples_fold_into_what_they_are_of(folder: Path, browser: Any) -> None:
    """At sample detail, steps and samples could not be folded into their context and series."""
    browser.open(folder / "sample.html")
    before = browser.shown()
    browser.search("metric 03 training series")
    shown = browser.shown()
    assert shown > before
    browser.click("Expand 12 samples")
    assert browser.shown() == shown + 12
    browser.click("Collapse 12 samples")
    assert browser.shown() == shown
    browser.search("training context")
    shown = browser.shown()
    browser.click("Expand 12 steps")
    assert browser.shown() == shown + 12


def test_the_page_is_used_by_keys_alone(folder: Path, browser: Any) -> None:
    """The page could not be used without a mouse."""
    from selenium.webdriver.common.keys import Keys

    browser.open(folder / "series.html")
    browser.press("/")
    assert browser.run("return document.activeElement.id") == "search"
    browser.press("digits run", Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "canvas"
    first = browser.run("return chosen.key")
    browser.press(Keys.ARROW_LEFT)
    second = browser.run("return chosen.key")
    assert second != first
    browser.press(Keys.ARROW_RIGHT)
    assert browser.run("return chosen.key") != second
    before = browser.run("return d3.zoomTransform(canvas).k")
    browser.press("+")
    assert browser.run("return d3.zoomTransform(canvas).k") > before
    browser.press(Keys.ESCAPE)
    assert browser.run("return panel.hidden")
    browser.press("?")
    assert "Keys" in browser.panel()


def test_pan_and_zoom_with_the_pointer(folder: Path, browser: Any) -> None:
    """Nodes outside the screen could not be reached."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    browser.open(folder / "series.html")
    canvas = browser.find("#canvas")
    before = browser.run("return d3.zoomTransform(canvas)")
    ActionChains(browser.driver).drag_and_drop_by_offset(canvas, 120, 60).perform()
    moved = browser.run("return d3.zoomTransform(canvas)")
    assert moved["x"] == pytest.approx(before["x"] + 120, abs=2)
    origin = ScrollOrigin.from_element(canvas)
    ActionChains(browser.driver).scroll_from_origin(origin, 0, -300).perform()
    assert browser.until("return d3.zoomTransform(canvas).k") > moved["k"]


def test_a_click_opens_a_group(folder: Path, browser: Any) -> None:
    """A pile could not be opened with the pointer."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.open(folder / "series.html")
    before = browser.shown()
    x, y, height, width = browser.run(
        """const pile = items.find(i => i.group), at = d3.zoomTransform(canvas);
        const r = canvas.getBoundingClientRect();
        return [at.applyX(pile.x), at.applyY(pile.y), r.height, r.width];"""
    )
    chain = ActionChains(browser.driver)
    canvas = browser.find("#canvas")
    chain.move_to_element_with_offset(canvas, x - width / 2, y - height / 2).double_click()
    chain.perform()
    assert browser.shown() > before


def test_markup_in_names_is_text(folder: Path, browser: Any) -> None:
    """A script in a metric's name would run, or disappear."""
    browser.open(folder / "series.html")
    browser.search("alert(1) series")
    heading = browser.find("#panel h2")
    assert heading.text == SCRIPT
    assert browser.run("return document.querySelectorAll('#panel script, #panel img').length") == 0
    browser.search("markup parameter")
    assert SCRIPT in browser.panel()
    browser.find("#expand").click()
    browser.search("onerror event")
    assert browser.find("#panel h2").text == HOSTILE[1]


def test_dark_and_light(folder: Path, browser: Any, theme: Callable[[str], None]) -> None:
    """The page would ignore the system's theme, or could not be switched."""
    look = "return [document.documentElement.dataset.theme, getComputedStyle(document.body).color]"
    theme("dark")
    browser.open(folder / "series.html")
    dark = browser.run(look)
    assert dark[0] == "dark"
    browser.find("#theme").click()
    light = browser.run(look)
    assert light[0] == "light"
    assert light[1] != dark[1]
    theme("light")
    browser.open(folder / "series.html")
    assert browser.run(look) == light


def test_relations_can_be_left_out(folder: Path, browser: Any) -> None:
    """Edges that clutter the view could not be hidden."""
    browser.open(folder / "series.html")
    before = browser.run("return links.length")
    browser.find("#legend-rows input").click()
    assert browser.run("return links.length") < before


def link_chain(store: Path) -> list[Path]:
    """Record a run that makes a file, and two runs that use it under other names."""
    store.mkdir(parents=True, exist_ok=True)
    made, used = store / "clean.csv", store / "copy.csv"
    made.write_text("a,b\n1,2\n")
    used.write_text("a,b\n1,2\n")
    folders = []
    with provml.start_run("prepare", store=store, formats=(), owner="tester") as run:
        run.log_artifact(made)
    folders.append(run.path)
    for lr in (0.1, 0.2):
        with provml.start_run("train", store=store, formats=(), owner="tester") as run:
            run.log_params({"lr": lr, "epochs": 3})
            run.log_dataset("train", used, context="training")
            run.log_metric("loss", lr, Context.TRAINING, 0)
            run.log_model("net", {"w": lr}, context="training", step=0)
        folders.append(run.path)
    return folders


def test_what_several_runs_share_stands_once(store: Path, browser: Any) -> None:
    """A dataset of three runs would be three nodes, so nothing would link the runs."""
    folders = link_chain(store)
    export_bundles(folders, "html", store / "runs.html")
    data = embedded(store / "runs.html")
    nodes = data["nodes"]
    (content,) = [node for node in nodes if {"Artifact", "Dataset"} & set(node["t"])]
    assert (content["l"], content["r"], len(content["i"])) == ("clean.csv", -1, 3)
    assert "also train" in content["u"]
    ends = {(e[0], data["relations"][e[2]], e[1]) for e in data["edges"]}
    place = nodes.index(content)
    runs = [number for number, node in enumerate(nodes) if "Run" in node["t"]]
    assert (place, "wasGeneratedBy", runs[0]) in ends
    shared = sorted(node["l"] for node in nodes if node["r"] < 0 and "Parameter" in node["t"])
    assert shared == ["epochs"]
    assert sorted(node["l"] for node in nodes if "Parameter" in node["t"]) == ["epochs", "lr", "lr"]
    browser.open(store / "runs.html")
    shown = browser.run("return items.map(item => item.label)")
    assert shown.count("clean.csv") == 1
    assert shown.count("train") == 3  # two runs, and their experiment
    assert shown.count("tester") == 1
    browser.search("clean.csv")
    assert all(iri in browser.panel() for iri in content["i"])


def test_nothing_overlaps(folder: Path, browser: Any) -> None:
    """Nodes would overlap, at either detail, with groups open or closed."""
    overlaps = """
      let found = 0;
      for (let i = 0; i < items.length; i += 1) for (let j = 0; j < i; j += 1) {
        const a = items[i], b = items[j];
        const near = Math.abs(a.x - b.x) < (a.w + b.w) / 2;
        if (near && Math.abs(a.y - b.y) < (a.h + b.h) / 2) found += 1;
      }
      return found;"""
    for detail in ("series", "sample"):
        browser.open(folder / f"{detail}.html")
        assert browser.run(overlaps) == 0
        browser.find("#expand").click()
        assert browser.run(overlaps) == 0
