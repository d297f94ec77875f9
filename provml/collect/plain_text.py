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
"""Words of up to 11 characters, and digests. No format of tokens is shorter."""
_SHORT_TOKENS: Final = (b"login", b"hook", b"eyJ")
"""What the few secrets that may consist of shorter words begin with."""


def is_plain(content: bytes) -> bool:
    """Return whether a text consists only of short words, such as names, versions and paths.

    Such a text contains no secret, because a token is longer, and a value follows its name after
    a space or another sign. So a run that records nothing else compiles no pattern for secrets,
    which would take about 15 ms.
    """
    if len(content) > _MAX_BYTES or _WORDS.fullmatch(content) is None:
        return False
    return not any(word in content for word in _SHORT_TOKENS)
