"""A run that ends while it is read: its files become shorter under the reader's hands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RECORDER = """
import sys, provml
with provml.start_run("e", store=sys.argv[1], formats=(), collect=()) as run:
    for step in range(300_000):
        run.log_metric("loss", 1 / (step + 1), "training", step)
    for step in range(1_000):
        run.metrics("group").log(value=step)
    print(run.path, flush=True)
    sys.stdin.readline()
print("ended", flush=True)
"""

READER = """
import json, sys
from pathlib import Path

from provml.charts.run_samples import RunSamples
from provml.journal.follower import RunFollower
from provml.journal.last_samples import find_last_samples
from provml.journal.point_pages import PointPages
from provml.journal.reader import Journal
from provml.lineage.rows import build_rows, sample_batches
from provml.model.followed_run import FollowedRun
from provml.model.live_series import LiveSeries
from provml.model.series import SeriesTable
from provml.model.series_columns import series_columns


def follow(folder):
    with RunFollower(folder) as follower:
        while found := follower.read_new():
            yield sum(len(one.samples) for one in found if one.samples is not None)
        yield 0
        while found := follower.read_new():
            yield sum(len(one.samples) for one in found if one.samples is not None)


def keep(folder):
    live = LiveSeries(folder)
    for _ in range(2):
        live.update()
        yield live.samples
    live.follower.close()


def draw(folder):
    samples = RunSamples(folder)
    for _ in range(2):
        samples.refresh()
        yield samples.memory_bytes
    samples.close()


def redraw(folder):
    with FollowedRun(folder) as run:
        for _ in range(2):
            yield sum(len(block.time_ns) for part in run.read_new() for block in part.blocks)


def page(folder):
    pages = PointPages(("group",))
    for _ in range(2):
        yield len(pages.read(Journal(folder), 0, 10_000).data)


def whole(folder):
    for _ in range(2):
        journal = Journal(folder)
        table = SeriesTable(journal)
        yield len(series_columns(table, table.all[:1])[0])
        yield find_last_samples(journal.writers[0], journal.writers[0].series(), 2**30)[1].value
        yield journal.writers[0].find_samples_end(), journal.writers[0].digest_samples()[1]


readers = {
    "parts": lambda folder: Journal(folder).writers[0].parts(4096),
    "chunks": lambda folder: Journal(folder).writers[0].chunks(4096),
    "blocks": lambda folder: SeriesTable(Journal(folder)).blocks(),
    "tables": lambda folder: sample_batches("e/r", Journal(folder)),
    "follower": follow,
    "series": keep,
    "curves": draw,
    "redraw": redraw,
    "points": page,
    "whole": whole,
}
folder = Path(sys.argv[1])
begun = {name: iter(read(folder)) for name, read in readers.items()}
for iterator in begun.values():
    next(iterator)
maps = Path("/proc/self/maps")
mapped = maps.read_text().count(".samples") if maps.exists() else 0
print("begun", flush=True)
sys.stdin.readline()
left = {name: sum(1 for _ in iterator) for name, iterator in begun.items()}
after = Journal(folder)
print(json.dumps({
    "mapped": mapped,
    "left": left,
    "damage": [str(one) for one in after.verify()],
    "samples": sum(len(chunk) for chunk in after.writers[0].chunks()),
    "rows": len(build_rows("e/r", after, "")["series"]),
}))
"""


def test_a_run_that_ends_while_it_is_read_does_not_kill_the_reader(store: Path) -> None:
    """A page or an export would die of SIGBUS, because the end of a run cuts its files."""

    def start(program: str, argument: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, str(argument)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start(RECORDER, store) as recorder:
        assert recorder.stdout is not None
        folder = Path(recorder.stdout.readline().strip())
        (samples,) = folder.glob("journal/*.samples")
        before = samples.stat().st_size
        with start(READER, folder) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "begun\n"
            assert recorder.communicate("end\n")[0] == "ended\n"
            assert samples.stat().st_size < before
            out, _ = reader.communicate("go on\n")
            assert reader.returncode == 0
    found = json.loads(out)
    assert found["mapped"] == 0
    assert (found["damage"], found["samples"]) == ([], 301_000)
    assert all(found["left"].values())
