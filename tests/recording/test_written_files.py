"""What a run writes: private files in its own folder, and nothing behind a link."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watched import make_victim, take_snapshot

import provml
from provml.capture import bootstrap
from provml.capture.command.bounded_log import BoundedLog
from provml.capture.files.access_log import AccessLog
from provml.collect.content import write_captured


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder outside the store that must not change."""
    folder = make_victim(tmp_path / "victim")
    before = take_snapshot(folder)
    yield folder
    assert take_snapshot(folder) == before


def record(store: Path, **options: object) -> None:
    """Record a run with one thing of each kind that is written to the run's folder."""
    content = store.parent / "content"
    (content / "folder").mkdir(parents=True, exist_ok=True)
    (content / "folder" / "file").write_text("a file")
    with provml.start_run(
        "x", store=store, run_id="a", sample_interval_s=0, formats=(), **options
    ) as run:
        run.log_metric("loss", 0.5, step=1)
        run.log_param("lr", 0.1)
        run.log_artifact(content / "folder" / "file")
        run.log_artifact(content / "folder")
        write_captured(run.path, "cells.py", b"pass")
        bootstrap._create_marker(run.path)
        log = BoundedLog(run.path, "stdout", 8)
        log.write(b"more than fits")
        log.finish()
        AccessLog(str(run.path), "", lambda: ()).add("R", "file")


_PLACES = [
    "x",
    "x/a",
    "x/a/journal",
    "x/a/artifacts",
    "x/a/run.json",
    "x/a/.inside",
    "x/a/journal/new.samples",
]


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("place", _PLACES)
def test_nothing_is_written_behind_a_link(
    place: str, dangling: bool, victim: Path, tmp_path: Path
) -> None:
    """A store that somebody else made would change files outside it."""
    store = tmp_path / "store"
    path = store / place
    path.parent.mkdir(parents=True)
    target = victim / "run.json" if "." in path.name else victim
    path.symlink_to(victim / "missing" if dangling else target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", provml.ProvMLWarning)
        for resume in (False, True):
            try:
                record(store, resume=resume)
            except (provml.StoreError, provml.RunExistsError, OSError):
                pass


@pytest.mark.parametrize("name", ["journal", "artifacts", "."])
def test_a_folder_that_becomes_a_link_during_the_run(
    name: str, victim: Path, tmp_path: Path
) -> None:
    """Another user of the store could redirect the files of a running training."""
    store = tmp_path / "store"
    run = provml.start_run("x", store=store, run_id="a", sample_interval_s=0, formats=())
    run.log_metric("loss", 0.5)
    folder = run.path / name
    folder.mkdir(exist_ok=True)
    folder.rename(tmp_path / "moved")
    (store / "x" / "a" / ("" if name == "." else name)).symlink_to(victim)
    run.log_param("lr", 0.1)
    run.log_artifact(tmp_path / "victim" / "victim.txt")
    for number in range(3000):  # more than the first segment holds
        run.log_metric("loss", number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", provml.ProvMLWarning)
        run.end_run()


def list_modes(store: Path) -> dict[str, set[int]]:
    """Return the permissions of all folders and files of a store."""
    modes: dict[str, set[int]] = {"folders": set(), "files": set()}
    for path in [store, *store.rglob("*")]:
        kind = "folders" if path.is_dir() else "files"
        modes[kind].add(stat.S_IMODE(path.lstat().st_mode))
    return modes


_UMASKS = ["000", "022", "077", "777"]


@pytest.mark.parametrize("umask", _UMASKS)
@pytest.mark.parametrize(
    ("shared", "folders", "files"), [("", 0o700, 0o600), ("007", 0o770, 0o660)]
)
def test_permissions_depend_on_provmls_umask_alone(
    umask: str, shared: str, folders: int, files: int, tmp_path: Path
) -> None:
    """Others could read a run, or colleagues couldn't, depending on where the training ran."""
    script = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        sys.path[:0] = [sys.argv[2], os.path.dirname(sys.argv[2])]
        from test_written_files import record
        os.umask(int(sys.argv[3], 8))
        record(Path(sys.argv[1]))
        assert os.umask(0) == int(sys.argv[3], 8)
    """)
    (tmp_path / "content" / "folder").mkdir(parents=True)
    store = tmp_path / "store"
    command = [sys.executable, "-c", script, str(store), str(Path(__file__).parent), umask]
    subprocess.run(command, env={**os.environ, "PROVML_UMASK": shared}, check=True)
    assert list_modes(store) == {"folders": {folders}, "files": {files}}


def test_an_existing_store_keeps_its_mode(tmp_path: Path) -> None:
    """A store that a group shares would be closed to it by the next run."""
    store = tmp_path / "store"
    store.mkdir()
    store.chmod(0o755)
    record(store)
    assert stat.S_IMODE(store.stat().st_mode) == 0o755


def _as_nobody(action: Callable[[], None]) -> int:
    """Run an action in a child process of another user; return its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            action()
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as a second user")
def test_a_second_user_records_into_a_shared_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the user who made a shared store could record into it, and the files would be theirs."""
    monkeypatch.setenv("PROVML_UMASK", "007")
    with tempfile.TemporaryDirectory() as name:
        shared = Path(name)
        os.chown(shared, 0, 65534)
        shared.chmod(0o2770)
        store = shared / "store"

        def record_run(run_id: str) -> None:
            with provml.start_run(
                "x", store=store, run_id=run_id, sample_interval_s=0, formats=()
            ) as run:
                run.log_metric("loss", 0.5)

        record_run("first")
        assert _as_nobody(lambda: record_run("second")) == 0

        def read_both() -> None:  # first as this user, who can import what it takes
            for run_id in ("first", "second"):
                assert provml.load(run_id, store).series("loss").value.tolist() == [0.5]

        read_both()
        assert _as_nobody(read_both) == 0
        assert {path.stat().st_gid for path in store.rglob("*")} == {65534}
        monkeypatch.delenv("PROVML_UMASK")
        record_run("private")
        assert _as_nobody(lambda: os.scandir(store / "x" / "private").close()) != 0
