"""Masks secrets that Python source passes by position, such as ``Login("ada", "sesame")``.

The names of the arguments come from the definitions in the same file: functions, classes with
annotated fields, and named tuples. Imports only `secret_names` from provml.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from provml.collect.secret_names import STRONG, is_masking_on, name_strength

_HINT: Final = re.compile(
    rb"(?i)passw|passphrase|secret|api_?key|credential|access_?key|(?:access|auth|api|refresh)_?token"
)
_ESCAPE: Final = re.compile(rb"\\[\x20-\x7a\x7c\x7e]|\\(?=[\x80-\xff{}])")
_MASKED_LITERAL: Final = b'"***"'


def mask_positional_secrets(content: bytes) -> bytes:
    """Replace the text literals of secret arguments with ``"***"``.

    Returns ``content`` itself if there are none, if it is not valid Python, or if masking is off.
    """
    if not is_masking_on() or _HINT.search(content) is None:
        return content
    # Python warns about an unknown escape such as "\d", and the script must not get that warning
    plain = _ESCAPE.sub(lambda found: b"_" * len(found[0]), content)
    try:
        tree = ast.parse(plain.decode())  # positions count bytes of UTF-8
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return content
    names: dict[str, list[list[str]]] = {}
    for name, arguments in _list_definitions(tree):
        names.setdefault(name, []).append(arguments)
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans = [
        (starts[one.lineno - 1] + one.col_offset, starts[one.end_lineno - 1] + one.end_col_offset)
        for one in set(_list_secret_literals(tree, names))
        if one.end_lineno is not None and one.end_col_offset is not None
    ]
    for start, end in sorted(spans, reverse=True):
        content = content[:start] + _MASKED_LITERAL + content[end:]
    return content


def _list_definitions(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each function and class with the names of its positional arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
            yield node.name, names[1:] if names[:1] in (["self"], ["cls"]) else names
        elif isinstance(node, ast.ClassDef):
            yield node.name, _list_fields(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            fields = _list_tuple_fields(node.value)
            for target in node.targets:
                if fields and isinstance(target, ast.Name):
                    yield target.id, fields


def _list_fields(node: ast.ClassDef) -> list[str]:
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return [argument.arg for argument in one.args.args[1:]]
    return [
        one.target.id
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    ]


def _list_tuple_fields(call: ast.Call) -> list[str]:
    """Return the fields of ``namedtuple("Login", "user password")`` or ``NamedTuple(...)``."""
    if _find_name(call.func) not in ("namedtuple", "NamedTuple") or len(call.args) < 2:
        return []
    given = call.args[1]
    if isinstance(given, ast.Constant):
        return given.value.replace(",", " ").split() if isinstance(given.value, str) else []
    fields: list[str] = []
    for one in given.elts if isinstance(given, ast.List | ast.Tuple) else []:
        # typing.NamedTuple takes pairs of a name and a type
        name = one.elts[0] if isinstance(one, ast.Tuple) and one.elts else one
        fields.append(str(name.value) if isinstance(name, ast.Constant) else "")
    return fields


def _list_secret_literals(
    tree: ast.Module, names: dict[str, list[list[str]]]
) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for arguments in names.get(_find_name(node.func), []):
                yield from _pick_secrets(arguments, node.args)


def _pick_secrets(arguments: list[str], values: list[ast.expr]) -> Iterator[ast.Constant]:
    for name, value in zip(arguments, values, strict=False):
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str | bytes):
            continue
        if value.value and name_strength(name) == STRONG:
            yield value


def _find_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
