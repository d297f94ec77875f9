"""The lines of strace are read, whatever pieces they come in and whatever names they hold."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provml.capture.files.trace_lines import MAX_LINE_BYTES, TracedCall, TraceReader

TRACE = rb"""7 1000000000.000001 execve("/usr/bin/sh", [...], 0x7ff /* 35 vars */) = 0
7 1000000000.000002 openat(AT_FDCWD, "in.csv", O_RDONLY|O_CLOEXEC) = 3
7 1000000000.000003 openat(AT_FDCWD, "d", O_RDONLY|O_DIRECTORY) = 4
7 1000000000.000004 openat(4, "out \"\303\251\"\n", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 5
7 1000000000.000005 vfork()         = 8
8 1000000000.000006 chdir("d")      = 0
8 1000000000.000007 rename("a", "../b") = 0
7 1000000000.000008 unlink("in.csv") = 0
8 1000000000.000009 --- SIGCHLD {si_signo=SIGCHLD} ---
9000009 1000000000.000010 openat(AT_FDCWD, "late", O_RDONLY <unfinished ...>
8 1000000000.000011 open("x", O_RDWR|O_APPEND) = 3
9000009 1000000000.000012 <... openat resumed>) = 4
8 1000000000.000013 creat("new", 0644) = 3
8 1000000000.000014 +++ exited with 0 +++
9000009 1000000000.000015 +++ killed by SIGTERM +++
7 1000000000.000016 openat(AT_FDCWD, "/work", O_RDWR|O_TMPFILE, 0600) = 6
7 1000000000.000017 linkat(AT_FDCWD, "/proc/self/fd/6", AT_FDCWD, "made", AT_SYMLINK_FOLLOW) = 0
7 1000000000.000018 openat(AT_FDCWD, "/dev/fd/3", O_RDONLY) = 7
7 1000000000.000019 openat(AT_FDCWD, "/dev/fd/63", O_RDONLY) = 7
7 1000000000.000020 symlink("../data", "/work/d/way") = 0
7 1000000000.000021 openat(AT_FDCWD, "d/way", O_RDONLY) = 7
7 1000000000.000022 openat2(4, "last", {flags=O_RDONLY, resolve=0}, 24) = 8
7 1000000000.000023 openat(AT_FDCWD, "split", O_RDONLY <unfinished ...>
)                                       = 9
7 1000000000.000024 +++ exited with 0 +++
"""
"""The numbers of some processes are larger than any that Linux gives, so ``/proc`` has none."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _call(number: int, action: str, path: str, flags: int = 0, **others: str) -> TracedCall:
    return TracedCall(10**18 + number * 1000, action, path, flags, **others)


CALLS = [
    _call(1, "execute", "/usr/bin/sh"),
    _call(2, "open", "/work/in.csv"),
    _call(3, "open", "/work/d", os.O_DIRECTORY),
    _call(4, "open", '/work/d/out "é"\n', NEW),
    _call(7, "move", "/work/d/a", target="/work/b"),
    _call(8, "remove", "/work/in.csv"),
    _call(11, "open", "/work/d/x", os.O_RDWR | os.O_APPEND),
    _call(13, "open", "/work/d/new", NEW),
    _call(17, "link", "/proc/self/fd/6", target="/work/made"),
    _call(18, "open", "/work/in.csv"),
    _call(21, "open", "/work/d/way", resolved="/work/data"),
    _call(22, "open", "/work/d/last"),
    _call(23, "open", "/work/split"),
    _call(10, "open", "/work/late"),
]


@pytest.fixture(autouse=True)
def _folder_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptor 4 of a process that never ran can't be looked up: the trace has to do."""
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/work/d")


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_lines_in_pieces(size: int) -> None:
    """A file would be missed because its line came in two pieces."""
    reader = TraceReader("/work")
    blocks = (TRACE[start : start + size] for start in range(0, len(TRACE), size))
    found = [call for block in blocks for call in reader.feed(block)]
    assert [*found, *reader.finish()] == CALLS
    assert reader.is_over
    assert not reader.damaged


LATE_START = rb"""9000007 1000000000.000001 execve("/usr/bin/sh", [...], 0x7ff /* 35 vars */) = 0
9000007 1000000000.000002 chdir("d")      = 0
9000008 1000000000.000003 execve("/usr/bin/cat", [...], 0x7ff /* 35 vars */) = 0
9000008 1000000000.000004 openat(AT_FDCWD, "staged", O_RDONLY) = 3
9000008 1000000000.000005 +++ exited with 0 +++
9000007 1000000000.000006 vfork()         = 9000008
9000007 1000000000.000007 +++ exited with 0 +++
"""


def test_child_whose_lines_come_before_its_start() -> None:
    """On a busy machine, an input would get the path of another file in the first folder."""
    reader = TraceReader("/work")
    lines = LATE_START.splitlines(keepends=True)
    early = [call for line in lines[:5] for call in reader.feed(line)]
    assert early == [_call(1, "execute", "/usr/bin/sh")]
    assert not reader.is_over
    assert [call for line in lines[5:] for call in reader.feed(line)] == [
        _call(3, "execute", "/usr/bin/cat"),
        _call(4, "open", "/work/d/staged"),
    ]
    assert reader.is_over
    assert not list(reader.finish())


def test_number_of_an_ended_process_is_given_again() -> None:
    """The second process with one number would keep the working folder of the first one."""
    reader = TraceReader("/work")
    again = LATE_START.replace(b'chdir("d")', b'chdir("/tmp")')
    calls = [*reader.feed(LATE_START.rpartition(b"9000007 ")[0]), *reader.feed(again)]
    assert [call.path for call in calls if call.action == "open"] == [
        "/work/d/staged",
        "/tmp/staged",
    ]


def test_endless_lines_of_an_unknown_process() -> None:
    """A process in another namespace, whose start has another number, would fill the memory."""
    reader = TraceReader("/work")
    list(reader.feed(LATE_START.partition(b"9000008 ")[0]))
    line = b'9000009 1000000000.000003 openat(AT_FDCWD, "' + b"x" * 60_000 + b'", O_RDONLY) = 3\n'
    assert not list(reader.feed(line * 100))
    assert sum(
        len(list(reader.feed(line.replace(b"9000009", b"%d" % pid))))
        for pid in range(9000010, 9000500)
    )
    assert len(list(reader.finish())) >= 100


@given(st.binary(max_size=300), st.integers(0, len(TRACE)))
def test_any_bytes(noise: bytes, place: int) -> None:
    """A command with strange arguments could end the recording of its files."""
    reader = TraceReader("/work")
    found = [*reader.feed(TRACE[:place] + noise + TRACE[place:] + b"\n"), *reader.finish()]
    assert all(call.path for call in found)


def test_endless_line() -> None:
    """A command could fill the memory of provml."""
    reader = TraceReader("/work")
    for _ in range(100):
        assert not list(reader.feed(b"x" * MAX_LINE_BYTES))
    assert len(reader._rest) <= MAX_LINE_BYTES
    assert not list(reader.feed(b"\n"))
    assert reader.damaged == 1
