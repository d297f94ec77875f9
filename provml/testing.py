"""Tools for your tests: check what a script records, and whether a PROV document is valid.

Check what your training script logs:

    from provml.testing import capture

    def test_training_logs_its_loss():
        with capture() as recorded:
            train(epochs=2)
        assert len(recorded.series("loss", provml.Context.TRAINING)) == 2

Check that a PROV document, written by provml or any other tool, is valid:

    from provml.testing import assert_valid

    def test_our_provenance_is_valid(tmp_path):
        assert_valid(make_provenance(tmp_path / "provenance.json"))

Imports `_api` and `recorded_run`; imports `validation` only when needed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provml import _api
from provml.base.settings import (
    DISABLED_VARIABLE,
    JOINED_VARIABLE,
    SAMPLE_INTERVAL_VARIABLE,
    STORE_VARIABLE,
)
from provml.errors import RunNotFoundError
from provml.journal.store import list_run_folders
from provml.recorded_run import RecordedRun
from provml.recording.child_runs import no_default_parent

if TYPE_CHECKING:
    from provml.validation import Source

_MAX_FINDINGS = 10


class Captured:
    """The runs recorded in a `capture` block. You can read them during and after the block.

    The object also has the attributes of the `RecordedRun` in `Captured.run` (``series``,
    ``params``, ``events``, ...).
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    @property
    def runs(self) -> list[RecordedRun]:
        """All runs recorded in the block, oldest first. A run that `capture` started is first."""
        return [RecordedRun(folder) for folder in list_run_folders(self._store)]

    @property
    def run(self) -> RecordedRun:
        """The last run that the code in the block started; if there is none, the run of `capture`.

        Raises:
            RunNotFoundError: no run was recorded in the block.
        """
        runs = self.runs
        if not runs:
            raise RunNotFoundError(
                "no run was recorded in the capture block: call provml.start_run in the block, or "
                "use capture(start=True)"
            )
        return runs[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)


@contextmanager
def capture(start: bool = True, sample: bool = False) -> Iterator[Captured]:
    """Record what the code in the ``with`` block logs; yield a `Captured` object with the records.

    provml records into a temporary folder, and removes the folder when nothing refers to the
    yielded object any more.

    Args:
        start: whether to start a run for the block, so that functions such as `provml.log_metric`
            work. Use False if the code under test calls `provml.start_run` itself. The runs that
            the code starts are also recorded in the temporary folder, unless the code passes
            ``store``.
        sample: whether to take readings of the machine in the background, as in a normal run.
    """
    folder = tempfile.mkdtemp(prefix="provml-capture-")
    captured = Captured(Path(folder))
    weakref.finalize(captured, shutil.rmtree, folder, ignore_errors=True)
    # override the variables that disable recording or make the run join another run
    own = {STORE_VARIABLE: folder, DISABLED_VARIABLE: "0", JOINED_VARIABLE: ""}
    if not sample:
        own[SAMPLE_INTERVAL_VARIABLE] = "0"
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        if start:
            with _api.start_run("captured", formats=(), parent=False):
                yield captured
        else:
            with no_default_parent():
                yield captured
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def assert_valid(
    document: Source,
    *,
    schema: bool | None = None,
    shapes: bool | None = None,
    constraints: bool = True,
) -> None:
    """Raise AssertionError, with a list of the problems, if a document is not valid.

    Args:
        document: a path, the bytes of a document, a document object from the ``prov`` library, a
            run, or a run's folder.
        schema, shapes, constraints: whether to run each of these checks; see `provml.validate`.

    Raises:
        AssertionError: the document is not valid; the message lists up to ten problems, with the
            statements that cause them.
        DocumentError: the document cannot be read.
        MissingExtraError: a check needs a package that is not installed. With ``schema=False,
            shapes=False``, no check needs an extra package.
    """
    from provml.validation import validate

    report = validate(document, schema=schema, shapes=shapes, constraints=constraints)
    if report.conforms:
        return
    lines = []
    for finding in report.findings[:_MAX_FINDINGS]:
        lines.append(finding.text())
        lines += [f"    {each.statement}" for each in finding.evidence]
    further = len(report.findings) + report.further - _MAX_FINDINGS
    if further > 0:
        lines.append(f"and {further:,} more findings")
    raise AssertionError("\n".join([f"{report.document} is not valid:", *lines]))
