"""Checks whether anything in a run's folder is missing or differs from what was recorded.

`check_run` checks the journal, ``run.json``, the copies of artifacts, and the documents. Imports
`journal`, `export`, `collect.content` and `base` from provml.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.base.results import Damage
from provml.base.store_files import OpenFolder
from provml.collect.content import digest_manifest
from provml.errors import ProvMLError
from provml.export import DOCUMENT_STEM
from provml.export._document_digests import DIGESTS_FILE, digest_stream, read_digests
from provml.journal.reader import Journal

_MAX_DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class RunCheck:
    """The result of `check_run`.

    Attributes:
        path: the run's folder.
        damage: the recorded parts that are damaged or missing, or that can't be verified.
        not_covered: a description of each part that can't be checked, because provml recorded no
            checksum or digest for it.
    """

    path: Path
    damage: tuple[Damage, ...]
    not_covered: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the check found no damage."""
        return not self.damage


def check_run(run_folder: str | os.PathLike[str]) -> RunCheck:
    """Check a run's journal, ``run.json``, copies and documents.

    Reads every file once, which takes about a second per GB. If the run is still being recorded,
    only the records before the last sync are checked.

    Raises:
        RunNotFoundError: the folder contains no run.
    """
    folder = Path(os.path.abspath(run_folder))
    try:
        journal = Journal(folder)
        damage = journal.verify()
        damage += _check_copies(journal)
        damage += _check_documents(folder)
    except OSError as error:
        return RunCheck(folder, (Damage(None, f"can't be checked: {error}"),))
    except ProvMLError as error:
        if isinstance(error, LookupError):
            raise
        return RunCheck(folder, (Damage(None, f"can't be checked: {error}"),))
    return RunCheck(folder, tuple(damage), tuple(_find_gaps(journal)))


def _find_gaps(journal: Journal) -> Iterator[str]:
    without = sum(not files.has_checksums() for files in journal.writers)
    if without:
        yield f"{without:,} of {len(journal.writers):,} pairs of journal files have no checksums"
    unchecked = journal.unchecked
    if unchecked:
        verb = "was" if unchecked == 1 else "were"
        noun = "sample" if unchecked == 1 else f"{unchecked:,} samples"
        yield f"the last {noun} {verb} written after the last sync"
    recorded = read_digests(journal.folder)
    for name in _list_documents(journal.folder):
        if name not in recorded:
            yield f"{name} is not named in {DIGESTS_FILE}"


# -- copies ----------------------------------------------------------------------------------------


def _check_copies(journal: Journal) -> Iterator[Damage]:
    """Yield each copy that is missing or unreadable, or whose digest is not the recorded digest."""
    expected: dict[tuple[str, bool], set[str]] = {}
    for _, _, record in journal.records():
        for path, is_folder, sha256 in _find_copies(record, 0):
            expected.setdefault((path, is_folder), set()).add(sha256)
    folder = Path(os.path.abspath(journal.folder))
    root = store_files.store_root(folder)
    for (path, is_folder), digests in expected.items():
        try:
            digest = _digest_copy(root, folder / path, is_folder)
        except FileNotFoundError:
            yield Damage(path, "the copy is missing")
        except OSError as error:
            yield Damage(path, f"the copy can't be read: {error}")
        else:
            if digest not in digests:
                yield Damage(
                    path, "the copy is damaged: its digest differs from the recorded digest"
                )


def _find_copies(content: Any, depth: int) -> Iterator[tuple[str, bool, str]]:
    """For each copy that a record names, yield its path, whether it is a folder, and its digest."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(content, list):
        for member in content:
            yield from _find_copies(member, depth + 1)
    if not isinstance(content, dict):
        return
    path = content.get("copy")
    # if secrets in the copy are masked, the copy has a digest of its own
    sha256 = content.get("copy_sha256") or content.get("sha256")
    if isinstance(path, str) and isinstance(sha256, str):
        yield path, content.get("kind") == "folder", sha256
    for member in content.values():
        yield from _find_copies(member, depth + 1)


def _digest_copy(root: Path, path: Path, is_folder: bool) -> str:
    if not is_folder:
        with store_files.open_to_read(root, path) as file:
            return digest_stream(file)
    with OpenFolder(root, path) as folder:
        return digest_manifest(list(_digest_members(folder, "", 0)))


def _digest_members(folder: OpenFolder, prefix: str, depth: int) -> Iterator[tuple[bytes, str]]:
    """Yield the path and digest of each file and link in a copied folder, without following links.

    Raises OSError if the folder is nested more than 100 levels deep.
    """
    if depth > _MAX_DEPTH:
        raise OSError(f"{folder.path} is nested more than {_MAX_DEPTH} folders deep")
    for entry in folder.list():
        name = f"{prefix}{entry.name}"
        if entry.is_folder:
            with folder.open_folder(entry.name) as child:
                yield from _digest_members(child, f"{name}/", depth + 1)
        elif entry.is_file:
            with folder.open_to_read(entry.name) as file:
                yield os.fsencode(name), digest_stream(file)
        else:
            target = os.fsencode(folder.read_link(entry.name))
            yield os.fsencode(name), hashlib.sha256(target).hexdigest()


# -- documents -------------------------------------------------------------------------------------


def _check_documents(folder: Path) -> Iterator[Damage]:
    """Yield each document that is missing, can't be read, or differs from its recorded digest."""
    root = store_files.store_root(folder)
    for name, digests in sorted(read_digests(folder).items()):
        try:
            with store_files.open_to_read(root, folder / name) as file:
                digest = digest_stream(file)
        except FileNotFoundError:
            yield Damage(name, "the document is missing")
        except OSError as error:
            yield Damage(name, f"the document can't be read: {error}")
        else:
            if digest not in digests:
                yield Damage(
                    name,
                    f"the document has changed: its digest differs from the one in {DIGESTS_FILE}",
                )


def _list_documents(folder: Path) -> list[str]:
    folder = Path(os.path.abspath(folder))
    try:
        entries = store_files.list_folder(store_files.store_root(folder), folder)
    except OSError:
        return []
    return [e.name for e in entries if e.is_file and e.name.startswith(f"{DOCUMENT_STEM}.")]
