"""Remembers which files contain no secrets, so that the next run need not search them again.

The user's cache contains the digests of these files. Each version of the modules that search for
secrets has its own file of digests. If the cache can't be read or written, provml searches every
file. Imports `secret_names` and `base` from provml.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from provml.base import store_files
from provml.base.user_cache import open_user_cache
from provml.collect.secret_names import is_default_masking
from provml.version import __version__

_DIGEST_BYTES: Final = 32
_MAX_BYTES: Final = 2**18
_FOLDER: Final = "contents-without-secrets"
_SEARCH: Final = "secret*.py"
"""A pattern for the modules that search for secrets.

If one of these modules changes, provml starts a new file of digests.
"""


class KnownContents:
    """The digests of the files in which provml found no secrets."""

    def __init__(self) -> None:
        self._known: set[bytes] | None = None
        self._new: list[bytes] = []

    def has(self, sha256: str) -> bool:
        """Return whether provml has searched this content before and found no secrets.

        Args:
            sha256: the digest of the content.
        """
        if not is_default_masking():
            return False
        if self._known is None:
            self._known = self._load()
        return bytes.fromhex(sha256) in self._known

    def add(self, sha256: str) -> None:
        """Remember that the file with this digest has no secrets."""
        if self._known is not None and is_default_masking():
            digest = bytes.fromhex(sha256)
            self._known.add(digest)
            self._new.append(digest)

    def save(self) -> None:
        """Write the new digests to the cache. Ignore failures."""
        new, self._new = self._new, []
        if not new:
            return
        try:
            root, path = _find_cache()
            store_files.make_folder(root, path.parent)
            if not store_files.is_file(root, path):
                with store_files.replacing(root, path, sync=False) as file:
                    file.write(b"".join(new))
                return
            # a single write appends whole digests, so several processes can append at the same time
            fd = store_files.open_file(root, path, os.O_WRONLY | os.O_APPEND)
            try:
                if os.fstat(fd).st_size > _MAX_BYTES:
                    os.ftruncate(fd, 0)
                os.write(fd, b"".join(new))
            finally:
                os.close(fd)
        except (OSError, ValueError):
            pass

    def _load(self) -> set[bytes]:
        try:
            root, path = _find_cache()
            content = store_files.read_file(root, path, 2 * _MAX_BYTES)
        except (OSError, ValueError):
            return set()
        starts = range(0, len(content) - _DIGEST_BYTES + 1, _DIGEST_BYTES)
        return {content[start : start + _DIGEST_BYTES] for start in starts}


def _find_cache() -> tuple[Path, Path]:
    """Return the cache folder and the path of the file with the digests.

    Raises OSError if the cache can't be used.
    """
    states = [os.stat(path) for path in sorted(Path(__file__).parent.glob(_SEARCH))]
    version = repr([(state.st_size, state.st_mtime_ns) for state in states])
    own = hashlib.sha256(version.encode()).hexdigest()[:16]
    root = open_user_cache()
    return root, root / _FOLDER / f"{__version__}-{own}"


KNOWN_CONTENTS: Final = KnownContents()
"""The digests of the files without secrets, shared by all runs of this process."""
