"""Checksums of lines, samples, ``run.json`` and writers: what they reveal, and what they state."""

from __future__ import annotations

import shutil
import threading

import damaging
import pytest

import provml
from provml.errors import ProvMLWarning
from provml.journal.layout import BLOCK_RECORDS, HEADER_SIZE, RECORD_SIZE
from provml.journal.reader import Journal
from provml.run_check import check_run


@pytest.fixture
def run(tmp_path):
    """A run with four blocks of samples, the last one not full."""
    with provml.start_run("sums", store=tmp_path, run_id="a", formats=()) as run:
        for i in range(900):
            run.log_metric("loss", i / 2, step=i)
        run.log_metric("note", "some text")
        run.log_params({"lr": 0.5, "layers": 3})
    return provml.load(run.path)


def file_of(run, suffix):
    (path,) = run.path.glob(f"journal/*{suffix}")
    return path


def change(path, place, value=b"\xff"):
    content = bytearray(path.read_bytes())
    content[place : place + len(value)] = value
    path.write_bytes(content)


def test_an_intact_run_has_no_damage(run):
    """A run would be called damaged although nothing has changed."""
    assert run.damage == []
    assert len(run.series("loss")) == 900


def test_a_damaged_block_is_left_out_and_named(run):
    """A damaged sample would be read as it is, or take all others with it."""
    path = file_of(run, ".samples")
    change(path, HEADER_SIZE + 300 * RECORD_SIZE + 16)
    with pytest.warns(ProvMLWarning, match="records 257 to 512 are damaged"):
        series = run.series("loss")
    assert [*series.step[:256], *series.step[256:]] == [*range(256), *range(512, 900)]
    (found,) = run.damage
    assert (found.file, found.unit, found.first, found.last) == (path.name, "records", 257, 512)
    assert found.count == BLOCK_RECORDS
    assert str(found) == f"{path.name}: records 257 to 512 are damaged"


def test_a_damaged_run_warns_once(run, recwarn):
    """A loop over a damaged run would print a warning at each access."""
    change(file_of(run, ".samples"), HEADER_SIZE + 16)
    for _ in range(3):
        assert len(run.series("loss")) == 900 - BLOCK_RECORDS
    assert len(recwarn) == 1


def test_a_damaged_line_is_left_out_and_named(run):
    """A parameter that was damaged on the disk would be read as a wrong value."""
    path = file_of(run, ".events.jsonl")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"name":"lr","value":0.5', b'"name":"lr","value":0.6'))
    number = content[: content.index(b'"name":"lr"')].count(b"\n") + 1
    with pytest.warns(ProvMLWarning, match=f"line {number} is damaged or missing"):
        assert run.params == {"layers": 3}
    (found,) = run.damage
    assert (found.file, found.unit, found.first, found.count) == (path.name, "lines", number, 1)


def test_lines_in_another_order(run):
    """Two lines that change places would change which value is the last one."""
    path = file_of(run, ".events.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[4], *lines[2:4], *lines[5:]]))
    assert [str(found) for found in run.damage] == [
        f"{path.name}: line 5 is repeated or out of place",
        f"{path.name}: line 5 is damaged or missing",
    ]
    path.write_bytes(b"".join([*lines[:5], lines[4], *lines[5:]]))
    assert [str(f) for f in run.damage] == [f"{path.name}: line 5 is repeated or out of place"]


def test_the_files_of_two_writers_change_places(tmp_path):
    """A copy that mixes up two writers' files would give one the other's values."""
    folders = []
    for run_id in "ab":
        with provml.start_run("sums", store=tmp_path, run_id=run_id, formats=()) as run:
            run.log_metric("loss", ord(run_id))
        folders.append(provml.load(run.path))
    first, second = (file_of(one, ".samples") for one in folders)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    for one in folders:
        assert {str(found).partition(": ")[2] for found in one.damage} >= {"the header is damaged"}
        with pytest.warns(ProvMLWarning):
            assert len(one.series("loss")) == 0


def test_a_description_of_another_run(tmp_path):
    """A run would take over the owner of the run whose ``run.json`` was copied onto its own."""
    for owner, store in (("ada", "one"), ("bob", "two")):
        with provml.start_run("sums", store=tmp_path / store, run_id="a", owner=owner, formats=()):
            pass
    own = tmp_path / "one" / "sums" / "a" / "run.json"
    own.write_bytes((tmp_path / "two" / "sums" / "a" / "run.json").read_bytes())
    with pytest.warns(ProvMLWarning, match=r"run\.json: the file is not the one"):
        recorded = provml.load(own.parent)
    assert recorded.owner is None
    (found,) = recorded.damage
    assert str(found) == "run.json: the file is not the one that was recorded"
    own.unlink()
    with pytest.warns(ProvMLWarning, match=r"run\.json: the file is missing"):
        assert provml.load(own.parent).owner is None


def test_a_lost_pair_of_files(tmp_path):
    """Nobody would notice that all files of one process of a run are gone."""
    with provml.start_run("sums", store=tmp_path, formats=()) as run:
        helper = run._folder.open_writer("helper")
        helper.close(None, "helper closed")
    for path in run.path.glob(f"journal/{helper.name}.*"):
        path.unlink()
    (found,) = provml.load(run.path).damage
    assert found.problem == "both files of this writer are missing"


def test_a_live_run_is_covered_up_to_the_last_sync(tmp_path):
    """Damage in a run that is still recording would not be noticed."""
    with provml.start_run("sums", store=tmp_path, formats=()) as run:
        for i in range(600):
            run.log_metric("loss", i / 2, step=i)
        run._writer.sync()
        for i in range(100):
            run.log_metric("loss", i / 2, step=i)
        journal = Journal(run.path)
        assert journal.verify() == []
        assert journal.unchecked == 700 - 2 * BLOCK_RECORDS
        (path,) = run.path.glob("journal/*.samples")
        with path.open("r+b") as file:
            file.seek(HEADER_SIZE + 40 * RECORD_SIZE)
            old = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([old[0] ^ 1]))
        (found,) = Journal(run.path).verify()
        assert (found.first, found.last) == (1, BLOCK_RECORDS)
        with path.open("r+b") as file:
            file.seek(HEADER_SIZE + 40 * RECORD_SIZE)
            file.write(old)
    assert provml.load(run.path).damage == []


def test_an_epoch_that_is_filled_in_after_the_sync(tmp_path):
    """A point whose epoch comes after its checksum would be called damaged."""
    with provml.start_run("sums", store=tmp_path, formats=()) as run:
        for i in range(600):
            run.metrics("group").log(v=i)
        run._writer.sync()
        run.metrics.log(epoch=3)
        run.metrics.flush()
        assert Journal(run.path).verify() == []
        run._writer.sync()
        assert Journal(run.path).verify() == []
    recorded = provml.load(run.path)
    assert recorded.damage == []
    assert set(recorded.series("v", "group").epoch.tolist()) == {3}


def test_threads_log_while_checksums_are_made(tmp_path):
    """A sample that a thread writes during the pass would get a wrong checksum."""
    with provml.start_run("sums", store=tmp_path, formats=()) as run:
        threads = [
            threading.Thread(
                target=lambda name: [run.log_metric(name, i) for i in range(20_000)],
                args=(f"m{number}",),
            )
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            run._writer.sync()
            found = Journal(run.path).verify()
            assert [one for one in found if one.problem != "hole"] == []  # a slot may be reserved
        for thread in threads:
            thread.join()
    journal = Journal(run.path)
    assert journal.verify() == []
    assert journal.unchecked == 0


def test_a_run_without_checksums_reads_as_before(run):
    """A run of an early version of provml would be called damaged."""
    whole = run.series("loss").value.tolist()
    damaging.remove_checksums(run.path)
    old = provml.load(run.path)
    assert old.damage == []
    assert old.series("loss").value.tolist() == whole
    assert old.series("note").value.tolist() == ["some text"]
    assert not any(files.has_checksums() for files in Journal(run.path).writers)


def test_files_of_another_run_are_noticed(tmp_path):
    """A run would show the samples of another run as its own."""
    paths = []
    for number in range(2):
        with provml.start_run("x", store=tmp_path, formats=()) as run:
            run.log_metric("loss", number, step=0)
        paths.append(run.path)
    for file in (paths[1] / "journal").iterdir():
        shutil.copy(file, paths[0] / "journal")
    (found,) = check_run(paths[0]).damage
    assert found.problem == "the file belongs to another run"
    assert found.file.endswith(".events.jsonl")
    with pytest.warns(provml.ProvMLWarning, match="belongs to another run"):
        dict(provml.load(paths[0]).params)
    with provml.start_run("x", store=tmp_path, run_id=paths[1].name, resume=True, formats=()):
        pass
    assert check_run(paths[1]).damage == ()
