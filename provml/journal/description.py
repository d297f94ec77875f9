"""Reads and encodes ``run.json``, the file that describes a run, and checks format versions.

Rejects files of more than 1 MiB. Imports only `base`, `checksums`, `layout` and `errors`
from provml.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base.store_files import OpenFolder, store_root
from provml.base.text import is_unicode
from provml.errors import JournalError, StoreError
from provml.journal import checksums, layout

_MAX_DESCRIPTION_BYTES: Final = 2**20


class RunReference(NamedTuple):
    """The facts that identify a run.

    The ``run.json`` of a child run contains these facts about the parent.

    Attributes:
        id: the run's id.
        experiment: the name of the run's experiment; None if unknown.
        namespace: the base IRI of the run's PROV identifiers; None if the run has no namespace.
        store_id: the id of the store that contains the run; None if unknown.
    """

    id: str
    experiment: str | None = None
    namespace: str | None = None
    store_id: str | None = None

    @property
    def name(self) -> str:
        """The name of the run, ``<experiment>/<id>``; only the id if the experiment is unknown."""
        return self.id if self.experiment is None else f"{self.experiment}/{self.id}"

    @property
    def folder(self) -> str | None:
        """The run's folder, relative to the store; None if the experiment is unknown."""
        if self.experiment is None:
            return None
        return f"{layout.encode_folder_name(self.experiment)}/{self.id}"

    def to_json(self) -> dict[str, str]:
        """Return the facts that are known, as a JSON object."""
        return {key: value for key, value in self._asdict().items() if value is not None}

    def is_run(self, description: dict[str, Any]) -> bool:
        """Return whether this reference refers to the run whose ``run.json`` has this content.

        The ids must be equal. The experiments must be equal if both sides name one. The same
        applies to the stores.
        """
        facts = ((description.get(key), getattr(self, key)) for key in ("experiment", "store_id"))
        return description.get("id") == self.id and all(
            None in (other, own) or other == own for other, own in facts
        )


def read_reference(content: object) -> RunReference | None:
    """Return the run reference in a JSON value; None if the value is not a valid reference."""
    if not isinstance(content, dict):
        return None
    facts = {key: content.get(key) for key in RunReference._fields}
    if not isinstance(facts["id"], str) or not facts["id"]:
        return None
    if any(
        not isinstance(fact, str | None) or not is_unicode(fact or "") for fact in facts.values()
    ):
        return None
    return RunReference(**facts)  # type: ignore[arg-type]


class RunFile(NamedTuple):
    """The content of a run's ``run.json``, and the result of checking it.

    Attributes:
        content: the run's description; None if the file is missing or damaged.
        checksum: the checksum of the whole file; None if the file can't be read.
        is_verified: whether the file contains a checksum and matches that checksum.
        problem: why the file can't be used; None if the file is usable, missing or unreadable.
    """

    content: dict[str, Any] | None = None
    checksum: str | None = None
    is_verified: bool = False
    problem: str | None = None


def read_run_file(folder: OpenFolder) -> RunFile:
    """Read the ``run.json`` in an open folder, and check it against its own checksum.

    Raises JournalError if the file's format is newer than the installed provml can read.
    """
    try:
        content = folder.read_file(layout.RUN_FILE, _MAX_DESCRIPTION_BYTES)
    except StoreError:
        return RunFile(problem="not a regular file of at most 1 MiB")
    except OSError:
        return RunFile()
    checksum, is_intact = checksums.format_checksum(content), checksums.check_description(content)
    try:
        known = json.loads(content)
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        return RunFile(None, checksum, problem="the file is damaged")
    check_format_version(folder.path, known.get("format"))
    if is_intact is False:
        return RunFile(None, checksum, problem="the file is damaged")
    known.pop(checksums.FIELD, None)
    return RunFile(known, checksum, is_intact is True)


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a run's ``run.json``; None if the file can't be read or is damaged.

    Raises JournalError if the file's format is newer than the installed provml can read.
    """
    try:
        with OpenFolder(store_root(folder), Path(os.path.abspath(folder))) as held:
            return read_run_file(held).content
    except OSError:
        return None


def find_description_checksum(folder: Path) -> str | None:
    """Return the checksum of a run's ``run.json``; None if the file is missing or damaged."""
    try:
        with OpenFolder(store_root(folder), Path(os.path.abspath(folder))) as held:
            found = read_run_file(held)
    except (OSError, JournalError):
        return None
    return None if found.content is None else found.checksum


def encode_description(content: dict[str, Any]) -> bytes:
    """Encode a run's description as the content of ``run.json``, including a checksum."""
    return checksums.seal_description(json.dumps(content, indent=1).encode("ascii") + b"\n")


def check_format_version(path: Path, version: object) -> None:
    """Raise JournalError if a file's format is newer than the installed provml can read."""
    if isinstance(version, int) and version > layout.FORMAT_VERSION:
        raise JournalError(
            f"{path} has format version {version}, but the installed provml only reads up to "
            f"version {layout.FORMAT_VERSION}: upgrade provml to read it"
        )
