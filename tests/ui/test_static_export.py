"""The pages of a store as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from browser import Browser

import provml
from provml.errors import InvalidArgumentError, QueryError

pytest.importorskip("orjson")
pytest.importorskip("plotly", reason="provml ui needs plotly")
pytest.importorskip("duckdb", reason="provml ui needs duckdb")
pytest.importorskip("mpld3", reason="graphs in the browser need mpld3")

from provml.ui.browsed_store import BrowsedStore
from provml.ui.static_export import write_static_pages

HOSTILE = '__proto__</script><img src=x onerror="document.title=1">~*é 😀'


def record(store: Path, experiment: str, lr: float, parent: Any = None) -> str:
    """Record a run with curves, a file and names that browsers could misunderstand."""
    file = store.parent / "model.bin"
    file.write_bytes(str(lr).encode())
    with provml.start_run(experiment, store=store, parent=parent) as run:
        run.log_params({"lr": lr, HOSTILE: HOSTILE})
        for step in range(20):
            run.log_metric("loss", float("nan") if step == 5 else lr / (step + 1), "train", step)
        run.log_metric(HOSTILE, 1.0, step=1)
        run.log_model("net", file)
        run.log(HOSTILE)
    return f"{run.path.parent.name}/{run.path.name}"


def read_answers(target: Path) -> dict[str, Any]:
    """Return the answers of an export by their requests, and check that none of them failed."""

    def parse(script: str) -> Any:
        text = script[script.index('"') : script.rindex('"') + 1]
        return json.loads(json.loads(text))

    index = parse((target / "data" / "index.js").read_text())
    answers = {}
    for request, number in index.items():
        script = (target / "data" / f"{number}.js").read_text()
        assert script.endswith(", false);\n"), (request, script[:300])
        answers[request] = parse(script)
    return answers


def test_export_holds_every_answer(tmp_path: Path) -> None:
    """A page of an export would be empty."""
    store = tmp_path / "store"
    keys = [record(store, "digits", 0.1), record(store, HOSTILE, 0.2)]
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    assert write_static_pages(BrowsedStore(store), tmp_path / "site") == 2
    answers = read_answers(tmp_path / "site")
    assert {run["key"] for run in answers["runs?"]["runs"]} == set(keys)
    for key in keys:
        run = urlencode({"run": key}).replace("~", "%7E").replace("%2A", "*")
        for name in ("run", "output", "events", "files", "validity"):
            assert f"{name}?{run}" in answers
        curves = answers[f"curves?axis=step&points=2000&{run}"]["runs"][0]["series"]
        loss = next(series for series in curves if series["name"] == "loss")
        assert loss["x"] == list(range(20))
        assert loss["y"][5] is None
        graph = answers[f"run?{run}"]["graph"]
        assert (tmp_path / "site" / graph).is_file()
    assert sum(request.startswith("file?digest=") for request in answers) >= 2
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


def test_only_chosen_runs(tmp_path: Path) -> None:
    """A run that must not be published would be."""
    store = tmp_path / "store"
    kept = record(store, "digits", 0.1)
    record(store, "secret", 0.5)
    write_static_pages(BrowsedStore(store), tmp_path / "site", "params.lr < 0.2")
    answers = read_answers(tmp_path / "site")
    assert [run["key"] for run in answers["runs?"]["runs"]] == [kept]
    for path in (tmp_path / "site").rglob("*.js"):
        if path.parent.name == "data":
            assert '\\"secret' not in path.read_text(), path


def test_folder_must_be_new(tmp_path: Path) -> None:
    """An export could overwrite files, or write into the store."""
    store = tmp_path / "store"
    record(store, "digits", 0.1)
    used = tmp_path / "used"
    used.mkdir()
    (used / "index.html").write_text("mine")
    linked = tmp_path / "linked"
    linked.symlink_to(store)
    for target in (used, store, store / "site", linked / "site", used / "index.html"):
        with pytest.raises(InvalidArgumentError, match="choose a"):
            write_static_pages(BrowsedStore(store), target)
    with pytest.raises(QueryError):
        write_static_pages(BrowsedStore(store), tmp_path / "site", "params.lr <")
    assert not (tmp_path / "site").exists()
    assert (used / "index.html").read_text() == "mine"
    assert not (store / "site").exists()


def test_pages_work_from_disk(tmp_path: Path, driver: Any) -> None:
    """An exported page would stay empty without a server, ask the network, or obey a name."""
    store = tmp_path / "store"
    keys = [record(store, HOSTILE, 0.1), record(store, "digits", 0.2)]
    site = tmp_path / "site"
    write_static_pages(BrowsedStore(store), site)
    browser = Browser(driver)
    tabs = ("overview", "curves", "machine", "events", "files", "output", "graph", "validity")
    pages = ["index.html", "file.html", "compare.html?" + urlencode([("run", key) for key in keys])]
    pages += ["run.html?" + urlencode({"run": keys[0], "tab": tab}) for tab in tabs]
    for page in pages:
        browser.open(f"{site.as_uri()}/{page}")
        assert browser.run("return document.querySelector('main').innerText.length") > 30, page
        assert browser.run("return document.querySelectorAll('main img').length") == 0
        assert browser.run("return document.querySelectorAll('.message.error').length") == 0, page
        assert browser.run("return document.title") != "1"
        assert browser.noise() == ([], []), page
