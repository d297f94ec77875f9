"""Validates RDF with provml's SHACL shapes.

Validation infers nothing, runs no code from the document and downloads nothing.

Imports `report`, `base` and `errors`; imports rdflib and pyshacl only when needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from provml.base.schema_files import read_schema
from provml.errors import MissingExtraError
from provml.validation.report import Finding

if TYPE_CHECKING:
    from rdflib import Graph

SHAPES: Final = "provml.shacl.ttl"

_MAX_SHOWN_CHARS: Final = 80


def find_shape_violations(graphs: Iterable[Graph]) -> Iterator[Finding]:
    """Yield a finding for each violation of the SHACL shapes. Each graph is validated separately.

    Takes about 2 ms per sample.

    Raises:
        MissingExtraError: pyshacl is not installed.
    """
    shapes = load_shapes()
    from pyshacl import validate
    from rdflib import Graph, URIRef
    from rdflib.namespace import RDF, SH

    for graph in graphs:
        _, results, text = validate(
            graph,
            shacl_graph=shapes,
            inference="none",
            advanced=False,
            js=False,
            meta_shacl=False,
            do_owl_imports=False,
            inplace=True,  # without inference, pyshacl does not change the graph
        )
        if not isinstance(results, Graph):
            raise RuntimeError(f"pyshacl can't apply the shapes: {text}")
        found = []
        for result in results.subjects(RDF.type, SH.ValidationResult):
            # pyshacl may add its own messages, so read the message from the shape
            rule = results.value(result, SH.sourceShape)
            focus, value = results.value(result, SH.focusNode), results.value(result, SH.value)
            message = str(shapes.value(rule, SH.message))
            if value is not None and value != focus:
                message += f": found {_shorten_value(str(value))}"
            where = str(focus) if isinstance(focus, URIRef) else f"_:{focus}"
            found.append(Finding("shape", str(rule), message, where))
        yield from sorted(set(found), key=lambda finding: (finding.where, finding.rule))


@cache
def load_shapes() -> Graph:
    """Load the package's SHACL shapes. Raises MissingExtraError if pyshacl is not installed."""
    try:
        import pyshacl  # noqa: F401
        from rdflib import Graph
    except ImportError:
        raise MissingExtraError("validation with SHACL shapes", "pyshacl", "validation") from None
    data = read_schema(SHAPES)
    return Graph().parse(data=data, format="turtle")


def _shorten_value(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[: _MAX_SHOWN_CHARS - 1]}…"
