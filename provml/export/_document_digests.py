"""Records the digests of the documents in a run's folder, so that later changes can be detected.

The file ``documents.sha256`` in the run's folder has the format that ``sha256sum`` uses. While a
document is being replaced, the file contains both the old and the new digest, so one of the two
always matches. Imports only `journal` and `base.store_files` from provml.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from provml.base import store_files
from provml.journal.recovery import lock_journal

DIGESTS_FILE: Final = "documents.sha256"

_MAX_BYTES: Final = 2**20
_READ_BYTES: Final = 2**20
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^/\0]+)")


def read_digests(run_folder: Path) -> dict[str, set[str]]:
    """Return the recorded digests of the documents in a run's folder, by file name.

    A document has two digests if a process was killed while replacing the document.
    """
    folder = Path(os.path.abspath(run_folder))
    try:
        content = store_files.read_file(
            store_files.store_root(folder), folder / DIGESTS_FILE, _MAX_BYTES
        )
    except OSError:
        return {}
    digests: dict[str, set[str]] = {}
    for line in content.decode(errors="replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is not None:
            digests.setdefault(found[2], set()).add(found[1])
    return digests


def record_digest(run_folder: Path, name: str, sha256: str, keep_old: bool) -> None:
    """Record the digest of a document. Raises OSError if the file can't be written.

    Args:
        run_folder: the run's folder.
        name: the file name of the document.
        sha256: the SHA-256 digest of the document, in hexadecimal.
        keep_old: whether to keep the digests that were recorded earlier for this document. Call
            `record_digest` with True before the document is replaced, and with False afterwards.
    """
    folder = Path(os.path.abspath(run_folder))
    with lock_journal(folder):
        digests = read_digests(folder)
        digests[name] = {sha256} | (digests.get(name, set()) if keep_old else set())
        lines = [f"{one}  {file}\n" for file in sorted(digests) for one in sorted(digests[file])]
        root = store_files.store_root(folder)
        with store_files.replacing(root, folder / DIGESTS_FILE, sync=False) as file:
            file.write("".join(lines).encode())


def digest_stream(file: BinaryIO) -> str:
    """Return the SHA-256 digest of a file from its current position to its end, in hexadecimal."""
    digest = hashlib.sha256()
    while block := file.read(_READ_BYTES):
        digest.update(block)
    return digest.hexdigest()
