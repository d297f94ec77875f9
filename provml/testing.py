"""Test that a script records the right data, and that a PROV document is valid.

Check what your training script logs:

    from provml.testing import capture

    def test_training_logs_its_loss():
        with capture() as recorded:
            train(epochs=2)
        assert len(recorded.series("loss", provml.Context.TRAINING)) == 2

Check that a PROV document, written by provml or any other tool, is a consistent history:

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

if TYPE_CHECKING:
    from provml.validation import Source

_MAX_FINDINGS = 10


class Captured:
    """The runs recorded within a `capture` block. You can read them in the block and after it.

    The object has the attributes of a `RecordedRun` (``series``, ``params``, ``events``, ...). They
    describe the run that the block's code started, else the run that `capture` started.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    @property
    def runs(self) -> list[RecordedRun]:
        """Every run recorded in the block, oldest first. The run of `capture` comes first."""
        return [RecordedRun(folder) for folder in list_run_folders(self._store)]

    @property
    def run(self) -> RecordedRun:
        """The run that the block's code started, else the run that `capture` started.

        Raises:
            RunNotFoundError: nothing was recorded in the block.
        """
        runs = self.runs
        if not runs:
            raise RunNotFoundError("nothing was recorded in the block")
        return runs[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)


@contextmanager
def capture(start: bool = True, sample: bool = False) -> Iterator[Captured]:
    """Record everything that the block logs in a temporary folder, and yield an object to read it.

    The folder is removed when no reference to the yielded object is left.

    Args:
        start: whether to start a run for the block, so that functions such as `provml.log_metric`
            work. Use False if the code under test calls `provml.start_run` itself. In both cases,
            its runs are recorded in the temporary folder, unless the code passes ``store``.
        sample: whether to take readings of the machine in the background, as runs outside of tests
            do.
    """
    folder = tempfile.mkdtemp(prefix="provml-capture-")
    captured = Captured(Path(folder))
    weakref.finalize(captured, shutil.rmtree, folder, ignore_errors=True)
    # override an environment that disables recording or makes it join a run
    own = {STORE_VARIABLE: folder, DISABLED_VARIABLE: "0", JOINED_VARIABLE: ""}
    if not sample:
        own[SAMPLE_INTERVAL_VARIABLE] = "0"
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        if start:
            with _api.start_run("captured", formats=()):
                yield captured
        else:
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
    """Raise AssertionError, with the reasons, if a document is not valid.

    Args:
        document: a path, the bytes of a document, a document of the ``prov`` library, a run or its
            folder.
        schema, shapes, constraints: the checks to make, as for `provml.validate`.

    Raises:
        AssertionError: the document is not valid; the message lists the first findings with the
            statements behind them.
        DocumentError: the document cannot be read.
        MissingExtraError: a package that a check needs is not installed; the checks that remain
            with ``schema=False, shapes=False`` need no such package.
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
