r"""Finds the secrets in a text, and returns their byte positions.

One set of regular expressions finds names that are followed by a value (``password = ...``). The
other set finds known formats (``ghp_...``, ``://user:...@``). Each alternative begins with a rare
character, and can backtrack only over a limited number of characters. Therefore the search takes
linear time. Imports only `secret_rules` and `secret_names` from provml.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import Final, NamedTuple

from provml.collect import secret_rules as rules
from provml.collect.secret_names import MEDIUM, STRONG, UNKNOWN, WEAK, is_allowed, name_strength

Span = tuple[int, int]
"""The start and end of a secret, as byte offsets in the text."""

_MAX_NAME_BYTES: Final = 60
_MAX_KEY_BYTES: Final = 20_000
_MAX_LIST_BYTES: Final = 100_000
_MAX_BARE_BYTES: Final = 512
_LONG_TEXT_BYTES: Final = 4096
_COMPILE_AFTER_BYTES: Final = 2**17
_NAME_BYTES: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_.-" + bytes(range(0x80, 0x100))
_TOKEN_BYTES: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.~"

# each alternative begins with a literal character, because `re` can then skip other text quickly
_STEMS: Final = {
    "p": r"ass|wd|(?<![a-z0-9]p)(?:w|in|at)(?![a-z0-9])|(?<=otp)",
    "k": r"ey|(?<=tok)en|ennwort",
    "c": r"red|(?<=sec)ret|ookie|ontrase",
    "u": r"(?<=au)th",
    "j": r"wt",
    "\xe5": r"\xaf\x86(?:\xe7\xa0\x81|\xe9\x92\xa5)",  # two Chinese words, as UTF-8 bytes
    "\xd0": r"\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c",  # a Russian word, as UTF-8 bytes
    "b": r"(?P<scheme>earer|asic)(?<![a-z0-9_]b.....)(?<![a-z0-9_]b....)",
}
"""The parts of names that suggest a secret, in lower case.

Each key is a rare character. Each value is a regular expression for the text after that character.
"""
_SCHEME_TOKEN: Final = r"[ \t]{1,20}+(?=[a-z0-9._~+/=-]{8})"
_ASSIGNMENT: Final = (
    r"[\w.\x80-\xff-]{0,40}+(?P<close>[\\\"'`\]]{0,6}+)[ \t]{0,20}+"
    r"(?P<mark>:?=>?(?!=)|==+|!==?|:|(?<=[\"'])[ \t]*,(?=[ \t]*[bBrR]?[\"'])|>"
    r"|,?\s{0,40}[\"']?value[\"']?[ \t]*[:=]|(?<=password[ ])(?=')"
    r"|(?<=secret_access_key[ ]))(?P<gap>[ \t]{0,20}+)"
    # a number of up to three digits is a count and not a secret
    r"(?!-?\d{0,3}(?:\.\d*)?(?:e[+-]?\d+)?[km%]?(?:[\s,;)}\]/]|$))"
)
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
_VALUE: Final = rb"""(?xs)
    (?P<escaped>\\+["'])
  | [bBrRuUfF]{0,2} (?: "(?P<double>[^"\\\n]*+(?:\\.[^"\\\n]*+)*+)
                      | '(?P<single>[^'\\\n]*+(?:\\.[^'\\\n]*+)*+)
                      | `(?P<back>[^`\n]*+) )
  | (?P<list>[\[({]\s{0,20}[bBrRuU]?["'])
  | (?P<call>[A-Za-z_][\w.]{0,60}+\()(?=[bBrRuU]?["'])
  | (?P<bare>(?:[^\s"'`,;&<>\\]|[,;&](?!\s|[\w.-]{1,40}[=:]|$)|\\(?![nrt"'\\])){1,512}+)
"""
_LIST_BODY: Final = (
    rb"""(?s)(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+'|[^\])}"'])*+"""
)
_ANNOTATION: Final = (
    rb"[A-Za-z_][\w.]{0,40}+(?:\[[\w., |]{0,60}\]{0,3})?"
    rb"(?:[ \t]*\|[ \t]*\w{1,40}){0,3}[ \t]*=(?!=)[ \t]*"
)
_WRAPPER: Final = rb"(?:[A-Z]\w*|(?:\w+\.)*(?:str_|bytes_|str|bytes|array|[A-Z]\w*))\("
_NO_WRAPPER: Final = rb"(?i)\w*(?:field|input|column|param|parameter|argument|option|env|error)\("
_KEY_BODY: Final = rb"(?:[^-]|-(?!----))++"
_PLAIN_USERS: Final = (b"git", b"user", b"username", b"anonymous", b"www", b"hg", b"svn")
_TEMPLATE: Final = rb"\{.*\}|\$\{?\w+\}?|%\w+%|<.*>|\*+|%\(?\w*\)?s|\.{3}|x{3,}|X{3,}"
_PLACEHOLDER: Final = rb"""(?xi)
    (?: none | null | nil | true | false | undefined | nan | yes | no | on | off | n/?a | any | auto
      | default | required | optional | str | string | text | int | integer | float | number | bool
      | boolean | bytes | object | dict | list | path | file | env | environment | prompt | stdin
      | unknown | missing | invalid | expired | valid | ok | inherit | disabled
      | enabled | active | inactive | allowed | denied | accepted | rejected | found | changed
      | updated | reset | set | given | hidden | todo | tbd | empty | type | lambda
      | (?:redacted|masked|hidden|removed|filtered|omitted)
      | your[-_ ].* | .*placeholder.* | insert[-_ ].* | enter[-_ ].*
      | [*x.\xe2\x80\xa2#_-]+ | <.*> | \[.*\] | \{.*\} | \$\{.* | \$\(.* | \{\{.* | \$[a-z_]+
      | %[a-z_]+% | %\(.* | %s | [<\[{(|\\]+ | \#\#.* | </?.*
    )
"""
_COUNT: Final = rb"\d[\d_,.]*[km]?(?:[\s,;)}\]/]|$)"
_NUMBER: Final = rb"[-+]?(?:\d[\d_,]*)?\.?\d*(?:[eE][-+]?\d+)?\s?[a-zA-Z%]{0,2}(?:/.*)?"
_REFERENCE: Final = rb"[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)+|[\w.]+[(\[].*"
_PATH: Final = (
    rb"(?:~|\.{1,2}|[A-Za-z]:|\$[A-Z]+)?(?:[/\\][\w.@ ~%+-]{0,40})+"
    rb"|[\w.-]+(?:/[\w.-]{1,40})+\.\w{1,8}"
    rb"|[\w-]+\.(?:py|txt|json|ya?ml|pem|key|crt|env|ini|cfg|toml|html?|md|pt|bin|csv)"
)
_ADDRESS: Final = rb"[a-z][a-z0-9+.-]{1,15}://.*|arn:aws.*|(?:op|env|vault|file|ssm|gcp|sm):.*"
_FUNCTION_WORDS: Final = frozenset(
    b"a an the is are was were be been must should can cannot may will to of for from in on at by "
    b"and or not no with without as that this it your you we if when then than more least has have "
    b"had per used using set see into must length counts tokens file required optional "
    b"option options flag flags argument arguments value values parameter switch field".split()
)


_regex = lru_cache(maxsize=128)(re.compile)


class _Patterns(NamedTuple):
    """The compiled patterns for either short or long texts.

    Attributes:
        named: the patterns for names and phrases: a single pattern for short texts, or a pattern
            for each first character for long texts.
        formats: the patterns for known formats, divided in the same way. Those for short texts do
            not include the tokens with a known prefix; see `_prefixed_formats`.
        value: the pattern for a value after a name.
        phrases: for each phrase, the pattern for the text after the keyword. The keys are the
            names of the keywords' groups.
    """

    named: tuple[re.Pattern[bytes], ...]
    formats: tuple[re.Pattern[bytes], ...]
    value: re.Pattern[bytes]
    phrases: dict[str, re.Pattern[bytes]]


@lru_cache(maxsize=2)
def _compile_patterns(is_long: bool) -> _Patterns:
    """Compile the patterns for short or long texts. The result is cached.

    Takes about 5 ms for short texts, and about 20 ms for long texts.
    """
    # `re` searches for one first character much faster than for several characters at once
    names = _join_names()
    if is_long:
        heads = _join_heads(_format_tails(), _prefixed_tails())
        named, formats = names[1:], list(map(_spell_out, heads))
    else:
        named, formats = names[:1], [_spell_out("|".join(_join_heads(_format_tails())))]
    return _Patterns(
        tuple(map(re.compile, named)),
        tuple(map(re.compile, formats)),
        _regex(_spell_out(_VALUE.decode("latin-1"))),
        {
            f"phrase{number}": _regex(phrase.rest.encode())
            for number, phrase in enumerate(rules.PHRASES)
        },
    )


def _join_names() -> list[bytes]:
    """Return one pattern for all names and phrases, then a pattern for each first character."""
    tails: defaultdict[str, list[str]] = defaultdict(list)
    for number, phrase in enumerate(rules.PHRASES):
        tails[phrase.first].append(f"(?P<phrase{number}>{phrase.word})")
    for first, stem in _STEMS.items():
        tails[first].append(stem)
    heads = [f"{re.escape(first)}(?:{'|'.join(own)})" for first, own in tails.items()]
    return [_spell_out(_add_tail(head)) for head in ("|".join(heads), *heads)]


def _add_tail(head: str) -> str:
    """Append to a pattern what must follow the name, the scheme or the phrase that it matches.

    The group that matched selects the pattern for the following text.
    """
    tail = _ASSIGNMENT
    if "(?P<scheme>" in head:
        tail = f"(?(scheme){_SCHEME_TOKEN}|{tail})"
    for number in range(len(rules.PHRASES)):
        if f"(?P<phrase{number}>" in head:
            tail = f"(?(phrase{number})|{tail})"
    return f"(?:{head}){tail}"


def _join_heads(*tables: dict[str, list[str]]) -> list[str]:
    """Return a pattern for each first character in tables of the patterns for the rest."""
    tails: defaultdict[str, list[str]] = defaultdict(list)
    for table in tables:
        for first, rest in table.items():
            tails[first] += rest
    return [f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in tails.items()]


def _format_tails() -> dict[str, list[str]]:
    """Return the patterns for all formats but the tokens with a known prefix.

    The keys are first characters, the values are patterns for the text after them.
    """
    tails: defaultdict[str, list[str]] = defaultdict(list)
    tails[":"].append(_URL)
    tails["-"] += (_PRIVATE_KEY, _OPTION)
    for pattern in rules.TOKEN_PATTERNS:
        first = pattern.pattern.lstrip("\\")[0]
        tails[first].append(pattern.pattern[pattern.pattern.index(first) + 1 :])
    return tails


def _prefixed_tails() -> dict[str, list[str]]:
    """Return the patterns for tokens with a known prefix, as `_format_tails` does.

    The keys are the last characters of the prefixes.
    """
    tails: defaultdict[str, list[str]] = defaultdict(list)
    prefixed: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for known in rules.TOKEN_FORMATS:
        prefix = re.escape(known.prefix)
        boundary = rf"(?:(?<![A-Za-z0-9]{prefix})|(?<=\\[nrt]{prefix}))"
        format_pattern = f"(?<={prefix}){boundary}{known.body}"
        prefixed[known.prefix[-1]].append((known.prefix[-2:], format_pattern))
    for last, formats in prefixed.items():
        tails[last].append(f"(?=[A-Za-z0-9]{{4}})(?:{_group_by_second_last(formats)})")
    return tails


@lru_cache(maxsize=1)
def _known_prefixes() -> re.Pattern[bytes]:
    """Compile a pattern for the end of a known prefix that a token may follow."""
    prefixes = [re.escape(known.prefix) for known in rules.TOKEN_FORMATS]
    ends = "".join({re.escape(known.prefix[-1]) for known in rules.TOKEN_FORMATS})
    before = "|".join(f"(?<={prefix})" for prefix in dict.fromkeys(prefixes))
    # few positions have one of these characters before a word, so the search is fast
    return re.compile(f"[{ends}](?=[A-Za-z0-9]{{4}})(?:{before})".encode())


@lru_cache(maxsize=1)
def _prefixed_formats() -> re.Pattern[bytes]:
    """Compile the pattern for tokens with a known prefix, for short texts. Takes about 15 ms.

    Most runs have no text with such a prefix, so their start should not pay for it.
    """
    return re.compile(_spell_out("|".join(_join_heads(_prefixed_tails()))))


def _group_by_second_last(formats: list[tuple[str, str]]) -> str:
    """Join the patterns of formats, grouped by the last two characters of their prefixes.

    At each position, `re` then tries only the few formats of one group.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for ending, pattern in formats:
        groups[ending].append(pattern)
    return "|".join(
        f"(?<={re.escape(ending)})(?:{'|'.join(own)})" for ending, own in groups.items()
    )


def _spell_out(pattern: str) -> bytes:
    """Replace the character classes in sets with their characters, and encode the pattern.

    `re` can then test a set with a single look-up in a table.
    """
    pattern = pattern.replace("[\\w", "[A-Za-z0-9_").replace("[^\\s", "[^ \\t\\n\\r\\f\\v")
    return pattern.encode("latin-1")


_searched_bytes = 0


def _is_long(length: int) -> bool:
    """Return whether to search a text with the patterns for long texts.

    These are twice as fast, but compiling them takes longer than the search of a few source files.
    """
    global _searched_bytes
    if length < _LONG_TEXT_BYTES:
        return False
    _searched_bytes += length
    return _searched_bytes > _COMPILE_AFTER_BYTES


def find_secrets(content: bytes) -> list[Span]:
    """Return the positions of the secrets in a text, in no fixed order. Positions may overlap."""
    is_long = _is_long(len(content))
    patterns = _compile_patterns(is_long)
    lower = content.lower()
    spans: list[Span] = []
    for named in patterns.named:
        end = 0
        for match in named.finditer(lower):
            if match.start() < end:
                continue  # the name is inside a value that has already been examined
            span = _find_value(content, lower, match, patterns)
            if span is not None:
                spans.append(span)
                end = span[1]
            elif is_long:
                end = _skip_nested_names(content, match.end())
    all_formats = patterns.formats
    if not is_long and _known_prefixes().search(content):
        all_formats += (_prefixed_formats(),)
    for formats in all_formats:
        for match in formats.finditer(content):
            span = _find_formatted(content, match)
            if span is not None:
                spans.append(span)
    return [span for span in spans if not _is_allowed_text(content[span[0] : span[1]])]


def _is_allowed_text(text: bytes) -> bool:
    return is_allowed(text[:1000].decode("utf-8", "replace"))


# -- formats ----------------------------------------------------------------------------------


def _find_formatted(content: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the position of the secret in a match of a known format; None if there is none."""
    kind = match.lastgroup
    if kind == "at":
        return _find_url_credentials(content, match)
    if kind == "key":
        return _find_private_key(content, match)
    if kind == "quote":
        return _find_option_value(content, match)
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
    elif not password or _regex(_TEMPLATE).fullmatch(password):
        return None
    return match.start("user"), match.start("at")


def _find_private_key(content: bytes, match: re.Match[bytes]) -> Span | None:
    start = match.start("key")
    block = content[start : start + _MAX_KEY_BYTES]
    found = _regex(_KEY_BODY).match(block)
    return None if found is None else (start, start + found.end())


def _find_option_value(content: bytes, match: re.Match[bytes]) -> Span | None:
    name = match["option"].decode()
    strength = name_strength(name)
    if strength == UNKNOWN or (strength == WEAK and not match[0].startswith(b"--")):
        return None
    quote = match["quote"]
    end = rb"[^\n\r" + quote + rb"]+" if quote else rb"[^\s\"',]+"
    found = _regex(end).match(content, match.end())
    if found is None or found[0].lower() in _FUNCTION_WORDS or _is_placeholder(found[0]):
        return None
    return found.span()


# -- names ------------------------------------------------------------------------------------


def _find_scheme_token(content: bytes, match: re.Match[bytes]) -> Span | None:
    """Return the position of the token after ``Bearer`` or ``Basic``; None for ordinary words."""
    found = _regex(rb"[A-Za-z0-9._~+/=-]{8,4096}+").match(content, match.end())
    if found is None:
        return None
    token = found[0].rstrip(b".-")
    if match["scheme"] == b"asic":
        is_token = _is_basic_login(token)
    else:
        is_token = _looks_random(token) or len(token) > 30
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
    """Return the position from which to continue after a value that is not a secret.

    A value can contain more names, as in ``key=token=...``. Examining every name in a long series
    of names would take quadratic time, so a long series is skipped.
    """
    run = content[position : position + _MAX_BARE_BYTES].split(None, 1)[:1]
    return position + len(run[0]) if run and run[0].count(b"=") > 8 else position


def _find_value(
    content: bytes, lower: bytes, match: re.Match[bytes], patterns: _Patterns
) -> Span | None:
    """Return the position of the secret after a name, an authentication scheme or a phrase.

    Returns None if no secret follows.
    """
    kind = match.lastgroup
    if kind == "gap":
        return _find_named_value(content, lower, match, patterns.value)
    if kind == "scheme":
        return _find_scheme_token(content, match)
    found = patterns.phrases[str(kind)].match(content, match.end())
    return None if found is None else found.span(1)


def _find_named_value(
    content: bytes, lower: bytes, match: re.Match[bytes], value: re.Pattern[bytes]
) -> Span | None:
    """Return the position of the value after a name; None if the value is not a secret."""
    start, close = match.start(), match.start("close")
    if lower[start : start + 1] == b"k" and _regex(_COUNT).match(lower, match.end()):
        return None  # the value is a count of tokens or keys
    before = lower[max(0, start - _MAX_NAME_BYTES) : start]
    start -= len(before) - len(before.rstrip(_NAME_BYTES))
    name = content[start:close].decode("utf-8", "replace").strip(".-")
    strength = name_strength(name)
    if strength == UNKNOWN:
        return None
    mark = match["mark"].strip()
    previous = content[max(0, start - 1) : start]
    if mark == b">" and previous != b"<":
        return None
    if mark in (b",", b"") or b"value" in mark:
        if strength < STRONG or (mark == b"," and not _is_first_of_tuple(content, start)):
            return None
        mark = mark[-1:]
    if mark[:2] in (b"==", b"!=", b"=>") and mark != b"=>" and strength < STRONG:
        return None
    position = match.end()
    if mark == b":":
        found = _regex(_ANNOTATION).match(content, position, position + 200)
        if found is not None:
            position = found.end()
            mark = b"="
    found = value.match(content, position)
    if found is None:
        return None
    kind = found.lastgroup
    if kind == "bare":
        sign = match.start("mark")
        is_loose = bool(match["gap"]) or content[sign - 1 : sign] == b" "
        assignment = _Assignment(name, strength, mark, is_loose, previous, start)
        return _find_bare_value(content, found, assignment)
    if kind == "list":
        return _find_list(content, found)
    if kind == "call":
        return _find_call(content, found, strength)
    if kind == "escaped":
        return _find_escaped(content, found, name, strength)
    text = found[found.lastindex or 0]
    if (
        len(text) < 4
        and content[found.end() : found.end() + 1]
        != content[found.start(kind or 0) - 1 : found.start(kind or 0)]
    ):
        return None  # this quote ends a text that contains the name, as in input("Password: ")
    return found.span(kind or 0) if _is_quoted_secret(text, name, strength) else None


def _is_first_of_tuple(content: bytes, start: int) -> bool:
    """Return whether a quoted name is the first item of a tuple: ``("Authorization", "...")``."""
    return content[max(0, start - 8) : start].rstrip(b"bBrR\"'").endswith(b"(")


def _find_escaped(content: bytes, found: re.Match[bytes], name: str, strength: int) -> Span | None:
    """Return the position of a value between escaped quotes, as in JSON inside a JSON string.

    Returns None if the value is not a secret.
    """
    end = content.find(found["escaped"], found.end(), found.end() + 4096)
    if end < 0:
        end = len(content[found.end() : found.end() + 4096].split(b"\n")[0]) + found.end()
    text = content[found.end() : end]
    return (found.end(), end) if _is_quoted_secret(text, name, strength) else None


def _find_list(content: bytes, found: re.Match[bytes]) -> Span | None:
    inside = found.start("list") + 1
    if content[found.start("list") : inside] == b"{":
        return None  # `find_secrets` examines each name in the mapping separately
    body = _regex(_LIST_BODY).match(content, inside, inside + _MAX_LIST_BYTES)
    return None if body is None or not body[0].strip() else body.span()


def _find_call(content: bytes, found: re.Match[bytes], strength: int) -> Span | None:
    """Return the position of the argument in a call such as ``Secret('x')``.

    Returns None for functions such as ``getenv``, whose argument is only the name of a secret.
    """
    call = found["call"]
    if (
        strength < MEDIUM
        or not _regex(_WRAPPER).fullmatch(call)
        or _regex(_NO_WRAPPER).fullmatch(call)
    ):
        return None
    body = _regex(_LIST_BODY).match(content, found.end(), found.end() + _MAX_LIST_BYTES)
    return None if body is None or not body[0].strip(b"'\" ") else body.span()


class _Assignment(NamedTuple):
    """An assignment in a text: a name that is followed by a value.

    Attributes:
        name: the name.
        strength: how likely it is that the value is a secret, from `UNKNOWN` to `STRONG`.
        mark: the sign between the name and the value, such as ``=``.
        is_loose: whether there is a space before or after the sign.
        previous: the character before the name.
        start: the position of the name in the text.
    """

    name: str
    strength: int
    mark: bytes
    is_loose: bool
    previous: bytes
    start: int


def _find_bare_value(content: bytes, found: re.Match[bytes], how: _Assignment) -> Span | None:
    """Return the position of an unquoted value; None if the value is prose, a number or code."""
    start = found.start()
    text = found["bare"].rstrip(b")]}>")
    end = start + len(text)
    if how.mark == b":" and how.name.lower().endswith(("authorization", "cookie")):
        line = _regex(rb"[^\n\r\"']{1,4096}+").match(content, start)
        if line is not None and not _is_prose(line[0]):
            return line.span()
        return None
    if text.isdigit():
        return (start, end) if len(text) >= 4 and _may_be_number(how.name) else None
    if (
        text[:1] in (b"[", b"(", b"{")
        or _is_placeholder(text)
        or _regex(_REFERENCE).fullmatch(text)
        or _regex(_PATH).fullmatch(text)
    ):
        return None
    if _regex(_NUMBER).fullmatch(text):
        return None
    if how.strength == WEAK:
        is_query = how.previous in (b"?", b"&", b";") and not how.is_loose
        return (start, end) if _looks_random(text) or (is_query and len(text) >= 16) else None
    if how.is_loose and text.endswith(b":"):
        return None  # the text is the next name and not a value
    is_word = _regex(rb"[A-Za-z_][A-Za-z_-]*[.,;:!?]?").fullmatch(text) is not None
    if not is_word:
        is_code = _regex(rb"[A-Za-z_]\w*").fullmatch(text) and name_strength(text.decode())
        in_call = how.previous in (b"(", b" ") and how.mark == b"=" and not how.is_loose
        return None if is_code and in_call else (start, end)
    return _find_word(content, start, end, how)


def _find_word(content: bytes, start: int, end: int, how: _Assignment) -> Span | None:
    """Return the position of a value that is a word, such as a simple password.

    Returns None if the word is probably the name of a variable, or part of a sentence.
    """
    text = content[start:end]
    before = content[max(0, how.start - 2) : how.start].strip()
    in_call = before.endswith((b"(", b",")) and how.mark == b"="
    if content[end : end + 1] in (b",", b")") and name_strength(text.decode()):
        return None
    if not how.is_loose:
        if in_call or (how.mark == b":" and how.strength < STRONG):
            return None
        return (start, end)
    if how.mark != b":":
        is_variable = b"_" in text or how.strength < STRONG
        return None if is_variable or in_call else (start, end)
    line_end = _regex(rb"[^\n\r]{0,400}+").match(content, start)
    line = b"" if line_end is None else line_end[0]
    words = line.split()
    if len(words) == 1 or line[len(text) :].lstrip()[:1] in (
        *(b",", b"}", b";", b"&", b"'", b'"'),
    ):
        is_variable = how.strength < STRONG or b"_" in text or in_call
        return None if is_variable or text.endswith((b".", b":", b"?", b"!")) else (start, end)
    line_start = content[max(0, how.start - 80) : how.start].rpartition(b"\n")[2]
    is_key = not line_start.strip(b" \t-+*#>\"'")
    if how.strength < STRONG or not is_key or len(words) > 8 or _is_prose(line):
        return None
    return start, start + len(line.rstrip())


def _is_prose(line: bytes) -> bool:
    words = [word.strip(b".,;:!?()'\"").lower() for word in line[:120].split()]
    return len(words) > 1 and not _FUNCTION_WORDS.isdisjoint(words)


def _is_quoted_secret(text: bytes, name: str, strength: int) -> bool:
    if _is_placeholder(text):
        return False
    if strength == WEAK:
        return _looks_random(text)
    if _regex(_ADDRESS).fullmatch(text) or (strength < STRONG and _regex(_PATH).fullmatch(text)):
        return False
    if _regex(_NUMBER).fullmatch(text):
        enough = 4 if _may_be_number(name) else 8 if strength >= STRONG else len(text) + 1
        return text.isdigit() and len(text) >= enough
    if len(text.split()) > 2 and _is_prose(text):
        return False
    return strength >= STRONG or len(text) > 2


def _is_placeholder(text: bytes) -> bool:
    return not text or (len(text) < 300 and _regex(_PLACEHOLDER).fullmatch(text) is not None)


@lru_cache(maxsize=1024)
def _may_be_number(name: str) -> bool:
    words = re.split(r"[\W_]+", name.lower())
    return any(word.rstrip("0123456789") in rules.NUMBER_WORDS for word in words) or (
        name.lower().endswith(("password", "passwd", "passcode"))
    )


def _looks_random(text: bytes) -> bool:
    """Return whether a text mixes letters, digits and cases in a way that words do not.

    Randomness alone never makes a text a secret: something before the text must also suggest one.
    """
    if len(text) < 8 or _regex(_PATH).fullmatch(text) or _regex(_ADDRESS).fullmatch(text):
        return False
    if not _regex(rb"[A-Za-z]").search(text) or not _regex(rb"[\w+/=.~:!@#$%^*-]+").fullmatch(text):
        return False
    changes = len(_regex(rb"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])").findall(text))
    has_both_cases = _regex(rb"[a-z]").search(text) and _regex(rb"[A-Z]").search(text)
    return (
        changes >= 2
        or (changes >= 1 and len(text) >= 12 and b"_" not in text)
        or bool(has_both_cases and len(text) >= 20 and b"_" not in text and b"." not in text)
    )
