"""A process that dies while it writes its run's documents, or has no room for them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from waiting import LIMIT_S

import provml
from provml.export import find_missing_documents, requested_formats
from provml.journal.reader import Journal

_LONG = """
    import provml

    with provml.start_run("long", run_id="r", formats=("provjson", "turtle"), sample_interval_s=0):
        for i in range(100_000):
            provml.log_metric("m", i, step=i)
"""


def call(*arguments):
    """Run the command line; return its exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "provml", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def unfinished(children, until, tmp_path):
    """A finished run whose process was killed while it wrote the first document."""
    child = children.start(_LONG)
    path = tmp_path / "store" / "long" / "r"
    until(lambda: list(path.glob(".provenance.json.*.part")), "the document is begun")
    child.kill()
    child.wait(LIMIT_S)
    assert not (path / "provenance.json").exists()
    return path


def test_recover_writes_all_missing_documents_and_removes_the_unfinished_one(unfinished):
    """A finished run would stay without its documents, and half a document in its folder."""
    assert provml.load(unfinished).status == "finished"
    status, text = call("recover", unfinished)
    assert status == 0
    assert "removed an unfinished file: " in text
    assert f"wrote {unfinished}/provenance.json" in text
    assert f"wrote {unfinished}/provenance.ttl" in text
    assert sorted(file.name for file in unfinished.iterdir()) == [
        "documents.sha256",
        "journal",
        "provenance.json",
        "provenance.ttl",
        "run.json",
    ]
    assert provml.load(unfinished).status == "finished"
    assert call("recover", unfinished) == (0, "nothing to recover: r is finished\n")


def test_recovering_a_store_writes_the_missing_documents_of_each_run(unfinished):
    """Each run of a store has to be recovered by name, or one bad run stops the others."""
    store = unfinished.parent.parent
    (store / "long" / "bad" / "journal").mkdir(parents=True)
    (store / "long" / "bad" / "run.json").write_text("{")
    (store / "long" / "newer").mkdir()
    (store / "long" / "newer" / "run.json").write_text('{"format": 99, "id": "newer"}')
    with provml.start_run("live", store=store, formats=()):
        status, text = call("recover", store)
    assert status == 1
    assert f"long/r: wrote {unfinished}/provenance.json" in text
    assert "upgrade provml" in text
    assert "1 still being recorded, 1 could not be recovered" in text
    assert (unfinished / "provenance.ttl").exists()


def test_export_removes_the_unfinished_document(unfinished):
    """Half a document would stay in the run's folder for ever."""
    status, text = call("export", unfinished)
    assert status == 0
    assert "removed an unfinished file: " in text
    assert not list(unfinished.glob(".*"))
    assert requested_formats(Journal(unfinished)) == ("provjson", "turtle")
    missing = find_missing_documents(unfinished, ("provjson", "turtle"))
    assert [chosen.name for chosen in missing.formats] == ["turtle"]


def test_a_document_that_is_being_written_is_left_to_its_process(children, until, tmp_path):
    """A recovery would remove the file that a living process is writing."""
    child = children.start(_LONG)
    path = tmp_path / "store" / "long" / "r"
    until(lambda: list(path.glob(".provenance.json.*.part")), "the document is begun")
    child.send_signal(signal.SIGSTOP)
    (temporary,) = path.glob(".provenance.json.*.part")
    status, text = call("recover", path)
    assert status == 0
    assert "removed" not in text
    assert temporary.exists()
    child.send_signal(signal.SIGCONT)
    assert child.wait(LIMIT_S) == 0
    assert child.stderr.read() == ""
    assert not list(path.glob(".*"))
    assert call("recover", path) == (0, "nothing to recover: r is finished\n")


def test_a_document_from_before_the_run_was_resumed_is_written_again(children, until, tmp_path):
    """The document of a resumed run would lack what was recorded after resuming."""
    with provml.start_run("long", run_id="r", formats=("provjson", "turtle")) as run:
        run.log_metric("before", 1.0)
    old = (run.path / "provenance.json").read_bytes()
    child = children.start(_LONG.replace("formats=", "resume=True, formats="))
    until(lambda: list(run.path.glob(".provenance.json.*.part")), "the document is begun")
    child.kill()
    child.wait(LIMIT_S)
    assert (run.path / "provenance.json").read_bytes() == old
    status, text = call("recover", run.path)
    assert status == 0
    assert text.count("wrote ") == 2
    assert (run.path / "provenance.json").stat().st_size > 10 * len(old)
    assert call("recover", run.path) == (0, "nothing to recover: r is finished\n")


def test_a_full_disk_leaves_no_half_document_and_recover_writes_it(small_disk):
    """A run that ended on a full disk would stay without its document."""
    run = provml.start_run("full", store=small_disk.path, sample_interval_s=0)
    for i in range(1000):
        run.log_metric("m", i, step=i)
    small_disk.fill(leave_bytes=2**16)
    with pytest.warns(provml.ProvMLWarning, match="documents could not be written"):
        run.end_run()
    assert [file.name for file in run.path.iterdir() if "provenance" in file.name] == []
    status, text = call("recover", run.path)
    assert status == 1
    assert "No space left" in text
    small_disk.release()
    status, text = call("recover", run.path)
    assert status == 0
    assert "1,000 samples" in text
    assert (run.path / "provenance.json").exists()


def test_a_run_without_documents_needs_none(tmp_path):
    """A recovery would write documents that nobody asked for."""
    with provml.start_run("quiet", run_id="q", formats=()) as run:
        pass
    assert call("recover", run.path) == (0, "nothing to recover: q is finished\n")
    assert sorted(file.name for file in run.path.iterdir()) == ["journal", "run.json"]


def test_two_recoveries_at_once_write_one_document(unfinished):
    """Two people who recover a run at the same moment disturb each other."""
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "provml", "recover", str(unfinished)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for command in commands:
        _, errors = command.communicate(timeout=LIMIT_S)
        assert (command.returncode, errors) == (0, "")
    assert not list(unfinished.glob(".*"))
    assert json.loads((unfinished / "provenance.json").read_bytes())["entity"]
