"""Files without checksums, cut short, with flipped bits, holes, or of a newer version."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
from contextlib import contextmanager

import damaging
import pytest

import provml
from provml.errors import JournalError, ProvMLWarning
from provml.journal import layout
from provml.journal.reader import Journal
from provml.journal.store import scan_runs
from provml.model.mapping import RunMapping

# A sweep looks at every bit. The quick form of it looks at one in `every`, a prime number, so that
# it meets each bit of a byte.
SWEEP = pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.slow, id="all"), pytest.param(31, id="some")]
)


@pytest.fixture
def run(tmp_path):
    """A run that has ended, with a little of everything; nothing in it depends on the host."""
    with provml.start_run("damage", store=tmp_path, formats=(), owner="tester") as run:
        for i in range(4):
            run.log_metric("loss", i / 2, "training", step=i, epoch=0, timestamp=1_700_000_000 + i)
            run.log_metric("count", i, step=i, timestamp=1_700_000_000 + i)
            run.log_metric("note", f"note {i}", step=i, timestamp=1_700_000_000 + i)
        run.log_param("lr", 0.5)
        run.log_event("began", source="tester", metadata={"a": [1, None]}, step=1)
        run.log_event("work_started", timestamp=1_700_000_000)
        run.log_event("work_finish", timestamp=1_700_000_001)
    damaging.remove_checksums(run.path)
    return provml.load(run.path)


def file_of(run, suffix):
    (path,) = run.path.glob(f"journal/*{suffix}")
    return path


@contextmanager
def changed(path, content):
    """Replace the file's content for a moment."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def read_all(run, exports=True):
    """Call everything that reads: whatever raises here would raise for a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProvMLWarning)
        return _read_all(run, exports)


def _read_all(run, exports):
    recorded = provml.load(run.path)
    seen = {
        "status": recorded.status,
        "about": (recorded.reason, recorded.exception, recorded.dropped, recorded.started),
        "ended": recorded.ended,
        "params": recorded.params,
        "tags": recorded.tags,
        "events": recorded.events(),
        "times": [event.time for event in recorded.events()],
        "artifacts": recorded.artifacts(),
        "series": {},
    }
    for name, context in recorded.series_names():
        series = recorded.series(name, context)
        rows = zip(series.time_ns, series.step, series.epoch, series.value, strict=True)
        seen["series"][name, context and str(context)] = [
            (int(t), int(s), int(e), v) for t, s, e, v in rows
        ]
    journal = Journal(run.path)
    for _ in RunMapping(journal, "sample").statements():
        pass
    seen["damage"] = journal.damage()
    if exports:
        for detail in ("sample", "series"):
            sink = io.BytesIO()
            recorded.export("provjson", sink, detail)
            json.loads(sink.getvalue())
    return seen


def prefix_of(shorter, longer):
    return shorter == longer[: len(shorter)]


def test_an_undamaged_run_has_no_damage(run):
    """A sound run would be reported as damaged."""
    assert read_all(run)["damage"] == {}


@pytest.mark.slow
def test_samples_cut_at_every_byte(run):
    """A samples file cut short, by a copy or a quota, could not be read up to the cut."""
    path = file_of(run, ".samples")
    content, whole = path.read_bytes(), read_all(run)
    assert len(content) == 64 + 12 * 32
    for length in range(len(content) - 3 * 32, len(content)):
        with changed(path, content[:length]):
            seen = read_all(run)
        left, torn = divmod(length - 64, 32)
        missing = {"record cut off": 12 - left}
        assert seen["damage"] == missing | ({"torn last record": 1} if torn else {})
        assert sum(map(len, seen["series"].values())) == left
        for key, rows in seen["series"].items():
            assert prefix_of(rows, whole["series"][key])
        assert seen["events"] == whole["events"]
        assert seen["params"] == whole["params"]
        assert seen["status"] == "finished"


def test_a_samples_file_cut_within_its_header(run):
    """A samples file without a whole header would raise, or hide what the events file holds."""
    path = file_of(run, ".samples")
    content, whole = path.read_bytes(), read_all(run)
    for length in range(64):
        with changed(path, content[:length]):
            seen = read_all(run, exports=length in (0, 63))
        assert seen["damage"] == {f"{path.name}: the header can't be read": 1}
        assert seen["events"] == whole["events"]
        assert all(rows == [] for rows in seen["series"].values())


@SWEEP
def test_events_cut_at_every_byte(run, every):
    """A truncated events file could not be read up to the cut, or its loss would go unreported."""
    path = file_of(run, ".events.jsonl")
    content, whole = path.read_bytes(), read_all(run)
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for length in range(ends[-4], len(content), every):
        with changed(path, content[:length]):
            seen = read_all(run)
        assert seen["damage"] == ({} if length in ends else {"torn last line": 1})
        assert all(event in whole["events"] for event in seen["events"])
        assert len(seen["events"]) == sum(end <= length for end in ends[-4:-1])
        assert seen["params"] == whole["params"]
        assert seen["series"] == whole["series"]
        assert seen["status"] == "finished"  # the samples file's header has it too


def test_events_cut_in_front_of_every_line(run):
    """A text that was cut off would make its series, or all series, unreadable."""
    path = file_of(run, ".events.jsonl")
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for count in range(len(lines)):
        with changed(path, b"".join(lines[:count])):
            seen = read_all(run)
        notes = sum(b'"record":"sample"' in line for line in lines[:count])
        declared = sum(b'"record":"series"' in line for line in lines[:count])
        assert len(seen["series"]) == declared
        if declared == 3:
            lost = {"unreadable sample": 4 - notes} if notes < 4 else {}
            assert seen["damage"] == lost
            assert len(seen["series"]["note", None]) == notes
            assert len(seen["series"]["loss", "training"]) == 4
        else:
            assert seen["damage"]["sample of an undeclared series"] == 12 - 4 * declared


def flips(content, start, end, every=1):
    """The content with one bit of a stretch flipped at a time: byte, bit, content."""
    for number in range(8 * start, 8 * end, every):
        place, bit = divmod(number, 8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        yield place, bit, bytes(flipped)


@SWEEP
def test_every_bit_of_a_few_samples(run, every):
    """One flipped bit in the samples would make a run unreadable, or change other samples."""
    path = file_of(run, ".samples")
    content, whole = path.read_bytes(), read_all(run)
    # records 3 to 5: a float, an int and a text
    for place, bit, flipped in flips(content, 64 + 3 * 32, 64 + 6 * 32, every):
        with changed(path, flipped):
            seen = read_all(run, exports=bit in (0, 7) or place % 32 >= 24)
        assert (seen["status"], seen["events"]) == ("finished", whole["events"])
        gone = added = 0
        for key, rows in whole["series"].items():
            own = seen["series"][key]
            gone += sum(row not in own for row in rows)
            added += sum(row not in rows for row in own)
            kept = [row for row in rows if row in own]
            assert kept == [row for row in own if row in kept]
        assert gone == 1
        assert added + sum(seen["damage"].values()) == 1


@SWEEP
def test_every_bit_of_the_samples_header(run, every):
    """One flipped bit in the header would raise, except one that means a newer version."""
    path = file_of(run, ".samples")
    content, whole = path.read_bytes(), read_all(run)
    newer = 0
    for place, bit, flipped in flips(content, 0, 64, every):
        with changed(path, flipped):
            try:
                seen = read_all(run, exports=bit == 0)
            except JournalError as error:
                assert place in (8, 9)
                assert "format version" in str(error)
                newer += 1
                continue
        assert (seen["status"], seen["events"]) == ("finished", whole["events"])
        unreadable = place < 8 or 10 <= place < 16
        problem = "can't be read" if unreadable else "is damaged"
        damage = {f"{path.name}: the header {problem}": 1}
        assert seen["damage"] == (damage if unreadable or place >= 52 else {})
        assert unreadable or seen["series"] == whole["series"]
    assert newer == 15 or every > 1  # all bits of the version but the one that makes it 0


@pytest.mark.parametrize(
    ("part", "every"),
    [
        *(pytest.param(part, 1, marks=pytest.mark.slow, id=f"all-{part}") for part in range(4)),
        pytest.param(None, 31, id="some"),
    ],
)
def test_every_bit_of_the_events(run, part, every):
    """One flipped bit in the events file would make a run unreadable, or change other records."""
    path = file_of(run, ".events.jsonl")
    content, whole = path.read_bytes(), read_all(run)
    place = 0
    kinds = set()
    for number, line in enumerate(content.splitlines(keepends=True)):
        start, place = place, place + len(line)
        record = json.loads(line)
        # every byte of the first short line of a kind; of others some, and always the last
        first = len(line) < 200 and record["record"] not in kinds
        kinds.add(record["record"])
        if part is not None and number % 4 != part:  # the parts can run beside each other
            continue
        bits = [
            bit
            for own in sorted({*range(start, place, 1 if first else 12), place - 1})
            for bit in flips(content, own, own + 1)
        ]
        for own, bit, flipped in bits[::every]:
            with changed(path, flipped):
                try:
                    seen = read_all(run, exports=(own + bit) % 8 == 0)
                except JournalError as error:
                    assert number == 0
                    assert "format version" in str(error)
                    continue
            check_others(record, seen, whole, content[own] == ord("\n"))


def check_others(record, seen, whole, joined):
    """Everything outside the flipped line, and the line it was joined with, is still there."""
    lost = [event for event in whole["events"] if event not in seen["events"]]
    assert len(lost) <= (2 if joined else 1)
    assert not lost or joined or record["record"] == "event"
    if record["record"] != "param" and not joined:
        assert seen["params"] == whole["params"]
    if record["record"] not in ("end", "writer") and not joined:
        assert (seen["status"], seen["ended"]) == (whole["status"], whole["ended"])
    changed_series = [
        key for key in whole["series"] if seen["series"].get(key) != whole["series"][key]
    ]
    if record["record"] == "series":
        # one that takes another's number makes that one doubtful as well
        assert len(changed_series) <= 2
        if len(changed_series) == 2:
            assert joined or seen["damage"]
    elif not joined:
        assert changed_series in ([], ["note"]) or changed_series == [("note", None)]
        assert not changed_series or record["record"] == "sample"


@SWEEP
def test_every_bit_of_the_description(run, every):
    """One flipped bit in run.json would make a run unreadable, except for a newer version."""
    path = run.path / "run.json"
    content, whole = path.read_bytes(), read_all(run)
    for _, bit, flipped in flips(content, 0, len(content), every):
        with changed(path, flipped):
            try:
                seen = read_all(run, exports=bit == 0)
            except JournalError as error:
                assert "format version" in str(error)
                continue
        damage = {"run.json: the file is damaged", "unreadable run.json"}
        assert seen.pop("damage").keys() <= damage
        assert seen == {key: value for key, value in whole.items() if key != "damage"}


def test_garbage_instead_of_lines(run):
    """Lines that are JSON but not our records would raise in some reader."""
    path = file_of(run, ".events.jsonl")
    content, whole = path.read_bytes(), read_all(run)
    lines = content.splitlines(keepends=True)
    garbage = [
        b"\n",
        b"null\n",
        b"[1]\n",
        b'{"record":5}\n',
        b'{"record":["param"],"time":1700000000000000000}\n',
        b'{"record":"param"}\n',
        b'{"record":"param","time":1700000000000000000,"name":"g","value":{"$":5}}\n',
        b'{"record":"param","time":1700000000000000000,"name":"g","value":{"$":[],"type":"object"}}\n',
        b'{"record":"param","time":1700000000000000000,"name":"g",'
        b'"value":{"$":[1],"type":"array","dtype":"<U9999999999","shape":[1]}}\n',
        b'{"record":"event","time":1e400,"name":"g"}\n',
        b'{"record":"event","time":true,"name":{}}\n',
        b'{"record":"event","name":"g","time":1700000000000000000,"source":[1],"context":[2]}\n',
        b'{"record":"series","series":-1,"kind":"metric","name":"g","storage":"f64"}\n',
        b'{"record":"series","series":9,"kind":[],"name":"g","storage":"f64"}\n',
        b'{"record":"series","series":9,"kind":"metric","name":"g","storage":{}}\n',
        b'{"record":"digest","time":1700000000000000000,"id":[1],"content":{"sha256":"x"}}\n',
        b'{"record":"dataset","time":1700000000000000000,"id":{},"name":"g","content":{}}\n',
        b'{"record":"end","time":"soon","status":"finished"}\n',
        b'{"record":"end","time":5,"status":"never"}\n',
        b'{"record":"sample","series":3,"value":{"$":"x","type":"decimal"}}\n',
        b'{"a":' * 100_000 + b"\n",
        b"\xff\xfe\x00\n",
        b'"\xed\xa0\x80"\n',
        b'{"record":"event","time":1700000000000000000,"name":"\xed\xa0\x80"}\n',
        b'{"record":"event","time":1700000000000000000,"name":"\\udc80"}\n',
        b"9" * 10_000 + b"\n",
        b"\x00" * 5000 + b"\n",
    ]
    for line in garbage:
        with changed(path, b"".join([*lines[:3], line, *lines[3:]])):
            seen = read_all(run)
            assert len(list(scan_runs(run.path.parent.parent))) == 1
        # what follows stands elsewhere now, so that the texts can't be found
        assert seen["series"]["loss", "training"] == whole["series"]["loss", "training"]
        assert all(event in seen["events"] for event in whole["events"])
        assert seen["params"].items() >= whole["params"].items()
        assert seen["status"] == "finished"


@pytest.mark.parametrize(
    "record", ["dataset", "artifact", "model", "source", "environment", "start"]
)
def test_invalid_content(run, record):
    """A record with fields of the wrong types would make the export raise."""
    path = file_of(run, ".events.jsonl")
    content = path.read_bytes()
    for value in (None, 5, "text", [1], {"sha256": [1]}, {"shape": {}, "members": 5, "uri": 5}):
        fields = dict.fromkeys(("content", "git", "script", "packages", "host", "argv"), value)
        line = {"record": record, "time": 1_700_000_000 * 10**9, "name": "n", **fields}
        with changed(path, content + json.dumps(line).encode() + b"\n"):
            read_all(run)


def test_a_hole_is_skipped_and_counted(run):
    """The slot that a killed thread did not fill would be read as a sample."""
    path = file_of(run, ".samples")
    content, whole = path.read_bytes(), read_all(run)
    start = 64 + 3 * 32
    half_filled = content[start : start + 28] + bytes(4)
    for hole in (bytes(32), half_filled):
        with changed(path, content[:start] + hole + content[start + 32 :]):
            seen = read_all(run)
        assert seen["damage"] == {"hole": 1}
        loss = whole["series"]["loss", "training"]
        assert seen["series"]["loss", "training"] == [loss[0], *loss[2:]]
        assert seen["series"]["count", None] == whole["series"]["count", None]
    with changed(path, content + bytes(32 * 1000)):
        assert read_all(run)["damage"] == {}


def test_holes_where_one_chunk_of_reading_ends(tmp_path):
    """Holes at the border of two chunks would be mistaken for unused space."""
    with provml.start_run("holes", store=tmp_path, formats=()) as run:
        for i in range(100):
            run.log_metric("m", i)
    damaging.remove_checksums(run.path)
    path = file_of(run, ".samples")
    content = bytearray(path.read_bytes())
    for hole in (9, 10, *range(20, 45)):
        content[64 + hole * 32 : 96 + hole * 32] = bytes(32)
    path.write_bytes(bytes(content) + bytes(320))
    (files,) = Journal(run.path).writers
    kept = [value for chunk in files.chunks(records=10) for value in chunk["value"].tolist()]
    assert len(kept) == 100 - 27
    assert files.damage == {"hole": 27}


def test_the_lines_of_a_helper_do_not_say_how_the_run_ended(run):
    """A damaged first line of a child's files would make an ended run seem to have crashed."""
    events, samples = file_of(run, ".events.jsonl"), file_of(run, ".samples")
    later = f"{int(samples.name.partition('-')[0]) + 5:020d}-99-00000000"
    stem = samples.parent / later
    header = layout.HEADER.pack(layout.MAGIC, 1, 32, 64, 5, 0, 0, 9, 5)
    stem.with_name(later + ".samples").write_bytes(header)
    for first in (b"", b'{"record":"wri', b"\xff\n", events.read_bytes()[:50] + b"\n"):
        stem.with_name(later + ".events.jsonl").write_bytes(first)
        assert read_all(run)["status"] == "finished"


def test_a_newer_version_is_rejected(run):
    """A run of a newer provml would be misread instead of refused."""
    samples, events = file_of(run, ".samples"), file_of(run, ".events.jsonl")
    content = samples.read_bytes()
    lines = events.read_bytes()
    described = run.path / "run.json"
    description = json.loads(described.read_bytes())
    first, _, rest = lines.partition(b"\n")
    newer_line = json.dumps(json.loads(first) | {"format": 12}).encode() + b"\n" + rest
    for path, newer in (
        (samples, content[:8] + struct.pack("<H", 12) + content[10:]),
        (events, newer_line),
        (described, json.dumps(description | {"format": 12}).encode()),
    ):
        with changed(path, newer), pytest.raises(JournalError) as caught:
            read_all(run)
        assert "version 12" in str(caught.value)
        assert f"up to version {layout.FORMAT_VERSION}" in str(caught.value)
        assert str(run.path) in str(caught.value)
        with changed(path, newer), pytest.raises(JournalError, match="version 12"):
            provml.start_run("damage", store=run.path.parent.parent, run_id=run.id, resume=True)
        with changed(path, newer):
            (unread,) = scan_runs(run.path.parent.parent)
            assert "version" in unread.reason


def test_missing_files(run):
    """A run with a lost file could not be read at all."""
    whole = read_all(run)
    for path in (file_of(run, ".samples"), file_of(run, ".events.jsonl"), run.path / "run.json"):
        content = path.read_bytes()
        os.unlink(path)
        seen = read_all(run)
        path.write_bytes(content)
        if path.name == "run.json":
            assert seen == whole
    with warnings.catch_warnings():
        assert read_all(run) == whole
