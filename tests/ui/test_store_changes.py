"""Open pages are told which runs changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import provml
from provml.ui.store_changes import Changes, StoreWatch


def test_changes_of_a_run(tmp_path: Path) -> None:
    """A page would not move while a run goes on, or would not see its end."""
    watch = StoreWatch(tmp_path)
    assert not watch.look()
    with provml.start_run("digits", store=tmp_path) as run:
        key = f"{run.path.parent.name}/{run.path.name}"
        assert watch.look() == Changes(added={key})
        assert not watch.look()
        for record in (
            lambda: run.log_metric("loss", 0.5, step=1),
            lambda: run.log_metric("loss", 0.25, step=2),
            lambda: run.log_param("lr", 0.1),
            lambda: [run.log_metric("loss", 0.5, step=step) for step in range(100_000)],
        ):
            record()
            assert watch.look() == Changes(changed={key})
    assert watch.look() == Changes(changed={key})
    assert not watch.look()


def test_crash_is_a_change(tmp_path: Path) -> None:
    """A page would show a killed run as running for ever."""
    script = "import os, provml; provml.start_run('a', store='.'); os.kill(os.getpid(), 9)"
    live = "import provml; provml.start_run('a', store='.'); print(1, flush=True); input()"
    watch = StoreWatch(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", live],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [key] = watch.look().added
        process.kill()
        process.wait()
        looks = [watch.look() for _ in range(10)]
        assert Changes(changed={key}) in looks
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert len(watch.look().added) == 1


def test_removed_and_renamed_runs(tmp_path: Path) -> None:
    """A page would go on to show a run that is gone."""
    keys = []
    for name in ("a", "b"):
        with provml.start_run(name, store=tmp_path) as run:
            keys.append(f"{run.path.parent.name}/{run.path.name}")
    watch = StoreWatch(tmp_path)
    watch.look()
    (tmp_path / "a").rename(tmp_path / "c")
    shutil.rmtree(tmp_path / keys[1])
    renamed = keys[0].replace("a/", "c/", 1)
    assert watch.look() == Changes(added={renamed}, removed=set(keys))
    shutil.rmtree(tmp_path)
    assert watch.look() == Changes(removed={renamed})


def test_changes_add_up() -> None:
    """A slow page would be told that a removed run is new."""
    first = Changes(added={"a"}, changed={"b"}, removed={"c"})
    first.add(Changes(added={"c"}, changed={"d"}, removed={"a", "b"}))
    assert first == Changes(added={"c"}, changed={"d"}, removed={"a", "b"})


def test_pages_are_told(tmp_path: Path, serve) -> None:
    """Only one of several open pages would move."""
    with provml.start_run("digits", store=tmp_path) as run:
        address = urlsplit(serve(tmp_path))
        pages = []
        for _ in range(3):
            connection = HTTPConnection(address.netloc, timeout=30)
            connection.request("GET", "/live")
            answer = connection.getresponse()
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.readline() == b"retry: 2000\n"
            pages.append((connection, answer))
        step = 0
        for connection, answer in pages:
            line = b""
            while not line.startswith(b"data:"):
                run.log_metric("loss", 0.5, step=step)
                step += 1
                line = answer.readline()
            assert run.path.name.encode() in line
            connection.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_odd_entries_are_no_error(tmp_path: Path, content: bytes) -> None:
    """A file or a link in the store would end the news for every page."""
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "experiment" / "run" / "journal").mkdir(parents=True)
    (tmp_path / "experiment" / "run" / "journal" / "1-a.samples").write_bytes(content)
    (tmp_path / "linked").symlink_to(tmp_path / "experiment")
    watch = StoreWatch(tmp_path)
    assert watch.look() == Changes(added={"experiment/run"})
    assert not watch.look()
