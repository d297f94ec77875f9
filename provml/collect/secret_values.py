"""Decides whether the value after a name is a secret, and where the secret is.

Imports only `secret_names`, `secret_patterns` and `secret_words` from provml.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from provml.collect.secret_names import MEDIUM, STRONG, UNKNOWN, WEAK, name_strength
from provml.collect.secret_patterns import compile_pattern
from provml.collect.secret_words import NUMBER_WORDS

Span = tuple[int, int]
"""The start and end of a secret, as byte offsets in the text."""

_MAX_NAME_BYTES: Final = 60
_MAX_LIST_BYTES: Final = 100_000
_MAX_WORD_BYTES: Final = 12
_NAME_BYTES: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_.-" + bytes(range(0x80, 0x100))
_VALUE: Final = rb"""(?xs)
    (?P<escaped>\\+["'])
  | [bBrRuUfF]{0,2} (?: "(?P<double>[^"\\\n]*+(?:\\.[^"\\\n]*+)*+)
                      | '(?P<single>[^'\\\n]*+(?:\\.[^'\\\n]*+)*+)
                      | `(?P<back>[^`\n]*+) )
  | (?P<list>[\[({]\s{0,20}[bBrRuU]?["'])
  | (?P<call>[A-Za-z_][\w.]{0,60}+\()(?=[bBrRuU]?["'])
  | (?P<bare>(?: [^ \t\n\r\f\v"'`,;&<>\\]{1,64}+ | [,;&](?!\s|[\w.-]{1,40}[=:]|$)
             | \\(?![nrt"'\\]) ){1,64}+)
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
_PLACEHOLDER: Final = rb"""(?x)
    (?: none | null | nil | true | false | undefined | nan | yes | no | on | off | n/?a | any | auto
      | default | required | optional | str | string | text | int | integer | float | number | bool
      | boolean | bytes | object | dict | list | path | file | env | environment | prompt | stdin
      | unknown | missing | invalid | expired | valid | ok | inherit | disabled
      | enabled | active | inactive | allowed | denied | accepted | rejected | found | changed
      | updated | reset | set | given | hidden | todo | tbd | empty | type | lambda
      | (?:redacted|masked|hidden|removed|filtered|omitted)
      | your[-_ ].* | insert[-_ ].* | enter[-_ ].*
      | (?:bearer|basic|token)\ +[<{$%].*
      | !(?:vault|secret|env|env_var|include|ref|sub|getatt|reference)
      | [*x.\xe2\x80\xa2#_-]+ | <.*> | \[.*\] | \{.*\} | \$\{.* | \$\(.* | \{\{.* | \$[a-z_]+
      | %[a-z_]+% | %\(.* | %s | [<\[{(|\\]+ | \#\#.* | </?.*
    )
"""
_COUNT: Final = rb"\d[\d_,.]*[km]?(?:[\s,;)}\]/]|$)"
_NUMBER: Final = rb"[-+]?(?:\d[\d_,]*)?\.?\d*(?:[eE][-+]?\d+)?\s?[a-zA-Z%]{0,2}(?:/.*)?"
_REFERENCE: Final = rb"[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)+|[\w.]++[(\[].*"
_PATH: Final = (
    rb"(?:~|\.{1,2}|[A-Za-z]:|\$[A-Z]+)?(?:[/\\][\w.@ ~%+-]{0,40})+"
    rb"|[\w.-]++(?:/[\w.-]{1,40})+\.\w{1,8}"
    rb"|[\w-]++\.(?:py|txt|json|ya?ml|pem|key|crt|env|ini|cfg|toml|html?|md|pt|bin|csv)"
)
_ADDRESS: Final = rb"[a-z][a-z0-9+.-]{1,15}://.*|arn:aws.*|(?:op|env|vault|file|ssm|gcp|sm):.*"
_CODE: Final = b"|".join((_REFERENCE, _PATH, _NUMBER))
FUNCTION_WORDS: Final = frozenset(
    b"a an the is are was were be been must should can cannot may will to of for from in on at by "
    b"and or not no with without as that this it your you we if when then than more least has have "
    b"had per used using set see into must length counts tokens file required optional "
    b"option options flag flags argument arguments value values parameter switch field".split()
)


def find_named_value(
    content: bytes, lower: bytes, start: int, sign: re.Match[bytes]
) -> Span | None:
    """Return the position of the value after a name, or None if the value is not a secret.

    Args:
        content: the text.
        lower: the text in lower case.
        start: the position at which the part of the name that suggests a secret begins.
        sign: the match of the sign between the name and the value.
    """
    close = sign.start("close")
    if lower[start : start + 1] == b"k" and compile_pattern(_COUNT).match(lower, sign.end()):
        return None  # the value is a count of tokens or keys
    before = lower[max(0, start - _MAX_NAME_BYTES) : start]
    start -= len(before) - len(before.rstrip(_NAME_BYTES))
    name = content[start:close].decode("utf-8", "replace").strip(".-")
    strength = name_strength(name)
    if strength == UNKNOWN:
        return None
    mark = sign["mark"].strip()
    previous = content[max(0, start - 1) : start]
    if mark == b">" and previous != b"<":
        return None
    if mark in (b",", b"") or b"value" in mark:
        if strength < STRONG or (mark == b"," and not _is_first_of_tuple(content, start)):
            return None
        mark = mark[-1:]
    if mark[:2] in (b"==", b"!=", b"=>") and mark != b"=>" and strength < STRONG:
        return None
    position = sign.end()
    if mark == b":":
        found = compile_pattern(_ANNOTATION).match(content, position, position + 200)
        if found is not None:
            position = found.end()
            mark = b"="
    found = compile_pattern(_VALUE).match(content, position)
    if found is None:
        return None
    kind = found.lastgroup
    if kind == "bare":
        place = sign.start("mark")
        is_loose = bool(sign["gap"]) or content[place - 1 : place] == b" "
        assignment = _Assignment(name, strength, mark, is_loose, previous, start)
        return _find_bare_value(content, found, assignment)
    if kind == "list":
        # a list with a name such as tokens usually contains the words of a text
        return None if strength < STRONG and name.endswith("tokens") else _find_list(content, found)
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
    body = compile_pattern(_LIST_BODY).match(content, inside, inside + _MAX_LIST_BYTES)
    return None if body is None or not body[0].strip() else body.span()


def _find_call(content: bytes, found: re.Match[bytes], strength: int) -> Span | None:
    """Return the position of the argument in a call such as ``Secret('x')``.

    Returns None for functions such as ``getenv``, whose argument is only the name of a secret.
    """
    call = found["call"]
    if strength < MEDIUM or not _match_all(_WRAPPER, call) or _match_all(_NO_WRAPPER, call):
        return None
    body = compile_pattern(_LIST_BODY).match(content, found.end(), found.end() + _MAX_LIST_BYTES)
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
        has_fields = text.lower() in (b"digest", b"oauth", b"hawk", b"signature")
        end_marks = rb"" if has_fields else rb"\"'"
        line = compile_pattern(rb"[^\n\r" + end_marks + rb"]{1,4096}+").match(content, start)
        if line is not None and not _is_prose(line[0]):
            return line.span()
        return None
    if text.isdigit():
        return (start, end) if len(text) >= 4 and _may_be_number(how.name) else None
    if how.strength == WEAK:
        is_query = how.previous in (b"?", b"&", b";") and not how.is_loose
        if not (is_query and len(text) >= 16) and not looks_random(text):
            return None
    if text[:1] in (b"[", b"(", b"{") or is_placeholder(text) or _match_all(_CODE, text):
        return None
    if how.strength == WEAK:
        return start, end
    if text.decode("utf-8", "replace") == how.name.rpartition(".")[2]:
        return None  # the value is a variable with the same name, as in token=token
    if how.is_loose and text.endswith(b":"):
        return None  # the text is not the value, but the next name
    is_word = _match_all(rb"[A-Za-z_][A-Za-z_-]*[.,;:!?]?", text)
    if not is_word:
        is_code = _match_all(rb"[A-Za-z_]\w*", text) and name_strength(text.decode())
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
    line_end = compile_pattern(rb"[^\n\r]{0,400}+").match(content, start)
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
    return len(words) > 1 and not FUNCTION_WORDS.isdisjoint(words)


def _is_quoted_secret(text: bytes, name: str, strength: int) -> bool:
    if is_placeholder(text):
        return False
    if strength == WEAK:
        return looks_random(text)
    if (
        strength == MEDIUM
        and is_generated(name)
        and text.isalpha()
        and len(text) <= _MAX_WORD_BYTES
    ):
        return False  # a word can be a password, but not a token or key, which are generated
    if _match_all(_ADDRESS, text) or (strength < STRONG and _match_all(_PATH, text)):
        return False
    if _match_all(_NUMBER, text):
        enough = 4 if _may_be_number(name) else 8 if strength >= STRONG else len(text) + 1
        return text.isdigit() and len(text) >= enough
    if len(text.split()) > 2 and _is_prose(text):
        return False
    return strength >= STRONG or len(text) > 2


def is_placeholder(text: bytes) -> bool:
    """Return whether a text is empty or stands in for a value, such as ``none`` or ``<token>``."""
    if not text or len(text) >= 300:
        return not text
    lower = text.lower()
    return b"placeholder" in lower or _match_all(_PLACEHOLDER, lower)


def is_generated(name: str) -> bool:
    """Return whether a name is that of a token or key. Machines generate tokens and keys."""
    return name.lower().endswith(("token", "key"))


def _is_short_word(text: bytes) -> bool:
    return text.isalpha() and len(text) <= _MAX_WORD_BYTES


@lru_cache(maxsize=1024)
def _may_be_number(name: str) -> bool:
    words = re.split(r"[\W_]+", name.lower())
    return any(word.rstrip("0123456789") in NUMBER_WORDS for word in words) or (
        name.lower().endswith(("password", "passwd", "passcode"))
    )


def looks_random(text: bytes) -> bool:
    """Return whether a text mixes digits, small and capital letters in a way that words do not.

    A text is never a secret only because it looks random: the text before it must also suggest a
    secret.
    """
    if len(text) < 8 or (len(text) < 20 and not _search(rb"[0-9]", text)):
        return False
    if _match_all(_PATH, text) or _match_all(_ADDRESS, text):
        return False
    if not _search(rb"[A-Za-z]", text) or not _match_all(rb"[\w+/=.~:!@#$%^*-]+", text):
        return False
    changes = len(compile_pattern(rb"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])").findall(text))
    has_both_cases = _search(rb"[a-z]", text) and _search(rb"[A-Z]", text)
    return (
        changes >= 2
        or (changes >= 1 and len(text) >= 12 and b"_" not in text)
        or bool(has_both_cases and len(text) >= 20 and b"_" not in text and b"." not in text)
    )


def _search(pattern: bytes, text: bytes) -> bool:
    return compile_pattern(pattern).search(text) is not None


def _match_all(pattern: bytes, text: bytes) -> bool:
    return compile_pattern(pattern).fullmatch(text) is not None
