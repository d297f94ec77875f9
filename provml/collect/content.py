r"""Describes files, folders and arrays by SHA-256 digest, size and shape, and copies files.

Digests
-------
- file: the SHA-256 of its bytes.
- folder: the SHA-256 of its manifest. The manifest has one line per file, sorted by path, in the
  format of ``sha256sum``: ``<digest>  <relative path>\n``. Symbolic links are not followed; the
  digest of a link is the SHA-256 of its target path.
- array: the SHA-256 of the line ``<dtype.str> <shape>\n``, followed by the bytes of the elements in
  C order.

Imports only `secrets`, `base.text`, `journal.layout` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from provml.base.text import printable_path
from provml.collect.secrets import is_secret_file, mask_text
from provml.errors import ContentNotFoundError, InvalidArgumentError
from provml.journal import layout

COPY_LIMIT_BYTES: Final = 10 * 2**20
"""The maximum size of artifacts and models that provml copies by default."""

_READ_BYTES: Final = 2**20
_FOLDER_DIGEST_LENGTH: Final = 16

Facts = dict[str, Any]
DeferHashing = Callable[[str, str | None], Facts | None]
"""A function that can postpone the hashing of a path.

It receives the path, and a path inside it to leave out (or None). It returns the facts to record
until the digest is known, or None to hash the content now.
"""


def is_uri(text: str) -> bool:
    """Return True if the text is a URI, such as ``s3://...``, and not a local path."""
    scheme, separator, rest = text.partition("://")
    return bool(separator and rest) and scheme.isascii() and scheme.replace("+", "").isalnum()


def describe_path(
    path: str | os.PathLike[str],
    run_folder: Path | None = None,
    copy: bool | None = False,
    defer_hashing: DeferHashing | None = None,
) -> Facts:
    """Describe a file or folder by its digest, and copy it into the run's folder if requested.

    Reads the content once, which takes about 1 s per GB; copying reads it again. If the content
    can't be read, the facts contain the reason instead of a digest.

    Args:
        path: an existing file or folder, or a URI. A URI is recorded, but its content is not read.
        run_folder: the run's folder; None if nothing should be copied.
        copy: True copies the content, False does not, None copies up to `COPY_LIMIT_BYTES`.
        defer_hashing: a function that can postpone the hashing; None hashes the content now.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the path is not valid text, is neither a file nor a folder, or is a
            URI although ``copy`` is true.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise InvalidArgumentError(f"a path must be a str or a Path, not {text!r:.80}")
    if not text:
        raise InvalidArgumentError("the path is empty: pass '.' for the working folder")
    if is_uri(text):
        if copy:
            raise InvalidArgumentError(f"can't copy {text!r}, which is a URI: pass copy=False")
        return {"kind": "uri", "uri": mask_text(text)}
    full = os.path.abspath(text)
    try:
        status = os.stat(full)
    except (FileNotFoundError, NotADirectoryError):
        raise ContentNotFoundError(f"file or folder not found: {full!r}") from None
    except OSError as error:
        return {"kind": "file", "path": printable_path(full), "unread": str(error)}
    except ValueError as error:
        raise InvalidArgumentError(f"not a valid path: {text!r} ({error})") from None
    facts: Facts = {
        "kind": "folder" if stat.S_ISDIR(status.st_mode) else "file",
        "path": printable_path(full),
        "modified": status.st_mtime_ns,
    }
    if facts["kind"] == "file" and not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(
            f"{full!r} is neither a file nor a folder, so provml can't record its content"
        )
    try:
        _add_content(facts, full, status.st_size, run_folder, copy, defer_hashing)
    except OSError as error:
        facts["unread"] = str(error)
    return facts


def _add_content(
    facts: Facts,
    path: str,
    size: int,
    run_folder: Path | None,
    copy: bool | None,
    defer_hashing: DeferHashing | None,
) -> None:
    """Add the digest, the size and the path of the copy to a path's facts. Raises OSError."""
    is_folder = facts["kind"] == "folder"
    store = _find_store_inside(path, run_folder) if is_folder else None
    if store is not None:
        facts["left_out"] = printable_path(os.path.relpath(store, path))
    deferred = None if defer_hashing is None or copy else defer_hashing(path, store)
    if deferred is not None:
        facts |= ({} if is_folder else {"size": size}) | deferred
        return
    facts |= digest_folder(path, store) if is_folder else digest_file(path)
    wanted = _wants_copy(copy, facts["size"]) and not (copy is None and is_secret_file(path))
    if run_folder is not None and wanted:
        facts["copy"] = _copy_content(path, facts, run_folder)


def _find_store_inside(path: str, run_folder: Path | None) -> str | None:
    """Return the path of the run's store if it is inside the folder, else None.

    The digest of the folder leaves out the store, because recording changes its content.
    """
    if run_folder is None:
        return None
    folder, run = os.path.realpath(path), os.path.realpath(run_folder)
    if folder == run or not run.startswith(folder + os.sep):
        return None
    store = os.path.dirname(os.path.dirname(run))
    return os.path.join(path, os.path.relpath(store if store != folder else run, folder))


def _wants_copy(copy: bool | None, size: int) -> bool:
    return size <= COPY_LIMIT_BYTES if copy is None else copy


def digest_file(path: str) -> Facts:
    """Return the SHA-256 digest (hexadecimal) and the size in bytes of a file. Raises OSError."""
    with open(path, "rb") as file:
        return _digest_stream(file)


def _digest_stream(file: BinaryIO, copy_to: BinaryIO | None = None) -> Facts:
    digest = hashlib.sha256()
    size = 0
    while block := file.read(_READ_BYTES):
        digest.update(block)
        size += len(block)
        if copy_to is not None:
            copy_to.write(block)
    return {"sha256": digest.hexdigest(), "size": size}


def digest_folder(path: str, leave_out: str | None = None) -> Facts:
    """Return a folder's digest, its total size in bytes and its number of files.

    The digest is the SHA-256 of the manifest. Raises OSError.
    """
    lines: list[tuple[bytes, str]] = []
    size = 0
    for name in list_folder_files(path, leave_out):
        full = os.path.join(path, name)
        facts = digest_link(full) if os.path.islink(full) else digest_file(full)
        size += facts["size"]
        lines.append((os.fsencode(name), facts["sha256"]))
    return {"sha256": digest_manifest(lines), "size": size, "files": len(lines)}


def digest_manifest(lines: list[tuple[bytes, str]]) -> str:
    """Return the SHA-256 of a folder's manifest.

    Args:
        lines: the relative path and the digest of each file, in any order.
    """
    digest = hashlib.sha256()
    for name, file_digest in sorted(lines):
        digest.update(file_digest.encode() + b"  " + name + b"\n")
    return digest.hexdigest()


def digest_link(path: str) -> Facts:
    """Return the SHA-256 digest and the length of a link's target path. Raises OSError."""
    content = os.fsencode(os.readlink(path))
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def list_folder_files(root: str, leave_out: str | None = None) -> Iterator[str]:
    """Yield the relative paths of all files and links in a folder tree. Raises OSError.

    Args:
        root: the folder.
        leave_out: the full path of a folder inside it to skip.
    """
    for folder, folders, files in os.walk(root, onerror=_raise_error):
        folders[:] = [name for name in folders if os.path.join(folder, name) != leave_out]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*files, *links):
            full = os.path.join(folder, name)
            if os.path.islink(full) or os.path.isfile(full):
                yield os.path.relpath(full, root).replace(os.sep, "/")


def _raise_error(error: OSError) -> None:
    raise error


def _copy_content(path: str, facts: Facts, run_folder: Path) -> str:
    """Copy a file or folder to ``artifacts/<digest>/<name>`` in the run's folder; return that path.

    The returned path is relative to the run's folder. The copy has a temporary name until it is
    complete.
    """
    name = layout.encode_folder_name(os.path.basename(printable_path(path))[-60:] or "content")
    relative = f"{layout.ARTIFACTS_FOLDER}/{facts['sha256'][:_FOLDER_DIGEST_LENGTH]}/{name}"
    target = run_folder / relative
    if target.exists():
        return relative
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        if facts["kind"] == "folder":
            import shutil

            left_out = facts.get("left_out")

            def ignore_store(folder: str, names: list[str]) -> list[str]:
                store = None if left_out is None else os.path.join(path, left_out)
                return [name for name in names if os.path.join(folder, name) == store]

            shutil.copytree(path, temporary, symlinks=True, ignore=ignore_store)
            copied = digest_folder(str(temporary))
        else:
            with open(path, "rb") as source, open(temporary, "xb") as sink:
                copied = _digest_stream(source, sink)
        facts |= copied  # describe the copy, in case the original changed meanwhile
        os.replace(temporary, target)
    except BaseException:
        _remove_path(temporary)
        raise
    return relative


def _remove_path(path: Path) -> None:
    if path.is_dir():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_captured(run_folder: Path, name: str, content: bytes) -> Facts:
    """Write captured bytes to a file in ``artifacts/``; return the file's facts. Raises OSError."""
    sha256 = hashlib.sha256(content).hexdigest()
    relative = f"{layout.ARTIFACTS_FOLDER}/{sha256[:_FOLDER_DIGEST_LENGTH]}/{name}"
    target = run_folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.part")
    temporary.write_bytes(content)
    os.replace(temporary, target)
    return {"kind": "file", "copy": relative, "sha256": sha256, "size": len(content)}


def as_array(value: object) -> Any:
    """Return an array or tensor as a numpy array; return None for any other value.

    Copies the data of tensors that are not on the CPU. Imports numpy only if the value needs it.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return None
    detach = getattr(value, "detach", None)
    if callable(detach):  # a torch tensor, which these calls do not change
        value = detach().cpu()
    if not (hasattr(value, "__array_interface__") or hasattr(value, "__array__")):
        return None
    try:
        import numpy as np

        return np.asarray(value)
    except (ImportError, TypeError, ValueError, RuntimeError):
        return None


def describe_array(array: Any) -> Facts:
    """Return the digest, shape, dtype and size of a numpy array. Object arrays have no digest."""
    facts: Facts = {
        "kind": "array",
        "dtype": str(array.dtype),
        "shape": [int(length) for length in array.shape],
        "size": int(array.nbytes),
    }
    if array.dtype.hasobject:
        facts["unread"] = "an array of Python objects has no stable bytes"
        return facts
    facts["sha256"] = digest_array(array)
    return facts


def digest_array(array: Any) -> str:
    """Return the hexadecimal digest of a numpy array, as defined at the top of this module."""
    import numpy as np

    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    contiguous = np.ascontiguousarray(array)
    if array.size:
        digest.update(contiguous.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
