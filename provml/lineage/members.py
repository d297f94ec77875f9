"""Reads the manifests of recorded folders, and relates each folder to the files in it.

A folder's manifest lists the digest and the name of each file. A run keeps the manifest of a folder
with up to 10,000 files. Imports only `base` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.base import store_files
from provml.base.text import printable_path
from provml.errors import StoreError

if TYPE_CHECKING:
    from provml.lineage.database import QuestionDatabase

MAX_MEMBERS: Final = 10_000
"""The maximum number of files per folder in the table ``members``."""

_MAX_MANIFEST_BYTES: Final = 16 * 2**20
_MANIFEST_PATH: Final = re.compile(r"artifacts/[0-9a-f]{16}/[\w.-]{1,100}")
_LINE: Final = re.compile(rb"(\\?)([0-9a-f]{64})  (.+)", re.DOTALL)
_EMPTY_FILE: Final = hashlib.sha256(b"").hexdigest()

_CREATE_MEMBER_FLOWS: Final = """
CREATE OR REPLACE TEMP TABLE member_flows AS
SELECT DISTINCT m.run, m.folder AS effect, m.member AS cause FROM members m
WHERE m.role = 'in' AND m.folder NOT IN (SELECT content FROM artifacts WHERE role = 'out')
AND m.member IN (SELECT content FROM artifacts WHERE role = 'out' UNION SELECT unnest(?::VARCHAR[]))
UNION ALL
SELECT DISTINCT m.run, m.member AS effect, m.folder AS cause FROM members m
WHERE m.role = 'out'
AND m.member IN (SELECT content FROM artifacts WHERE role = 'in' UNION SELECT unnest(?::VARCHAR[]))
"""


def read_members(run_folder: Path, manifest: object, digest: object) -> Iterator[tuple[str, str]]:
    """Yield the name and digest of each file in a folder, from the manifest that a run kept.

    Yields nothing if the manifest is missing, damaged or belongs to another folder. Leaves out
    empty files, because all empty files have the same digest.

    Args:
        run_folder: the run's folder. Its content is not trusted.
        manifest: the recorded path of the manifest, relative to the run's folder.
        digest: the recorded digest of the folder, which is the digest of the manifest.
    """
    if not isinstance(manifest, str) or not _MANIFEST_PATH.fullmatch(manifest):
        return
    root, path = store_files.store_root(run_folder), run_folder / manifest
    try:
        content = store_files.read_file(root, path, _MAX_MANIFEST_BYTES)
    except (OSError, StoreError):
        return
    if hashlib.sha256(content).hexdigest() != digest:
        return
    for line in content.split(b"\n")[:MAX_MEMBERS]:
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, member = found[3], found[2].decode("ascii")
        if found[1]:
            name = re.sub(rb"\\(.)", lambda m: b"\n" if m[1] == b"n" else m[1], name)
        if member != _EMPTY_FILE:
            yield printable_path(name.decode("utf-8", "surrogateescape")), member


def find_folders(database: QuestionDatabase, digests: Iterable[str]) -> list[tuple[str, str]]:
    """Return the folders that contain a file with one of these digests.

    Each folder is a pair: the folder's key, and the file's name in the folder.
    """
    query = (
        "SELECT DISTINCT folder, name FROM members WHERE member IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY folder, name"
    )
    rows: list[tuple[Any, ...]] = database.ask(["members"], query, [list(digests)]).rows
    return [(str(folder), str(name)) for folder, name in rows]


def create_member_flows(database: QuestionDatabase, starts: Iterable[str]) -> bool:
    """Create the temporary table ``member_flows``, and return whether the table has any rows.

    The table relates folders to the files in them:

    - If runs only used a folder, the folder was made from those of its files that a run made.
    - If a run made a folder, those of its files that a run used were made from the folder.

    A file at the start of the lineage is always related to the folders that contain it.
    """
    database.ask(["members", "artifacts"], "SELECT 1")
    if not database.ask([], "SELECT 1 FROM members LIMIT 1").rows:
        return False
    database.ask([], _CREATE_MEMBER_FLOWS, [list(starts), list(starts)])
    return bool(database.ask([], "SELECT 1 FROM member_flows LIMIT 1").rows)
