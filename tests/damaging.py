"""Changes the files of a run: damages them at random, or takes their checksums away."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import provml
from provml.journal import checksums, layout
from provml.model.series import SeriesTable

KINDS = (
    *("flip a bit", "change a byte", "insert", "delete", "cut", "append", "zero", "swap"),
    *("repeat a line", "delete a line", "swap lines", "repeat a block", "replace the file"),
)


def record_run(store: Path, run_id: str) -> Path:
    """Record a run with two writers and every kind of value, and return its folder."""
    store.mkdir(exist_ok=True)
    artifact = store / "model.txt"
    artifact.write_text("weights " * 100, encoding="utf-8")
    with provml.start_run("damage", store=store, run_id=run_id, owner="tester") as run:
        for i in range(700):
            run.log_metric("loss", i / 7, "training", step=i, epoch=i // 100)
            if i % 3 == 0:
                run.log_metric("count", i * 3, step=i)
            if i % 50 == 0:
                run.log_metric("note", f"note {i}", step=i)
        for i in range(200):
            run.metrics("group").log(v=i / 3, w=i)
        run.metrics.log(epoch=2)
        run.metrics.flush()
        run.log_params({"lr": 0.5, "layers": {"a": 1, "b": "x"}})
        run.set_tag("k", "v")
        for i in range(10):
            run.log_event("began", source="tester", metadata={"a": [i, None]}, step=i)
        run.log_artifact(artifact)
        child = os.fork()
        if child == 0:
            try:
                for i in range(600):
                    run.log_metric("child", float(i), step=i)
                run.log_metric("note", "of the child", step=3)
                run.end_run()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        for i in range(300):
            run.log_metric("loss", i / 9, "training", step=i)
    return run.path


def read_values(folder: Path) -> dict[Any, Any]:
    """Return everything that a run recorded, with each sample as a tuple."""
    run = provml.load(folder)
    about = (run.id, run.experiment, run.owner, run.status, run.reason, tuple(run.dropped))
    seen: dict[Any, Any] = {
        "about": [about, run.started, run.ended],
        "settings": [*run.params.items(), *run.tags.items()],
        "events": [repr(event) for event in run.events()],
        "contents": [repr(content) for content in run.artifacts()],
    }
    for block in SeriesTable(run._open_journal()).blocks():
        size = len(block.time_ns)
        own = seen.setdefault(("samples", *block.series.identity), [])
        own += zip(
            block.time_ns.tolist(),
            [None] * size if block.step is None else block.step.tolist(),
            [None] * size if block.epoch is None else block.epoch.tolist(),
            [repr(value) for value in block.values],
            strict=True,
        )
    for own in seen.values():
        own.sort(key=repr)
    return seen


def mutate(rng: random.Random, content: bytes, others: list[bytes]) -> tuple[str, bytes]:
    """Return a kind of damage, and a file's content after it."""
    kind, changed = rng.choice(KINDS), bytearray(content)
    size, place = len(changed), rng.randrange(len(changed))
    length = rng.choice((1, 2, 8, 32, 64, 512, 4096))
    lines = content.splitlines(keepends=True)
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == "flip a bit":
        changed[place] ^= 1 << rng.randrange(8)
    elif kind == "change a byte":
        changed[place] = rng.randrange(256)
    elif kind == "insert":
        changed[place:place] = rng.randbytes(length)
    elif kind == "delete":
        del changed[place : place + length]
    elif kind == "cut":
        del changed[place:]
    elif kind == "append":
        changed += rng.choice((rng.randbytes(length), bytes(length)))
    elif kind == "zero":
        end = min(size, place + length)
        changed[place:end] = bytes(end - place)
    elif kind == "swap":
        other = rng.randrange(size)
        part, rest = bytes(changed[place : place + length]), bytes(changed[other : other + length])
        changed[place : place + len(rest)] = rest
        changed[other : other + len(part)] = part
    elif kind == "repeat a line":
        lines.insert(two, lines[one])
        changed = bytearray(b"".join(lines))
    elif kind == "delete a line":
        del lines[one]
        changed = bytearray(b"".join(lines))
    elif kind == "swap lines":
        lines[one], lines[two] = lines[two], lines[one]
        changed = bytearray(b"".join(lines))
    elif kind == "repeat a block":
        block = rng.choice((32, 8192))
        begin = 64 + block * rng.randrange(max(1, (size - 64) // block))
        changed[begin:begin] = changed[begin : begin + block]
    else:
        changed = bytearray(rng.choice(others))
    return kind, bytes(changed)


def remove_checksums(folder: Path) -> None:
    """Turn a run into one of an early version of provml, whose files contain no checksums."""
    description = folder / layout.RUN_FILE
    if description.exists():
        content = json.loads(description.read_bytes())
        content.pop(checksums.FIELD, None)
        description.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")
    for events in folder.glob(f"journal/*{layout.EVENTS_SUFFIX}"):
        moved = _remove_from_events(events)
        samples = events.with_name(
            events.name.removesuffix(layout.EVENTS_SUFFIX) + layout.SAMPLES_SUFFIX
        )
        if samples.exists():
            _remove_from_samples(samples, moved)


def _remove_from_events(path: Path) -> dict[tuple[int, int], int]:
    """Remove the seals of all lines; return where the line of each text sample is now."""
    kept, length, moved = [], 0, {}
    for line in path.read_bytes().splitlines(keepends=True):
        record = json.loads(line)
        if record["record"] in ("checksums", "closed"):
            continue
        if record["record"] == "sample":
            moved[record["series"], record["at"]] = length
        checksums.remove_seal(record)
        record.pop("run_file", None)
        kept.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        length += len(kept[-1])
    path.write_bytes(b"".join(kept))
    return moved


def _remove_from_samples(path: Path, moved: dict[tuple[int, int], int]) -> None:
    content = bytearray(path.read_bytes())
    start = layout.HEADER_CHECKSUM_OFFSET
    content[start : start + 4] = bytes(4)
    for place in range(layout.HEADER_SIZE, len(content) - 31, layout.RECORD_SIZE):
        *before, offset, epoch, series = layout.RECORD_TEXT.unpack_from(content, place)
        if (series, offset) in moved:
            own = moved[series, offset]
            layout.RECORD_TEXT.pack_into(content, place, *before, own, epoch, series)
    path.write_bytes(content)


def seal_again(events: Path) -> None:
    """Give the lines of an events file new numbers and checksums, after a test changed them."""
    seed = checksums.seed_of(events.name.removesuffix(layout.EVENTS_SUFFIX))
    sealed = []
    for number, line in enumerate(events.read_bytes().splitlines(), 1):
        record = json.loads(line)
        at = {"at": sum(map(len, sealed))} if "at" in record else {}
        checksums.remove_seal(record)
        text = json.dumps(record | at, separators=(",", ":")).encode()
        sealed.append(checksums.seal_line(text, number, seed))
    events.write_bytes(b"".join(sealed))
