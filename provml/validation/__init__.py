"""Judging documents: by the JSON Schemas, by the shapes.

Each judge is one module and gives `Finding`s; a `Report` holds those of one document.
Imports `export`, `reading` and what lies beneath.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading import MAX_BYTES, find_format, load, plain_name, read
from provml.validation.report import Finding, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdflib import Dataset, Graph

__all__ = ["SAMPLE_DETAIL_LIMIT", "Finding", "Report", "validate", "validate_run"]

SAMPLE_DETAIL_LIMIT: Final = 10_000
"""Up to so many samples a run is judged with each of them, unless the caller says otherwise."""

_HEAD_BYTES: Final = 4096
_NOT_OURS: Final = "it holds no terms of provml, so the shapes say nothing of it"


def validate(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    format: str | None = None,
    *,
    schema: bool = True,
    shapes: bool = True,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Report:
    """Judge a document of any origin.

    PROV-JSON is judged as it stands, another form by the PROV-JSON and the RDF that say the same.
    The rules of provml itself apply where the document holds its terms.

    Args:
        source, format, max_bytes: as for `provml.reading.read`.
        schema: judge by the JSON Schemas.
        shapes: judge by the shapes.
        name: what the report calls the document.

    Raises:
        DocumentError: it can't be read.
        MissingExtraError: a package that this needs is absent.
        OSError: the file can't be read.
    """
    from provml.reading.provjson import load_json
    from provml.validation.schema import PROV_JSON, PROVML_JSON, holds_provml, schema_findings
    from provml.validation.shapes import shape_findings

    file = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    data = load(source, max_bytes)
    report = Report(name if name is not None else file)
    if format == "provjson" or (format is None and _is_prov_json(file, data)):
        content = load_json(data)
        ours = holds_provml(content)
        if schema:
            report.add(schema_findings(content, PROVML_JSON if ours else PROV_JSON))
        if shapes and ours:
            try:
                graphs = _graphs(read(data, "provjson", max_bytes).rdf())
            except DocumentError as error:
                if report.conforms:
                    raise
                report.notes.append(f"the shapes can't be judged: {error}")
            else:
                report.add(shape_findings(graphs))
    else:
        # the ending helps to tell the form, but what is no file can't be read twice
        document = read(source if os.path.isfile(file) else data, format, max_bytes)
        content = document.provjson()
        report.notes += document.notes
        ours = holds_provml(content)
        if schema:  # names may have another prefix than provml's own form gives them
            report.add(schema_findings(content, PROV_JSON))
        if shapes and ours:
            report.add(shape_findings(_graphs(document.rdf())))
    if shapes and not ours:
        report.notes.append(_NOT_OURS)
    return report


def validate_run(
    run_folder: str | os.PathLike[str],
    detail: str | None = None,
    *,
    schema: bool = True,
    shapes: bool = True,
) -> Report:
    """Judge what a run's documents say, exported anew.

    Args:
        run_folder: the run's folder; the run may be under way.
        detail: ``sample``, ``series``, or None: ``sample`` up to `SAMPLE_DETAIL_LIMIT` samples.

    Raises:
        ExportError: another detail.
        RunNotFoundError, JournalError: the folder holds no run that can be read.
        MissingExtraError: a package that this needs is absent.
    """
    from provml import export
    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping
    from provml.reading.provjson import load_json
    from provml.validation.schema import PROVML_JSON, schema_findings
    from provml.validation.shapes import load_shapes, shape_findings

    report = Report(os.fspath(run_folder))
    mapping = RunMapping(Journal(run_folder), detail or "series")
    if detail is None and mapping.samples <= SAMPLE_DETAIL_LIMIT:
        mapping = RunMapping(Journal(run_folder), "sample")
    elif detail is None:
        report.notes.append(f"its {mapping.samples:,} samples were not judged one by one")
    if schema:
        sink = BytesIO()
        export.find_format("provjson").write(mapping, sink)
        report.add(schema_findings(load_json(sink.getvalue()), PROVML_JSON))
    if shapes:
        load_shapes()  # says what is missing before there is anything to do
        from rdflib import Graph

        sink = BytesIO()
        export.find_format("ntriples").write(mapping, sink)
        report.add(shape_findings([Graph().parse(data=sink.getvalue(), format="nt11")]))
    return report


def _is_prov_json(file: str, data: bytes) -> bool:
    provjson: Any = find_format("provjson")
    head = data[:_HEAD_BYTES].decode("utf-8", "replace").lstrip("\ufeff\n\r\t ")
    if provjson.looks_like(head):
        return True
    return plain_name(file).endswith(provjson.SUFFIXES) and '"@' not in head


def _graphs(dataset: Dataset) -> Iterator[Graph]:
    for graph in dataset.graphs():
        if len(graph):
            yield graph
