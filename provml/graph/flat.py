"""Builds graphs in which all attribute values are text, numbers or booleans.

The formats GraphML, GEXF and Cytoscape support no other values. Imports networkx only when needed.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from provml.base.clock import iso_text
from provml.graph.build import networkx, runs_graph
from provml.graph.view import View, apply_view
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from provml.graph.build import Graph

Plain = str | bool | int | float

_EXACT: Final = 2**53
_LONG: Final = 2**63
_TIMES: Final = {
    "start_ns": "prov:startTime",
    "end_ns": "prov:endTime",
    "time_ns": "prov:time",
}
_JOINED: Final = ("types", "bundles")


def flat_graph(mappings: Iterable[RunMapping], view: View) -> Graph:
    r"""Build a graph with simple attribute values. The view selects the part of the runs to show.

    In the graph, all values of an attribute have the same type:

    - Times become xsd:dateTime text. The formal times get the names ``prov:startTime``,
      ``prov:endTime`` and ``prov:time``.
    - The values of ``types`` and ``bundles`` are joined with spaces. No value contains a space.
    - Lists and objects become JSON text.
    - If an attribute is an int on some nodes and a float on others, all its values become floats,
      if the conversion is exact. Any other mixture of types becomes text.
    - Characters that XML can't represent are escaped, for example as ``\x00``.
    - Each edge gets an ``id``, such as ``e0``.
    """
    graph = apply_view(runs_graph(mappings), view)
    flat: Graph = networkx().MultiDiGraph()
    nodes = [_flatten(data) for _, data in graph.nodes(data=True)]
    edges = [_flatten(data) for *_, data in graph.edges(data=True)]
    _unify_types(nodes)
    _unify_types(edges)
    for key, node in zip(graph, nodes, strict=True):
        flat.add_node(key, **node)
    for number, (source, goal, key) in enumerate(graph.edges(keys=True)):
        flat.add_edge(source, goal, key, id=f"e{number}", **edges[number])
    return flat


def _flatten(data: dict[str, Any]) -> dict[str, Plain]:
    flat: dict[str, Plain] = {}
    for name, value in data.items():
        if name in _TIMES:
            flat[_TIMES[name]] = iso_text(value)
        elif name in _JOINED:
            flat[name] = " ".join(value)
        else:
            flat[name] = _flat_value(value)
    return flat


def _flat_value(value: Any) -> Plain:
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if -_LONG <= value < _LONG else str(value)
    if isinstance(value, str):
        return xml_text(value)
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, (list, dict, tuple)):
        return xml_text(json.dumps(value, default=_flat_text, ensure_ascii=False))
    return _flat_text(value)


def _flat_text(value: Any) -> str:
    import numpy as np

    if isinstance(value, np.datetime64):
        return iso_text(int(value.astype("datetime64[ns]").astype(np.int64)))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _unify_types(rows: list[dict[str, Plain]]) -> None:
    """Convert the values of each attribute to one type, in place."""
    found: dict[str, set[type]] = {}
    inexact: set[str] = set()
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, set()).add(type(value))
            if isinstance(value, int) and abs(value) > _EXACT:
                inexact.add(name)
    made: dict[str, Callable[[Any], Plain]] = {}
    for name, types in found.items():
        if types == {int, float} and name not in inexact:
            made[name] = float
        elif len(types) > 1:
            made[name] = plain_text
    for row in rows:
        for name in made.keys() & row.keys():
            row[name] = made[name](row[name])


def plain_text(value: Plain) -> str:
    """Convert a value to text in the spelling of XML Schema, such as ``true`` or ``INF``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "INF" if value > 0 else "-INF"
        return repr(value)
    return str(value)


def xml_text(text: str) -> str:
    r"""Escape characters that XML 1.0 can't represent or would change, for example as ``\x00``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if c in "\t\n" or "\x20" <= c < "\ud800" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
        else c.encode("unicode_escape").decode("ascii")
        for c in text
    )
