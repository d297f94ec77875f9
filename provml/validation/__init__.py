"""Judging documents: by the JSON Schemas, by the shapes, by PROV-CONSTRAINTS.

Each judge is one module and gives `Finding`s; a `Report` holds those of one document, and `page`,
`sarif` and `github` are forms of reports. Imports `export`, `reading` and what lies beneath.
"""

from __future__ import annotations

import os
import stat
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeAlias, runtime_checkable

from provml.errors import DocumentError
from provml.reading import MAX_BYTES, Document, find_reader, load, plain_name, read
from provml.validation.report import Finding, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prov.model import ProvDocument
    from rdflib import Dataset, Graph

    Source: TypeAlias = (
        "str | os.PathLike[str] | bytes | BinaryIO | ProvDocument | Document | RunLike"
    )

__all__ = [
    "LARGE_BYTES",
    "SAMPLE_DETAIL_LIMIT",
    "Finding",
    "Report",
    "RunLike",
    "validate",
    "validate_run",
]

SAMPLE_DETAIL_LIMIT: Final = 10_000
"""Up to so many samples a run is judged with each of them, unless the caller says otherwise."""

LARGE_BYTES: Final = 8 * 2**20
"""A document beyond this is judged by schema and shapes only where the caller asks for it."""

_HEAD_BYTES: Final = 4096
_NOT_OURS: Final = "it holds no terms of provml, so the shapes say nothing of it"


@runtime_checkable
class RunLike(Protocol):
    """A recorded run, as `provml.load` gives it."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def experiment(self) -> str:
        """Its experiment."""


def validate(
    source: Source,
    format: str | None = None,
    *,
    schema: bool | None = None,
    shapes: bool | None = None,
    constraints: bool = True,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Report:
    """Judge a document of any origin: ``report.conforms``, and if not, ``report.findings``.

    PROV-JSON is judged as it stands, another form by its statements, and by the PROV-JSON and the
    RDF that say the same. The rules of provml itself apply where the document holds its terms.

    Args:
        source: a path, a document's bytes, an open binary file, a document of the ``prov`` library,
            a run or its folder.
        format, max_bytes: as for `provml.reading.read`.
        schema: judge by the JSON Schemas; None has it done up to `LARGE_BYTES`, as it takes some
            0.4 ms a statement.
        shapes: judge by the shapes, which take some 2 ms a statement; None as for ``schema``.
        constraints: judge by PROV-CONSTRAINTS, some 20 us a statement.
        name: what the report calls the document.

    Raises:
        DocumentError: it can't be read.
        RunNotFoundError, JournalError: a folder that holds no run that can be read.
        MissingExtraError: a package that this needs is absent.
        OSError: the file can't be read.
    """
    from prov.model import ProvDocument

    if isinstance(source, (Document, ProvDocument)):
        document = source if isinstance(source, Document) else Document(source)
        report = Report(name if name is not None else "the document")
        _judge_document(document, report, schema is not False, shapes is not False, constraints)
        return report
    if isinstance(source, RunLike):
        source = source.path
    file = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    if file and _is_folder(file):
        judges = {"schema": schema is not False, "shapes": shapes is not False}
        return validate_run(file, None, constraints=constraints, name=name, **judges)
    data = load(source, max_bytes)
    report = Report(name if name is not None else file or "the document")
    by_default = len(data) <= LARGE_BYTES
    unasked = [word for word, asked in (("schema", schema), ("shapes", shapes)) if asked is None]
    if unasked and not by_default:
        said = "unless asked for: it is large"
        report.notes.append(f"it was not judged by {' and '.join(unasked)}, {said}")
    schema = by_default if schema is None else schema
    shapes = by_default if shapes is None else shapes
    if format == "provjson" or (format is None and _is_prov_json(file, data)):
        _judge_prov_json(data, report, schema, shapes, constraints, max_bytes)
    else:
        # the ending helps to tell the form, but what is no file can't be read twice
        again: Any = source if os.path.isfile(file) else data
        document = read(again, format, max_bytes)
        _judge_document(document, report, schema, shapes, constraints)
    return report


def _judge_prov_json(
    data: bytes, report: Report, schema: bool, shapes: bool, constraints: bool, max_bytes: int
) -> None:
    from provml.reading.provjson import check_document, load_json
    from provml.validation.constraints import judge, provjson_instances
    from provml.validation.positions import with_lines
    from provml.validation.schema import PROV_JSON, PROVML_JSON, holds_provml, schema_findings
    from provml.validation.shapes import shape_findings

    content: Any = load_json(data)
    ours = holds_provml(content)
    if schema:
        report.add(schema_findings(content, PROVML_JSON if ours else PROV_JSON))
    try:
        if shapes and ours:
            judged = "shapes"
            graphs = _graphs(read(data, "provjson", max_bytes).rdf())
            report.add(shape_findings(graphs))
        if constraints:
            judged = "constraints"
            check_document(content)
            judge(provjson_instances(content), report)
    except DocumentError as error:
        if report.conforms:
            raise
        report.notes.append(f"the {judged} can't be judged: {error}")
    if shapes and not ours:
        report.notes.append(_NOT_OURS)
    report.findings = with_lines(report.findings, data)


def _judge_document(
    document: Document, report: Report, schema: bool, shapes: bool, constraints: bool
) -> None:
    from provml.validation.constraints import judge, prov_instances
    from provml.validation.schema import PROV_JSON, holds_provml, schema_findings
    from provml.validation.shapes import shape_findings

    prov = document.prov
    report.notes += document.notes
    if schema or shapes:
        content = document.provjson()
        ours = holds_provml(content)
        if schema:  # names may have another prefix than provml's own form gives them
            report.add(schema_findings(content, PROV_JSON))
        if shapes and ours:
            report.add(shape_findings(_graphs(document.rdf())))
        elif shapes:
            report.notes.append(_NOT_OURS)
    if constraints:
        judge(prov_instances(prov, document.places), report)


def validate_run(
    run_folder: str | os.PathLike[str],
    detail: str | None = None,
    *,
    schema: bool = True,
    shapes: bool = True,
    constraints: bool = True,
    name: str | None = None,
) -> Report:
    """Judge what a run's documents say.

    By schema and shapes they are judged as exported anew, by the constraints straight from the
    journal.

    Args:
        run_folder: the run's folder; the run may be under way.
        detail: ``sample``, ``series``, or None: ``sample`` up to `SAMPLE_DETAIL_LIMIT` samples by
            schema and shapes, and as in its documents by the constraints.
        name: what the report calls the run.

    Raises:
        ExportError: another detail.
        RunNotFoundError, JournalError: the folder holds no run that can be read.
        MissingExtraError: a package that this needs is absent.
    """
    from provml import export
    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping
    from provml.reading.provjson import load_json
    from provml.validation.constraints import judge, run_instance
    from provml.validation.schema import PROVML_JSON, schema_findings
    from provml.validation.shapes import load_shapes, shape_findings

    report = Report(name if name is not None else os.fspath(run_folder))
    journal = Journal(run_folder)
    if schema or shapes:
        mapping = RunMapping(journal, detail or "series")
        if detail is None and mapping.samples <= SAMPLE_DETAIL_LIMIT:
            mapping = RunMapping(journal, "sample")
        elif detail is None:
            judges = " and ".join(["schema"] * schema + ["shapes"] * shapes)
            report.notes.append(
                f"its {mapping.samples:,} samples were not judged one by one by {judges}"
            )
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
    if constraints:
        judge([run_instance(RunMapping(journal, detail))], report)
    return report


def read_source(source: Source, format: str | None = None, max_bytes: int = MAX_BYTES) -> Document:
    """The document of what `validate` takes. Raises as it."""
    from prov.model import ProvDocument

    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping

    if isinstance(source, (Document, ProvDocument)):
        return source if isinstance(source, Document) else Document(source)
    if isinstance(source, RunLike):
        source = source.path
    if isinstance(source, (str, os.PathLike)) and _is_folder(os.fspath(source)):
        from provml.model.prov_document import build_prov_document

        return Document(build_prov_document(RunMapping(Journal(source))))
    return read(source, format, max_bytes)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_prov_json(file: str, data: bytes) -> bool:
    provjson: Any = find_reader("provjson")
    head = data[:_HEAD_BYTES].decode("utf-8", "replace").lstrip("\ufeff\n\r\t ")
    if provjson.looks_like(head):
        return True
    return plain_name(file).endswith(provjson.SUFFIXES) and '"@' not in head


def _graphs(dataset: Dataset) -> Iterator[Graph]:
    for graph in dataset.graphs():
        if len(graph):
            yield graph
