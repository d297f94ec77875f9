"""Where in a JSON text a pointer leads: the line. Imports `report`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from provml.validation.report import Finding

_MOST_BYTES: Final = 2**31
"""So many bytes are searched in all; findings after that have no line."""

_COLON: Final = re.compile(rb"\s*:")


def with_lines(findings: Iterable[Finding], data: bytes) -> list[Finding]:
    """Findings with the lines of their places in a JSON text.

    A pointer's keys are searched for one after the other, without parsing again; where a key also
    stands elsewhere between them, the line is that of the first.
    """
    lines = _Lines(data)
    located = []
    for finding in findings:
        evidence = tuple(replace(each, line=lines.line(each.where)) for each in finding.evidence)
        located.append(replace(finding, line=lines.line(finding.where), evidence=evidence))
    return located


class _Lines:
    """The lines of pointers into one text."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MOST_BYTES
        self._found: dict[str, int] = {"": 0}

    def line(self, pointer: str) -> int:
        """The line of a JSON pointer (RFC 6901), from 1; 0 where it is not found."""
        if not pointer.startswith("/"):
            return 0
        at = self._position(pointer.split("/")[1:])
        if at < 0:
            return 0
        self._left -= at
        return self._data.count(b"\n", 0, at) + 1

    def _position(self, parts: list[str]) -> int:
        at, path = 0, ""
        for part in parts:
            path += f"/{part}"
            if path not in self._found:
                key = part.replace("~1", "/").replace("~0", "~")
                found = self._key(key, at)
                if found < 0 and part.isdigit():
                    found = at  # a place in a list
                self._found[path] = found
            at = self._found[path]
            if at < 0:
                return -1
        return at

    def _key(self, key: str, start: int) -> int:
        """Where a key stands after a place; -1 where it doesn't."""
        for text in {json.dumps(key), json.dumps(key, ensure_ascii=False)}:
            wanted = text.encode("utf-8", "surrogatepass")
            at = start
            while self._left > 0:
                found = self._data.find(wanted, at)
                self._left -= (found if found >= 0 else len(self._data)) - at
                if found < 0:
                    break
                if _COLON.match(self._data, found + len(wanted)):
                    return found
                at = found + 1
        return -1
