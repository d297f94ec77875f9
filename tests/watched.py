"""A folder outside a store that must not change."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

Snapshot = dict[str, tuple[Any, ...]]


def take_snapshot(folder: Path) -> Snapshot:
    """Return the kind, mode, times and content of everything in a folder."""
    found: Snapshot = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISDIR(status.st_mode):
            content = sorted(os.listdir(path))
        place = str(path.relative_to(folder))
        found[place] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


def make_victim(folder: Path) -> Path:
    """Create a folder that looks like a part of a store to code that does not look closely."""
    for name in ("2024", "data", "journal", "sparql", "samples", "v2", "x/a/journal"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "thesis.tex").write_text("years of work")
    for name in ("run.json", "index.json", "lock", ".inside", "provenance.json", "victim.txt"):
        (folder / name).write_text("years of work")
    return folder
