"""Validates documents with JSON Schemas, SHACL shapes and PROV-CONSTRAINTS.

`schema`, `shapes` and `constraints` each produce `Finding`s. A `Report` collects the findings for
one document. `html_report`, `sarif_report` and `github_report` format reports.

Imports `export`, `reading` and the layers below them.
"""

from __future__ import annotations

import os
import stat
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeAlias, runtime_checkable

from provml.errors import DocumentError
from provml.reading import MAX_BYTES, Document, find_reader, load_bytes, read, uncompressed_name
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
    "VALIDATED_SAMPLES_LIMIT",
    "Finding",
    "Report",
    "RunLike",
    "validate",
    "validate_run",
]

VALIDATED_SAMPLES_LIMIT: Final = 10_000
"""By default, every sample is validated only if the run has at most this many samples."""

LARGE_BYTES: Final = 8 * 2**20
"""Larger documents are checked against the schema and the shapes only on request."""

_HEAD_BYTES: Final = 4096
_NOT_OURS: Final = "skipped the shapes, because the document has no provml terms"


@runtime_checkable
class RunLike(Protocol):
    """A recorded run, as returned by `provml.load`."""

    @property
    def path(self) -> Path:
        """The folder of the run."""

    @property
    def experiment(self) -> str:
        """The name of the experiment that the run belongs to."""


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
    """Validate a PROV document from any source.

    The report says whether the document is valid (``report.conforms``) and lists the problems
    (``report.findings``). PROV-JSON is validated directly. A document in another format is first
    converted to PROV-JSON and RDF. The rules of provml apply only if the document uses provml's
    terms.

    Args:
        source: a path, the bytes of a document, an open binary file, a document object from the
            ``prov`` library, a run, or the folder of a run.
        format: the name of the document's format; None to detect the format.
        max_bytes: the maximum size of the document in bytes, after decompression.
        schema: whether to validate with the JSON Schemas, which takes about 0.4 ms per statement.
            If None, only documents of at most `LARGE_BYTES` are validated.
        shapes: whether to validate with the SHACL shapes, which takes about 2 ms per statement.
            If None, only documents of at most `LARGE_BYTES` are validated.
        constraints: whether to validate with PROV-CONSTRAINTS, which takes about 20 us
            per statement.
        name: the document's name in the report.

    Raises:
        DocumentError: the document can't be read.
        RunNotFoundError, JournalError: the folder does not contain a readable run.
        MissingExtraError: a required package is not installed.
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
    if file and _is_directory(file):
        judges = {"schema": schema is not False, "shapes": shapes is not False}
        return validate_run(file, None, constraints=constraints, name=name, **judges)
    data = load_bytes(source, max_bytes)
    report = Report(name if name is not None else file or "the document")
    by_default = len(data) <= LARGE_BYTES
    unasked = [word for word, asked in (("schema", schema), ("shapes", shapes)) if asked is None]
    if unasked and not by_default:
        report.notes.append(
            f"skipped the {' and '.join(unasked)}, because the document is larger than "
            f"{LARGE_BYTES:,} bytes; request these checks explicitly to run them"
        )
    schema = by_default if schema is None else schema
    shapes = by_default if shapes is None else shapes
    if format == "provjson" or (format is None and _is_prov_json(file, data)):
        _judge_prov_json(data, report, schema, shapes, constraints, max_bytes)
    else:
        # read a file again: its suffix helps to detect the format; a stream can be read only once
        again: Any = source if os.path.isfile(file) else data
        document = read(again, format, max_bytes)
        _judge_document(document, report, schema, shapes, constraints)
    return report


def _judge_prov_json(
    data: bytes, report: Report, schema: bool, shapes: bool, constraints: bool, max_bytes: int
) -> None:
    from provml.reading.provjson import check_document, load_json
    from provml.validation.constraints import check_constraints, provjson_instances
    from provml.validation.positions import add_lines
    from provml.validation.schema import (
        PROV_JSON,
        PROVML_JSON,
        find_schema_violations,
        uses_provml_terms,
    )
    from provml.validation.shapes import find_shape_violations

    content: Any = load_json(data)
    ours = uses_provml_terms(content)
    if schema:
        report.checks.append("schema")
        report.add(find_schema_violations(content, PROVML_JSON if ours else PROV_JSON))
    try:
        if shapes and ours:
            step = "shapes"
            graphs = _nonempty_graphs(read(data, "provjson", max_bytes).rdf())
            report.add(find_shape_violations(graphs))
            report.checks.append(step)
        if constraints:
            step = "constraints"
            check_document(content)
            check_constraints(provjson_instances(content), report)
            report.checks.append(step)
    except DocumentError as error:
        if report.conforms:
            raise
        report.notes.append(f"could not check the {step}: {error}")
    if shapes and not ours:
        report.notes.append(_NOT_OURS)
    report.findings = add_lines(report.findings, data)


def _judge_document(
    document: Document, report: Report, schema: bool, shapes: bool, constraints: bool
) -> None:
    from provml.validation.constraints import check_constraints, prov_instances
    from provml.validation.schema import PROV_JSON, find_schema_violations, uses_provml_terms
    from provml.validation.shapes import find_shape_violations

    prov = document.prov
    report.notes += document.notes
    if schema or shapes:
        content = document.provjson()
        ours = uses_provml_terms(content)
        if schema:  # skip provml's own schema, because it expects fixed prefixes
            report.checks.append("schema")
            report.add(find_schema_violations(content, PROV_JSON))
        if shapes and ours:
            report.checks.append("shapes")
            report.add(find_shape_violations(_nonempty_graphs(document.rdf())))
        elif shapes:
            report.notes.append(_NOT_OURS)
    if constraints:
        report.checks.append("constraints")
        check_constraints(prov_instances(prov, document.places), report)


def validate_run(
    run_folder: str | os.PathLike[str],
    detail: str | None = None,
    *,
    schema: bool = True,
    shapes: bool = True,
    constraints: bool = True,
    name: str | None = None,
) -> Report:
    """Validate a recorded run.

    A new export of the run is validated with the schema and the shapes. The constraints are checked
    directly on the run's journal.

    Args:
        run_folder: the run's folder. The run may still be active.
        detail: ``sample`` to validate each sample, ``series`` to validate only the series, or None
            to decide by the size of the run. If None, the schema and the shapes validate each
            sample only if the run has at most `VALIDATED_SAMPLES_LIMIT` samples, and the
            constraints use the level of detail that an export of the run has by default.
        schema: whether to validate with the JSON Schemas.
        shapes: whether to validate with the SHACL shapes.
        constraints: whether to validate with PROV-CONSTRAINTS.
        name: the run's name in the report.

    Raises:
        ExportError: the detail is neither ``sample`` nor ``series``.
        RunNotFoundError, JournalError: the folder does not contain a readable run.
        MissingExtraError: a required package is not installed.
    """
    from provml import export
    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping
    from provml.reading.provjson import load_json
    from provml.validation.constraints import check_constraints, run_instance
    from provml.validation.schema import PROVML_JSON, find_schema_violations
    from provml.validation.shapes import find_shape_violations, load_shapes

    report = Report(name if name is not None else os.fspath(run_folder))
    journal = Journal(run_folder)
    if schema or shapes:
        mapping = RunMapping(journal, detail or "series")
        if detail is None and mapping.samples <= VALIDATED_SAMPLES_LIMIT:
            mapping = RunMapping(journal, "sample")
        elif detail is None:
            judges = " and ".join(["schema"] * schema + ["shapes"] * shapes)
            report.notes.append(
                f"the {judges} checked only the series, not each of the {mapping.samples:,} "
                "samples; use detail 'sample' to check every sample"
            )
    if schema:
        report.checks.append("schema")
        sink = BytesIO()
        export.find_format("provjson").write(mapping, sink)
        report.add(find_schema_violations(load_json(sink.getvalue()), PROVML_JSON))
    if shapes:
        report.checks.append("shapes")
        load_shapes()  # report a missing package before the slow export
        from rdflib import Graph

        sink = BytesIO()
        export.find_format("ntriples").write(mapping, sink)
        report.add(find_shape_violations([Graph().parse(data=sink.getvalue(), format="nt11")]))
    if constraints:
        report.checks.append("constraints")
        check_constraints([run_instance(RunMapping(journal, detail))], report)
    return report


def read_source(source: Source, format: str | None = None, max_bytes: int = MAX_BYTES) -> Document:
    """Read any source that `validate` accepts, and return it as a document.

    Raises the same errors as `validate`.
    """
    from prov.model import ProvDocument

    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping

    if isinstance(source, (Document, ProvDocument)):
        return source if isinstance(source, Document) else Document(source)
    if isinstance(source, RunLike):
        source = source.path
    if isinstance(source, (str, os.PathLike)) and _is_directory(os.fspath(source)):
        from provml.model.prov_document import build_prov_document

        return Document(build_prov_document(RunMapping(Journal(source))))
    return read(source, format, max_bytes)


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_prov_json(file: str, data: bytes) -> bool:
    provjson: Any = find_reader("provjson")
    head = data[:_HEAD_BYTES].decode("utf-8", "replace").lstrip("\ufeff\n\r\t ")
    if provjson.looks_like(head):
        return True
    return uncompressed_name(file).endswith(provjson.SUFFIXES) and '"@' not in head


def _nonempty_graphs(dataset: Dataset) -> Iterator[Graph]:
    for graph in dataset.graphs():
        if len(graph):
            yield graph
