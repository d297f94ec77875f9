"""A store may come from anyone: commands that read one answer in time, and touch nothing else."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.cli import execute
from provml.journal import layout

LIMIT_S = 60
SPARSE_BYTES = 300 * 10**9
COMMANDS = [
    ["runs"],
    ["runs", "--json"],
    ["runs", "--where", "status == 'finished' or started > '2020-01-01'"],
    ["index"],
    ["sql", "select count(*) from runs"],
    ["history", "net"],
    ["show", "latest"],
    ["show", "victim"],
    ["show", "victim", "--resources"],
    ["show", "victim", "--json"],
    ["lineage", "good"],
    ["diff", "good", "victim"],
    ["plot", "victim", "-o", "{out}/plot.svg"],
    ["export", "victim", "-o", "{out}/run.json", "--detail", "series"],
    ["export", "victim", "-o", "{out}/run.html"],
    ["query", "SELECT (count(*) AS ?n) { ?s a provml:Run }"],
    ["validate", "victim", "--schema"],
]


SOME = [["runs"], ["show", "victim"], ["index"], ["export", "victim", "-o", "{out}/run.json"]]
"""The commands of the quick tests. They read a store in every way in which provml does."""


def _record(store: Path, run_id: str, files: Path) -> Path:
    """Record a run with a record of almost every kind."""
    with provml.start_run("x", store=store, run_id=run_id, formats=("provjson",)) as run:
        run.log_params({"lr": 0.1, "layers": [1, 2], "opt": {"name": "sgd"}})
        run.set_tag("note", "t")
        run.update_metadata("k", {"a": 1})
        for step in range(3):
            run.log_metric("loss", step / 2, provml.Context.TRAINING, step=step, epoch=0)
            run.log_metric("count", step, step=step)
            run.log_metric("note", f"text {step}", step=step)
        run.log_event("save_started", source="me", metadata={"a": 1}, step=1)
        run.log_event("save_finish", source="me")
        run.log_dataset("data", files / "data.csv")
        run.log_model("net", files / "model.bin")
        run.log_artifact(files / "model.bin")
        run.log("a message", level="info")
    return run.path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a good run and a run that the tests attack, and the files beside it."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "data.csv").write_text("a,b\n1,2\n")
    (folder / "model.bin").write_bytes(b"model")
    _record(folder / "store", "good", folder)
    _record(folder / "store", "victim", folder)
    return folder


class Ground:
    """A copy of the template, with a watched folder beside the store."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.store = folder / "store"
        self.out = folder / "out"
        self.outside = folder / "outside"
        shutil.copytree(template / "store", self.store)
        self.out.mkdir()
        shutil.copytree(self.store / "x" / "victim", self.outside / "victim")
        (self.outside / "thesis.tex").write_text("years of work")
        self.victim = self.store / "x" / "victim"
        (self.events,) = self.victim.glob("journal/*.events.jsonl")
        (self.samples,) = self.victim.glob("journal/*.samples")

    def places(self) -> dict[str, Path]:
        """The paths that a hostile store may put something else at."""
        return {
            "experiment": self.store / "x",
            "run": self.victim,
            "run.json": self.victim / "run.json",
            "journal": self.victim / "journal",
            "events": self.events,
            "samples": self.samples,
            "artifacts": self.victim / "artifacts",
            "document": self.victim / "provenance.json",
        }


@pytest.fixture
def ground(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Ground(tmp_path, template)


def _take_stock(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """The type, mode, time and content of everything in a folder."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_size, content)
    return found


class TookTooLongError(BaseException):
    """A command took too long. No handler of the code under test catches it."""


@contextmanager
def _time_limit(what: object) -> Iterator[None]:
    """Fail if the block takes too long, for example because it opens a named pipe."""

    def stop(*_: object) -> None:
        raise TookTooLongError(f"{what} took more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _run_commands(
    ground: Ground, capsys: pytest.CaptureFixture[str], commands: list[list[str]]
) -> dict[str, str]:
    """Run commands on the store, and return what they print. They may fail, but not raise."""
    before = _take_stock(ground.outside)
    printed = {}
    for command in commands:
        words = [word.replace("{out}", str(ground.out)) for word in command]
        words += ["--store", str(ground.store)]
        if words[0] == "query":  # it forks, and its child would go on as another pytest
            line = [sys.executable, "-m", "provml", *words]
            done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_S)
            status, text = done.returncode, done.stdout + done.stderr
        else:
            with _time_limit(command):
                status = execute(words)
            captured = capsys.readouterr()
            text = captured.out + captured.err
        assert status in (0, 1, 2), command
        printed[" ".join(command)] = text
    assert _take_stock(ground.outside) == before
    return printed


# -- links and special files ----------------------------------------------------------------------


def _to_copy(place: Path, ground: Ground) -> None:
    """Move the content out of the store, and leave a link to it."""
    target = ground.outside / "moved"
    shutil.move(place, target)
    place.symlink_to(target)


def _to_dangling(place: Path, ground: Ground) -> None:
    _remove(place)
    place.symlink_to(ground.outside / "missing")


def _to_itself(place: Path, ground: Ground) -> None:
    _remove(place)
    place.symlink_to(place)


def _to_zeros(place: Path, ground: Ground) -> None:
    _remove(place)
    place.symlink_to("/dev/zero")


def _to_pipe(place: Path, ground: Ground) -> None:
    _remove(place)
    os.mkfifo(place)


def _to_socket(place: Path, ground: Ground) -> None:
    _remove(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:  # a short path, which the address needs
            server.bind(f"/proc/self/fd/{folder}/{place.name[:40]}")
        (place.parent / place.name[:40]).rename(place)
    finally:
        os.close(folder)


def _to_other_kind(place: Path, ground: Ground) -> None:
    """A folder in the place of a file, and a file in the place of a folder."""
    was_folder = place.is_dir()
    _remove(place)
    if was_folder:
        place.write_bytes(b"file")
    else:
        place.mkdir()


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()


ATTACKS = [_to_copy, _to_dangling, _to_itself, _to_zeros, _to_pipe, _to_socket, _to_other_kind]
PLACES = ["experiment", "run", "run.json", "journal", "events", "samples", "artifacts", "document"]
_QUICK = {("run", "_to_copy"), ("run.json", "_to_pipe"), ("events", "_to_zeros")}
_QUICK |= {("samples", "_to_copy"), ("journal", "_to_copy")}
EXTENT = [pytest.param(SOME, id="some"), pytest.param(COMMANDS, id="all", marks=pytest.mark.soak)]
LAYOUTS = [
    pytest.param(
        place,
        attack,
        SOME if (place, attack.__name__) in _QUICK else COMMANDS,
        id=f"{place}{attack.__name__}",
        marks=() if (place, attack.__name__) in _QUICK else pytest.mark.soak,
    )
    for place in PLACES
    for attack in ATTACKS
]


@pytest.mark.parametrize(("place", "attack", "commands"), LAYOUTS)
def test_no_link_is_followed_and_no_command_hangs(
    place: str,
    attack: Callable[[Path, Ground], None],
    commands: list[list[str]],
    ground: Ground,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A store could read or change files outside it, or hang a command, through one entry."""
    attack(ground.places()[place], ground)
    printed = _run_commands(ground, capsys, commands)
    if place != "experiment":
        assert "good" in printed["runs"]
    if place not in ("artifacts", "document") and attack is not _to_other_kind:
        name = "x" if place == "experiment" else "victim"
        assert name in printed["runs"]
        assert "can't be read" in printed["runs"]


@pytest.mark.parametrize("place", ["run.json", "events", "samples"])
@pytest.mark.parametrize("commands", EXTENT)
def test_a_sparse_file_is_read_without_its_holes(
    place: str, commands: list[list[str]], ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that claims 300 GB would keep every command on the store busy for minutes."""
    os.truncate(ground.places()[place], SPARSE_BYTES)
    printed = _run_commands(ground, capsys, commands)
    assert "victim" in printed["runs"]
    assert "good" in printed["runs"]


@pytest.mark.parametrize("commands", EXTENT)
def test_names_of_every_kind_are_listed(
    commands: list[list[str]], ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name with control characters, or one that is not UTF-8, would break or colour a listing."""
    names = [b"new\nline", b"\x1b[31mred", b"\xff\xfe", b"a" * 255, b"'; DROP TABLE runs", b"%2F"]
    names += ["e\u0301".encode(), b" ", b"-rf", b"*", "\u202egnp".encode()]
    source = os.fsencode(ground.victim)
    for name in names:
        shutil.copytree(source, os.fsencode(ground.store / "x") + b"/" + name)
        shutil.copytree(source, os.fsencode(ground.store) + b"/" + name + b"/" + name)
    printed = _run_commands(ground, capsys, commands)
    assert "\x1b" not in "".join(printed.values())
    assert len(printed["runs"].splitlines()) == 2 + 2 * len(names)


@pytest.mark.parametrize("commands", EXTENT)
def test_a_folder_of_thousands_of_files(
    commands: list[list[str]], ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thousands of files in a store, a run or a journal would make a command take minutes."""
    for folder in (ground.store, ground.store / "x", ground.victim, ground.victim / "journal"):
        for number in range(2_000):
            (folder / f"file {number}").touch()
    assert "good" in _run_commands(ground, capsys, commands)["runs"]


# -- values of the wrong type ---------------------------------------------------------------------

WRONG: list[Any] = [None, True, -1, 0, 10**18, 2**63, 2**64 - 1, 2**32 - 1, -(2**63), 10**400]
WRONG += [0.5, 1e308, "", "x", "\x1b[2J", "\x00", "../../..", "/etc/passwd", "run", "latest"]
WRONG += [
    [],
    {},
    [[]],
    {"$": 1},
    {"$": "x", "type": "integer"},
    {"type": "array"},
    [None],
    ["a", 1],
]
WRONG += [{"$": "1" * 5000, "type": "integer"}, {"$": "1e999999999", "type": "decimal"}]
WRONG += [{"$": "9" * 30, "type": "dateTime"}, {"$": [1], "type": "array", "dtype": "O"}]
WRONG += [{"$": [], "type": "array", "dtype": "f8", "shape": [10**18, 0]}, "NaN", "1e5", "\u202e"]
RAW = ["NaN", "Infinity", "1e999", "[" * 100_000, '"\\ud800"', "1" * 5_000, '{"a":' * 3_000]


def _change_field(chance: random.Random, record: dict[str, Any]) -> str:
    """Return a record as JSON with one field, at any depth, changed, removed or added."""
    record = copy.deepcopy(record)
    holder: Any = record
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = chance.choice(keys)
        if not (isinstance(holder[key], (dict, list)) and holder[key] and chance.random() < 0.7):
            break
        holder = holder[key]
    kind = chance.random()
    if kind < 0.1:
        del holder[key]
        return json.dumps(record)
    if kind < 0.25:
        holder[key] = "@raw@"
        return json.dumps(record).replace('"@raw@"', chance.choice(RAW))
    holder[key] = chance.choice(WRONG)
    return json.dumps(record)


def _change_events(chance: random.Random, ground: Ground) -> None:
    lines = ground.events.read_text().splitlines()
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        try:
            record = json.loads(lines[number])
        except (ValueError, RecursionError):
            continue
        lines[number] = _change_field(chance, record)
    ground.events.write_text("\n".join(lines) + "\n")


def _change_description(chance: random.Random, ground: Ground) -> None:
    path = ground.victim / "run.json"
    path.write_text(_change_field(chance, json.loads(path.read_text())))


def _change_samples(chance: random.Random, ground: Ground) -> None:
    content = bytearray(ground.samples.read_bytes())
    extremes = [0, -1, 2**63 - 1, -(2**63), 1 << 62]
    for _ in range(chance.randint(1, 4)):
        slot = chance.randrange((len(content) - layout.HEADER_SIZE) // layout.RECORD_SIZE)
        offset = layout.HEADER_SIZE + slot * layout.RECORD_SIZE + chance.choice((0, 8, 16, 24))
        content[offset : offset + 8] = struct.pack("<q", chance.choice(extremes))
    if chance.random() < 0.3:
        offset = chance.choice((24, 32, 40))
        content[offset : offset + 8] = struct.pack("<q", chance.choice(extremes))
    ground.samples.write_bytes(content)


_FAST = [command for command in COMMANDS if command[0] not in ("validate", "plot", "query")]


@pytest.mark.parametrize(
    "seeds", [range(6), pytest.param(range(6, 400), marks=pytest.mark.soak)], ids=["some", "many"]
)
def test_values_of_the_wrong_type_never_raise(
    seeds: range, ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    """One field of the wrong type would end a command on the whole store with a traceback."""
    original = {path: path.read_bytes() for path in ground.victim.rglob("*") if path.is_file()}
    for seed in seeds:
        chance = random.Random(seed)
        change = chance.choices([_change_events, _change_description, _change_samples], [6, 1, 2])
        change[0](chance, ground)
        try:
            commands = SOME if len(seeds) < 10 else COMMANDS if seed % 10 == 0 else _FAST
            printed = _run_commands(ground, capsys, commands)
            assert "good" in printed["runs"]
            assert "left out" not in printed["index"] or "victim" in printed["index"]
        except Exception as error:
            raise AssertionError(f"seed {seed}, {change[0].__name__}") from error
        for path, content in original.items():
            path.write_bytes(content)
