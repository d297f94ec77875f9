r"""Describes files and folders by their SHA-256 digests and sizes, and copies them.

Digests
-------
- file: the SHA-256 of its bytes.
- folder: the SHA-256 of its manifest. The manifest has one line per file, sorted by path, in the
  format of ``sha256sum``: ``<digest>  <relative path>\n``. Symbolic links are followed. The digest
  of a link that can't be followed is the SHA-256 of its target path.

`arrays`, `tables` and `object_digests` define the digests of Python objects.

Imports only `copies`, `secrets`, `user_files`, `unreadable`, `base`, `journal.layout` and `errors`
from provml.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from provml.base import store_files
from provml.base.text import printable_path
from provml.collect.copies import copy_folder, write_copy
from provml.collect.secrets import is_secret_file, mask_text
from provml.collect.unreadable import UnreadableError, describe_type, explain_failure
from provml.collect.user_files import (
    CHANGED_BEFORE_HASHED,
    FolderFiles,
    check_unchanged,
    file_state,
    open_user_file,
)
from provml.errors import ContentNotFoundError, InvalidArgumentError
from provml.journal import layout

COPY_LIMIT_BYTES: Final = 10 * 2**20
"""The maximum size of artifacts and models that provml copies by default."""

MAX_LISTED_FILES: Final = 10_000
"""The maximum number of files in a folder whose manifest provml keeps."""
MANIFEST_NAME: Final = "files.sha256"
"""The name of a manifest in a run's ``artifacts`` folder."""

_READ_BYTES: Final = 2**20
_FOLDER_DIGEST_LENGTH: Final = 16

Facts = dict[str, Any]
DeferHashing = Callable[[str, str | None], Facts | None]
"""A function that decides whether to hash a file or folder later.

The function receives the path, and the path of a subfolder to leave out (or None). It returns the
facts to record until the digest is known, or None if the content must be hashed now.
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
    can't be read, or changes while it is read, the facts contain the reason instead of a digest.
    Symbolic links are followed, and the facts contain their targets.

    Args:
        path: an existing file or folder, or a URI. A URI is recorded, but its content is not read.
        run_folder: the run's folder; None if nothing should be copied.
        copy: True copies the content, False does not; None copies content of at most
            `COPY_LIMIT_BYTES`, unless the name of the file or folder suggests a secret.
        defer_hashing: a function that can postpone the hashing; None hashes the content now.

    Raises:
        ContentNotFoundError: the path does not exist.
        InvalidArgumentError: the path is invalid; the path refers to neither a file nor a folder;
            or the path is a URI and ``copy`` is true.
    """
    try:
        text = os.fspath(path)
    except BaseException as error:  # a path class from another library can raise any exception
        return {
            "kind": "object",
            "python": describe_type(path),
            "unread": explain_failure(error),
        }
    if not isinstance(text, str):
        raise InvalidArgumentError(f"a path must be a str or a Path, not {text!r:.80}")
    if not text:
        raise InvalidArgumentError("the path is empty: pass '.' for the working folder")
    if is_uri(text):
        if copy:
            raise InvalidArgumentError(f"can't copy {text!r}, which is a URI: pass copy=False")
        return {"kind": "uri", "uri": mask_text(text)}
    full = _make_absolute(text)
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
    if os.path.islink(full):
        facts["links"] = {".": printable_path(os.path.realpath(full))}
    try:
        _add_content(facts, full, status, run_folder, copy, defer_hashing)
    except (OSError, UnreadableError) as error:
        facts["unread"] = str(error)
    return facts


def _make_absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        raise ContentNotFoundError(
            f"file or folder not found: {path!r}, because the working folder was removed"
        ) from None


def _add_content(
    facts: Facts,
    path: str,
    status: os.stat_result,
    run_folder: Path | None,
    copy: bool | None,
    defer_hashing: DeferHashing | None,
) -> None:
    """Add the digest, the size and the copy's path to the facts about a file or folder.

    Raises OSError if the content can't be read, and UnreadableError if it changes.
    """
    is_folder = facts["kind"] == "folder"
    store = _find_store_inside(path, run_folder) if is_folder else None
    if store is not None:
        facts["left_out"] = printable_path(os.path.relpath(store, path))
    deferred = None if defer_hashing is None or copy else defer_hashing(path, store)
    if deferred is not None:
        facts |= ({} if is_folder else {"size": status.st_size}) | deferred
        return
    if is_folder:
        files = FolderFiles(path, store)
        lines, size = digest_members(files)
        facts |= {"sha256": digest_manifest(lines), "size": size, "files": len(lines)}
        facts |= files.link_facts()
        if run_folder is not None:
            facts |= write_manifest(run_folder, build_manifest(lines))
    else:
        facts |= _digest_unchanged_file(path, status)
    wanted = _wants_copy(copy, facts["size"]) and not (copy is None and is_secret_file(path))
    if run_folder is not None and wanted:
        facts["copy"] = _copy_content(path, facts, run_folder, store)


def _find_store_inside(path: str, run_folder: Path | None) -> str | None:
    """Return the path of the run's store if the store is inside a folder, else None.

    If the folder is the store itself, returns the path of the run's folder instead. The folder's
    digest must not cover the content of the returned path, which changes during the run.
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
    """Return a file's SHA-256 digest (hexadecimal) and its size in bytes. Raises OSError."""
    with open(path, "rb") as file:
        return digest_stream(file)


def digest_stream(file: BinaryIO, copy_to: BinaryIO | None = None) -> Facts:
    """Return the digest and size of the rest of an open file.

    Also copies the rest to ``copy_to``, if given.
    """
    digest = hashlib.sha256()
    size = 0
    while block := file.read(_READ_BYTES):
        digest.update(block)
        size += len(block)
        if copy_to is not None:
            copy_to.write(block)
    return {"sha256": digest.hexdigest(), "size": size}


def _digest_unchanged_file(path: str, status: os.stat_result) -> Facts:
    """Return the digest and size of a file that must not have changed since its status was read.

    Raises OSError if the file can't be read, and UnreadableError if it has changed.
    """
    before = file_state(status)
    with open_user_file(path) as file:
        check_unchanged(file, before, CHANGED_BEFORE_HASHED)
        facts = digest_stream(file)
        check_unchanged(file, before)
    return facts


def digest_folder(files: FolderFiles) -> Facts:
    """Return a folder's digest, its total size in bytes and its number of files.

    The digest is the SHA-256 of the manifest. Raises OSError if a file can't be read, and
    UnreadableError if a file changes while it is read.
    """
    lines, size = digest_members(files)
    return {"sha256": digest_manifest(lines), "size": size, "files": len(lines)}


def digest_members(files: FolderFiles) -> tuple[list[tuple[bytes, str]], int]:
    """Return the relative path and digest of each file in a folder, and their total size in bytes.

    Raises the same errors as `digest_folder`.
    """
    lines: list[tuple[bytes, str]] = []
    size = 0
    for file in files:
        if file.target is not None:
            digest, own_size = file.digest_link()
        else:
            with open_user_file(file.path) as stream:
                before = file_state(os.fstat(stream.fileno()))
                facts = digest_stream(stream)
                check_unchanged(stream, before, f"{file.name!r} changed while it was being hashed")
            digest, own_size = facts["sha256"], facts["size"]
        size += own_size
        lines.append((os.fsencode(file.name), digest))
    return lines, size


def digest_manifest(lines: list[tuple[bytes, str]]) -> str:
    """Return the SHA-256 of a folder's manifest.

    Args:
        lines: pairs of a file's relative path and its digest, in any order.
    """
    digest = hashlib.sha256()
    for name, file_digest in sorted(lines):
        digest.update(manifest_line(file_digest, name))
    return digest.hexdigest()


def build_manifest(lines: list[tuple[bytes, str]]) -> bytes | None:
    """Return a folder's manifest, or None if the folder has more than `MAX_LISTED_FILES` files.

    Takes the same argument as `digest_manifest`.
    """
    if not 0 < len(lines) <= MAX_LISTED_FILES:
        return None
    return b"".join(manifest_line(file_digest, name) for name, file_digest in sorted(lines))


def write_manifest(run_folder: Path, manifest: bytes | None) -> Facts:
    """Write a folder's manifest to a file in the run's folder.

    Lineage reads the manifest to find the folders that contain a given file. Returns the fact
    ``manifest``, which is the path of this file relative to the run's folder. Returns no facts if
    the manifest is None or the file can't be written.
    """
    if manifest is None:
        return {}
    try:
        return {"manifest": write_captured(run_folder, MANIFEST_NAME, manifest)["copy"]}
    except OSError:
        return {}


def manifest_line(digest: str, name: bytes) -> bytes:
    r"""Return the line of a manifest for one file, as ``sha256sum`` writes it.

    If the name contains a line break, the line begins with ``\``, and the name's line breaks and
    backslashes are escaped.
    """
    if b"\n" not in name:
        return digest.encode() + b"  " + name + b"\n"
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return b"\\" + digest.encode() + b"  " + escaped + b"\n"


def _copy_content(path: str, facts: Facts, run_folder: Path, store: str | None) -> str:
    """Copy a file or folder to ``artifacts/<digest>/<name>`` in the run's folder; return that path.

    The returned path is relative to the run's folder. Updates the facts to describe the copy,
    because the original may have changed since it was hashed.
    """
    name = layout.encode_folder_name(os.path.basename(printable_path(path))[-60:] or "content")
    relative = f"{layout.ARTIFACTS_FOLDER}/{facts['sha256'][:_FOLDER_DIGEST_LENGTH]}/{name}"
    root, target = store_files.store_root(run_folder), run_folder / relative
    if facts["kind"] == "folder":
        if not store_files.is_folder(root, target):
            lines: list[tuple[bytes, str]] = []
            size = 0
            with copy_folder(FolderFiles(path, store), run_folder, relative) as copied:
                for file in copied:
                    lines.append((os.fsencode(file.name), file.sha256))
                    size += file.size
            facts |= {"sha256": digest_manifest(lines), "size": size, "files": len(lines)}
    elif not store_files.is_file(root, target):
        with open_user_file(path) as source, write_copy(run_folder, relative) as sink:
            facts |= digest_stream(source, sink)
    return relative


def write_captured(run_folder: Path, name: str, content: bytes) -> Facts:
    """Write captured bytes to a file in the run's ``artifacts/`` folder, and describe the file.

    Raises OSError if the file can't be written.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    relative = f"{layout.ARTIFACTS_FOLDER}/{sha256[:_FOLDER_DIGEST_LENGTH]}/{name}"
    with write_copy(run_folder, relative) as sink:
        sink.write(content)
    return {"kind": "file", "copy": relative, "sha256": sha256, "size": len(content)}
