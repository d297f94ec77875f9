"""Large datasets hashed in the background: digests, the run's end, forks, changes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.cli._overview_reading import read_overview
from provml.collect.content import digest_folder
from provml.collect.hashing import BACKGROUND_BYTES, BackgroundHasher, _HashJob
from provml.collect.user_files import FolderFiles, UnreadableError, file_state
from provml.journal.reader import Journal


def sparse(path: Path, size: int = BACKGROUND_BYTES) -> Path:
    """A file of zeros that occupies no disk space."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def zeros_digest(size: int) -> str:
    """The digest of this many zeros."""
    digest = hashlib.sha256()
    for _ in range(size // 2**20):
        digest.update(bytes(2**20))
    return digest.hexdigest()


def test_the_end_of_a_run_waits_for_a_large_file(store: Path, tmp_path: Path) -> None:
    """A large dataset would have no digest, or its hashing would delay the training."""
    large = sparse(tmp_path / "large.bin", 4 * BACKGROUND_BYTES)
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_dataset("large", large)
        (under_way,) = run.hashing
        assert (under_way.name, under_way.total) == ("large", 4 * BACKGROUND_BYTES)
        assert under_way.done < under_way.total
    (recorded,) = provml.load(run.path).artifacts()
    assert recorded.sha256 == zeros_digest(4 * BACKGROUND_BYTES)
    assert recorded.facts["size"] == 4 * BACKGROUND_BYTES
    assert "unread" not in recorded.facts
    (stated,) = (
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", "provml:Dataset") in s.attributes
    )
    assert stated["provml:sha256"] == recorded.sha256
    assert "provml:unread" not in stated
    assert run.hashing == []
    (shown,) = read_overview(Journal(run.path)).contents
    assert (shown.digests, shown.versions) == ({recorded.sha256}, 1)
    assert "unread" not in shown.facts


def test_small_datasets_are_hashed_at_once(run: provml.Run, tmp_path: Path) -> None:
    """A digest that takes a millisecond would be missing at first."""
    run.log_dataset("small", sparse(tmp_path / "small.bin", BACKGROUND_BYTES - 1))
    assert run.hashing == []
    assert provml.load(run.path).artifacts()[0].sha256 is not None


def test_a_folder_has_the_same_digest_as_in_the_foreground(store: Path, tmp_path: Path) -> None:
    """Order, threads or links would change the digest of a folder."""
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    for number in range(40):
        (folder / ("deep" if number % 2 else ".") / f"{number}").write_bytes(b"%d" % number)
    (folder / "link").symlink_to("nowhere")
    sparse(folder / "large", BACKGROUND_BYTES)
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_dataset("data", folder)
        assert [progress.name for progress in run.hashing] == ["data"]
    (recorded,) = provml.load(run.path).artifacts()
    expected = digest_folder(FolderFiles(str(folder)))
    assert {key: recorded.facts[key] for key in expected} == expected
    assert recorded.facts["files"] == 42


def test_an_unfinished_digest_is_reported(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a run would wait for hours, or a missing digest would have no reason."""
    monkeypatch.setenv("PROVML_HASH_WAIT_S", "0")
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_dataset("huge", sparse(tmp_path / "huge", 2**40))
    recorded = provml.load(run.path)
    (dataset,) = recorded.artifacts()
    assert dataset.sha256 is None
    assert "not yet computed" in dataset.facts["unread"]
    assert dataset.facts["size"] == 2**40
    (event,) = recorded.events("dataset not hashed to its end")
    assert event.metadata["name"] == "huge"
    assert 0 <= event.metadata["bytes_hashed"] < event.metadata["bytes"] == 2**40
    monkeypatch.setenv("PROVML_HASH_WAIT_S", "soon")
    with pytest.raises(provml.InvalidArgumentError, match="PROVML_HASH_WAIT_S"):
        provml.start_run("e", store=store)


def test_a_failed_run_does_not_wait(store: Path, tmp_path: Path) -> None:
    """An exception would be shown only after hashing that no longer matters."""
    with pytest.raises(KeyError), provml.start_run("e", store=store, formats=()) as run:
        run.log_dataset("huge", sparse(tmp_path / "huge", 2**40))
        raise KeyError
    assert provml.load(run.path).status == "failed"


def test_a_file_changed_during_hashing_has_no_digest(tmp_path: Path) -> None:
    """A digest would describe content that never existed."""
    path = sparse(tmp_path / "growing", 2**40)
    found: dict[int, Any] = {}
    hashing = BackgroundHasher(found.__setitem__)
    hashing.add(1, "growing", str(path))
    while not hashing.progress()[0].done:
        pass
    os.truncate(path, 3)
    hashing.finish(60)
    assert found == {1: {"unread": "it changed while it was being hashed"}}


def test_a_file_changed_before_its_hashing_has_no_digest(store: Path, tmp_path: Path) -> None:
    """The record of a call would have the digest of content that was written later."""
    busy, changed = sparse(tmp_path / "busy", 2**40), sparse(tmp_path / "changed")
    found: dict[int, Any] = {}
    hashing = BackgroundHasher(found.__setitem__)
    hashing.add(1, "busy", str(busy))  # keeps the only thread busy
    hashing.add(2, "changed", str(changed))
    with changed.open("r+b") as file:
        file.write(b"new")
    os.utime(changed, ns=(0, 0))
    os.truncate(busy, 0)
    hashing.finish(60)
    assert found[2] == {"unread": "it changed after it was logged, before it was hashed"}


@pytest.mark.parametrize("change", ["write", "add", "remove", "replace"])
def test_a_folder_changed_before_its_hashing_has_no_digest(tmp_path: Path, change: str) -> None:
    """A file that was added or changed after the call would be part of the digest."""
    busy, folder = tmp_path / "busy", tmp_path / "data"
    busy.mkdir()
    folder.mkdir()
    for number in range(4):
        sparse(busy / f"{number}", 2**40)
    for number in range(3):
        (folder / f"{number}").write_bytes(b"old")
        os.utime(folder / f"{number}", ns=(0, 0))
    found: dict[int, Any] = {}
    hashing = BackgroundHasher(found.__setitem__)
    hashing.add(1, "busy", str(busy))  # keeps all threads busy
    hashing.add(2, "data", str(folder))
    if change == "write":
        (folder / "1").write_bytes(b"new")
    elif change == "add":
        (folder / "3").write_bytes(b"new")
    elif change == "remove":
        (folder / "1").unlink()
    else:
        (tmp_path / "own").write_bytes(b"old")
        (tmp_path / "own").replace(folder / "1")
    for path in busy.iterdir():
        os.truncate(path, 0)
    hashing.finish(60)
    assert set(found[2]) == {"unread"}


def test_a_file_removed_during_hashing_is_reported(tmp_path: Path) -> None:
    """A thread would die silently, and the end of the run would wait for it."""
    first, second = sparse(tmp_path / "first", 2**40), sparse(tmp_path / "second")
    found: dict[int, Any] = {}
    hashing = BackgroundHasher(found.__setitem__)
    hashing.add(1, "first", str(first))
    hashing.add(2, "second", str(second))  # waits for the first
    second.unlink()
    os.truncate(first, 0)
    hashing.finish(60)
    assert set(found) == {1, 2}
    assert "No such file" in found[2]["unread"]


@pytest.mark.slow
def test_hashing_goes_on_after_a_pause(tmp_path: Path) -> None:
    """A fork would restart half-finished hashing, or stop it for good."""
    path = sparse(tmp_path / "large", 8 * BACKGROUND_BYTES)
    found: dict[int, Any] = {}
    hashing = BackgroundHasher(found.__setitem__)
    hashing.add(7, "large", str(path))
    done = 0
    for _ in range(3):
        hashing.pause()
        progress = hashing.progress()
        if not progress:
            break
        assert progress[0].done >= done
        done = progress[0].done
        hashing.resume()
    hashing.resume()
    hashing.finish(60)
    assert found == {
        7: {"sha256": zeros_digest(8 * BACKGROUND_BYTES), "size": 8 * BACKGROUND_BYTES}
    }


def test_a_forked_child_leaves_hashing_to_its_parent(store: Path, tmp_path: Path) -> None:
    """A child would hash the file again, or hang at its end."""
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_dataset("large", sparse(tmp_path / "large", 8 * BACKGROUND_BYTES))
        child = os.fork()
        if child == 0:
            code = len(run.hashing)
            run.log_metric("loss", 1.0)
            run.end_run()
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    assert [a.sha256 for a in provml.load(run.path).artifacts()] == [
        zeros_digest(8 * BACKGROUND_BYTES)
    ]


KILLED = """
import os, signal, sys, provml
run = provml.start_run("e", store=sys.argv[1], formats=())
run.log_dataset("huge", sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_reports_the_missing_digest(store: Path, tmp_path: Path) -> None:
    """A dataset would be recorded without a digest and without a reason."""
    command = [sys.executable, "-c", KILLED, str(store), str(sparse(tmp_path / "h", 2**40))]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    (dataset,) = provml.load("latest", store).artifacts()
    assert "not yet computed" in dataset.facts["unread"]


def test_a_change_right_after_the_call_is_noticed(tmp_path: Path) -> None:
    """The digest of new content would be recorded as that of the logged one."""
    file = tmp_path / "data.bin"
    for number in range(200):
        file.write_bytes(b"old")
        job = _HashJob(number, "data", str(file), None)
        with open(file, "r+b") as changed:
            changed.write(b"new")
        with pytest.raises(UnreadableError, match="changed after it was logged"):
            job.check_state("", file_state(os.stat(file)))
