"""Following a run while it is recorded: everything once, in order, and nothing before its time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import waiting

import provml
from provml import Context
from provml.journal import layout
from provml.journal.follower import NewContent, RunFollower, WriterState
from provml.journal.reader import Journal


@pytest.fixture(autouse=True)
def closed_followers() -> Iterator[None]:
    """Close the followers that a test has made."""
    yield
    for collected in Collected.made:
        collected.follower.close()
    Collected.made.clear()


class Collected:
    """All that a follower has returned so far, with changes applied."""

    made: ClassVar[list[Collected]] = []

    def __init__(self, folder: Path) -> None:
        self.follower = RunFollower(folder)
        self.rows: dict[str, dict[int, bytes]] = {}
        self.records: list[layout.Record] = []
        self.changes = 0
        self.made.append(self)

    def read(self) -> list[NewContent]:
        found = self.follower.read_new()
        for one in found:
            own = self.rows.setdefault(one.writer, {})
            if one.samples is not None:
                assert own.keys().isdisjoint(one.slots.tolist())
                own |= {s: r.tobytes() for s, r in zip(one.slots, one.samples, strict=True)}
            if one.changed is not None:
                assert own.keys() >= set(one.changed_slots.tolist())
                own |= {s: r.tobytes() for s, r in zip(one.changed_slots, one.changed, strict=True)}
                self.changes += len(one.changed)
            self.records += one.records
        return found

    def samples(self) -> list[bytes]:
        return [row for own in self.rows.values() for _, row in sorted(own.items())]


def written(folder: Path) -> list[bytes]:
    return [
        row.tobytes()
        for files in Journal(folder).writers
        for chunk in files.chunks()
        for row in chunk
    ]


def test_what_is_added_is_read_once_and_in_order(store: Path) -> None:
    """A live page would show samples twice, or miss some."""
    with provml.start_run("e", store=store, formats=()) as run:
        seen = Collected(run.path)
        for step in range(700):
            run.log_metric("loss", step / 7, Context.TRAINING, step)
            if step % 97 == 0:
                run.log_param(f"p{step}", step)
                seen.read()
        seen.read()
        assert seen.samples() == written(run.path)
        assert seen.read() == []
    seen.read()
    assert seen.samples() == written(run.path)
    assert seen.follower.has_ended
    assert seen.read() == []
    params = [record["name"] for record in seen.records if record["record"] == "param"]
    assert params == [f"p{step}" for step in range(0, 700, 97)]


def test_threads_that_log_at_once_are_read_completely(store: Path) -> None:
    """A slot that was reserved before others and written after them would be skipped."""
    with provml.start_run("e", store=store, formats=()) as run:
        seen = Collected(run.path)

        def work(name: str) -> None:
            for step in range(20_000):
                run.log_metric(name, step, Context.TRAINING, step)

        threads = [threading.Thread(target=work, args=(f"m{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen.read()
    seen.read()
    assert seen.samples() == written(run.path)


def test_a_sample_that_is_not_yet_written_holds_back_the_ones_after_it(store: Path) -> None:
    """Samples would arrive out of order, and the late one never."""
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(20):
            run.log_metric("loss", float(step), Context.TRAINING, step)
        copy = store / "e" / "copy"
        shutil.copytree(run.path, copy)
    (file,) = (copy / layout.JOURNAL_FOLDER).glob(f"*{layout.SAMPLES_SUFFIX}")
    content = bytearray(file.read_bytes())
    at = layout.HEADER_SIZE + 7 * layout.RECORD_SIZE
    record = bytes(content[at : at + layout.RECORD_SIZE])
    content[at : at + layout.RECORD_SIZE] = bytes(layout.RECORD_SIZE)
    file.write_bytes(content)
    seen = Collected(copy)
    seen.read()
    assert len(seen.samples()) == 7
    assert seen.read() == []
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(record)
    seen.read()
    assert len(seen.samples()) == 20


def test_an_epoch_that_is_filled_in_later_is_seen(store: Path) -> None:
    """The points of a metric group would stay without their epoch on a live page."""
    with provml.start_run("e", store=store, formats=()) as run:
        group = run.metrics("training")
        seen = Collected(run.path)
        for step in range(600):
            group.log(loss=step / 3, step=step)
        seen.read()
        run.metrics.log(epoch=3).flush()
        seen.read()
        assert seen.changes > 0
        assert seen.samples() == written(run.path)
        assert {layout.RECORD_I64.unpack(row)[3] for row in seen.samples()} == {3}
    seen.read()
    assert seen.samples() == written(run.path)


def test_epochs_of_more_points_than_are_watched_are_seen_after_a_sync(store: Path) -> None:
    """Only the latest points of a long epoch would get it."""
    with provml.start_run("e", store=store, formats=()) as run:
        group = run.metrics("training")
        seen = Collected(run.path)
        for step in range(5_000):
            group.log(loss=step / 3, step=step)
        seen.read()
        run.metrics.log(epoch=3).flush()
        seen.read()
    seen.read()
    assert seen.samples() == written(run.path)


def test_a_process_that_joins_later_is_followed(store: Path) -> None:
    """The samples of a second rank would be missing until the page is loaded again."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_metric("loss", 1.0, Context.TRAINING, 0)
        seen = Collected(run.path)
        seen.read()
        child = os.fork()
        if not child:
            run.log_metric("other", 2.0, Context.TRAINING, 0)
            os._exit(0)
        os.waitpid(child, 0)
        seen.read()
    seen.read()
    assert len(seen.rows) == 2
    assert seen.samples() == written(run.path)


def test_a_writer_that_ends_while_it_is_read_does_no_harm(store: Path) -> None:
    """Reading a file that is being cut would kill the reader with a SIGBUS."""
    for _ in range(10):
        with provml.start_run("e", store=store, formats=()) as run:
            seen = Collected(run.path)
            thread = threading.Thread(target=lambda: waiting.until(seen_all, "the end"))

            def seen_all(seen: Collected = seen) -> bool:
                seen.read()
                return seen.follower.has_ended

            thread.start()
            for step in range(3_000):
                run.log_metric("loss", float(step), Context.TRAINING, step)
        thread.join()
        assert len(seen.samples()) == 3_000


def test_a_killed_run_is_read_to_its_last_sample(store: Path) -> None:
    """What a killed training logged last would be missing from the page."""
    code = (
        "import os, provml, sys; run = provml.start_run('e', store=sys.argv[1], run_id='r');"
        "[run.log_metric('loss', float(n), provml.Context.TRAINING, n) for n in range(1000)];"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, store], check=False)
    seen = Collected(store / "e" / "r")
    seen.read()
    assert len(seen.samples()) == 1_000
    assert not seen.follower.has_ended


def test_a_run_that_is_removed_gives_nothing_more(store: Path) -> None:
    """A page would fail when a run is deleted while it is looked at."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_metric("loss", 1.0, Context.TRAINING, 0)
    seen = Collected(run.path)
    assert seen.read()
    shutil.rmtree(run.path)
    assert seen.read() == []
    assert RunFollower(run.path).read_new() == []


def test_a_damaged_line_is_counted_and_left_out(store: Path) -> None:
    """A live page would show a parameter that nobody logged."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_param("lr", "alpha")
        run.log_param("name", "beta")
    (file,) = (run.path / layout.JOURNAL_FOLDER).glob(f"*{layout.EVENTS_SUFFIX}")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"alpha", b"ALPHA"))
    with RunFollower(run.path) as follower:
        (found,) = follower.read_new()
    assert found.skipped == 1
    assert [r["name"] for r in found.records if r["record"] == "param"] == ["name"]


def test_a_long_journal_is_read_in_bounded_pieces(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first read of a large run would take memory for all of it."""
    monkeypatch.setattr("provml.journal.follower._MOST_RECORDS", 1_000)
    monkeypatch.setattr("provml.journal.follower._READ_RECORDS", 500)
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(5_000):
            run.log_metric("loss", float(step), Context.TRAINING, step)
    seen = Collected(run.path)
    sizes = []
    while found := seen.read():
        sizes.append(len(found[0].samples))
    assert max(sizes) < 2_000
    assert seen.samples() == written(run.path)
    assert seen.follower.has_ended


def test_a_failing_disk_neither_doubles_nor_loses(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one failed read, the page would show every sample twice, or miss some."""
    with provml.start_run("e", store=store, formats=()) as run:
        seen = Collected(run.path)
        for step in range(300):
            run.log_metric("loss", float(step), Context.TRAINING, step)
        seen.read()
        calls = iter(range(1, 100))
        pread = os.pread

        def fail_third(*arguments: int) -> bytes:
            if next(calls) == 3:
                raise OSError(5, "Input/output error")
            return pread(*arguments)

        for step in range(300, 600):
            run.log_metric("loss", float(step), Context.TRAINING, step)
        run.log_param("lr", 0.1)
        monkeypatch.setattr(os, "pread", fail_third)
        seen.read()
        monkeypatch.undo()
        seen.read()
    seen.read()
    assert seen.samples() == written(run.path)
    assert [r["name"] for r in seen.records if r["record"] == "param"] == ["lr"]


def test_a_slot_that_stays_unused_is_reported(store: Path) -> None:
    """A table of runs in progress would stand still, and nobody would know why."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_metric("loss", 1.0)
        seen = Collected(run.path)
        seen.read()
        assert not seen.follower.is_held_up
        run._samples.slots[1]()  # reserve a slot, as an interrupted call does
        seen.read()
        assert not seen.follower.is_held_up
        run.log_metric("loss", 2.0)
        assert seen.read() == []
        assert seen.follower.is_held_up
    seen.read()
    assert len(seen.samples()) == 2
    assert not seen.follower.is_held_up


def test_the_states_of_writers_say_who_is_alive_and_what_was_lost(store: Path) -> None:
    """A run would be shown as running after its process was killed."""
    code = """
        import os, sys, provml
        run = provml.start_run("e", store=sys.argv[1], formats=(), collect=())
        run.log_metric("loss", 1.0)
        run._samples.add_dropped(3, 2)
        print(run.path, flush=True)
        sys.stdin.read()
        if sys.argv[2] == "kill":
            os.kill(os.getpid(), 9)
        provml.end_run()
    """
    for how in ("kill", "end"):
        command = [sys.executable, "-c", textwrap.dedent(code), str(store), how]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert process.stdout is not None
            with RunFollower(process.stdout.readline().strip()) as follower:
                follower.read_new()
                assert list(follower.read_states().values()) == [WriterState(True, False, 3, 2)]
                assert follower.open_files == 2
                process.communicate("")
                (state,) = follower.read_states().values()
                assert state == WriterState(False, how == "end", 3, 2)
                while follower.read_new():
                    pass
                assert follower.has_ended == (how == "end")
                assert list(follower.read_states().values()) == [state]
