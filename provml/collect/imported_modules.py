"""Lists the local modules that this process has imported, and detects later changes to the files.

Imports `code_files`, `base.clock` and `journal.process` from provml.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from provml.base.clock import boot_ns
from provml.collect.code_files import ProjectFiles
from provml.journal.process import read_start_ticks

_STARTUP_NS: Final = 20_000_000
"""The minimum time from the start of a Python process until Python reads the script.

The start of a process is known only to within 10 ms, and a script is often written just before its
process starts. Without this additional time, such a script would count as changed.
"""
_HEADER_BYTES: Final = 16


class ImportedFile(NamedTuple):
    """The source file of an imported module.

    Attributes:
        path: the absolute path of the file.
        cached: the path of the module's bytecode; None if the module has no bytecode file.
        is_script: whether the module is the script.
    """

    path: str
    cached: str | None
    is_script: bool


def list_imported_files(project: ProjectFiles) -> Iterator[ImportedFile]:
    """Yield the source files of the local modules that have been imported, and of the script.

    Costs about half a microsecond for each imported module.
    """
    for name, module in list(sys.modules.items()):
        # reading an attribute of a lazy module can import other modules
        try:
            facts: dict[str, Any] = object.__getattribute__(module, "__dict__")
        except AttributeError:
            continue
        path = facts.get("__file__")
        if path.__class__ is not str or not path.endswith((".py", ".pyw")):
            continue
        if name == "__main__":
            path = os.path.abspath(path)
        elif path[:1] != "/":
            continue
        if project.is_certainly_installed(path) or not project.is_local(path):
            continue
        cached = facts.get("__cached__")
        bytecode = cached if isinstance(cached, str) else None
        yield ImportedFile(os.path.normpath(path), bytecode, name == "__main__")


def may_have_changed(file: ImportedFile) -> bool:
    """Return whether a module's file may have changed since this process imported the module.

    A file that is older than the process has not changed. For a newer file, provml compares the
    size and modification time with those that Python stored in the bytecode when it compiled the
    module.
    """
    started_ns = _find_process_start_ns()
    try:
        status = os.stat(file.path)
    except OSError:
        return True
    if started_ns is None or max(status.st_mtime_ns, status.st_ctime_ns) <= started_ns:
        return False
    if file.cached is None:
        return status.st_mtime_ns > started_ns
    try:
        with open(file.cached, "rb") as bytecode:
            header = bytecode.read(_HEADER_BYTES)
    except OSError:
        return status.st_mtime_ns > started_ns
    flags, modified, size = (int.from_bytes(header[n : n + 4], "little") for n in (4, 8, 12))
    if flags:  # the bytecode contains a digest of the source instead of its time and size
        return status.st_mtime_ns > started_ns
    mask = 0xFFFFFFFF
    return (modified, size) != (int(status.st_mtime) & mask, status.st_size & mask)


@lru_cache(maxsize=1)
def _find_process_start_ns() -> int | None:
    """Return the earliest time at which Python can have read the script; None if unknown."""
    ticks = read_start_ticks(os.getpid())
    if ticks is None:
        return None
    age_ns = boot_ns() - ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return time.time_ns() - age_ns + _STARTUP_NS
