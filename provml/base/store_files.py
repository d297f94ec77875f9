"""Opens, creates, replaces and removes files below a store's root, without following links.

A store may come from anyone, so its content is untrusted. These functions open each component of a
path below the root with ``O_NOFOLLOW``, relative to the folder that contains it. They never open a
link, a named pipe or a device, not even if another process puts one there in the meantime. The root
itself may be a link, because the user names it.

Each function costs about two system calls per component of the path. Each raises `StoreError`,
which is an `OSError`, if a component is a link or a special file, and `OSError` for all other
problems. Imports only `errors` and `settings` from provml.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from provml.base.settings import store_umask
from provml.errors import StoreError

PARTIAL_SUFFIX: Final = ".part"
"""The suffix of the temporary files of `replacing`. A process that is killed leaves them behind."""

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link, and provml does not follow links in a store"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class FolderEntry(NamedTuple):
    """An entry of a folder. If it is a link or a special file, both flags are False."""

    name: str
    is_folder: bool
    is_file: bool


def store_root(run_folder: str | os.PathLike[str]) -> Path:
    """Return the store of a run's folder ``<store>/<experiment>/<run id>``, as an absolute path."""
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
        return _open_file_in(parent, name, path, flags)


def open_to_read(root: Path, path: Path) -> BinaryIO:
    """Open a regular file below the root for reading bytes."""
    return open(open_file(root, path), "rb")


def read_file(root: Path, path: Path, limit: int) -> bytes:
    """Return the content of a regular file below the root, of at most ``limit`` bytes.

    Raises StoreError if the file is larger.
    """
    with open_to_read(root, path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise StoreError(f"{path} is larger than {limit:,} bytes, the most that provml reads")
    return content


def open_folder(root: Path, path: Path) -> int:
    """Open a folder below the root, or the root itself, and return its descriptor."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in _split_below(root, path):
            fd, parent = _open_folder_in(fd, name, path), fd
            os.close(parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def list_folder(root: Path, path: Path) -> list[FolderEntry]:
    """Return the entries of a folder below the root, sorted by name."""
    fd = open_folder(root, path)
    try:
        with os.scandir(fd) as entries:
            return sorted(
                FolderEntry(
                    entry.name,
                    entry.is_dir(follow_symlinks=False),
                    entry.is_file(follow_symlinks=False),
                )
                for entry in entries
            )
    finally:
        os.close(fd)


def read_status(root: Path, path: Path) -> os.stat_result:
    """Return the `os.stat_result` of a regular file or a folder below the root."""
    with _open_parent(root, path) as (parent, name):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise StoreError(f"{path} is {_describe_kind(status.st_mode)}")
    return status


def is_file(root: Path, path: Path) -> bool:
    """Return whether a path below the root is a regular file, reached without links."""
    try:
        return stat.S_ISREG(read_status(root, path).st_mode)
    except OSError:
        return False


def is_folder(root: Path, path: Path) -> bool:
    """Return whether a path below the root is a folder, reached without links."""
    try:
        os.close(open_folder(root, path))
    except OSError:
        return False
    return True


def make_folder(root: Path, path: Path) -> bool:
    """Create a folder and its missing parents, the root included. Return False if it exists.

    A new folder is private, unless ``PROVML_UMASK`` grants more.
    """
    names = _split_below(root, path)
    created = _make_root(root)
    fd = open_folder(root, root)
    try:
        for name in names:
            created = _make_folder_in(fd, name)
            fd, parent = _open_folder_in(fd, name, path), fd
            os.close(parent)
            if created:
                os.fchmod(fd, 0o777 & ~store_umask())
    finally:
        os.close(fd)
    return created


@contextmanager
def replacing(root: Path, path: Path) -> Iterator[BinaryIO]:
    """Write a new version of a file: give a temporary file, which replaces the file at the end.

    If the body raises an exception, the file stays unchanged and the temporary file is removed. If
    the path is a link, the link is replaced, and what it leads to stays unchanged.
    """
    with _open_parent(root, path) as (parent, name):
        temporary = _temporary_name(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        with open(_open_file_in(parent, temporary, path, flags), "w+b") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(temporary, dir_fd=parent)
                raise


def create_file(root: Path, path: Path, content: bytes) -> bool:
    """Create a file with this content. Return False, and change nothing, if the path exists.

    If several processes create the same file at once, exactly one of them succeeds. Other processes
    see either no file or the whole content.
    """
    with _open_parent(root, path) as (parent, name):
        temporary = _temporary_name(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(_open_file_in(parent, temporary, path, flags), "wb") as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                return _name_file(parent, temporary, name)
            finally:
                _remove_in(parent, temporary)


def remove_file(root: Path, path: Path) -> None:
    """Remove a file or link below the root; do nothing if it does not exist."""
    with _open_parent(root, path) as (parent, name):
        _remove_in(parent, name)


def remove_folder(root: Path, path: Path) -> None:
    """Remove a folder below the root with its content, without following links in it."""
    with _open_parent(root, path) as (parent, name):
        shutil.rmtree(name, dir_fd=parent)


def _split_below(root: Path, path: Path) -> tuple[str, ...]:
    """Return the components of a path after the root. Raises StoreError if it is not below."""
    try:
        names = Path(path).relative_to(root).parts
    except ValueError:
        raise StoreError(f"{path} is not in the store {root}") from None
    if ".." in names:
        raise StoreError(f"{path} leads out of a folder with '..'")
    return names


@contextmanager
def _open_parent(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """Open the folder that contains a path; give its descriptor and the path's last component."""
    names = _split_below(root, path)
    if not names:
        raise StoreError(f"{path} is the store itself, not a file in it")
    fd = open_folder(root, Path(root, *names[:-1]))
    try:
        yield fd, names[-1]
    finally:
        os.close(fd)


def _open_folder_in(parent: int, name: str, path: Path) -> int:
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except NotADirectoryError:  # Linux reports links like this, too
        kind = _describe_kind(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        raise StoreError(f"{name!r} in {path} is {kind}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def _open_file_in(parent: int, name: str, path: Path, flags: int) -> int:
    try:
        if flags & os.O_CREAT:
            fd = os.open(name, flags | _FILE_FLAGS, 0o600, dir_fd=parent)
            os.fchmod(fd, 0o666 & ~store_umask())
            return fd
        # look before opening, because opening a device can change its state
        _check_regular(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
        fd = os.open(name, flags | _FILE_FLAGS, dir_fd=parent)
    except StoreError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        _check_regular(os.fstat(fd), path)
    except StoreError:
        os.close(fd)
        raise
    return fd


def _temporary_name(name: str) -> str:
    return f".{name[:100]}.{os.urandom(8).hex()}{PARTIAL_SUFFIX}"


def _name_file(parent: int, temporary: str, name: str) -> bool:
    """Give a temporary file its final name; return False if the name is taken."""
    try:
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:  # the file system has no hard links, so a lock must keep others from the name
        import fcntl

        fcntl.flock(parent, fcntl.LOCK_EX)  # closing the folder's descriptor releases the lock
        if _exists_in(parent, name):
            return False
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    return True


def _remove_in(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def _exists_in(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make_root(root: Path) -> bool:
    """Create the store's root and its missing parents; return whether the root is new."""
    try:
        os.makedirs(root, 0o700)
    except FileExistsError:
        return False
    os.chmod(root, 0o777 & ~store_umask())
    return True


def _make_folder_in(parent: int, name: str) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _check_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is {_describe_kind(status.st_mode)}, not a file")


def _describe_kind(mode: int) -> str:
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a device")
