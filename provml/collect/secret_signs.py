"""Tells whether a short text has a sign of a secret, before the patterns for secrets are compiled.

Each pattern in `secret_patterns` matches only near a certain word, character sequence or option. A
text without any of these signs contains no secret, so the patterns are not needed. Compiling them
would take about 15 ms. Most runs record only such texts before the first output of the script.

Imports only `secret_formats` from provml, and only when it is needed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MAX_BYTES: Final = 4096
"""The maximum length of a text that is worth examining before the patterns are compiled."""
_WORDS: Final = (
    *(b"pass", b"pwd", b"otp", b"key", b"token", b"kennwort", b"cred", b"secret", b"cookie"),
    *(b"contrase", b"auth", b"jwt", b"bearer", b"basic", b"login", b"identified by", b"-user"),
    *(b"env ", b"env\t", b"sig=", b"signature=", b"dapi", b"cio"),
    *(b"\xe5\xaf\x86\xe7\xa0\x81", b"\xe5\xaf\x86\xe9\x92\xa5"),  # two Chinese words
    b"\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c",  # a Russian word
)
"""The parts of names and phrases that suggest a secret, in lower case."""
_SHORT_WORDS: Final = re.compile(rb"p(?:w|in|at)(?<![a-z0-9]pw)(?<![a-z0-9]p..)(?![a-z0-9])")
_FORMATS: Final = (
    *(b"@", b":A", b"//0", b"-----BEGIN", b"-us", b"eyJ", b"~", b"_mmk", b".atlasv1."),
    *(b"hook", b"AKIA", b"ASIA", b"ABIA", b"ACCA", b"A3T", b"AIza", b"ABSK", b"ATATT3", b"ATCTT3"),
    *(b"ATBB", b"AKCp", b"AQVN", b"LTAI", b"EAA", b"GR1348941"),
)
"""Parts of the formats of secrets."""
_CAPITALS: Final = (b"AC", b"SK", b"EZ")
"""The first letters of the formats in which only letters and digits follow."""
_LONG_WORD: Final = re.compile(rb"[A-Za-z0-9]{32}")
_PARTS_WITH_DOTS: Final = re.compile(rb"\.(?:(?<=[\w-]{24}\.)[\w-]{6}\.|(?<=pat[A-Za-z0-9]{14}\.))")
_OPTIONS: Final = re.compile(
    rb"-(?:(?<![\w-]-)-?[A-Za-z][\w.-]*[\"']?,?[ \t]|(?<=[ \t]-)[apwNPU]"
    rb"|(?<=[ \t'\"]-)u[ \t='\"])"
)
"""A pattern for options that a password or token may follow."""
_PREFIX_END: Final = re.compile(rb"[_.-](?=[a-z_-]{0,15}+[A-Za-z0-9_-])(?=[A-Za-z0-9_+/=.-]{8})")
"""A pattern for the last character of a token's prefix, if a token may follow."""


def has_signs(content: bytes) -> bool:
    """Return whether a text may contain a secret. If the result is False, it contains no secret.

    Costs less than 0.1 ms for a text of 300 bytes. The compiled patterns are faster, so use them
    once they exist.
    """
    lower = content.lower()
    for word in _WORDS:
        if word in lower:
            return True
    for word in _FORMATS:
        if word in content:
            return True
    for word in _CAPITALS:
        if word in content and _LONG_WORD.search(content) is not None:
            return True
    return (
        _SHORT_WORDS.search(lower) is not None
        or _OPTIONS.search(content) is not None
        or _PARTS_WITH_DOTS.search(content) is not None
        or any(_ends_with_prefix(content, found.end()) for found in _PREFIX_END.finditer(content))
    )


def _ends_with_prefix(content: bytes, end: int) -> bool:
    return content.endswith(_list_prefixes(), 0, end)


@lru_cache(maxsize=1)
def _list_prefixes() -> tuple[bytes, ...]:
    from provml.collect import secret_formats  # most texts do not need these tables

    return tuple({known.prefix.encode() for known in secret_formats.TOKEN_FORMATS})
