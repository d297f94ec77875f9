"""What the crash tests share: real child processes, small disks.

With ``TEST_SAMPLE_INTERVAL_S=0.01`` in the environment every run of theirs has readings of the
machine, too, as often as that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import waiting
from waiting import LIMIT_S

import provml

_OWN_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_OWN_VARIABLES += ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No launcher's rank, no setting of the developer's; runs go under the test's folder."""
    for name in list(os.environ):
        if name in _OWN_VARIABLES or name.startswith("PROVML_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PROVML_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    monkeypatch.setenv("PROVML_SAMPLE_INTERVAL_S", os.environ.get("TEST_SAMPLE_INTERVAL_S", "0"))
    monkeypatch.setenv("PROVML_CODE", "off")  # these tests count files and records


class Children:
    """Starts Python processes; none outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, source: str, *arguments: object, options: tuple[str, ...] = (), **variables: str
    ) -> subprocess.Popen[str]:
        """A process that runs the source text as a script."""
        script = self.folder / f"script{len(self._started)}.py"
        script.write_text(textwrap.dedent(source), encoding="utf-8")
        child = subprocess.Popen(
            [sys.executable, *options, str(script), *map(str, arguments)],
            env={**os.environ, **variables},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            restore_signals=True,
        )
        self._started.append(child)
        return child

    def run(
        self, source: str, *arguments: object, options: tuple[str, ...] = (), **variables: str
    ) -> tuple[int, str, str]:
        """A process that runs to its end: exit code, standard output, standard error."""
        child = self.start(source, *arguments, options=options, **variables)
        out, err = child.communicate(timeout=LIMIT_S)
        return child.returncode, out, err

    def stop(self) -> None:
        """Kill what still runs."""
        for child in self._started:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None and not pipe.closed:
                    pipe.close()
            child.wait(LIMIT_S)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Starts real processes."""
    started = Children(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def until() -> Callable[[Callable[[], object], str], None]:
    """Waits for a condition."""
    return waiting.until


@pytest.fixture
def logged_params() -> Callable[[provml.RecordedRun], dict[str, Any]]:
    """A run's parameters without what its readings came to, where the tests are run with some."""

    def of(run: provml.RecordedRun) -> dict[str, Any]:
        return {name: v for name, v in run.params.items() if not name.startswith("system.")}

    return of


class SmallDisk:
    """A file system of its own, and a file that takes the room away from others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave_bytes: int = 0) -> None:
        """Leave that much room."""
        with open(self._filler, "ab", buffering=0) as file:
            free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free - leave_bytes)

    def release(self) -> None:
        """Give all the room back."""
        self._filler.unlink()


@contextmanager
def _mount_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "provml-test", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A tmpfs of 2 MiB."""
    with _mount_disk(tmp_path / "disk", "2m") as disk:
        yield disk


@pytest.fixture
def large_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A tmpfs of 12 MiB, enough for a trace."""
    with _mount_disk(tmp_path / "disk", "12m") as disk:
        yield disk
