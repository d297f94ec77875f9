"""The files byte by byte, decoded by hand according to the docstring of `journal.layout`."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import zlib

import pytest

import provml
from provml.journal import layout


@pytest.fixture
def recorded(tmp_path):
    """A small run: the bytes of its two files, by hand."""
    run = provml.start_run("layout", store=tmp_path, formats=())
    run.log_metric("loss", 0.5, provml.Context.TRAINING, step=7, epoch=3, timestamp=1.25)
    run.log_metric("loss", -0.0, provml.Context.TRAINING, timestamp=-1)
    run.log_metric("count", 2**63 - 1, step=-(2**63) + 1, timestamp=0)
    run.log_metric("count", -5, epoch=2**31 - 1, timestamp=2)
    run.log_metric("note", "läuft", step=1, timestamp=3, unit="text")
    run.log_metric("big", 2**70, step=2, timestamp=4)
    run.end_run()
    (samples,) = run.path.glob("journal/*.samples")
    (events,) = run.path.glob("journal/*.events.jsonl")
    return run, samples, events


def test_the_names_of_the_files(recorded):
    """Another program would not find a run's files, or not in the order of their start."""
    run, samples, events = recorded
    assert samples.name.removesuffix(".samples") == events.name.removesuffix(".events.jsonl")
    start, pid, random = samples.name.removesuffix(".samples").split("-")
    assert (len(start), int(pid), len(random)) == (20, os.getpid(), 8)
    assert sorted(os.listdir(run.path)) == ["journal", "run.json"]
    assert json.loads((run.path / "run.json").read_bytes())["format"] == 1


def test_every_byte_of_the_samples_file(recorded):
    """A file written by one version would be misread by another program or version."""
    _, samples, events = recorded
    content = samples.read_bytes()
    assert len(content) == 64 + 6 * 32

    assert content[0:8] == bytes.fromhex("89 50 52 4F 56 4D 4C 0A") == b"\x89PROVML\n"
    assert struct.unpack("<H", content[8:10]) == (1,)
    assert struct.unpack("<H", content[10:12]) == (32,)
    assert struct.unpack("<I", content[12:16]) == (64,)
    (created_ns,) = struct.unpack("<q", content[16:24])
    assert created_ns == int(samples.name.partition("-")[0])
    assert struct.unpack("<Q", content[24:32]) == (0,)
    assert struct.unpack("<Q", content[32:40]) == (0,)
    (ended_ns,) = struct.unpack("<q", content[40:48])
    assert created_ns < ended_ns < created_ns + 60 * 10**9
    assert struct.unpack("<I", content[48:52]) == (1,)
    assert struct.unpack("<I", content[52:56]) == (zlib.crc32(content[:52]),)
    assert content[56:64] == bytes(8)

    lines = events.read_bytes()
    note = lines.index(b'{"record":"sample","series":3')
    big = lines.index(b'{"record":"sample","series":4')
    none, second = -(2**63), 10**9
    expected = [
        ("<qqdiI", 1_250_000_000, 7, 0.5, 3, 1),
        ("<qqdiI", -second, none, -0.0, -1, 1),
        ("<qqqiI", 0, none + 1, 2**63 - 1, -1, 2),
        ("<qqqiI", 2 * second, none, -5, 2**31 - 1, 2),
        ("<qqQiI", 3 * second, 1, note, -1, 3),
        ("<qqQiI", 4 * second, 2, big, -1, 4),
    ]
    for number, (form, *fields) in enumerate(expected):
        start = 64 + 32 * number
        assert content[start : start + 32] == struct.pack(form, *fields)


def test_every_line_of_the_events_file(recorded):
    """The events file would be misread by another program or version."""
    _, samples, events = recorded
    content = events.read_bytes()
    assert content.isascii()
    assert content.endswith(b"\n")
    lines = [json.loads(line) for line in content.splitlines()]
    kinds = [line["record"] for line in lines]
    assert kinds[:2] == ["writer", "start"]
    assert kinds[2:8] == ["series", "series", "series", "sample", "series", "sample"]
    assert kinds[8:] == ["checksums", "end", "closed"]
    start = 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        own = lines[number - 1]
        assert own["line"] == number
        assert own.get("at", start) == start
        body, _, _ = line.rpartition(b',"crc32"')
        name = events.name.removesuffix(".events.jsonl").encode()
        assert own["crc32"] == f"{zlib.crc32(body, zlib.crc32(name)):08x}"
        assert own["record"] not in ("sample", "closed") or "at" in own
        start += len(line)
    assert lines[8]["first"] == 0
    assert lines[8]["blocks"] == f"{zlib.crc32(samples.read_bytes()[64:]):08x}"
    assert lines[10]["size"] == samples.stat().st_size
    assert lines[10]["header"] == f"{zlib.crc32(samples.read_bytes()[:52]):08x}"
    assert lines[10]["run_file"] == lines[0]["run_file"]
    for line in lines:
        for key in ("line", "crc32", "at"):
            line.pop(key, None)

    writer = lines[0]
    assert writer["format"] == 1
    assert writer["role"] == "owner"
    assert writer["time"] == int(samples.name.partition("-")[0])
    assert (writer["pid"], writer["host"]) == (os.getpid(), socket.gethostname())

    by_number = {line["series"]: line for line in lines if line["record"] == "series"}
    assert by_number[1] == {
        "record": "series",
        "series": 1,
        "kind": "metric",
        "name": "loss",
        "context": ["training"],
        "storage": "f64",
    }
    assert [by_number[n]["name"] for n in range(1, 5)] == ["loss", "count", "note", "big"]
    assert [by_number[n]["storage"] for n in range(1, 5)] == ["f64", "i64", "text", "text"]
    assert (by_number[3]["unit"], by_number[2]["context"]) == ("text", None)

    note, big = (line for line in lines if line["record"] == "sample")
    assert (note["value"], note["step"], note["time"]) == ("läuft", 1, 3 * 10**9)
    assert big["value"] == {"$": str(2**70), "type": "integer"}

    assert lines[9].keys() == {"record", "time", "status", "slots"}
    assert lines[9]["status"] == "finished"


def test_a_file_made_by_hand_is_read(tmp_path):
    """A file that another program wrote according to the description would not be read."""
    journal = tmp_path / "store" / "by hand" / "one" / "journal"
    journal.mkdir(parents=True)
    stem = "00000000000000000005-12-0123abcd"
    lines = [
        {"record": "writer", "format": 1, "time": 5, "role": "owner", "pid": 12, "host": "h"},
        {
            "record": "series",
            "series": 1,
            "kind": "metric",
            "name": "m",
            "context": ["a", "b"],
            "storage": "f64",
        },
        {"record": "end", "time": 99, "status": "interrupted", "reason": "by hand"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (journal / f"{stem}.events.jsonl").write_text(text)
    header = b"\x89PROVML\n" + struct.pack("<HHIqQQqI", 1, 32, 64, 5, 7, 8, 0, 0) + bytes(12)
    records = [struct.pack("<qqdiI", 10 + i, i, i / 4, i, 1) for i in range(4)]
    (journal / f"{stem}.samples").write_bytes(header + b"".join(records) + bytes(3200))
    run = provml.load(tmp_path / "store" / "by hand" / "one")
    assert (run.id, run.experiment) == ("one", "by hand")
    assert (run.status, run.reason, run.dropped) == ("interrupted", "by hand", (7, 8))
    series = run.series("m", provml.Context("b", parent=provml.Context("a")))
    assert series.time_ns.tolist() == [10, 11, 12, 13]
    assert series.step.tolist() == series.epoch.tolist() == [0, 1, 2, 3]
    assert series.value.tolist() == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(("status", "code"), [("finished", 1), ("failed", 2), ("interrupted", 3)])
def test_the_header_says_how_the_writer_ended(tmp_path, status, code):
    """A run whose end line was lost would be said to have ended otherwise."""
    run = provml.start_run("layout", store=tmp_path, formats=())
    run.end_run(status)
    (samples,) = run.path.glob("journal/*.samples")
    content = samples.read_bytes()
    assert len(content) == 64
    assert struct.unpack("<I", content[48:52]) == (code,)


def test_an_open_file_is_preallocated_with_zeros(tmp_path):
    """A full disk would cause a SIGBUS when memory is written, not an error on allocation."""
    with provml.start_run("layout", store=tmp_path, formats=()) as run:
        (samples,) = run.path.glob("journal/*.samples")
        size = samples.stat().st_size
        assert size % 32 == 0
        assert samples.stat().st_blocks * 512 >= size > 64
        run.log_metric("m", 1.0)
        content = samples.read_bytes()
        assert content[64:96] != bytes(32)
        assert content[96:] == bytes(size - 96)
        assert content[40:64] == bytes(24)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("plain", "plain"),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        (" ends. ", "%20ends.%20"),
        ("", "~"),
        ("~", "%7E"),
        ("50%", "50%25"),
        ("läuft", "läuft"),
        ("a\x00b\n", "a%00b%0A"),
    ],
)
def test_the_folder_of_an_experiment(tmp_path, name, folder):
    """An experiment's name would lead out of the store, or to another experiment's folder."""
    assert layout.encode_folder_name(name) == folder
    with provml.start_run(name, store=tmp_path, formats=()) as run:
        pass
    assert run.path.parent == tmp_path / folder
    assert provml.load(run.path).experiment == name


def test_a_name_too_long_for_a_folder(tmp_path):
    """A long experiment name would fail in the file system, or two names would share a folder."""
    names = ["x" * 4000, "x" * 4001, "模型" * 200]
    folders = [layout.encode_folder_name(name) for name in names]
    assert len(set(folders)) == 3
    assert all(len(folder.encode()) <= 200 for folder in folders)
    run = provml.start_run(names[2], store=tmp_path, formats=())
    run.end_run()
    assert provml.load(run.path).experiment == names[2]


_REFILL = """
import itertools, sys
import provml
from provml.journal.sample_files import fill_in

run = provml.start_run("refill", run_id="r", store=sys.argv[1], formats=(), sample_interval_s=0)
slots = []
run._writer.sample(("metric", "m", None, None, "f64"), 0, 0, 0, 2.5, slots)
print("ready", flush=True)
for number in itertools.count():
    fill_in(slots[0], number, number)
"""


def test_a_reader_sees_the_old_step_and_epoch_or_the_new_ones(tmp_path):
    """While a point gets its step and epoch, a reader sees one of them alone, or a half of one."""
    with subprocess.Popen(
        [sys.executable, "-c", _REFILL, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            (path,) = (tmp_path / "refill" / "r" / "journal").glob("*.samples")
            seen = set()
            with path.open("rb", buffering=0) as file:
                for _ in range(100_000):
                    record = os.pread(file.fileno(), 32, 64)
                    _, step, value, epoch, _ = struct.unpack("<qqdiI", record)
                    seen.add((step - epoch, value))
        finally:
            process.kill()
    assert seen == {(0, 2.5)}


def test_a_file_has_its_first_line_when_it_appears(tmp_path):
    """A process that is killed at its start would leave a file that says nobody wrote it."""
    with provml.start_run("new", store=tmp_path, formats=()) as run:
        (path,) = run.path.glob("journal/*.events.jsonl")
        writer = json.loads(path.read_bytes().splitlines()[0])
        assert writer["record"] == "writer"
        assert writer["lock"] == "flock"
        assert writer["file_system"] == path.stat().st_dev
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert sorted(path.parent.iterdir()) == sorted(path.parent.glob("0*"))
