"""What is kept of a stream: its beginning and its end, up to a limit.

A file under the run's ``artifacts/`` has the beginning as it comes; what follows goes round in a
second file of fixed size, so that both are there also when the recording process is killed. At the
end they are put together, with a line between them that says what is left out. Imports `layout`,
`content`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from provml.collect.content import digest_file
from provml.journal import layout

DEFAULT_LIMIT_BYTES: Final = 10 * 2**20
_SHORT_DIGEST: Final = 16


class BoundedLog:
    """The first half of the limit and the last half of it; used by one thread at a time."""

    def __init__(self, run_folder: Path, name: str, limit_bytes: int) -> None:
        """Nothing is made before there is something to keep.

        Args:
            run_folder: the run's folder.
            name: the file's name.
            limit_bytes: how much to keep; 0 for none.
        """
        self.name = name
        self.total_bytes = 0
        self.trouble: Exception | None = None
        self._run_folder = run_folder
        own = f"{name}-{os.getpid()}-{os.urandom(4).hex()}"
        self._folder = run_folder / layout.ARTIFACTS_FOLDER / own
        self._head_limit = limit_bytes - limit_bytes // 2
        self._tail_limit = limit_bytes // 2
        self._head = -1
        self._tail = -1
        self._in_head = 0
        self._in_tail = 0
        """How many bytes went round so far."""

    @property
    def left_out_bytes(self) -> int:
        """How much of the stream is not kept."""
        return self.total_bytes - self._in_head - min(self._in_tail, self._tail_limit)

    def write(self, block: bytes) -> None:
        """Keep a block; costs a copy of it. Trouble ends the keeping, and is in `trouble`."""
        self.total_bytes += len(block)
        if self.trouble is not None or not self._head_limit:
            return
        try:
            if self._in_head < self._head_limit:
                if self._head < 0:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._head = _opened(self._folder / self.name)
                first = block[: self._head_limit - self._in_head]
                self._in_head += _written(self._head, first, self._in_head)
                block = block[len(first) :]
            if block and self._tail_limit:
                self._go_round(block)
        except (OSError, MemoryError) as error:
            self.trouble = error

    def _go_round(self, block: bytes) -> None:
        if self._tail < 0:
            self._tail = _opened(self._folder / f"{self.name}.end")
        size = self._tail_limit
        position = self._in_tail
        if len(block) > size:
            position += len(block) - size
            block = block[-size:]
        while block:
            place = position % size
            part = block[: size - place]
            _written(self._tail, part, place)
            position += len(part)
            block = block[len(part) :]
            self._in_tail = position

    def finish(self) -> dict[str, Any] | None:
        """Put the file together; its facts, as of an artifact. None where nothing is kept.

        Raises OSError; then what there is stays where it is.
        """
        if self._head < 0:
            return None
        try:
            if self._tail >= 0:
                self._append_tail()
        finally:
            for fd in (self._head, self._tail):
                if fd >= 0:
                    os.close(fd)
        facts = digest_file(str(self._folder / self.name))
        relative = f"{layout.ARTIFACTS_FOLDER}/{facts['sha256'][:_SHORT_DIGEST]}/{self.name}"
        target = self._run_folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._folder / self.name, target)
        (self._folder / f"{self.name}.end").unlink(missing_ok=True)
        self._folder.rmdir()
        return {"kind": "file", "copy": relative, **facts}

    def _append_tail(self) -> None:
        size, place = self._tail_limit, self._in_tail % self._tail_limit
        if self._in_tail <= size:
            end = os.pread(self._tail, size, 0)
        else:
            end = os.pread(self._tail, size - place, place) + os.pread(self._tail, place, 0)
        left_out = self.left_out_bytes
        note = f"\n[provml: {left_out:,} bytes are left out here]\n".encode() if left_out else b""
        _written(self._head, note + end, self._in_head)


def find_leftover_logs(run_folder: Path) -> list[tuple[str, list[Path]]]:
    """The names of streams whose keeping was cut off, each with its files: beginning, end."""
    found = []
    for folder in sorted((run_folder / layout.ARTIFACTS_FOLDER).glob("*-*-*")):
        name = folder.name.rsplit("-", 2)[0]
        files = [folder / name, folder / f"{name}.end"]
        if folder.is_dir() and not folder.is_symlink():
            there = [file for file in files if file.is_file() and not file.is_symlink()]
            if there:
                found.append((name, there))
    return found


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _written(fd: int, content: bytes, offset: int) -> int:
    done = 0
    view = memoryview(content)
    while done < len(content):
        done += os.pwrite(fd, view[done:], offset + done)
    return done
