"""Opens the target of an export: a file, which may be compressed, or an open stream.

Imports only `errors` from provml.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from provml.errors import ExportError, MissingExtraError

Destination = str | os.PathLike[str] | BinaryIO


@contextmanager
def open_sink(target: Destination) -> Iterator[BinaryIO]:
    """Open the target of an export for writing bytes.

    An existing file is replaced only after everything has been written, and keeps its permissions.
    If the path is a link, the file that the link points to is replaced.

    Raises:
        ExportError: the path is empty, the path is a folder, the parent folder does not exist, or
            the stream is a text stream.
        MissingExtraError: the file name ends with ``.zst``, and zstandard is not installed.
        OSError: the file cannot be written. An existing file stays unchanged, and no partial file
            remains.
    """
    if not isinstance(target, (str, os.PathLike)):
        given: object = target
        if isinstance(given, io.TextIOBase):
            raise ExportError("documents are written as bytes: open the file in binary mode")
        yield target
        return
    if not os.fspath(target):
        raise ExportError("the name of the target is empty: pass the name of a file")
    path = Path(target)
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ExportError(f"{path} is a folder: pass the name of a file in it")
    if not path.parent.is_dir():
        raise ExportError(f"there is no folder {path.parent}: create it first")
    if path.exists() and not path.is_file():  # a device or a pipe, which cannot be replaced
        with open(path, "wb") as stream:
            yield stream
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
        if not path.parent.is_dir():
            raise ExportError(
                f"{target} points to {path}, but there is no folder {path.parent}: create it first"
            )
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with _name_target_in_errors(target):
            file = open(temporary, "xb")
        with file:
            _copy_permissions(file, path)
            with _open_compressor(file, suffix) as sink:
                yield sink
            file.flush()
            os.fsync(file.fileno())
        with _name_target_in_errors(target):
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _name_target_in_errors(target: str | os.PathLike[str]) -> Iterator[None]:
    """Make system errors name the target instead of the temporary file, and suggest a fix."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}; use -o to write the file elsewhere"
        raise OSError(error.errno, reason, os.fspath(target)) from None


def _copy_permissions(file: BinaryIO, path: Path) -> None:
    """Give a new, empty file the permissions of the file that it will replace."""
    try:
        os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
    except OSError:
        pass  # no file exists yet, or its file system does not support permissions


@contextmanager
def _open_compressor(file: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    if suffix == ".gz":
        import gzip

        # leave the name and the time out of the header, so that equal documents produce equal files
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as sink:
            yield cast(BinaryIO, sink)
    elif suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("writing .zst", "zstandard", "zstd") from None
        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as sink:
            yield cast(BinaryIO, sink)
    else:
        yield file
