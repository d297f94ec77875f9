"""The file page finds a file's lineage over all runs, and never looks at files of this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from ui.conftest import Serve

import provml
from provml.errors import InvalidArgumentError
from provml.ui.answers import find_answer
from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query

pytest.importorskip("duckdb", reason="lineage needs duckdb")


def ask(store: Path, **parameters: object) -> dict[str, Any]:
    """Ask for a lineage; the answer is what a browser would get."""
    answer = find_answer("file")
    assert answer is not None
    query = Query((key, str(value)) for key, value in parameters.items())
    made: dict[str, Any] = json.loads(
        json.dumps(answer(BrowsedStore(store), query), allow_nan=False)
    )
    return made


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def record_chain(store: Path, folder: Path) -> None:
    """Record two runs: one makes a model from data, the other a report from the model."""
    with provml.start_run("train", store=store, collect=(), formats=(), run_id="one") as run:
        run.log_param("lr", 0.1)
        run.log_dataset("table", write(folder / "data.csv", "a,b\n"))
        run.log_metric("loss", 0.25, provml.Context.TRAINING, step=1)
        run.log_model("<b>net</b>", write(folder / "net.bin", "weights"))
    with provml.start_run("evaluate", store=store, collect=(), formats=(), run_id="two") as run:
        run.log_input(folder / "net.bin", "<b>net</b>", role="base model")
        run.log_artifact(write(folder / "report.txt", "good"), "report")


def names(answer: dict[str, Any]) -> dict[str, int]:
    return {node["name"]: node["layer"] for node in answer["nodes"]}


def test_a_lineage_has_causes_and_effects(store: Path, tmp_path: Path) -> None:
    """A run or file on the way would be missing, or stand on the wrong side."""
    record_chain(store, tmp_path)
    answer = ask(store, digest=digest_of("weights"))
    expected = {"table": -2, "one": -1, "<b>net</b>": 0, "two": 1, "report": 2}
    assert {name: layer for name, layer in names(answer).items() if name in expected} == expected
    run = next(node for node in answer["nodes"] if node["name"] == "one")
    assert (run["params"], run["metrics"]) == (
        [["lr", "0.1"]],
        [["loss", "training", 0.25, 0.25, 0.25]],
    )
    number = {node["name"]: place for place, node in enumerate(answer["nodes"])}
    assert [number["table"], number["one"], "used"] in answer["edges"]
    assert [number["one"], number["<b>net</b>"], "made"] in answer["edges"]
    assert names(ask(store, digest=digest_of("weights")[:12].upper()))["two"] == 1
    assert names(ask(store, name="table"))["report"] == 4
    assert names(ask(store, run="evaluate/two"))["one"] == -2
    shallow = ask(store, digest=digest_of("weights"), depth=0)
    assert (set(names(shallow)) - {"one", "two"}, shallow["more_depth"]) == ({"<b>net</b>"}, True)


def test_only_recorded_files_are_found(store: Path, tmp_path: Path) -> None:
    """A page could make the server read any file of its machine."""
    record_chain(store, tmp_path)
    for name in ("/etc/passwd", "/dev/zero", "..", str(store), "two", "\ud800", "' OR 1=1 --"):
        answer = ask(store, name=name)
        assert answer["found"] is False, name
    unknown = ask(store, digest=digest_of("other"))
    assert unknown["reason"] == f"no run in the store made or used {digest_of('other')!r}"
    with pytest.raises(InvalidArgumentError, match="needs one of"):
        ask(store, digest="00000000", name="x")


def test_a_large_lineage_is_cut(store: Path, tmp_path: Path) -> None:
    """One data set that many runs used could make the page too large to open."""
    data = write(tmp_path / "data.csv", "a,b\n")
    with provml.start_run("many", store=store, collect=(), formats=(), run_id="hub") as run:
        run.log_dataset("table", data)
        for number in range(450):
            run.log_artifact(write(tmp_path / "part", str(number)), f"part {number}", copy=False)
    answer = ask(store, digest=digest_of("a,b\n"))
    assert len(answer["nodes"]) == 400
    assert answer["left_out"] == answer["total"] - 400 >= 52
    hub = next(node for node in answer["nodes"] if node["name"] == "hub")
    assert hub["hidden"] == answer["left_out"]


def test_a_dropped_file_is_hashed_and_walked(
    store: Path, tmp_path: Path, serve: Serve, browser: Browser
) -> None:
    """A person could not see where a file comes from, or not without a mouse."""
    record_chain(store, tmp_path)
    address = serve(store)
    browser.open(f"{address}file.html")
    assert "No file is chosen" in browser.run("return document.body.innerText")
    drop = """
        const transfer = new DataTransfer();
        transfer.items.add(new File([arguments[0]], "renamed.bin"));
        document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
    """
    browser.run(drop, "weights")
    browser.until("return document.querySelector('button.node.start')")
    assert digest_of("weights") in browser.driver.current_url
    assert browser.run("return document.querySelector('h1').textContent") == "Lineage of <b>net</b>"
    assert browser.run("return document.querySelector('main b')") is None
    browser.run("document.querySelector('button.node.start').focus()")
    browser.press("\ue012", "\ue012")  # two arrows to the left: the run, then its data
    assert "table" in browser.run("return document.activeElement.textContent")
    assert digest_of("a,b\n") in browser.run("return document.querySelector('.details').innerText")
    browser.press("\ue007")
    browser.until("return document.querySelector('h1')?.textContent === 'Lineage of table'")
    assert digest_of("a,b\n") in browser.driver.current_url
    browser.until("return document.activeElement.textContent.includes('table')")
    browser.driver.back()
    browser.until("return document.querySelector('h1')?.textContent === 'Lineage of <b>net</b>'")
    browser.run(drop, "never seen")
    browser.until("return document.querySelector('.message.empty')")
    said = browser.run("return document.querySelector('.message').innerText")
    assert "No run of this store made or used renamed.bin" in said


def test_a_digest_or_a_name_can_be_typed(
    store: Path, tmp_path: Path, serve: Serve, browser: Browser
) -> None:
    """A file that is too large for a browser, or on another machine, could not be looked up."""
    record_chain(store, tmp_path)
    browser.open(f"{serve(store)}file.html")
    browser.press("/", "report", "\ue007")
    browser.until("return document.querySelector('h1')?.textContent === 'Lineage of report'")
    field = browser.find("#start")
    field.clear()
    field.send_keys(digest_of("weights"), "\ue007")
    browser.until("return document.querySelector('h1')?.textContent === 'Lineage of <b>net</b>'")
    said = browser.run(
        "const big = new File(['x'], 'big.bin');"
        "Object.defineProperty(big, 'size', {value: 2 ** 31});"
        "return ui.fileDigest(big, () => {}, new AbortController().signal)"
        ".catch((error) => error.message)"
    )
    assert 'sha256sum "big.bin"' in said
