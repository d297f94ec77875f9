"""Finds the line of a JSON text that a JSON Pointer refers to.

Imports only `report` from provml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from provml.validation.report import Finding

_SEARCH_BUDGET_BYTES: Final = 2**31
"""The maximum number of bytes to search. After that many, findings get no line numbers."""

_COLON: Final = re.compile(rb"\s*:")


def add_lines(findings: Iterable[Finding], data: bytes) -> list[Finding]:
    """Return the findings with their line numbers in a JSON text.

    For each JSON Pointer, this function searches the text for one key after the other, without
    parsing the text. It uses the first occurrence of each key after the previous key.
    """
    lines = _PointerLines(data)
    located = []
    for finding in findings:
        evidence = tuple(replace(each, line=lines.line(each.where)) for each in finding.evidence)
        located.append(replace(finding, line=lines.line(finding.where), evidence=evidence))
    return located


def escape_pointer(part: str) -> str:
    """Escape one part of a JSON Pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


class _PointerLines:
    """Finds the lines that JSON Pointers refer to in one JSON text."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _SEARCH_BUDGET_BYTES
        self._offsets: dict[str, int] = {"": 0}

    def line(self, pointer: str) -> int:
        """Return the number of the line that a JSON Pointer refers to, from 1; 0 if unknown."""
        if not pointer.startswith("/"):
            return 0
        at = self._find_position(pointer.split("/")[1:])
        if at < 0:
            return 0
        self._left -= at
        return self._data.count(b"\n", 0, at) + 1

    def _find_position(self, parts: list[str]) -> int:
        at, path = 0, ""
        for part in parts:
            path += f"/{part}"
            if path not in self._offsets:
                key = part.replace("~1", "/").replace("~0", "~")
                found = self._find_key(key, at)
                if found < 0 and part.isdigit():
                    found = at  # the part is a list index, which does not appear in the text
                self._offsets[path] = found
            at = self._offsets[path]
            if at < 0:
                return -1
        return at

    def _find_key(self, key: str, start: int) -> int:
        """Return the offset of the first occurrence of a key at or after ``start``, or -1."""
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
