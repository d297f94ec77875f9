"""Writes the documents in a run's folder, and finds the documents that are missing.

Imports `model`, `journal`, `base`, `_document_digests` and the registry of formats.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from provml.base import store_files
from provml.base.sinks import Destination
from provml.errors import ExportError, StoreError
from provml.export._document_digests import digest_stream, record_digest
from provml.export._registry import Format, find_format
from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.view import View  # only for annotations: most exports don't use a view

DOCUMENT_STEM: Final = "provenance"
_SWEPT_FOLDERS: Final = (layout.JOURNAL_FOLDER, layout.ARTIFACTS_FOLDER)
_DIGEST_FOLDER: Final = re.compile("[0-9a-f]{16}")


class MissingDocuments(NamedTuple):
    """The documents that a run should have but does not have.

    Attributes:
        formats: the formats of the missing documents, in the order in which they were requested.
        unknown: the names of requested formats that this version of provml does not support.
    """

    formats: tuple[Format, ...]
    unknown: tuple[str, ...]


def document_path(run_folder: Path, format: str | Format) -> Path:
    """Return the path of the document that `write_documents` writes in a format."""
    return run_folder / f"{DOCUMENT_STEM}{find_format(format).suffix}"


def is_own_document(
    run_folder: str | os.PathLike[str], format: str | Format, target: Destination
) -> bool:
    """Return whether an export target is the document that `write_documents` writes in a format.

    provml records digests only for these documents.
    """
    if not isinstance(target, (str, os.PathLike)):
        return False
    own = document_path(Path(os.path.abspath(run_folder)), format)
    return os.path.abspath(target) == os.fspath(own)


@contextmanager
def open_document(run_folder: Path, format: str | Format) -> Iterator[BinaryIO]:
    """Open a run's document in one format for writing, as a binary file in the run's folder.

    An existing document is replaced only after everything has been written. If the existing
    document is a link, the link itself is replaced. Also records the digest of the new document.

    Raises:
        StoreError: the run's folder is a link.
        OSError: the document can't be written. An existing document stays unchanged.
    """
    run_folder = Path(os.path.abspath(run_folder))
    path = document_path(run_folder, format)
    if store_files.is_folder(store_files.store_root(run_folder), path):
        reason = f"{os.strerror(errno.EISDIR)}; use -o to write the file elsewhere"
        raise IsADirectoryError(errno.EISDIR, reason, os.fspath(path))
    with ExitStack() as stack:
        try:
            file = stack.enter_context(
                store_files.replacing(store_files.store_root(run_folder), path)
            )
        except StoreError as error:
            raise StoreError(f"{error}; use -o to write the file elsewhere") from None
        except OSError as error:
            reason = f"{error.strerror}; use -o to write the file elsewhere"
            raise OSError(error.errno, reason, os.fspath(path)) from None
        yield file
        file.seek(0)
        sha256 = digest_stream(file)
        record_digest(run_folder, path.name, sha256, keep_old=True)
    record_digest(run_folder, path.name, sha256, keep_old=False)


def write_document(
    run_folder: Path, format: str | Format, detail: str | None = None, view: View | None = None
) -> RunMapping:
    """Write one document to a run's folder, and return the mapping that was exported.

    Takes the same arguments as `export`, and raises the same errors.
    """
    chosen = find_format(format)
    mapping = RunMapping(Journal(run_folder), detail or chosen.default_detail)
    with open_document(run_folder, chosen) as sink:
        chosen.write(mapping, sink, view)
    return mapping


def write_documents(run_folder: Path, formats: tuple[str, ...]) -> None:
    """Write a run's documents, one for each format, to the run's folder.

    Raises:
        ExportError: two of the formats have the same file extension. Also raises the same
            errors as `export`.
    """
    written: dict[str, str] = {}
    for name in dict.fromkeys(formats):
        chosen = find_format(name)
        if chosen.suffix in written:
            raise ExportError(
                f"{written[chosen.suffix]} and {name} have the same file extension: "
                f"{name} would overwrite {document_path(run_folder, chosen).name}"
            )
        write_document(run_folder, chosen)
        written[chosen.suffix] = name


def requested_formats(journal: Journal) -> tuple[str, ...] | None:
    """Return the names of the document formats that were requested when a run was started.

    Returns None if the journal does not contain the formats. This happens if an early version of
    provml recorded the run.
    """
    # a resumed run has several owners with the same rank: use the formats of the last owner
    by_rank: dict[object, list[str]] = {}
    for files in journal.writers:
        writer = files.first_record()
        formats = _read_formats(files) if writer.get("role") == "owner" else None
        if formats is not None:
            by_rank[writer.get("rank")] = formats
    if not by_rank:
        return None
    return tuple(dict.fromkeys(name for formats in by_rank.values() for name in formats))


def _read_formats(files: WriterFiles) -> list[str] | None:
    for _, record in files.records():
        if record.get("record") == "start":
            formats = record.get("formats")
            if not isinstance(formats, list):
                return None
            return [name for name in formats if isinstance(name, str)]
    return None


def find_missing_documents(run_folder: Path, formats: tuple[str, ...]) -> MissingDocuments:
    """Find the formats whose document is missing, or was written before the run ended.

    Args:
        run_folder: the folder of a run that has ended.
        formats: the names of the formats, as `requested_formats` returns them.
    """
    missing: list[Format] = []
    unknown: list[str] = []
    for name in formats:
        try:
            chosen = find_format(name)
        except ExportError:
            unknown.append(name)
            continue
        if not _is_complete(run_folder, document_path(run_folder, chosen)):
            missing.append(chosen)
    return MissingDocuments(tuple(missing), tuple(unknown))


def _is_complete(run_folder: Path, document: Path) -> bool:
    """Return whether a document exists, and was written after the run's last owner ended.

    An older document is from an export during the run, or from before the run was resumed. Compares
    only timestamps that the file system set, because the process's clock may differ from
    the file system's clock.
    """
    folder = Path(os.path.abspath(run_folder))
    root, journal = store_files.store_root(folder), folder / layout.JOURNAL_FOLDER
    try:
        written = store_files.read_status(root, folder / document.name)
        if not stat.S_ISREG(written.st_mode):
            return False
        return all(
            store_files.read_status(root, journal / files.events_path.name).st_mtime_ns
            <= written.st_mtime_ns
            for files in Journal(folder).writers
            if files.first_record().get("role") == "owner"
        )
    except OSError:
        return False


def sweep_run_folder(run_folder: Path) -> list[Path]:
    """Remove the temporary files that killed processes left in a run's folder; return their paths.

    Does not touch the files of processes that are alive.
    """
    folder = Path(os.path.abspath(run_folder))
    root = store_files.store_root(folder)
    swept: list[Path] = []
    for place in (folder, *(folder / name for name in _SWEPT_FOLDERS)):
        with suppress(OSError):  # the folder does not exist, is a link, or can't be changed
            swept += store_files.sweep_temporaries(root, place)
    return swept + _sweep_copies(root, folder)


def _sweep_copies(root: Path, folder: Path) -> list[Path]:
    """Remove unfinished copies of files and folders; return the paths of these copies.

    Also removes the folders that are then empty. Finished copies are kept: their names never begin
    with a dot.
    """
    artifacts = folder / layout.ARTIFACTS_FOLDER
    swept: list[Path] = []
    with suppress(OSError):
        for entry in store_files.list_folder(root, artifacts):
            if entry.is_folder and _DIGEST_FOLDER.fullmatch(entry.name):
                with suppress(OSError):
                    found = store_files.sweep_temporaries(root, artifacts / entry.name)
                    swept += found
                    if found:
                        store_files.remove_empty_folder(root, artifacts / entry.name)
    return swept
