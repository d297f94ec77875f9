"""Runs provml's command line in this process, with streams as in another process.

Starting Python and importing provml takes longer than most commands. A test that depends on the
process itself, such as its signals or its exit, starts one instead.
"""

from __future__ import annotations

import io
import os
import pty
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import BinaryIO

import provml.cli


def run_command(*arguments: object, **variables: str) -> CompletedProcess[str]:
    """Run a command with both output streams in pipes, and with these environment variables."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    words = [str(argument) for argument in arguments]
    with _environment(variables), _streams(stdout, stderr), _printed_warnings():
        status = provml.cli.execute(words)
    texts = (stream.getvalue().decode().replace("\r\n", "\n") for stream in (stdout, stderr))
    return CompletedProcess(words, status, *texts)


def run_on_terminal(
    *arguments: object, columns: int = 100, typed: str = "", **variables: str
) -> str:
    """Run a command on a terminal of its own; return what the terminal shows.

    If there is text to type, standard input is the terminal too.
    """
    master, slave = pty.openpty()
    os.write(master, typed.encode())
    shown: list[bytes] = []
    reader = threading.Thread(target=_read_terminal, args=(master, shown))
    reader.start()
    try:
        variables = {"TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
        with (
            open(slave, "wb", buffering=0) as terminal,
            _environment(variables),
            _streams(terminal, terminal),
            _typing(slave if typed else None),
            _printed_warnings(),
        ):
            status = provml.cli.execute([str(argument) for argument in arguments])
    finally:
        reader.join()
        os.close(master)
    text = b"".join(shown).decode().replace("\r\n", "\n")
    assert status == 0, text
    return text


def _read_terminal(master: int, shown: list[bytes]) -> None:
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # Linux: the other side is closed
            return
        if not block:
            return
        shown.append(block)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _streams(stdout: BinaryIO, stderr: BinaryIO) -> Iterator[None]:
    """Replace the standard streams, with the encoding and the errors that the command sets."""
    before = sys.stdout, sys.stderr
    replaced = [
        io.TextIOWrapper(stream, "utf-8", errors="backslashreplace", write_through=True)
        for stream in (stdout, stderr)
    ]
    sys.stdout, sys.stderr = replaced
    try:
        yield
    finally:
        for stream in replaced:
            stream.flush()
            stream.detach()
        sys.stdout, sys.stderr = before


@contextmanager
def _typing(terminal: int | None) -> Iterator[None]:
    """Replace standard input by a terminal, if there is one."""
    before = sys.stdin
    if terminal is not None:
        sys.stdin = open(os.dup(terminal), encoding="utf-8")
    try:
        yield
    finally:
        if sys.stdin is not before:
            sys.stdin.close()
        sys.stdin = before


@contextmanager
def _printed_warnings() -> Iterator[None]:
    """Print warnings as `provml.cli.main` does, instead of making them errors."""

    def show(message: object, category: type[Warning], *place: object) -> None:
        print(provml.cli._warning_text(message, category, "", 0), end="", file=sys.stderr)  # type: ignore[arg-type]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
