"""The answers about one run: complete, exact, bounded, and without control characters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

import provml
from provml import Context
from provml.errors import InvalidArgumentError, RunNotFoundError
from provml.ui.answers import find_answer
from provml.ui.browsed_store import BrowsedStore
from provml.ui.kept_output import clean_text
from provml.ui.queries import Query

Ask = Callable[..., dict[str, Any]]


def ask_store(store: Path) -> Ask:
    """Return a function that asks for data about a run, and gets what a browser would get."""
    browsed = BrowsedStore(store)

    def request(data: str, /, **parameters: object) -> dict[str, Any]:
        answer = find_answer(data)
        assert answer is not None
        query = Query((key, str(value)) for key, value in parameters.items())
        made: dict[str, Any] = json.loads(json.dumps(answer(browsed, query), allow_nan=False))
        return made

    return request


@pytest.fixture
def ask(store: Path) -> Ask:
    """Ask for data about the runs of a new store."""
    return ask_store(store)


def key_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


SCRIPT = """
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", default=3)
parser.add_argument("--lr", default=1.0)
parser.parse_args()
for i in range(9000):
    print(f"line {i} \\x1b[31mZażółć\\x1b[0m <b>")
print("50 %\\r100 %", flush=True)
print("ż" * 300_000, file=sys.stderr)
print("gone wrong", file=sys.stderr)
raise SystemExit(3)
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a failed run of ``provml run`` that printed a lot."""
    store = tmp_path_factory.mktemp("printed") / "provenance"
    script = store.parent / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "provml", "run", "--store", str(store), "--trace", "off", "--"]
    command += [sys.executable, script.name, "--lr=0.5"]
    subprocess.run(command, cwd=store.parent, capture_output=True, check=False)
    (found,) = store.glob("*/*/run.json")
    return found.parent


def test_the_overview_answers_what_is_asked_first(store: Path, ask: Ask, tmp_path: Path) -> None:
    """The page would lack a result, a setting, or where a value was reached."""
    data = tmp_path / "data.csv"
    data.write_text("a,b\n")
    with provml.start_run("digits", store=store, collect=(), owner="Ada") as run:
        run.log_params({"lr": 0.1, "big": 2**60, "nan": float("nan"), "layers": [64, 64]})
        run.set_tag("stage", "dev")
        run.log_dataset("table", data)
        for step, value in enumerate((0.5, float("nan"), 0.2, 0.9)):
            run.log_metric("loss", value, Context.TRAINING, step, epoch=step // 2)
        run.log_event("checkpoint", metadata={"path": "a.pt"})
    found = ask("run", run=key_of(run.path))
    assert (found["status"], found["owner"], found["tags"]) == ("finished", "Ada", {"stage": "dev"})
    settings = {name: value for name, value, _ in found["settings"]["values"]}
    assert settings == {"lr": 0.1, "big": str(2**60), "nan": "NaN", "layers": [64, 64]}
    (metric,) = found["metrics"]
    assert (metric["context"], metric["count"]) == (["training"], 4)
    assert (metric["last"], metric["last_at"]) == (0.9, [3, 1])
    assert (metric["min"], metric["min_at"]) == (0.2, [2, 1])
    assert (metric["max"], metric["max_at"]) == (0.9, [3, 1])
    assert (found["counts"]["dataset"], found["events"]) == (1, 1)
    assert {one["format"] for one in found["formats"]} >= {"provjson", "turtle", "html"}
    (event,) = ask("events", run=key_of(run.path))["events"]
    assert (event["name"], event["metadata"]) == ("checkpoint", {"path": "a.pt"})
    files = ask("files", run=key_of(run.path))["files"]
    assert [(one["role"], one["name"]) for one in files if one["role"] == "in"] == [("in", "table")]
    assert all(len(one["sha256"]) == 64 for one in files)
    assert ask("validity", run=key_of(run.path))["conforms"] is True


def test_the_page_is_current_after_each_change(store: Path, ask: Ask) -> None:
    """A page that was loaded before would show old values, or a removed run."""
    with provml.start_run("live", store=store, collect=()) as run:
        key = key_of(run.path)
        run.log_metric("loss", 1.0, step=0)
        assert ask("run", run=key)["status"] == "running"

        def has_value(value: float) -> bool:
            return any(one["last"] == value for one in ask("run", run=key)["metrics"])

        for step in range(1, 4):
            run.log_metric("loss", step * 1.0, step=step)
            until(lambda value=step * 1.0: has_value(value), "the new value")
    found = ask("run", run=key)
    assert (found["status"], found["metrics"][0]["count"]) == ("finished", 4)
    shutil.rmtree(run.path)
    with pytest.raises(RunNotFoundError, match="renamed or removed"):
        ask("run", run=key)


def test_given_settings_come_before_defaults(printed: Path) -> None:
    """A person could not see what the command set among many defaults."""
    found = ask_store(printed.parent.parent)("run", run=key_of(printed))
    assert found["settings"]["values"] == [["lr", "0.5", "given"], ["epochs", 3, "default"]]


def test_output_is_paged_and_searched(printed: Path) -> None:
    """A part of the output could not be seen, or would be seen twice."""
    ask, key = ask_store(printed.parent.parent), key_of(printed)
    overview = ask("run", run=key)
    assert (overview["status"], overview["output"]["name"]) == ("failed", "stderr")
    assert overview["output"]["lines"][-1] == "gone wrong"
    logs = ask("output", run=key)["logs"]
    assert [(log["name"], log["live"]) for log in logs] == [("stdout", False), ("stderr", False)]
    assert logs[0]["text"].endswith("line 8999 Zażółć <b>\n100 %\n")
    lines = read_all(ask, key, "stdout").splitlines()
    assert lines == [*(f"line {i} Zażółć <b>" for i in range(9000)), "100 %"]
    assert read_all(ask, key, "stderr") == "ż" * 300_000 + "\ngone wrong\n"
    (found,) = ask("output", run=key, name="stdout", find="LINE 8123 ")["matches"]
    assert found["line"] == "line 8123 Zażółć <b>"
    around = ask("output", run=key, name="stdout", offset=found["offset"], limit=100)
    assert around["text"].startswith("line 8123 ")
    before = ask("output", run=key, name="stdout", before=found["offset"], limit=100)
    assert (before["end"], before["text"][-21:]) == (found["offset"], "line 8122 Zażółć <b>\n")
    many = ask("output", run=key, name="stdout", find="line")
    assert (len(many["matches"]), many["more"]) == (500, True)
    with pytest.raises(InvalidArgumentError, match="kept no copy named 'x'"):
        ask("output", run=key, name="x")


def read_all(ask: Ask, key: str, name: str) -> str:
    """Read a log in parts, forwards and backwards; both must give the same text."""
    text, offset, size = "", 0, 1
    while offset < size:
        part = ask("output", run=key, name=name, offset=offset, limit=49_999)
        assert part["offset"] == offset < part["end"]
        text, offset, size = text + part["text"], part["end"], part["size"]
    backwards = ""
    while offset:
        part = ask("output", run=key, name=name, before=offset, limit=49_999)
        assert part["offset"] < offset == part["end"]
        backwards, offset = part["text"] + backwards, part["offset"]
    assert text == backwards
    return text


def test_a_copy_of_code_can_be_shown(printed: Path) -> None:
    """A person could not look at the code of a run."""
    ask, key = ask_store(printed.parent.parent), key_of(printed)
    (code,) = [one for one in ask("files", run=key)["files"] if one["role"] == "code"]
    assert ask("output", run=key, digest=code["sha256"], offset=0)["text"] == SCRIPT


def test_no_record_leads_out_of_the_run(printed: Path, store: Path, ask: Ask) -> None:
    """A store from somebody else could show the files of this machine."""
    secret = store.parent / "secret"
    secret.write_text("secret\n")
    for number, copy in enumerate(("../../../secret", str(secret), "artifacts/link")):
        path = store / "hostile" / str(number)
        shutil.copytree(printed, path)
        os.symlink(secret, path / "artifacts" / "link")
        for events in path.glob("journal/*.events.jsonl"):
            lines = [json.loads(line) for line in events.read_bytes().splitlines()]
            kept = [one for one in lines if one["record"] not in ("closed", "checksums")]
            for line in kept:
                del line["crc32"], line["line"]
                if line.get("name") in ("stdout", "stderr"):
                    line["content"]["copy"] = copy
            events.write_text("".join(json.dumps(line) + "\n" for line in kept))
        assert ask("output", run=key_of(path))["logs"] == []
        assert ask("run", run=key_of(path))["output"] is None


def test_running_output_is_shown(store: Path, ask: Ask) -> None:
    """The output of a command would be seen only after its end."""
    script = store.parent / "script.py"
    script.write_text("print('begun', flush=True)\ninput()\nprint('done')\n")
    command = [sys.executable, "-m", "provml", "run", "--store", str(store), "--trace", "off"]
    process = subprocess.Popen(
        [*command, "--", sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        until(lambda: [*store.glob("*/*/artifacts/stdout-*/stdout")], "the log")
        (path,) = (one.parent for one in store.glob("*/*/run.json"))
        key = key_of(path)
        until(lambda: ask("output", run=key, name="stdout")["text"] == "begun\n", "the output")
        assert ask("output", run=key)["logs"][0]["live"] is True
        assert ask("run", run=key)["output"]["lines"] == ["begun"]
    finally:
        process.communicate(b"\n")
    (log,) = ask("output", run=key)["logs"][:1]
    assert (log["text"], log["live"]) == ("begun\ndone\n", False)


def test_hostile_values_are_bounded(store: Path, ask: Ask) -> None:
    """One run could make the page too large to open, or its names could be lost."""
    names = ["<img src=x onerror=alert(1)>", "\u202egnp", "__proto__", "🦄", "x" * 4000]
    with provml.start_run("odd", store=store, collect=(), formats=()) as run:
        for name in names:
            run.log_param(name, "y" * 100_000)
            run.log_event(name, metadata={"text": "z" * 100_000})
        run.log_params({f"p{i}": i for i in range(12_000)})
    found = ask("run", run=key_of(run.path))
    assert found["settings"]["count"] == 12_000 + len(names)
    assert len(found["settings"]["values"]) == 10_000
    assert [name for name, _, _ in found["settings"]["values"]][: len(names)] == names
    assert len(json.dumps(found)) < 1_000_000
    assert len(json.dumps(ask("events", run=key_of(run.path)))) < 100_000


def test_damage_is_said(store: Path, ask: Ask) -> None:
    """The page would show a run as intact although records are lost."""
    with provml.start_run("hurt", store=store, collect=()) as run:
        for step in range(5000):
            run.log_metric("loss", 1.0, step=step)
    (samples,) = run.path.glob("journal/*.samples")
    content = bytearray(samples.read_bytes())
    content[40_000] ^= 0xFF
    samples.write_bytes(content)
    assert ask("run", run=key_of(run.path))["damage"]
    assert ask("validity", run=key_of(run.path))["damage"]


def test_parents_and_children_are_linked(store: Path, ask: Ask) -> None:
    """A person could not get from a trial to its sweep and back."""
    with (
        provml.start_run("sweep", store=store, collect=()) as parent,
        provml.start_run("trial", store=store, collect=(), parent=parent) as child,
    ):
        pass
    found = ask("run", run=key_of(child.path))["parent"]
    assert found == {"name": f"sweep/{parent.id}", "key": key_of(parent.path)}
    shutil.rmtree(parent.path)
    assert ask("run", run=key_of(child.path))["parent"]["key"] is None


def test_printed_text_has_no_control_characters() -> None:
    """A title, a colour or an overwritten line would appear in the text."""
    printed = (
        b"\x1b]0;title\x07a\x1b[1;31mred\x1b[0m\tb\r\n10%\r20%\r30%\n\x1b(Bc\x00d\xff\xe2\x80\xae\n"
    )
    assert clean_text(printed) == "ared\tb\n30%\ncd\ufffd\n"
