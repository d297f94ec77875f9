"""The checksums of a killed run: an intact run has no damage, and damage is never silent."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

import provml
from provml.journal import layout
from provml.journal.reader import Journal
from provml.journal.recovery import recover
from provml.run_check import check_run

_LOG = """
    import sys, threading, provml

    run = provml.start_run("kill", store=sys.argv[1], formats=())
    run.log_metric("note", "the first note")
    print("started", flush=True)

    def log_points():
        i = 0
        while True:
            run.metrics("group").log(v=float(i), w=i)
            i += 1
            if i % 700 == 0:
                run.metrics.log(epoch=i // 700)
                run.metrics.flush()

    threading.Thread(target=log_points, daemon=True).start()
    i = 0
    while True:
        run.log_metric("loss", i / 2, "training", step=i)
        if i % 1000 == 0:
            run.log_metric("note", f"note {i}", step=i)
            run.log_event("saved", metadata={"i": i})
        i += 1
"""


@pytest.mark.parametrize(
    "rounds", [pytest.param(50, marks=pytest.mark.soak, id="50"), pytest.param(3, id="3")]
)
def test_a_killed_run_is_intact_up_to_its_last_sync(children, tmp_path, rounds):
    """A killed run would be called damaged, or damage in it would be overlooked."""
    rng = random.Random(rounds)
    for round_ in range(rounds):
        store = tmp_path / f"store{round_}"
        child = children.start(_LOG, store, PROVML_SYNC_INTERVAL_S="0.05")
        assert child.stdout.readline() == "started\n"
        deadline = time.monotonic() + rng.uniform(0.1, 0.6)
        while time.monotonic() < deadline:
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
        (folder,) = store.glob("kill/*")
        check = check_run(folder)
        assert check.damage == ()
        journal = Journal(folder)
        assert journal.verify() == []
        samples = sum(len(chunk) for files in journal.writers for chunk in files.chunks())
        covered = damage_covered_samples(rng, folder)
        assert covered + journal.unchecked >= samples
        recover(folder)
        assert check_run(folder).ok
        assert Journal(folder).unchecked == 0
        assert len(provml.load(folder).series("note").value) > 0


def damage_covered_samples(rng: random.Random, folder: Path) -> int:
    """Flip bits in blocks that have a checksum, and return the number of these blocks' records."""
    (path,) = folder.glob(f"journal/*{layout.SAMPLES_SUFFIX}")
    (files,) = Journal(folder).writers
    sums = files.read_checksums()
    content = path.read_bytes()
    covered = [
        block
        for block in range(len(sums))
        if sums.check(block, memoryview(content)[64 + block * 8192 : 64 + (block + 1) * 8192])
    ]
    for block in rng.sample(covered, min(3, len(covered))):
        place = 64 + block * 8192 + 32 * rng.randrange(256) + rng.choice((0, 16, 28))
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        (found,) = check_run(folder).damage
        assert (found.file, found.first, found.last) == (
            path.name,
            block * 256 + 1,
            block * 256 + 256,
        )
    path.write_bytes(content)
    return len(covered) * layout.BLOCK_RECORDS
