"""Decides quickly that a short text contains no secrets, without compiling the patterns.

The patterns of `secret_search` take about 15 ms to compile. Most runs record only short texts, such
as names and paths, that contain nothing which a secret begins with. Imports only `secret_rules`
from provml.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from provml.collect import secret_rules as rules

_NAMES: Final = (
    *("pass", "pwd", "otp", "key", "token", "kennwort", "cred", "secret", "identified", "bindpw"),
    *("cookie", "contrase", "auth", "jwt", "bearer", "basic", "mnemonic", "senha", "dsn"),
    *("-u", "wachtwoord", "private", "sig=", "signature=", "dapi", "docker", "mysql", "login"),
)
"""Parts of the names, keywords and phrases that a secret follows."""
_TOKENS: Final = (
    *("akia", "asia", "abia", "acca", "a3t", "aiza", "absk", "atatt3", "atbb", "akcp", "aqvn"),
    *("ltai", "eaa", "eza", "ezt", "gr1348941", "eyj", "1//0", ":a", "hooks.slack.com", "q~"),
    *("webhook", "atlasv1"),
)
"""The beginnings of the tokens in `secret_rules.TOKEN_PATTERNS`, in lower case."""
_SHORT_NAMES: Final = rb"(?<![a-z0-9])p(?:w|in|at)(?![a-z0-9])"
_OTHER_TOKENS: Final = rb"(?:AC|SK)[a-f0-9]{32}|[\w-]{24}\.[\w-]{6}\.|[a-f0-9]{32}-us"


@lru_cache(maxsize=1)
def _list_hints() -> tuple[bytes, ...]:
    prefixes = (known.prefix.lower() for known in rules.TOKEN_FORMATS)
    return tuple(text.encode() for text in dict.fromkeys((*_NAMES, *_TOKENS, *prefixes)))


def may_contain_secret(content: bytes) -> bool:
    """Return whether a text may contain a secret. If not, `find_secrets` would find none.

    Takes about 10 microseconds.
    """
    if not content.isascii() or (b"://" in content and b"@" in content):
        return True
    lower = content.lower()
    if any(hint in lower for hint in _list_hints()):
        return True
    found = re.search(_SHORT_NAMES, lower) or re.search(_OTHER_TOKENS, content)
    return found is not None
