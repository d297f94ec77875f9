"""Which of the files that the notes in a foreign store name are hashed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import provml
from provml.capture.files.access_log import AccessLog, NoteKind
from provml.capture.files.hashing_limits import NOT_READABLE, OF_KERNEL, HashingLimits
from provml.capture.files.ignore_rules import IgnoreRules
from provml.journal.reader import Journal

USER, OTHER = 54_321, 54_322


def limits_of(folder: Path, user: int) -> HashingLimits:
    """The limits for a run whose notes belong to a user."""
    notes = folder / "notes"
    notes.write_bytes(b"")
    try:
        os.chown(notes, user, user)
    except PermissionError:
        pytest.skip("only root can give a file away")
    return HashingLimits(folder, [notes])


def status_of(path: Path, user: int, mode: int) -> os.stat_result:
    """The status of a new file of a user."""
    path.write_bytes(b"content")
    os.chown(path, user, user)
    path.chmod(mode)
    return path.stat()


def test_a_file_that_the_recorder_may_not_read_is_not_hashed(tmp_path: Path) -> None:
    """A user's store would tell its owner the digests of the files of whoever recovers it."""
    limits = limits_of(tmp_path, USER)
    assert limits.find_reason(status_of(tmp_path / "a", OTHER, 0o600)) == NOT_READABLE
    assert limits.find_reason(status_of(tmp_path / "b", OTHER, 0o640)) == NOT_READABLE
    assert limits.find_reason(status_of(tmp_path / "c", 0, 0o600)) == NOT_READABLE
    assert limits.find_reason(status_of(tmp_path / "d", OTHER, 0o644)) is None
    assert limits.find_reason(status_of(tmp_path / "e", USER, 0o600)) is None
    own = limits_of(tmp_path, 0)
    assert own.find_reason(status_of(tmp_path / "f", OTHER, 0o600)) is None


def test_files_of_the_kernel_are_not_hashed(tmp_path: Path) -> None:
    """A recovery would block for ever, or change the state of the system."""
    limits = HashingLimits(tmp_path, [])
    for path in ("/proc/kmsg", "/proc/self/environ", "/sys/kernel", "/dev/null"):
        assert limits.find_reason(os.stat(path)) == OF_KERNEL


def test_notes_that_name_other_things_than_files_hang_no_recovery(tmp_path: Path) -> None:
    """A store from elsewhere would stop a recovery with a pipe, a device or a file of secrets."""
    from provml.capture.files import record_files

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "id_rsa").write_text("secret")
    (tmp_path / "data.csv").symlink_to(tmp_path / "id_rsa")
    (tmp_path / "plain.csv").write_text("1,2")
    names = (tmp_path / "pipe", "/dev/zero", "/proc/self/environ", tmp_path / "data.csv")
    with provml.start_run("x", store=tmp_path / "store", formats=()) as run:
        rules = IgnoreRules.for_this_process(str(run.path), "/", (), ()).text()
        first = ((NoteKind.RULES, rules), (NoteKind.WORKING_FOLDER, "/"))
        log = AccessLog(str(run.path), "", lambda: first)
        for name in (*names, tmp_path / "plain.csv"):
            log.add(NoteKind.READ, str(name))
        named = {str(path) for path in (*names, tmp_path / "plain.csv")}
        record_files(run, until_ns=time.time_ns(), named=named)
    records = [record for _, _, record in Journal(run.path).records()]
    found = [record for record in records if record["record"] == "dataset"]
    hashed = [Path(r["name"]).name for r in found if "sha256" in r["content"]]
    assert hashed == ["plain.csv"]
