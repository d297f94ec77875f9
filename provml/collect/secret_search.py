"""Finds the secrets in a text, and returns their byte positions.

`secret_patterns` finds the places where a secret may be: names that are followed by a value
(``password = ...``) and known formats (``ghp_...``, ``://user:...@``). The functions here and in
`secret_values` decide whether there is a secret at such a place. The search takes linear time.
Imports only `secret_formats`, `secret_names`, `secret_patterns` and `secret_values` from provml.
"""

from __future__ import annotations

import re
from typing import Final

from provml.collect import secret_formats
from provml.collect.secret_names import (
    STRONG,
    UNKNOWN,
    WEAK,
    has_allow_list,
    is_allowed,
    name_strength,
)
from provml.collect.secret_patterns import (
    ASSIGNMENT,
    SCHEME_TOKEN,
    compile_pattern,
    list_format_patterns,
    list_name_patterns,
)
from provml.collect.secret_values import (
    FUNCTION_WORDS,
    Span,
    find_named_value,
    is_generated,
    is_placeholder,
    looks_random,
)

_MAX_KEY_BYTES: Final = 20_000
_MAX_BARE_BYTES: Final = 4096
_LONG_TEXT_BYTES: Final = 4096
_MAX_COMMAND_BYTES: Final = 300
_TOKEN_BYTES: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.~"
_NEXT_PASSWORD: Final = rb"[\"',]{0,3}[ \t=]+[\"']?(?!\d{1,5}(?:[\s\"']|$))([^\s'\"-][^\s'\"]*)"
"""A pattern for the password after an option. A number of up to five digits counts as a port."""
_NEXT_LOGIN: Final = rb"[\"',]{0,3}[ \t=]+[\"']?([^\s:%'\"]+[:%][^\s'\"]{2,})"
_JOINED_PASSWORD: Final = rb"([^\s'\"-][^\s'\"]*)"
_KEY_BODY: Final = rb"(?:[^-]|-(?!----))++"
_PLAIN_USERS: Final = (b"git", b"user", b"username", b"anonymous", b"www", b"hg", b"svn")
_TEMPLATE: Final = rb"\{.*\}|\$\{?\w+\}?|%\w+%|<.*>|\*+|%\(?\w*\)?s|\.{3}|x{3,}|X{3,}"


def find_secrets(content: bytes) -> list[Span]:
    """Return the positions of the secrets in a text, in no fixed order. Positions may overlap."""
    spans = _search_names(content) + _search_formats(content)
    if spans and has_allow_list():
        return [span for span in spans if not _is_allowed_text(content[span[0] : span[1]])]
    return spans


def _is_allowed_text(text: bytes) -> bool:
    return is_allowed(text[:1000].decode("utf-8", "replace"))


# -- names ------------------------------------------------------------------------------------


def _search_names(content: bytes) -> list[Span]:
    """Return the positions of the secrets that follow names, authentication schemes or phrases."""
    spans: list[Span] = []
    lower = content.lower()
    for pattern in list_name_patterns(lower):
        end = 0
        for name in pattern.finditer(lower):
            if name.start() < end:
                continue  # the name is inside a value that has already been examined
            span, examined = _find_value(content, lower, name)
            if span is not None:
                spans.append(span)
                end = span[1]
            elif examined and len(content) >= _LONG_TEXT_BYTES:
                end = _skip_nested_names(content, examined)
    return spans


def _find_value(content: bytes, lower: bytes, name: re.Match[bytes]) -> tuple[Span | None, int]:
    """Find the secret after a name, an authentication scheme or a phrase.

    Returns the position of the secret, or None if no secret follows. Also returns the offset at
    which the text after the name and its sign begins; 0 if this sign is missing.
    """
    kind = name.lastgroup
    if kind is None:
        sign = compile_pattern(ASSIGNMENT).match(lower, name.end())
        if sign is None:
            return None, 0
        return find_named_value(content, lower, name.start(), sign), sign.end()
    if kind == "scheme":
        space = compile_pattern(SCHEME_TOKEN).match(lower, name.end())
        if space is None:
            return None, 0
        return _find_scheme_token(content, name["scheme"], space.end()), space.end()
    rest = secret_formats.PHRASES[int(kind.removeprefix("phrase"))].rest
    found = compile_pattern(rest.encode()).match(content, name.end())
    return (None if found is None else found.span(1)), name.end()


def _find_scheme_token(content: bytes, scheme: bytes, position: int) -> Span | None:
    """Return the position of the token after ``Bearer`` or ``Basic``; None for ordinary words."""
    found = compile_pattern(rb"[A-Za-z0-9._~+/=-]{8,4096}+").match(content, position)
    if found is None:
        return None
    token = found[0].rstrip(b".-")
    if scheme == b"asic":
        is_token = _is_basic_login(token)
    else:
        is_token = looks_random(token) or len(token) > 30
    return (found.start(), found.start() + len(token)) if is_token else None


def _is_basic_login(token: bytes) -> bool:
    """Return whether a token is ``user:password`` in base64, as RFC 7617 defines it."""
    import binascii

    try:
        login = binascii.a2b_base64(token + b"=" * (-len(token) % 4), strict_mode=False)
    except ValueError:
        return False
    return b":" in login and login.isascii() and b"\0" not in login


def _skip_nested_names(content: bytes, position: int) -> int:
    """Return the position at which to continue the search after a value that is not a secret.

    A value can contain more names, as in ``key=token=...``. Examining every name in a long series
    of names would take quadratic time, so a long series is skipped.
    """
    run = content[position : position + _MAX_BARE_BYTES].split(None, 1)[:1]
    return position + len(run[0]) if run and run[0].count(b"=") > 8 else position


# -- formats ----------------------------------------------------------------------------------


def _search_formats(content: bytes) -> list[Span]:
    """Return the positions of the secrets that have a known format."""
    spans: list[Span] = []
    for pattern in list_format_patterns(content):
        for match in pattern.finditer(content):
            span = _find_formatted(content, match)
            if span is not None:
                spans.append(span)
    return spans


def _find_formatted(content: bytes, match: re.Match[bytes]) -> Span | None:
    """Return where the secret is in a match of a known format; None if there is no secret."""
    kind = match.lastgroup
    if kind == "at":
        return _find_url_credentials(content, match)
    if kind == "key":
        return _find_private_key(content, match)
    if kind == "short":
        return _find_short_option_value(content, match.start())
    if kind == "variable":
        return match.span("variable")
    if kind == "quote":
        span = _find_option_value(content, match)
        return span or _find_short_option_value(content, match.start())
    before = content[max(0, match.start() - 40) : match.start()]
    own = len(before) - len(before.rstrip(_TOKEN_BYTES))
    return match.start() - own, match.end()


def _find_url_credentials(content: bytes, match: re.Match[bytes]) -> Span | None:
    password = match["password"]
    if password is None:
        # a user name without a password is a token in a web address; in the addresses of other
        # protocols, it is the name of a user or a container
        scheme = content[max(0, match.start() - 12) : match.start()].lower()
        if not scheme.endswith((b"http", b"https")) or match["user"].lower() in _PLAIN_USERS:
            return None
        if not match["user"] or content.startswith(b"@dev.azure.com", match.start("at")):
            return None
    elif not password or compile_pattern(_TEMPLATE).fullmatch(password):
        return None
    return match.start("user"), match.start("at")


def _find_private_key(content: bytes, match: re.Match[bytes]) -> Span | None:
    start = match.start("key")
    block = content[start : start + _MAX_KEY_BYTES]
    found = compile_pattern(_KEY_BODY).match(block)
    return None if found is None else (start, start + found.end())


def _find_short_option_value(content: bytes, start: int) -> Span | None:
    """Return the position of the password after an option such as ``-p``; None if there is none.

    The program's name must come before the option, in the same line.
    """
    option = content[start : start + 2].decode("utf-8", "replace")
    if option not in secret_formats.SHORT_OPTIONS:
        return None
    line = content[max(0, start - _MAX_COMMAND_BYTES) : start].rpartition(b"\n")[2]
    for table, value in (
        (secret_formats.PASSWORD_OPTIONS, _NEXT_PASSWORD),
        (secret_formats.LOGIN_OPTIONS, _NEXT_LOGIN),
        (secret_formats.JOINED_OPTIONS, _JOINED_PASSWORD),
    ):
        for program in table.get(option, ()):
            name = program.encode()
            if name in line and compile_pattern(rb"(?<![\w.-])" + name + rb"(?![\w.-])").search(
                line
            ):
                found = compile_pattern(value).match(content, start + 2)
                if found is not None:
                    return found.span(1)
    return None


def _find_option_value(content: bytes, match: re.Match[bytes]) -> Span | None:
    name = match["option"].decode()
    strength = name_strength(name)
    if strength == UNKNOWN or (strength == WEAK and not match[0].startswith(b"--")):
        return None
    quote = match["quote"]
    end = rb"[^\n\r" + quote + rb"]+" if quote else rb"[^\s\"',]+"
    found = compile_pattern(end).match(content, match.end())
    if found is not None and strength < STRONG and is_generated(name) and found[0].isalpha():
        return None
    if found is None or found[0].lower() in FUNCTION_WORDS or is_placeholder(found[0]):
        return None
    return found.span()
