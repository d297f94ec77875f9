"""Builds the regular expressions that find the places in a text where a secret may be.

Each expression begins with one rare character, because `re` can then skip other text quickly. An
expression is compiled when a text first contains this character. For a short text, all expressions
are combined into one. Each expression can backtrack only over a limited number of characters, so a
search takes linear time. Imports only `secret_formats` from provml.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import Final

from provml.collect import secret_formats

_GROUPS_TRIED: Final = 5
_SHORT_TEXT_BYTES: Final = 512
_LONG_TEXT_BYTES: Final = 4096
_STEMS: Final = {
    "p": (
        *("ass", "wd", "w(?<![a-z0-9]pw)(?![a-z0-9])", "in(?<![a-z0-9]pin)(?![a-z0-9])"),
        *("at(?<![a-z0-9]pat)(?![a-z0-9])", "(?<=otp)"),
    ),
    "k": ("ey", "en(?<=token)", "ennwort"),
    "c": ("red", "ret(?<=secret)", "ookie", "ontrase"),
    "u": ("th(?<=auth)",),
    "j": ("wt",),
    # two Chinese words and a Russian word, as UTF-8 bytes
    "\xe5": (r"\xaf\x86(?:\xe7\xa0\x81|\xe9\x92\xa5)",),
    "\xd0": (r"\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c",),
    "b": (
        "(?P<scheme>earer(?<![a-z0-9_]bearer)(?<![a-z0-9_]b....)"
        "|asic(?<![a-z0-9_]b.....)(?<![a-z0-9_]basic))",
    ),
}
"""The parts of names that suggest a secret, in lower case.

Each key is a rare character. Each value lists regular expressions for the text after the key. An
expression begins with a literal letter if possible, so that `_join_tails` can dismiss most
positions at once.
"""
_URL: Final = (
    r"""//(?P<user>[^\s/:@"'<>\\]{0,256}+)"""
    r"""(?::(?!//|\d{1,5}(?:[/?#\s"']|$))(?P<password>[^\s"'<>@]{0,256}+"""
    r"""(?:@[^\s"'<>@/?#]{0,100}(?=@)){0,10}))?(?P<at>@)(?=[\w\[.-])"""
)
_PRIVATE_KEY: Final = r"----BEGIN[ A-Z0-9_-]{0,40}?PRIVATE KEY(?: BLOCK)?-----(?P<key>)"
_OPTION: Final = (
    r"""(?<![\w-]-)-?+(?P<option>[A-Za-z][\w.-]{1,40}+)["']?,?[ \t]{1,5}"""
    r"""(?P<quote>["']?)(?=[^\s-])"""
)
_SHORT_OPTION: Final = r"(?<=[ \t]-)(?P<short>[apwNPU])"
_FISH: Final = r"(?:x|gx|ux|Ux)(?<=set -x|et -gx|et -ux|et -Ux)" + secret_formats.VARIABLE
_TOKEN_START: Final = "(?=[a-z_-]{0,15}+[A-Za-z0-9_-])(?=[A-Za-z0-9_+/=.-]{8})"
"""A pattern for the beginning of a token, after its known prefix.

A token has at least eight characters. It begins with 16 lower-case letters, dashes and underscores,
or with fewer of them and then a digit or a capital letter.
"""

SCHEME_TOKEN: Final = rb"[ \t]{1,20}+(?=[a-z0-9._~+/=-]{8})"
"""A pattern for the text between an authentication scheme and its token, in lower case."""
ASSIGNMENT: Final = (
    rb"[A-Za-z0-9_.\x80-\xff-]{0,40}+(?P<close>[\\\"'`\]]{0,6}+)[ \t]{0,20}+"
    rb"(?P<mark>:?=>?(?!=)|==+|!==?|:|(?<=[\"'])[ \t]*,(?=[ \t]*[bBrR]?[\"'])|>"
    rb"|,?\s{0,40}[\"']?value[\"']?[ \t]*[:=]|(?<=password[ ])(?=')"
    rb"|(?<=secret_access_key[ ]))(?P<gap>[ \t]{0,20}+)"
    # a number of up to three digits is a count and not a secret
    rb"(?!-?\d{0,3}(?:\.\d*)?(?:e[+-]?\d+)?[km%]?(?:[\s,;)}\]/]|$))"
)
"""A pattern for the text after the part of a name that suggests a secret.

This text is the rest of the name, and the sign between the name and the value, in lower case.
"""

compile_pattern = lru_cache(maxsize=128)(re.compile)


@lru_cache(maxsize=1)
def _name_tails() -> dict[str, list[str]]:
    """Return the patterns for names, authentication schemes and phrases, by first character.

    The patterns match the text after the first character.
    """
    tails: defaultdict[str, list[str]] = defaultdict(list)
    for number, phrase in enumerate(secret_formats.PHRASES):
        tails[phrase.first].append(f"(?P<phrase{number}>{phrase.word})")
    for first, stem in _STEMS.items():
        tails[first] += stem
    return tails


def list_name_patterns(content: bytes) -> list[re.Pattern[bytes]]:
    """Return the patterns for the names and phrases that a text in lower case may contain.

    The group that matches tells what must follow the match:

    - ``scheme``: a token;
    - ``phrase<number>``: the rest of the phrase with this number;
    - no group: a sign and a value.
    """
    if len(content) < _SHORT_TEXT_BYTES:
        return [_compile_names(b"")]
    return [_compile_names(first) for first in _name_firsts() if first in content]


@lru_cache(maxsize=1)
def _name_firsts() -> list[bytes]:
    return [first.encode("latin-1") for first in _name_tails()]


@lru_cache(maxsize=32)
def _compile_names(first: bytes) -> re.Pattern[bytes]:
    """Compile the pattern for names that begin with ``first``, or for all names if it is empty."""
    tails = _name_tails()
    letters = [first.decode("latin-1")] if first else list(tails)
    return _compile("|".join(f"{re.escape(own)}(?:{_join_tails(tails[own])})" for own in letters))


def _join_tails(tails: list[str]) -> str:
    """Join patterns into one pattern that checks the next character before it tries each one."""
    plain = [tail for tail in tails if _first_letter(tail)]
    if len(plain) < 2:
        return "|".join(tails)
    letters = "".join(sorted({_first_letter(tail) for tail in plain}))
    others = [tail for tail in tails if not _first_letter(tail)]
    return "|".join([f"(?=[{letters}])(?:{'|'.join(plain)})", *others])


def _first_letter(pattern: str) -> str:
    """Return the letter that every match of a pattern begins with; an empty string if unknown."""
    found = re.match(r"(?:\(\?P<phrase\d+>)?([A-Za-z])", pattern)
    return "" if found is None else found[1]


@lru_cache(maxsize=1)
def _format_tails() -> dict[str, list[str]]:
    """Return the patterns for all formats except tokens with a known prefix.

    The keys are the first characters of the formats. The values are patterns for the text after
    the first character.
    """
    tails: defaultdict[str, list[str]] = defaultdict(list)
    tails[":"].append(_URL)
    tails["-"] += (_PRIVATE_KEY, _OPTION, _SHORT_OPTION, _FISH)
    for pattern in secret_formats.TOKEN_PATTERNS:
        first = pattern.pattern.lstrip("\\")[0]
        tails[first].append(pattern.pattern[pattern.pattern.index(first) + 1 :])
    return tails


def list_format_patterns(content: bytes) -> list[re.Pattern[bytes]]:
    """Return the patterns for the formats of secrets that a text may contain."""
    # don't compile the formats of all tokens for a short text that has no known prefix
    with_tokens = len(content) >= _LONG_TEXT_BYTES or _may_have_tokens(content)
    if len(content) < _SHORT_TEXT_BYTES and not with_tokens:
        return [_compile_formats(b"", False)]
    firsts = _format_firsts(with_tokens)
    return [_compile_formats(first, with_tokens) for first in firsts if first in content]


@lru_cache(maxsize=2)
def _format_firsts(with_tokens: bool) -> list[bytes]:
    firsts = dict.fromkeys([*_format_tails(), *(_prefixes() if with_tokens else ())])
    return [first.encode() for first in firsts]


@lru_cache(maxsize=64)
def _compile_formats(first: bytes, with_tokens: bool) -> re.Pattern[bytes]:
    """Compile the pattern for formats that begin with ``first``, or for all if it is empty.

    Takes less than a millisecond, or up to 10 ms with the tokens that have a known prefix.
    """
    patterns: list[str] = []
    for letter in [first.decode()] if first else list(_format_tails()):
        tails = list(_format_tails().get(letter, ()))
        if with_tokens and letter in _prefixes():
            tails.append(f"{_TOKEN_START}(?:{_group_formats(_prefixes()[letter])})")
        patterns.append(f"{re.escape(letter)}(?:{_join_tails(tails)})")
    return _compile("|".join(patterns))


@lru_cache(maxsize=1)
def _prefixes() -> dict[str, list[secret_formats.TokenFormat]]:
    """Return the formats of tokens with a known prefix, keyed by the prefix's last character."""
    found: defaultdict[str, list[secret_formats.TokenFormat]] = defaultdict(list)
    for known in secret_formats.TOKEN_FORMATS:
        found[known.prefix[-1]].append(known)
    return found


def _may_have_tokens(content: bytes) -> bool:
    """Return whether a text contains a known prefix that a token may follow."""
    return any(
        last in content and _compile_prefixes(last).search(content) for last in (b"_", b"-", b".")
    )


@lru_cache(maxsize=4)
def _compile_prefixes(last: bytes) -> re.Pattern[bytes]:
    """Compile a pattern that finds the tokens whose known prefix ends with ``last``."""
    prefixes = dict.fromkeys(re.escape(known.prefix) for known in _prefixes()[last.decode()])
    before = "|".join(f"(?<={prefix})" for prefix in prefixes)
    return _compile(f"{re.escape(last.decode())}{_TOKEN_START}(?:{before})")


def _group_formats(known_formats: list[secret_formats.TokenFormat]) -> str:
    """Join the patterns of formats whose prefixes end with the same character.

    Groups the formats by the second-last character of the prefix, so that `re` tries only the few
    formats of one group at each position.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for known in known_formats:
        prefix = re.escape(known.prefix)
        boundary = rf"(?:(?<![A-Za-z0-9]{prefix})|(?<=\\[nrt]{prefix}))"
        groups[known.prefix[-2:]].append(f"(?<={prefix}){boundary}{known.body}")
    endings = sorted(groups)
    joined: list[str] = []
    for start in range(0, len(endings), _GROUPS_TRIED):
        some = endings[start : start + _GROUPS_TRIED]
        gate = "".join(ending[0] for ending in some) + f"]{re.escape(some[0][1])}"
        patterns = (f"(?<={re.escape(own)})(?:{'|'.join(groups[own])})" for own in some)
        joined.append(f"(?<=[{gate})(?:{'|'.join(patterns)})")
    return "|".join(joined)


def _compile(pattern: str) -> re.Pattern[bytes]:
    """Compile a pattern after replacing character classes inside its sets with the characters.

    This lets `re` test a set with a single look-up in a table.
    """
    pattern = pattern.replace("[\\w", "[A-Za-z0-9_").replace("[^\\s", "[^ \\t\\n\\r\\f\\v")
    return re.compile(pattern.encode("latin-1"))
