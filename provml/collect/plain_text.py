"""Recognises texts that contain no secret, without loading the rules for secrets.

Imports nothing else from provml.
"""

from __future__ import annotations

import re
from typing import Final

_MAX_BYTES: Final = 4096
_WORDS: Final = re.compile(
    rb"(?:(?:(?<![.A-Za-z])[0-9a-f]{64}|(?:(?<![.A-Za-z])[0-9a-f]{16}-)?[A-Za-z0-9_-]{1,11})"
    rb"(?![A-Za-z0-9_-])|[./\n])*+"
)
"""A pattern for short words and digests that are separated by dots, slashes and line breaks.

A short word has at most 11 characters.
"""
_SHORT_TOKENS: Final = (b"login", b"hook", b"eyJ")
"""Words that show that a text may contain a secret although all its words are short."""


def is_plain(content: bytes) -> bool:
    """Return whether a text consists only of short words, such as a name, a version or a path.

    Such a text contains no secret: a token would be a longer word, and a password would follow its
    name and a space or a sign such as ``=``. If all texts of a run are plain, provml does not
    compile the patterns for secrets, which would take about 15 ms.
    """
    if len(content) > _MAX_BYTES or _WORDS.fullmatch(content) is None:
        return False
    return not any(word in content for word in _SHORT_TOKENS)
