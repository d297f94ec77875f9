"""Answers requests for the text that a run kept, such as copies of its printed output.

Text is returned in parts. Escape sequences and control characters are removed.
Imports `run_content`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from provml.errors import InvalidArgumentError, StoreError
from provml.journal.kept_copies import OUTPUT_NAMES, copy_path, find_unfinished_logs, open_copy
from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query
from provml.ui.run_content import RunContent, read_run

_PART_BYTES: Final = 256 * 1024
_TAIL_BYTES: Final = 16 * 1024
_MOST_BYTES: Final = 1024 * 1024
_MOST_MATCHES: Final = 500
_MATCH_CHARACTERS: Final = 300
_MOST_SEARCHED: Final = 256 * 2**20
_READ_BYTES: Final = 2**20

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # such as colours
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # such as the title of the terminal
    r"|\x1b[ -/]*[0-~]"
)
_OVERWRITTEN: Final = re.compile(r"[^\n\r]*\r+(?=[^\n\r])")
"""The part of a line before a carriage return, such as an earlier state of a progress bar."""
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


class KeptLog(NamedTuple):
    """A log of printed output, or another copy of text that a run kept.

    Attributes:
        name: the name, such as ``stdout``.
        paths: the files that contain the text, in order.
        is_live: whether the command still prints to the log.
        digest: the recorded digest of the text; None if unknown.
    """

    name: str
    paths: tuple[Path, ...]
    is_live: bool = False
    digest: str | None = None


def find_logs(found: RunContent) -> list[KeptLog]:
    """Return the logs of a run's printed output: for each name, the last log with this name."""
    logs: dict[str, KeptLog] = {}
    for content in found.contents:
        path = copy_path(found.folder, content.facts)
        if content.kind == "artifact" and content.name in OUTPUT_NAMES and path is not None:
            digest = content.facts.get("sha256")
            own = digest if isinstance(digest, str) else None
            logs[content.name] = KeptLog(content.name, (path,), digest=own)
    is_live = found.state.status == "running"
    for name, paths in find_unfinished_logs(found.folder):
        if name in OUTPUT_NAMES and (is_live or name not in logs):
            logs[name] = KeptLog(name, tuple(paths), is_live)
    return [logs[name] for name in ("output", "stdout", "stderr") if name in logs]


def read_last_lines(folder: Path, log: KeptLog, most: int) -> list[str]:
    """Return the last lines of a log that are not blank; an empty list if the log can't be read."""
    try:
        with _LogFile(folder, log) as file:
            part = _read_before(file, file.size, _TAIL_BYTES)
    except (OSError, StoreError):
        return []
    lines: list[str] = part["text"].split("\n")
    return [line for line in lines if line.strip()][-most:]


def answer_output(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Return a part of a run's printed output, or the lines that contain a search text.

    Without a name or a digest, the answer contains the end of every log. A part begins at
    ``offset`` or ends at ``before``. By default, the part ends at the end of the text.
    """
    found = read_run(store, query.required("run"))
    name, digest, text = query.text("name"), query.text("digest"), query.text("find")
    logs = find_logs(found)
    if name is None and digest is None:
        ends = [_read_end(found.folder, log) for log in logs]
        return {"logs": [end for end in ends if end is not None]}
    log = next((log for log in logs if log.name == name), None)
    if digest is not None:
        log = _find_copy(found, digest)
    if log is None:
        what = f"named {name!r}" if digest is None else f"with the digest {digest!r}"
        raise InvalidArgumentError(f"the run kept no copy {what}")
    try:
        with _LogFile(found.folder, log) as file:
            if text is not None:
                return _describe_log(log, file) | _find_lines(file, text)
            limit = query.count("limit", _PART_BYTES, _MOST_BYTES)
            if query.text("offset") is not None:
                part = _read_from(file, query.count("offset", 0, 2**53), limit)
            else:
                part = _read_before(file, query.count("before", file.size, 2**53), limit)
            return _describe_log(log, file) | part
    except (StoreError, FileNotFoundError) as error:
        raise InvalidArgumentError(f"the copy {log.name!r} can't be read: {error}") from None


def _find_copy(found: RunContent, digest: str) -> KeptLog | None:
    for content in found.contents:
        path = copy_path(found.folder, content.facts)
        if path is not None and content.facts.get("sha256") == digest:
            return KeptLog(content.name, (path,), digest=digest)
    return None


def _read_end(folder: Path, log: KeptLog) -> dict[str, Any] | None:
    try:
        with _LogFile(folder, log) as file:
            return _describe_log(log, file) | _read_before(file, file.size, _PART_BYTES)
    except (OSError, StoreError):
        return None


def _describe_log(log: KeptLog, file: _LogFile) -> dict[str, Any]:
    notes = []
    if log.is_live and file.may_be_out_of_order:
        notes.append(
            "the command printed more than provml keeps: until the command ends, the last part of "
            "this text may be out of order"
        )
    return {
        "name": log.name,
        "live": log.is_live,
        "digest": log.digest,
        "size": file.size,
        "notes": notes,
    }


class _LogFile:
    """The files of a log, opened as if they were one file."""

    def __init__(self, folder: Path, log: KeptLog) -> None:
        self._stack = ExitStack()
        self._parts: list[tuple[BinaryIO, int]] = []
        self._folder = folder
        self._log = log
        self.size = 0

    def __enter__(self) -> _LogFile:
        with self._stack:
            for path in self._log.paths:
                file = self._stack.enter_context(open_copy(self._folder, path))
                size = os.fstat(file.fileno()).st_size
                self._parts.append((file, size))
                self.size += size
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def may_be_out_of_order(self) -> bool:
        """Whether the second file is a full ring buffer, in which the text may begin anywhere."""
        sizes = [size for _, size in self._parts]
        return len(sizes) > 1 and sizes[1] >= sizes[0] - 1

    def read(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from an offset."""
        found = b""
        for file, size in self._parts:
            if offset < size and len(found) < count:
                found += os.pread(file.fileno(), min(count - len(found), size - offset), offset)
                offset = size
            offset -= size
        return found


def _read_from(file: _LogFile, offset: int, limit: int) -> dict[str, Any]:
    """Return the text that begins at an offset. If possible, the text ends at the end of a line."""
    content = file.read(offset, limit)
    if offset + len(content) < file.size:
        content = content[: content.rfind(b"\n") + 1 or _last_character(content)]
    return {"offset": offset, "end": offset + len(content), "text": clean_text(content)}


def _read_before(file: _LogFile, end: int, limit: int) -> dict[str, Any]:
    """Return the text that ends at an offset. If possible, the text begins with a whole line."""
    end = min(end, file.size)
    start = max(0, end - limit)
    content = file.read(start, end - start)
    if start:
        cut = content.find(b"\n", 0, -1) + 1
        content = content[cut or _first_character(content) :]
    return {"offset": end - len(content), "end": end, "text": clean_text(content)}


def _first_character(content: bytes) -> int:
    """Return the index at which the first complete UTF-8 character begins."""
    start = 0
    while start < min(4, len(content)) and content[start] & 0xC0 == 0x80:
        start += 1
    return start


def _last_character(content: bytes) -> int:
    """Return the index at which the last complete UTF-8 character ends."""
    end = len(content)
    while end and len(content) - end < 4 and content[end - 1] & 0xC0 == 0x80:
        end -= 1
    if end and content[end - 1] >= 0xC0:
        return end - 1
    return len(content)


def clean_text(content: bytes) -> str:
    """Decode printed output, and remove escape sequences, overwritten text and control characters.

    Tabs and line ends stay. Invalid UTF-8 becomes replacement characters.
    """
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text)
    return _CONTROLS.sub("", text)


def _find_lines(file: _LogFile, text: str) -> dict[str, Any]:
    """Find the lines that contain a text. Ignores the case of the letters A to Z."""
    wanted = text.encode("utf-8", "replace").lower()
    matches: list[dict[str, Any]] = []
    for offset, line in _read_lines(file):
        if wanted in line.lower():
            if len(matches) == _MOST_MATCHES:
                return {"matches": matches, "more": True}
            shown = clean_text(line)
            place = max(0, shown.lower().find(text.lower()) - _MATCH_CHARACTERS // 3)
            matches.append({"offset": offset, "line": shown[place : place + _MATCH_CHARACTERS]})
    return {"matches": matches, "more": file.size > _MOST_SEARCHED}


def _read_lines(file: _LogFile) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the content of each line. Long lines are cut into several lines."""
    offset, rest = 0, b""
    position = 0
    while position < min(file.size, _MOST_SEARCHED):
        block = file.read(position, _READ_BYTES)
        if not block:
            break
        position += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield offset, line
            offset += len(line) + 1
        if len(rest) > _READ_BYTES:
            yield offset, rest
            offset, rest = offset + len(rest), b""
    if rest:
        yield offset, rest
