"""Writes copies of files and folders into a run's folder.

A copy has a temporary name until it is complete. Links in the run's folder are never followed.
Imports only `base.store_files` and `user_files` from provml.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from provml.base import store_files
from provml.collect.user_files import FolderFiles, open_user_file


@contextmanager
def write_copy(run_folder: Path, relative: str) -> Iterator[BinaryIO]:
    """Open a new file in the run's folder for writing, and create missing parent folders.

    Raises OSError if the file can't be written. After an error, no partial file remains.
    """
    root = store_files.store_root(run_folder)
    target = run_folder / relative
    store_files.make_folder(root, target.parent)
    with store_files.replacing(root, target, sync=False) as file:
        yield file


class CopiedFile(NamedTuple):
    """A file or link that was copied from a folder, with its digest and size."""

    name: str
    sha256: str
    size: int


@contextmanager
def copy_folder(files: FolderFiles, run_folder: Path, relative: str) -> Iterator[list[CopiedFile]]:
    """Copy a folder into the run's folder. The copy gets its final name when the block ends.

    A link that can be followed is copied as the file or folder that it leads to. Any other link is
    copied as a link.

    Args:
        files: the folder to copy.
        run_folder: the run's folder.
        relative: the path of the copy, relative to the run's folder.

    Yields:
        The copied files and links.

    Raises:
        OSError: the folder can't be read, or the copy can't be written. No partial copy remains.
        UnreadableError: links lead to too many files or bytes. No partial copy remains.
    """
    root = store_files.store_root(run_folder)
    target = run_folder / relative
    store_files.make_folder(root, target.parent)
    with store_files.make_temporary_folder(root, target) as temporary:
        yield _copy_files(root, files, temporary)
        if not store_files.is_folder(root, target):
            store_files.move(root, temporary, target)


def _copy_files(root: Path, files: FolderFiles, target: Path) -> list[CopiedFile]:
    store_files.make_folder(root, target)
    made = {target}
    copied: list[CopiedFile] = []
    for file in files:
        own = target / file.name
        if own.parent not in made:
            store_files.make_folder(root, own.parent)
            made.add(own.parent)
        if file.target is None:
            copied.append(CopiedFile(file.name, *_copy_file(root, file.path, own)))
        else:
            store_files.make_link(root, own, file.target)
            copied.append(CopiedFile(file.name, *file.digest_link()))
    for name in files.folders:  # no file was copied into an empty folder, so create it here
        if target / name not in made:
            store_files.make_folder(root, target / name)
    return copied


def _copy_file(root: Path, source: str, target: Path) -> tuple[str, int]:
    """Copy a file and its modification time; return the file's digest and size."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    digest = hashlib.sha256()
    size = 0
    with open_user_file(source) as reading:
        status = os.fstat(reading.fileno())
        with open(store_files.open_file(root, target, flags), "wb") as writing:
            while block := reading.read(2**20):
                digest.update(block)
                size += len(block)
                writing.write(block)
            writing.flush()
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return digest.hexdigest(), size
