"""Masks the secrets in the texts, values, records and output that provml stores.

provml recognises a secret in two ways:

- by the name of its field or option, such as ``api_key`` or ``--password``;
- by its format, such as ``ghp_...``, ``https://user:...@host`` or a private key.

`secret_words` lists the names, and `secret_formats` lists the formats with their sources.
Randomness alone never makes a text a secret, so digests, commits and identifiers are not masked.

Imports only `plain_text` and the other modules of secrets from provml.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from provml.collect.plain_text import is_plain
from provml.collect.secret_names import STRONG as _STRONG
from provml.collect.secret_names import is_masking_on, name_strength
from provml.collect.secret_names import is_secret_file as is_secret_file
from provml.collect.secret_names import is_secret_name as is_secret_name
from provml.collect.secret_names import use_mask_settings as use_mask_settings
from provml.collect.secret_words import NUMBER_WORDS

if TYPE_CHECKING:
    from provml.collect.secret_values import Span

MASK: Final = "***"

_PLAIN_TYPES: Final = frozenset((int, float, str, bool, bytes, type(None)))
_MAX_FIELDS: Final = 5_000
_MAX_OBJECT_DEPTH: Final = 16
_MAX_ROWS: Final = 60
_SHORT_TEXT_LENGTH: Final = 4
_MAX_LINE_BYTES: Final = 2**16
_MAX_KEY_BYTES: Final = 20_000
_LOGIN_OPTIONS: Final = ("-u", "--user", "--proxy-user", "--auth", "-a")

Record = dict[str, Any]


# -- texts ------------------------------------------------------------------------------------


def mask_text(text: str) -> str:
    """Mask the secrets in text: credentials in URLs, assigned secrets, and known token formats.

    Examples: ``https://u:p@host``, ``?token=...``, ``Password=...``, ``Bearer ...``, ``sk-...``.
    Takes a few microseconds per line; the time grows linearly with the length of the text.
    """
    content = text.encode("utf-8", "surrogatepass")
    masked = mask_bytes(content)
    return text if masked is content else masked.decode("utf-8", "surrogatepass")


def mask_bytes(content: bytes) -> bytes:
    """Mask the secrets in the bytes of a text, as `mask_text` does. The text need not be UTF-8.

    Returns ``content`` itself if it contains no secrets.
    """
    if not is_masking_on():
        return content
    spans = _find_secrets(content)
    return _replace_spans(content, spans) if spans else content


def _find_secrets(content: bytes) -> list[Span]:
    if is_plain(content):
        return []
    if "provml.collect.secret_search" not in sys.modules:  # no pattern has been compiled yet
        from provml.collect import secret_signs

        if len(content) <= secret_signs.MAX_BYTES and not secret_signs.has_signs(content):
            return []
    from provml.collect.secret_search import find_secrets

    return find_secrets(content)


def _replace_spans(content: bytes, spans: list[Span]) -> bytes:
    pieces: list[bytes] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            pieces += (content[end:start], MASK.encode())
        end = max(end, stop)
    return b"".join(pieces) + content[end:]


class OutputMasker:
    """Masks the secrets in a stream, line by line.

    `mask` returns the complete lines and keeps the rest for the next call, because a secret can
    begin in one block and end in the next. `mask` also keeps back a private key until the end
    of the key arrives.
    """

    def __init__(self) -> None:
        self._rest = b""

    def mask(self, block: bytes) -> bytes:
        """Add a block of the stream; return the complete lines so far, with secrets masked."""
        if not is_masking_on():
            return block
        content = self._rest + block
        end = max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
        if not end and len(content) > _MAX_LINE_BYTES:
            end = len(content)
        begin = content.rfind(b"-----BEGIN", max(0, end - _MAX_KEY_BYTES), end)
        if begin >= 0 and content.find(b"-----END", begin) < 0:
            end = begin
        self._rest = content[end:]
        return mask_bytes(content[:end])

    def finish(self) -> bytes:
        """Return the rest of the stream with its secrets masked."""
        rest, self._rest = self._rest, b""
        return mask_bytes(rest)


def mask_argv(arguments: Sequence[str]) -> list[str]:
    """Mask the values of secret options in a command line: ``--api-key=***``, ``--token ***``.

    Also masks arguments without dashes, such as ``password=...``, and secrets in URLs.
    """
    if not is_masking_on():
        return list(arguments)
    masked: list[str] = []
    hide_next = False
    programs = {argument.rpartition("/")[2] for argument in arguments[:8]}
    for argument in arguments:
        if hide_next and not argument.startswith("-"):
            masked.append(MASK)
            hide_next = False
            continue
        option, equals, _ = argument.partition("=")
        secret = is_secret_name(option.lstrip("-+"))
        hide_next = (
            not equals
            and argument.startswith("-")
            and (secret or _is_password_option(argument, programs))
        )
        joined = _find_joined_password(argument, programs)
        if secret and equals:
            masked.append(f"{option}={MASK}")
        elif joined:
            masked.append(argument[:joined] + MASK)
        elif masked and masked[-1] in _LOGIN_OPTIONS and _is_login(argument):
            masked.append(MASK)
        else:
            masked.append(mask_text(argument))
    return masked


def _is_password_option(argument: str, programs: set[str]) -> bool:
    """Return whether one of these programs expects a password after this short option."""
    from provml.collect.secret_formats import PASSWORD_OPTIONS

    return not programs.isdisjoint(PASSWORD_OPTIONS.get(argument, ()))


def _find_joined_password(argument: str, programs: set[str]) -> int:
    """Return the index of the password in an option such as ``-psesame``; 0 if there is none."""
    from provml.collect.secret_formats import JOINED_OPTIONS

    names = JOINED_OPTIONS.get(argument[:2], ())
    return 2 if len(argument) > 2 and not programs.isdisjoint(names) else 0


def _is_login(argument: str) -> bool:
    user, colon, password = argument.partition(":")
    return bool(colon and user and password) and not (user.isdigit() and password.isdigit())


# -- values -----------------------------------------------------------------------------------


def mask_fields(name: str, value: object, encoded: Any) -> tuple[Any, bool]:
    """Mask the parts of a value whose names suggest a secret.

    Checks the value's own name, the keys of mappings, the fields of named tuples, dataclasses and
    other objects, and the columns of arrays and tables. Does not search the texts in the value for
    known formats, because `mask_record` does that.

    Args:
        name: the name of the value; an empty string if it has no name.
        value: the value that the caller passed.
        encoded: the value as `journal.values.encode` returns it.

    Returns:
        The masked value, and whether any part of it was masked.
    """
    if not is_masking_on():
        return encoded, False
    secret = is_secret_name(name) if name else False
    kind = type(value)
    if kind in _PLAIN_TYPES:
        if not secret:
            return encoded, False
        texts: frozenset[str] = frozenset()
    else:
        texts = frozenset(_find_field_secrets(value))
    masked = _mask_encoded(encoded, name if secret else "", texts)
    return (encoded, False) if masked == encoded else (masked, True)


def _mask_encoded(node: Any, name: str, texts: frozenset[str]) -> Any:
    """Mask the secrets in encoded data: the given texts, and the members with secret names.

    If ``name`` is not empty, it is a secret name, and every text in the data is a secret.
    """
    if isinstance(node, str):
        return MASK if node and (name or node in texts) else node
    if isinstance(node, list):
        return [_mask_encoded(_mask_pair(member), name, texts) for member in node]
    if isinstance(node, dict):
        if "$" in node and "type" in node:
            return _mask_typed(node, name, texts)
        pair = _pair_name(node)
        return {
            key: _mask_encoded(member, name or _name_of_member(key, pair), texts)
            for key, member in node.items()
        }
    if name and isinstance(node, int) and not isinstance(node, bool):
        return MASK if abs(node) >= 1000 and _may_be_number(name) else node
    return node


def _mask_typed(node: Record, name: str, texts: frozenset[str]) -> Any:
    content, kind = node["$"], node["type"]
    if kind == "object":
        return {**node, "$": _mask_encoded(content, name, texts)}
    if kind == "array":
        return {**node, "$": _mask_encoded(content, name, texts)}
    if kind in ("base64Binary", "repr") and name:
        return MASK if content else node
    if kind == "repr":
        return {**node, "$": _replace_texts(content, texts)}
    return node


def _replace_texts(text: str, secrets: frozenset[str]) -> str:
    """Mask the secrets in an object's ``repr``. Mask short secrets only between quotes."""
    for secret in sorted(secrets, key=len, reverse=True):
        quoted = repr(secret)
        text = text.replace(quoted, quoted[0] + MASK + quoted[0])
        if len(secret) >= _SHORT_TEXT_LENGTH:
            text = text.replace(quoted[1:-1], MASK).replace(secret, MASK)
    return text


def _pair_name(node: Record) -> str | None:
    """Return the name in a mapping such as ``{"name": "password", "value": "..."}``.

    Returns None for any other mapping.
    """
    own = node.get("name", node.get("key"))
    return own if "value" in node and isinstance(own, str) else None


def _name_of_member(key: str, pair: str | None) -> str:
    """Return the name that makes a mapping's member secret; an empty string if no name does."""
    if pair is not None and key in ("name", "key", "value"):
        key = pair if key == "value" else ""
    return key if key and is_secret_name(key) else ""


def _mask_pair(member: Any) -> Any:
    """Mask the second item of a pair such as ``["Authorization", "..."]``."""
    is_pair = isinstance(member, list) and len(member) == 2 and isinstance(member[0], str)
    if is_pair and isinstance(member[1], str) and member[1]:
        return [member[0], MASK] if name_strength(member[0]) == _STRONG else member
    return member


def _may_be_number(name: str) -> bool:
    return any(word in name.lower() for word in NUMBER_WORDS)


def _find_field_secrets(value: object) -> Iterator[str]:
    """Yield the texts in an object's fields whose names suggest a secret.

    Examines a limited number of fields. Calls only methods that read items, rows or columns.
    """
    waiting: list[tuple[object, bool, int]] = [(value, False, 0)]
    seen: set[int] = set()
    for _ in range(_MAX_FIELDS):
        if not waiting:
            return
        item, secret, depth = waiting.pop()
        if secret:
            yield from _secret_texts(item)
        if type(item) in _PLAIN_TYPES or id(item) in seen or depth > _MAX_OBJECT_DEPTH:
            continue
        seen.add(id(item))
        try:
            fields = _list_fields(item)
        except Exception:  # noqa: BLE001 - a user's object may raise any exception
            continue
        for name, member in fields:
            is_secret = secret or (isinstance(name, str) and is_secret_name(name))
            waiting.append((member, is_secret, depth + 1))


def _secret_texts(item: object) -> Iterator[str]:
    if isinstance(item, str) and item:
        yield str.__str__(item)
    elif isinstance(item, bytes) and item:
        yield item.decode("utf-8", "backslashreplace")
    elif isinstance(item, int) and not isinstance(item, bool) and abs(item) >= 1000:
        yield str(int(item))


def _list_fields(item: Any) -> list[tuple[object, object]]:
    """Return the names and values of the fields, items or columns of an object."""
    if isinstance(item, Mapping):
        return [(key, _get_item(item, key)) for key in list(item)[:_MAX_FIELDS]]
    fields = getattr(type(item), "_fields", None)
    if isinstance(item, tuple) and fields is not None:
        return list(zip(fields, item, strict=False))
    if isinstance(item, (list, tuple, set, frozenset)):
        return [(None, member) for member in list(item)[:_MAX_FIELDS]]
    if isinstance(item, Sequence) and not isinstance(
        item, (str, bytes, bytearray, memoryview, range)
    ):
        return [(None, _get_item(item, number)) for number in range(min(len(item), _MAX_FIELDS))]
    names = getattr(getattr(item, "dtype", None), "names", None)
    if isinstance(names, tuple):  # item is a structured numpy array
        return [(name, item[name].ravel()[:_MAX_FIELDS].tolist()) for name in names]
    columns = getattr(item, "columns", None)
    if columns is not None and hasattr(item, "head") and hasattr(item, "tail"):  # item is a table
        secret = [column for column in columns if is_secret_name(str(column))]
        return [
            (str(column), [*part[column]])
            for column in secret
            for part in (item.head(_MAX_ROWS), item.tail(_MAX_ROWS))
        ]
    if hasattr(item, "head") and isinstance(getattr(item, "name", None), str):  # item is a column
        return [(item.name, [*part]) for part in (item.head(_MAX_ROWS), item.tail(_MAX_ROWS))]
    found = list(getattr(item, "__dict__", {}).items())
    for kind in type(item).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if not slot.startswith("__") and hasattr(item, slot):
                found.append((slot, getattr(item, slot)))
    return found[:_MAX_FIELDS]


def _get_item(item: Any, key: object) -> object:
    try:
        return item[key]
    except Exception:  # noqa: BLE001 - OmegaConf, for example, raises if a value is missing
        return None


# -- records ----------------------------------------------------------------------------------


def mask_record(record: Record) -> Record:
    """Mask the secrets in all texts of a record, before the record is written to the journal.

    Returns the record itself if it contains no secrets. In the record of a parameter, tag or
    metadata key, ``masked`` is set to True if the value was masked.
    """
    if not is_masking_on():
        return record
    texts: list[str] = []
    has_bytes = _gather_texts(record, texts)
    if not has_bytes and not _find_secrets("\n".join(texts).encode("utf-8", "surrogatepass")):
        return record
    masked: Record = _mask_texts(record)
    if masked == record:
        return record
    if record.get("record") in ("param", "tag", "metadata") and masked["value"] != record["value"]:
        masked["masked"] = True
    return masked


def _gather_texts(node: Any, texts: list[str]) -> bool:
    """Append the texts of a record to a list; return whether the record also contains bytes."""
    has_bytes = False
    for member in node.values() if isinstance(node, dict) else node:
        if isinstance(member, str):
            texts.append(member)
            has_bytes = has_bytes or member == "base64Binary"
        elif isinstance(member, (dict, list, tuple)):
            has_bytes = _gather_texts(member, texts) or has_bytes
            if isinstance(member, dict):
                texts.extend(member)
    return has_bytes


def _mask_texts(node: Any) -> Any:
    if isinstance(node, str):
        return mask_text(node)
    if isinstance(node, (list, tuple)):
        return [_mask_texts(member) for member in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "base64Binary" and isinstance(node.get("$"), str):
        return {**node, "$": _mask_base64(node["$"])}
    return {mask_text(key): _mask_texts(member) for key, member in node.items()}


def _mask_base64(text: str) -> str:
    """Mask the secrets in base64-encoded bytes, if the bytes are UTF-8 text."""
    try:
        content = base64.b64decode(text)
        content.decode()
    except (binascii.Error, UnicodeDecodeError):
        return text
    masked = mask_bytes(content)
    return text if masked is content else base64.b64encode(masked).decode("ascii")
