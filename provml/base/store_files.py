"""Opens, creates, replaces and removes files below a store's root, without following links.

A store may come from anyone, so its content is untrusted. These functions open each component of a
path below the root with ``O_NOFOLLOW``, relative to the folder that contains it. They never open a
link, a named pipe or a device, even if another process puts one there in the meantime. The root
itself may be a link, because the user names it.

Each function costs about two system calls per component of the path. Each raises `StoreError`,
which is an `OSError`, if a component is a link or a special file, and `OSError` for all other
problems. Imports only `errors` and `folder_entries` from provml.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from provml.base.folder_entries import (
    describe_kind,
    exists_in,
    make_folder_in,
    open_file_in,
    open_folder_in,
    open_new_folder_in,
    read_limited,
    remove_folder_in,
    rename_entry,
    set_folder_mode,
    set_mode,
    shared_folder_mode,
)
from provml.errors import StoreError

PARTIAL_SUFFIX: Final = ".part"
"""The suffix of temporary files. A process that is killed leaves its temporary files behind."""

_TEMPORARY_NAME: Final = re.compile(r"\..+\.[0-9a-f]{16}" + re.escape(PARTIAL_SUFFIX), re.DOTALL)
_TEMPORARY_FOLDER: Final = re.compile(r"\.[0-9a-f]{16}" + re.escape(PARTIAL_SUFFIX))
_CREATE_ATTEMPTS: Final = 10


class FolderEntry(NamedTuple):
    """An entry of a folder. If the entry is a link or a special file, both flags are False."""

    name: str
    is_folder: bool
    is_file: bool


def store_root(run_folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of the store that contains a run.

    A run's folder is ``<store>/<experiment>/<id>``.
    """
    return Path(os.path.abspath(run_folder)).parent.parent


def open_file(root: Path, path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file below the root, and return its descriptor.

    Args:
        root: the store's root.
        path: the path of the file, which begins with the root.
        flags: the flags of `os.open`. With ``O_CREAT``, pass ``O_EXCL`` too. A new file is private,
            unless ``PROVML_UMASK`` grants more.
    """
    with _open_parent(root, path) as (parent, name):
        return open_file_in(parent, name, path, flags)


def open_to_read(root: Path, path: Path) -> BinaryIO:
    """Open a regular file below the root for reading bytes."""
    return open(open_file(root, path), "rb")


def read_file(root: Path, path: Path, limit: int) -> bytes:
    """Return the content of a regular file below the root.

    Raises StoreError if the file is larger than ``limit`` bytes.
    """
    return read_limited(open_file(root, path), path, limit)


class OpenFolder:
    """An open folder below a store's root. Opening an entry does not look up the folder's path.

    Use the object in a ``with`` block. Each method costs one to four system calls.

    Attributes:
        place: the folder's path, for error messages.
    """

    __slots__ = ("_fd", "_path", "place")

    def __init__(self, root: Path, path: Path) -> None:
        """Open the folder. Raises StoreError if a component of the path is not a folder."""
        self.place = os.fspath(path)
        self._path: Path | None = path
        self._fd = open_folder(root, path)

    @property
    def path(self) -> Path:
        """The folder's path as a `Path`."""
        if self._path is None:
            self._path = Path(self.place)
        return self._path

    @property
    def name(self) -> str:
        """The last component of the folder's path."""
        return os.path.basename(self.place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)

    def open_folder(self, name: str) -> OpenFolder:
        """Open a subfolder of this folder."""
        child = object.__new__(OpenFolder)
        child.place, child._path = f"{self.place}/{name}", None
        child._fd = open_folder_in(self._fd, name, child.place)
        return child

    def open_to_read(self, name: str) -> BinaryIO:
        """Open a regular file in this folder for reading bytes."""
        return open(open_file_in(self._fd, name, f"{self.place}/{name}", os.O_RDONLY), "rb")

    def read_file(self, name: str, limit: int) -> bytes:
        """Return the content of a regular file in this folder.

        Raises StoreError if the file is larger than ``limit`` bytes.
        """
        path = f"{self.place}/{name}"
        return read_limited(open_file_in(self._fd, name, path, os.O_RDONLY), path, limit)

    def create_file(self, name: str, content: bytes) -> None:
        """Create a file in this folder. A process that is killed may leave an incomplete file.

        Raises FileExistsError if the name is taken.
        """
        path = f"{self.place}/{name}"
        fd = open_file_in(self._fd, name, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(fd, "wb", buffering=0) as file:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._fd)
            raise

    def read_link(self, name: str) -> str:
        """Return the path that a link in this folder points to, without following the link."""
        return os.readlink(name, dir_fd=self._fd)

    def read_status(self, name: str) -> os.stat_result:
        """Return the `os.stat_result` of an entry. The entry may be a link or a special file."""
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def read_statuses(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the name and the `os.stat_result` of each entry, as `read_status` returns it."""
        for name in os.listdir(self._fd):
            yield name, os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def list(self) -> list[FolderEntry]:
        """Return the entries of this folder, sorted by name."""
        with os.scandir(self._fd) as entries:
            return sorted(
                FolderEntry(
                    entry.name,
                    entry.is_dir(follow_symlinks=False),
                    entry.is_file(follow_symlinks=False),
                )
                for entry in entries
            )


def open_folder(root: Path, path: Path) -> int:
    """Open a folder below the root, or the root itself, and return its descriptor."""
    return _open_folder_below(root, _split_below(root, path), path)


def _open_folder_below(root: Path, names: tuple[str, ...], path: Path) -> int:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            fd, parent = open_folder_in(fd, name, path), fd
            os.close(parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_or_create_file(root: Path, path: Path) -> int:
    """Open a regular file below the root for reading and writing; create it if it is missing."""
    for _ in range(_CREATE_ATTEMPTS):
        try:
            return open_file(root, path, os.O_RDWR)
        except FileNotFoundError:
            pass
        try:
            return open_file(root, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            pass
    raise StoreError(f"other processes keep creating and removing {path}")


def list_folder(root: Path, path: Path) -> list[FolderEntry]:
    """Return the entries of a folder below the root, sorted by name."""
    with OpenFolder(root, path) as folder:
        return folder.list()


def read_status(root: Path, path: Path) -> os.stat_result:
    """Return the `os.stat_result` of a regular file or a folder below the root."""
    with _open_parent(root, path) as (parent, name):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise StoreError(f"{path} is {describe_kind(status.st_mode)}")
    return status


def is_file(root: Path, path: Path) -> bool:
    """Return whether a path below the root is a regular file that can be reached without links."""
    try:
        return stat.S_ISREG(read_status(root, path).st_mode)
    except OSError:
        return False


def is_folder(root: Path, path: Path) -> bool:
    """Return whether a path below the root is a folder that can be reached without links."""
    try:
        os.close(open_folder(root, path))
    except OSError:
        return False
    return True


def make_folder(root: Path, path: Path) -> bool:
    """Create a folder, its missing parents and the root. Return False if the folder exists.

    A new folder is private, unless ``PROVML_UMASK`` grants more.
    """
    names = _split_below(root, path)
    created = _make_root(root)
    fd = open_folder(root, root)
    try:
        for name in names:
            created = make_folder_in(fd, name)
            fd, parent = (open_new_folder_in if created else open_folder_in)(fd, name, path), fd
            os.close(parent)
            if created:
                set_folder_mode(fd)
    finally:
        os.close(fd)
    return created


@contextmanager
def replacing(root: Path, path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """Yield a temporary file, which replaces the file at a path when the ``with`` block ends.

    If the ``with`` block raises an exception, the file stays unchanged and the temporary file is
    removed. If the path is a link, the link itself is replaced, and its target stays unchanged. If
    the file already exists, its permissions are kept.

    Args:
        root: the store's root.
        path: the path of the file.
        sync: whether to call fsync before the new version replaces the old one. If False, a power
            loss can leave an empty file.
    """
    with _open_parent(root, path) as (parent, name):
        temporary, fd = _create_temporary(parent, name, path)
        with open(fd, "w+b") as file:
            try:
                _keep_permissions(parent, name, file.fileno())
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
                rename_entry(parent, temporary, parent, name, path)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise


def create_file(root: Path, path: Path, content: bytes) -> bool:
    """Create a file with this content. Return False, and change nothing, if the path exists.

    If several processes create the same file at once, exactly one of them succeeds. Other processes
    see either no file or the whole content.
    """
    with _open_parent(root, path) as (parent, name):
        temporary, fd = _create_temporary(parent, name, path)
        with open(fd, "wb") as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                return _name_file(parent, temporary, name)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)


def sweep_temporaries(root: Path, path: Path) -> list[Path]:
    """Remove the temporary files and folders left in a folder by processes that have ended.

    Returns the paths of the removed files and folders.

    Removes a regular file only if `replacing` or `create_file` could have chosen its name and no
    process holds its lock. Removes a folder only if `make_temporary_folder` could have chosen its
    name and no process holds its lock. Does not search subfolders.
    """
    swept: list[Path] = []
    fd = open_folder(root, path)
    try:
        with os.scandir(fd) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name in sorted(name for name, is_folder in found if is_folder):
            if _TEMPORARY_FOLDER.fullmatch(name) and _sweep_folder_in(fd, name, path / name):
                swept.append(path / name)
        names = [name for name, is_folder in found if not is_folder]
        for name in sorted(filter(_TEMPORARY_NAME.fullmatch, names)):
            try:
                file = open_file_in(fd, name, path / name, os.O_RDWR)
            except OSError:
                continue  # not a regular file, another user's file, or renamed in the meantime
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=fd)
                swept.append(path / name)
            except OSError:
                pass  # a process is writing the file, or the file system does not support locks
            finally:
                os.close(file)
    finally:
        os.close(fd)
    return swept


def _sweep_folder_in(parent: int, name: str, path: Path) -> bool:
    """Remove a temporary folder unless a process holds its lock; return whether it was removed."""
    try:
        fd = open_folder_in(parent, name, path)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_folder_in(parent, name, path)
    except OSError:
        return False  # a process is writing into it, or the file system does not support locks
    finally:
        os.close(fd)
    return True


def _open_locked(root: Path, path: Path) -> int | None:
    """Open and lock a new folder; return None if another process has removed it."""
    try:
        fd = open_folder(root, path)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # without support for locks, no process removes the folder
        fcntl.flock(fd, fcntl.LOCK_SH)
    if is_folder(root, path):
        return fd
    os.close(fd)
    return None


@contextmanager
def make_temporary_folder(root: Path, beside: Path) -> Iterator[Path]:
    """Create a folder with a temporary name beside a path, and yield the path of the folder.

    At the end of the ``with`` block, removes the folder unless it has been moved away.
    """
    fd = None
    while fd is None:
        path = beside.with_name(f".{os.urandom(8).hex()}{PARTIAL_SUFFIX}")
        make_folder(root, path)
        fd = _open_locked(root, path)  # None if a sweep has just removed the folder
    try:
        yield path
    finally:
        os.close(fd)
        if is_folder(root, path):
            remove_folder(root, path)


def make_link(root: Path, path: Path, target: str) -> None:
    """Create a symbolic link below the root, as part of a copy of a user's folder."""
    with _open_parent(root, path) as (parent, name):
        os.symlink(target, name, dir_fd=parent)


def remove_file(root: Path, path: Path) -> None:
    """Remove a file or link below the root; do nothing if it does not exist."""
    with _open_parent(root, path) as (parent, name):
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass


def remove_folder(root: Path, path: Path) -> None:
    """Remove a folder below the root and its content. Removes links without following them."""
    with _open_parent(root, path) as (parent, name):
        remove_folder_in(parent, name, path)


def remove_empty_folder(root: Path, path: Path) -> bool:
    """Remove a folder below the root if it is empty. Return False if it contains something."""
    with _open_parent(root, path) as (parent, name):
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    return True


def move(root: Path, source: Path, target: Path) -> None:
    """Rename a file or folder below the root. If the target is a file or link, replace it.

    Raises OSError if the target is a folder that is not empty.
    """
    with _open_parent(root, source) as (old, name), _open_parent(root, target) as (new, new_name):
        rename_entry(old, name, new, new_name, target)


def _split_below(root: Path, path: Path) -> tuple[str, ...]:
    """Return a path's components below the root. Raises StoreError for a path outside the root."""
    start, text = os.fspath(root), os.fspath(path)
    if text == start:
        return ()
    if text.startswith(f"{start}/"):  # the usual case, which needs no pathlib
        names = tuple(name for name in text[len(start) :].split("/") if name not in ("", "."))
        if ".." not in names:
            return names
    try:
        names = Path(path).relative_to(root).parts
    except ValueError:  # the root or the path may be relative, or contain ``..``
        try:
            names = Path(os.path.abspath(path)).relative_to(os.path.abspath(root)).parts
        except ValueError:
            raise StoreError(f"{path} is not in the store {root}") from None
    if ".." in names:
        raise StoreError(f"{path} contains '..', which is not allowed in a store")
    return names


@contextmanager
def _open_parent(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """Open the folder that contains a path; yield its descriptor and the path's last component."""
    names = _split_below(root, path)
    if not names:
        raise StoreError(f"{path} is the store itself, not a file in it")
    fd = _open_folder_below(root, names[:-1], path)
    try:
        yield fd, names[-1]
    finally:
        os.close(fd)


def _create_temporary(parent: int, name: str, path: Path) -> tuple[str, int]:
    """Create a temporary file and lock it; return its name and descriptor.

    The lock tells `sweep_temporaries` that the file is in use.
    """
    while True:
        temporary = f".{name[:100]}.{os.urandom(8).hex()}{PARTIAL_SUFFIX}"
        fd = open_file_in(parent, temporary, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_ours = False  # another process is about to remove the file
        except OSError:
            is_ours = True  # the file system does not support locks, so no process removes the file
        else:
            is_ours = os.fstat(fd).st_nlink > 0
        if is_ours:
            return temporary, fd
        os.close(fd)


def _keep_permissions(parent: int, name: str, fd: int) -> None:
    """Give a new file the permissions of the file that it will replace, if there is one."""
    try:
        old = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(old.st_mode):
        set_mode(fd, old.st_mode & 0o777)


def _name_file(parent: int, temporary: str, name: str) -> bool:
    """Give a temporary file its final name; return False if the name is taken."""
    try:
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:  # if the file system has no hard links, only a lock can reserve the name
        fcntl.flock(parent, fcntl.LOCK_EX)  # closing the folder's descriptor releases the lock
        if exists_in(parent, name):
            return False
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    return True


def _make_root(root: Path) -> bool:
    """Create the store's root and its missing parents; return whether the root is new."""
    try:
        os.makedirs(root, 0o700)
    except FileExistsError:
        return False
    set_mode(root, shared_folder_mode(os.stat(root)))
    return True
