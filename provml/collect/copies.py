"""Writes copies of files and folders into a run's folder.

A copy has a temporary name until it is complete. No link in the run's folder is followed. Imports
only `base.store_files` from provml.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from provml.base import store_files


@contextmanager
def write_copy(run_folder: Path, relative: str) -> Iterator[BinaryIO]:
    """Open a new file in the run's folder for writing; its folder is created if it is missing.

    Raises OSError if the file can't be written; no partial file remains.
    """
    root = store_files.store_root(run_folder)
    target = run_folder / relative
    store_files.make_folder(root, target.parent)
    with store_files.replacing(root, target, sync=False) as file:
        yield file


@contextmanager
def copy_folder(
    source: str, run_folder: Path, relative: str, leave_out: str | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Copy a folder into the run's folder. The copy gets its name at the end of the block.

    Links are copied as links. Named pipes, sockets and devices are left out.

    Args:
        source: the folder to copy.
        run_folder: the run's folder.
        relative: the path of the copy in the run's folder.
        leave_out: the full path of a folder inside the source to skip.

    Yields:
        The path of the unfinished copy, and the relative paths of the files that were left out.

    Raises:
        OSError: the folder can't be read, or the copy can't be written. No partial copy remains.
    """
    root = store_files.store_root(run_folder)
    target = run_folder / relative
    store_files.make_folder(root, target.parent)
    temporary = target.with_name(f".{os.urandom(8).hex()}{store_files.PARTIAL_SUFFIX}")
    try:
        left_out = _copy_tree(root, source, temporary, leave_out)
        yield temporary, left_out
        if not store_files.is_folder(root, target):
            store_files.move(root, temporary, target)
    finally:
        if store_files.is_folder(root, temporary):
            store_files.remove_folder(root, temporary)


def _copy_tree(root: Path, source: str, target: Path, leave_out: str | None) -> list[str]:
    """Copy a folder tree; return the relative paths of the special files that were left out."""
    left_out: list[str] = []
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        store_files.make_folder(root, target / relative)
        with os.scandir(os.path.join(source, relative)) as entries:
            for entry in entries:
                own = os.path.join(relative, entry.name)
                if entry.is_symlink():
                    store_files.make_link(root, target / own, os.readlink(entry.path))
                elif entry.is_dir():
                    if entry.path != leave_out:
                        waiting.append(own)
                elif entry.is_file():
                    _copy_file(root, entry.path, target / own)
                else:
                    left_out.append(own)
    return left_out


def _copy_file(root: Path, source: str, target: Path) -> None:
    """Copy a file of a folder, with its time of modification."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as reading:
        status = os.fstat(reading.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{source} was replaced while the folder was being copied")
        with open(store_files.open_file(root, target, flags), "wb") as writing:
            while block := reading.read(2**20):
                writing.write(block)
            writing.flush()
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
