"""The memory file that tells worker processes which runs are active."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAD = """
import os, subprocess, sys
from provml.recording.published_runs import AncestorRuns, publish

READ = [
    sys.executable, "-c",
    "from provml.recording.published_runs import AncestorRuns; print(AncestorRuns().read())"
]

def memory_files():
    links = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            links[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    return [fd for fd, link in links.items() if link.startswith("/memfd:provml-active-runs-")]
"""


def output_of(script: str, *arguments: object) -> str:
    """What a process prints that runs the script."""
    command = [sys.executable, "-c", HEAD + script, *map(str, arguments)]
    return subprocess.check_output(command, text=True)


def test_a_forked_child_leaves_its_parents_file_alone() -> None:
    """A forked child that starts a run would send its parent's workers into that run."""
    script = """
publish(["/a"], "/a", False)
pid = os.fork()
if pid == 0:
    publish(["/b"], "/b", False)
    print(subprocess.check_output(READ, text=True), end="", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(subprocess.check_output(READ, text=True), end="")
"""
    child, parent = output_of(script).splitlines()
    assert "chosen='/b'" in child
    assert "chosen='/a'" in parent


def test_a_closed_descriptor_is_not_written(tmp_path: Path) -> None:
    """A script that closes all descriptors would find the list of runs in a file of its own."""
    script = """
publish(["/a"], "/a", False)
(fd,) = memory_files()
os.close(fd)
with open(sys.argv[1], "w+b") as own:
    os.dup2(own.fileno(), fd)
    publish(["/b"], "/b", False)
    assert own.read() == b""
print(subprocess.check_output(READ, text=True), end="")
"""
    assert output_of(script, tmp_path / "own") == "None\n"


def test_a_file_that_could_shrink_is_not_mapped() -> None:
    """A process that imitates the file and shortens it would end its children with SIGBUS."""
    script = """
fd = os.memfd_create(f"provml-active-runs-{os.getpid()}", os.MFD_CLOEXEC)
os.write(fd, b"\\0" * 65_536)
print(subprocess.check_output(READ, text=True), end="")
"""
    assert output_of(script) == "None\n"


def test_what_is_published_is_what_is_read() -> None:
    """A worker would miss its run because of the run's name, or because many runs are active."""
    script = """
odd = "/a b/\\udcff/\\n"
many = [f"/{n}" + "x" * 250 for n in range(1000)]
for folders, chosen, is_disabled, expected in [
    ([odd], odd, False, ((odd,), odd, False)),
    (many, None, False, (tuple(many[:100]), None, False)),
    ([], None, True, ((), None, True)),
    ([], None, False, None),
]:
    publish(folders, chosen, is_disabled)
    pid = os.fork()
    if pid == 0:
        os._exit(AncestorRuns().read() != expected)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert output_of(script) == "0\n" * 4
