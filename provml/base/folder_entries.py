"""Opens, creates, renames and removes the entries of an open folder, by their names.

Follows no links, and opens only regular files and folders. Use these functions through
`store_files`, which opens each folder on the path from a store's root to the entry. Imports only
`errors` and `settings` from provml.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from provml.base.settings import store_umask
from provml.errors import StoreError

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link, and provml does not follow links in a store"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class EntryName(str):
    """The name of an entry in an open folder. Audit hooks see only this name, not the whole path.

    The class tells the audit hook of ``provml run`` that the name is not relative to the working
    folder.
    """

    __slots__ = ()


def open_folder_in(parent: int, name: str, path: str | Path) -> int:
    """Open a subfolder of an open folder, and return the subfolder's descriptor.

    Raises StoreError if the entry is not a folder. The path is used only in error messages.
    """
    try:
        return os.open(EntryName(name), _FOLDER_FLAGS, dir_fd=parent)
    except OSError as error:
        # Linux reports a link as ENOTDIR, other systems as ELOOP
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        kind = describe_kind(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        raise StoreError(f"{name!r} in {path} is {kind}") from None


def open_file_in(parent: int, name: str, path: str | Path, flags: int) -> int:
    """Open or create a regular file in an open folder, and return the file's descriptor.

    Raises StoreError if the entry is not a regular file. The path is used only in error messages.
    """
    try:
        if flags & os.O_CREAT:
            fd = os.open(EntryName(name), flags | _FILE_FLAGS, 0o600, dir_fd=parent)
            set_mode(fd, 0o666 & ~store_umask())
            return fd
        # check the type first, because opening a device can change its state
        check_regular(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
        fd = os.open(EntryName(name), flags | _FILE_FLAGS, dir_fd=parent)
    except StoreError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        check_regular(os.fstat(fd), path)
    except StoreError:
        os.close(fd)
        raise
    return fd


def make_folder_in(parent: int, name: str) -> bool:
    """Create a private folder in an open folder. Return False if the name is taken."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def open_new_folder_in(parent: int, name: str, path: Path) -> int:
    """Open a folder that this process has just created, even if the umask denies access."""
    try:
        return open_folder_in(parent, name, path)
    except PermissionError:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(EntryName(name), flags, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)
        finally:
            os.close(fd)
        return open_folder_in(parent, name, path)


def exists_in(parent: int, name: str) -> bool:
    """Return whether an open folder has an entry with this name. A link counts as an entry."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def rename_entry(old: int, name: str, new: int, new_name: str, path: Path) -> None:
    """Rename an entry, or move it to another open folder. If that fails, the error names `path`."""
    try:
        os.replace(name, new_name, src_dir_fd=old, dst_dir_fd=new)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def remove_folder_in(parent: int, name: str, path: Path) -> None:
    """Remove a folder and its contents from an open folder. Does not follow links."""
    fd = open_folder_in(parent, name, path)
    try:
        with os.scandir(fd) as entries:
            content = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for entry_name, is_folder in content:
            if is_folder:
                remove_folder_in(fd, entry_name, path / entry_name)
            else:
                os.unlink(entry_name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def read_limited(fd: int, path: str | Path, limit: int) -> bytes:
    """Return the content of an open file, and close the file.

    Raises StoreError if the file is larger than ``limit`` bytes.
    """
    with open(fd, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise StoreError(f"{path} is larger than the limit of {limit:,} bytes")
    return content


def check_regular(status: os.stat_result, path: str | Path) -> None:
    """Raise StoreError unless an `os.stat_result` describes a regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is {describe_kind(status.st_mode)}")


def describe_kind(mode: int) -> str:
    """Return the kind of entry that a mode stands for, such as ``a named pipe``."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a device")


def set_mode(file: int | Path, mode: int) -> None:
    """Set the mode of a new file or folder. If that fails, the file or folder stays private."""
    try:
        os.chmod(file, mode)
    except OSError:
        pass  # some network file systems don't support permissions


def set_folder_mode(fd: int) -> None:
    """Give a new, open folder the permissions that ``PROVML_UMASK`` grants."""
    set_mode(fd, shared_folder_mode(os.fstat(fd)))


def shared_folder_mode(status: os.stat_result) -> int:
    """Return the mode for a new folder in a store.

    Keeps the set-group-ID bit, which makes new files inherit the folder's group.
    """
    return (status.st_mode & stat.S_ISGID) | (0o777 & ~store_umask())
