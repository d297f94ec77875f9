"""Validating whole documents and runs, and the command that does it."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from plans import RUNS, record

import provml
from provml import reading
from provml.base.format_names import format_names
from provml.cli import execute as command
from provml.errors import DocumentError
from provml.export import export_bundles, find_format
from provml.validation import validate, validate_run
from provml.validation.report import KEPT_FINDINGS, Finding, Report
from provml.validation.schema import PROVML_JSON, find_schema_violations

CORPUS = Path(os.environ.get("PROVML_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
FOREIGN = {
    "prefix": {"ex": "https://example.org/"},
    "entity": {"ex:e": {"prov:label": "data"}},
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=RUNS)
def test_every_document_of_a_run_passes_schema_and_shapes(plan: dict[str, Any]) -> None:
    """Some names, values or times would produce documents that break our own rules."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            report = validate_run(recorded.path, detail)
            assert report.conforms, [finding.text() for finding in report.findings]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=RUNS)
def test_every_document_of_a_run_passes_the_schema(plan: dict[str, Any]) -> None:
    """Some names, values or times would produce invalid PROV-JSON."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            sink = io.BytesIO()
            recorded.export("provjson", sink, detail)
            assert list(find_schema_violations(json.loads(sink.getvalue()), PROVML_JSON)) == []


OTHER_FORMS = sorted(set(reading.reading_formats()) & set(format_names()) - {"provjson"})


def broken(json_of: Callable[..., Any], run: provml.RecordedRun) -> Any:
    """A provml document with one error for each kind of check."""
    content = json_of(run, "sample")
    metric = next(name for name in content["entity"] if name.startswith("run:metric/"))
    del content["entity"][metric]["prov:value"]
    return content


def test_a_document_is_judged_by_both_or_by_what_is_asked_for(
    everything: provml.RecordedRun, json_of: Callable[..., Any]
) -> None:
    """A check would be skipped, or run without being requested."""
    data = json.dumps(broken(json_of, everything)).encode()
    assert {f.kind for f in validate(data).findings} == {"schema", "shape"}
    assert {f.kind for f in validate(data, shapes=False).findings} == {"schema"}
    assert {f.kind for f in validate(data, schema=False).findings} == {"shape"}
    by_name = {f.rule.rpartition("/")[2] for f in validate(data).findings}
    assert by_name == {"1#metric", "shapes#sample-value"}


@pytest.mark.parametrize("name", ["provjson", "trig", "nquads"])
def test_a_document_of_several_runs_passes(
    tmp_path: Path, everything: provml.RecordedRun, store: Path, name: str
) -> None:
    """A valid run would be invalid beside another one."""
    with provml.start_run("other", store=store, owner="o", formats=()) as run:
        run.log_metric("loss", 1.0, "training", 0)
    path = tmp_path / f"runs{find_format(name).suffix}"
    export_bundles([everything.path, run.path], name, path)
    report = validate(path)
    assert report.conforms, [finding.text() for finding in report.findings]
    assert report.notes == []


def test_every_run_of_a_document_of_several_is_judged(
    everything: provml.RecordedRun, json_of: Callable[..., Any]
) -> None:
    """Errors in a bundle would be missed."""
    good, bad = json_of(everything, "series"), broken(json_of, everything)
    bundles = {"prefix": {"ex": "https://example.org/"}, "bundle": {"ex:a": good, "ex:b": bad}}
    report = validate(json.dumps(bundles).encode())
    assert {f.kind for f in report.findings} == {"schema", "shape"}
    assert all("/ex:b/" in f.where for f in report.findings if f.kind == "schema")
    bundles["bundle"] = {"ex:a": good}
    assert validate(json.dumps(bundles).encode()).conforms


def test_what_cannot_be_read_after_the_schema_still_has_its_findings(
    everything: provml.RecordedRun, json_of: Callable[..., Any]
) -> None:
    """A finding would be lost behind the error that it explains."""
    content = json_of(everything, "series")
    content["wasStolenBy"] = {"_:s": {"prov:entity": "run:run"}}
    report = validate(json.dumps(content).encode())
    assert [f.rule.rpartition("#")[2] for f in report.findings] == ["document"]
    assert any("could not check the shapes" in note for note in report.notes)
    with pytest.raises(DocumentError):
        validate(json.dumps(content).encode(), schema=False)


def test_a_foreign_document_is_not_judged_by_our_shapes() -> None:
    """Every document from other tools would have findings."""
    report = validate(json.dumps(FOREIGN).encode(), schema=False)
    assert report.conforms
    assert any("no provml terms" in note for note in report.notes)


def test_every_document_of_the_corpus_is_judged_or_refused_in_one_line() -> None:
    """A document from another tool would end in a traceback or an unhelpful error."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS}: set PROVML_CORPUS")
    endings = {".json", ".jsonld", ".provn", ".provx", ".trig", ".ttl", ".nt"}
    files = [file for file in CORPUS.glob("documents/**/*") if file.suffix in endings]
    assert len(files) > 500
    refused = []
    for file in files:
        try:
            report = validate(file)
        except DocumentError as error:
            assert len(str(error).splitlines()) == 1
            refused.append(file.name)
        else:
            assert all(len(finding.text().splitlines()) == 1 for finding in report.findings)
    assert len(refused) < len(files) / 50, refused


def test_a_report_keeps_so_many_findings_and_counts_the_rest() -> None:
    """A large broken document would fill the memory."""
    report = Report("x")
    report.add(Finding("schema", f"urn:x#{n}", "m", "") for n in range(KEPT_FINDINGS + 5))
    assert (len(report.findings), report.further, report.conforms) == (KEPT_FINDINGS, 5, False)
    assert report.to_dict()["further"] == 5


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path: Path, everything: provml.RecordedRun) -> Path:
    """A valid document in a file."""
    path = tmp_path / "good.json"
    everything.export("provjson", path)
    return path


@pytest.fixture
def bad(tmp_path: Path, everything: provml.RecordedRun, json_of: Callable[..., Any]) -> Path:
    """A broken document in a file."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(broken(json_of, everything)))
    return path


@pytest.mark.slow
def test_the_command_judges_files_and_runs(
    good: Path, bad: Path, everything: provml.RecordedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status would be wrong, or a finding would not be one line that names its rule."""
    assert command(["validate", str(good), str(everything.path)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count(": valid (checked: schema, shapes, constraints)\n") == 2
    assert (
        command(["validate", everything.id[:-1], "--store", str(everything.path.parents[1])]) == 0
    )
    capsys.readouterr()
    assert command(["validate", str(good), str(bad)]) == 1
    told = capsys.readouterr()
    assert [line.split(": ")[1] for line in told.out.splitlines()] == [
        "schema metric",
        "shape sample-value",
    ]
    assert all(line.startswith(f"{bad}: ") for line in told.out.splitlines())


def test_the_command_gives_json(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program could not read what was found."""
    assert command(["validate", "--json", "--schema", str(bad)]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["document"], report["conforms"]) == (str(bad), False)
    assert [finding["kind"] for finding in report["findings"]] == ["schema"]
    assert report["checks"] == ["schema"]
    assert report["findings"][0]["rule"].startswith("https://w3id.org/provml/schemas/provml/1#")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[[", b"no document"])
def test_what_cannot_be_read_is_one_line_and_status_2(
    tmp_path: Path, good: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file would cause a traceback, or stop the check of other files."""
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    names = [str(path), str(tmp_path / "absent"), str(good)]
    assert command(["validate", "--constraints", *names]) == 2
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"provml: error: {path}: ")
    assert "there is no such file" in lines[1]
    assert lines[2] == f"{good}: valid (checked: constraints)"


def test_compressed_files_and_standard_input_are_judged(bad: Path) -> None:
    """A document would have to be unpacked first."""
    packed = bad.with_name("bad.json.gz")
    packed.write_bytes(gzip.compress(bad.read_bytes()))
    assert command(["validate", "--schema", str(packed)]) == 1
    told = subprocess.run(
        [sys.executable, "-m", "provml", "validate", "--schema", "-"],
        input=packed.read_bytes(),
        capture_output=True,
    )
    assert told.returncode == 1
    assert told.stdout.startswith(b"standard input: schema metric: ")


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_other_forms_are_judged(tmp_path: Path, everything: provml.RecordedRun, name: str) -> None:
    """Our documents in other formats could not be validated, or would be invalid."""
    path = tmp_path / f"run{find_format(name).suffix}"
    everything.export(name, path)
    report = validate(path)
    assert report.conforms, [finding.text() for finding in report.findings]
    assert not any("no provml terms" in note for note in report.notes)


def test_nothing_of_a_document_reaches_the_terminal_as_a_control_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A document could manipulate the terminal."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"entity": {"ex:\x1b[2J": {}, "ex:e": {"ex:a\x07b": [None]}}}))
    assert command(["validate", str(path)]) == 1
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out and "\x07" not in out


@pytest.mark.parametrize("package", ["jsonschema", "pyshacl"])
def test_an_absent_package_is_one_line_with_the_command(good: Path, package: str) -> None:
    """Users without the extra would get a traceback, or no hint how to install it."""
    code = f"import sys; sys.modules[{package!r}] = None; from provml.cli import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", code, "validate", str(good)],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "pip install 'provml[validation]'" in told.stderr


def test_a_document_larger_than_the_limit_is_refused_until_it_is_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small compressed file could fill the memory, or a large one could not be validated."""
    path = tmp_path / "large.json.gz"
    text = json.dumps(FOREIGN | {"entity": {"ex:e": {"ex:a": "x" * 2**20}}})
    path.write_bytes(gzip.compress(text.encode()))
    assert command(["validate", str(path), "--max-size", "1"]) == 2
    assert "larger than the limit of 1,048,576 bytes" in capsys.readouterr().err
    assert command(["validate", str(path), "--max-size", "2"]) == 0


def test_a_run_of_many_samples_is_judged_by_its_series(store: Path) -> None:
    """Validating a large run would take hours."""
    with provml.start_run("e", store=store, formats=()) as run:
        for step in range(10_001):
            run.log_metric("loss", 1.0, "training", step)
    report = validate_run(run.path)
    assert report.conforms
    assert report.notes == [
        "the schema and shapes checked only the series, not each of the 10,001 samples; "
        "use detail 'sample' to check every sample"
    ]
