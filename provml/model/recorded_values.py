"""Reads series, alerts and content from a journal, for `provml.recorded_run`.

Imports only `base`, `errors` and `journal` from provml.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.base.context import Context, context_from_path, matching_paths
from provml.errors import MissingExtraError, SeriesNotFoundError
from provml.journal import history, layout
from provml.journal.layout import Record
from provml.journal.reader import Journal
from provml.journal.record_building import add_later_digest
from provml.journal.record_parsing import record_context, series_number
from provml.journal.values import decode
from provml.model.series_summary import build_series_html

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from provml.model.series import RunSeries, SeriesTable

_CONTENT: Final = ("artifact", "model", "dataset", "input", "digest")
_MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class SeriesArrays:
    """The samples of a series, as columns of equal length, in the order of writing.

    Attributes:
        time_ns: int64, nanoseconds since the Unix epoch.
        step: int64; `NO_STEP` (-2**63) if a sample has no step.
        epoch: int64; `NO_EPOCH` (-1) if a sample has no epoch.
        value: float64; int64 if all values are ints; Python objects if neither type can represent
            all values exactly.
        name: the name of the series.
        context: the context of the series; None if it was logged without a context.
    """

    time_ns: NDArray[np.int64]
    step: NDArray[np.int64]
    epoch: NDArray[np.int64]
    value: NDArray[Any]
    name: str = ""
    context: Context | None = None

    def __len__(self) -> int:
        return len(self.time_ns)

    def __repr__(self) -> str:
        return f"<provml.SeriesArrays {self._label()!r}, {len(self):,} samples>"

    def _label(self) -> str:
        return self.name if self.context is None else f"{self.name} {self.context}"

    def _repr_html_(self) -> str:
        """Return a summary and a plot of the series as HTML, which notebooks show."""
        return build_series_html(self._label(), self.step, self.epoch, self.time_ns, self.value)

    def to_arrow(self) -> pa.Table:
        """Convert the samples to a ``pyarrow`` table with one row per sample.

        The columns are the same as in `to_pandas`. A missing step or epoch is null. Values that
        are neither all floats nor all ints become text. Raises MissingExtraError if pyarrow is not
        installed.
        """
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("a pyarrow table", "pyarrow", "arrow") from None
        values: Any = self.value
        if values.dtype == object:
            values = [None if value is None else str(value) for value in values]
        columns = {
            "time": pa.array(self.time_ns, pa.timestamp("ns", "UTC")),
            "step": pa.array(self.step, mask=self.step == layout.NO_STEP),
            "epoch": pa.array(self.epoch, mask=self.epoch == layout.NO_EPOCH),
            "value": pa.array(values),
        }
        return pa.table(columns)

    def to_polars(self) -> pl.DataFrame:
        """Convert the samples to a ``polars`` data frame with one row per sample.

        The columns are the same as in `to_arrow`. Raises MissingExtraError if polars or pyarrow is
        not installed.
        """
        try:
            import polars
        except ImportError:
            raise MissingExtraError("a polars data frame", "polars", "frames") from None
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Convert the samples to a ``pandas`` data frame with one row per sample.

        The column ``time`` contains UTC times with nanosecond precision. In the columns ``step``
        and ``epoch``, a missing number is NA. Raises MissingExtraError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("a pandas data frame", "pandas", "frames") from None
        step, epoch = pd.Series(self.step, dtype="Int64"), pd.Series(self.epoch, dtype="Int64")
        columns = {
            "time": pd.to_datetime(self.time_ns, unit="ns", utc=True),
            "step": step.mask(self.step == layout.NO_STEP),
            "epoch": epoch.mask(self.epoch == layout.NO_EPOCH),
            "value": self.value,
        }
        return pd.DataFrame(columns)


class SeriesName(NamedTuple):
    """The name and the context of a series. A context of None means the run itself."""

    name: str
    context: Context | None


@dataclass(frozen=True, slots=True)
class RecordedAlert:
    """An alert, which provml records if a reading of the machine exceeds a threshold.

    The severity is ``critical`` from 1.1 times the threshold upwards, and ``warning`` below that.
    """

    time_ns: int
    metric: str
    value: float
    threshold: float
    severity: str
    collector: str
    context: Context | None
    step: int | None
    epoch: int | None

    @property
    def timestamp(self) -> float:
        """The time of the reading in seconds since the Unix epoch."""
        return self.time_ns / 1e9


@dataclass(frozen=True, slots=True)
class RecordedContent:
    """A dataset, input, artifact or model that a run logged.

    Attributes:
        kind: ``dataset``, ``input``, ``artifact`` or ``model``.
        role: what an input was used for, such as ``base model``; None if no role was logged.
        facts: the path, sha256, size, shape and other facts, depending on the kind.
    """

    kind: str
    name: str
    time_ns: int
    context: Context | None
    step: int | None
    epoch: int | None
    facts: dict[str, Any]
    metadata: dict[str, Any]
    role: str | None = None

    @property
    def sha256(self) -> str | None:
        """The SHA-256 digest of the content, in hexadecimal; None if the content was not hashed."""
        digest = self.facts.get("sha256")
        return digest if isinstance(digest, str) else None


def select_series(
    table: SeriesTable,
    run: str,
    name: str,
    context: Context | str | None,
    rank: int | None,
    kind: str | None,
    of: str | tuple[str, str] | None,
) -> list[RunSeries]:
    """Return the series, at least one, that match the arguments of `RecordedRun.series`.

    Args:
        table: all series of the run.
        run: the run's id, for error messages.
        name, context, rank, kind, of: as for `RecordedRun.series`.

    Raises:
        SeriesNotFoundError: no series matches, or the matching series belong to several contexts
            or are about several models.
    """
    fitting = [
        s
        for s in table.all
        if s.name == name
        and rank in (None, s.rank)
        and kind in (None, s.kind)
        and (of is None or (s.of is not None and of in (s.of[1], s.of)))
    ]
    chosen = [s for s in fitting if s.context == _choose_path(fitting, context)]
    kinds = [s.kind for s in chosen]
    own = kind or ("metric" if "metric" in kinds or not kinds else kinds[0])
    chosen = [s for s in chosen if s.kind == own]
    targets = list(dict.fromkeys(s.of for s in chosen))
    if of is None and len(targets) > 1:
        if None not in targets:
            listed = ", ".join(map(repr, targets[:_MOST_NAMED]))
            raise SeriesNotFoundError(
                f"run {run} has a series {name!r} for each of several models ({listed}): "
                f"choose one with of={targets[0]!r}"
            )
        chosen = [s for s in chosen if s.of is None]
    if not chosen:
        raise SeriesNotFoundError(_explain_absence(table, run, name, context, own, of))
    return chosen


def _choose_path(fitting: list[RunSeries], context: Context | str | None) -> tuple[str, ...] | None:
    """Return the path of the context to read. This context may have no matching series."""
    paths = matching_paths(context)
    found = list(dict.fromkeys(s.context for s in fitting))
    if context is None and len(found) == 1:
        return found[0]
    return next((path for path in paths if path in found), paths[0])


def _explain_absence(
    table: SeriesTable,
    run: str,
    name: str,
    context: Context | str | None,
    kind: str,
    of: str | tuple[str, str] | None,
) -> str:
    own = [(s.name, context_from_path(s.context)) for s in table.all if s.kind == kind]
    same = list(dict.fromkeys(c for n, c in own if n == name))
    if context is None and len(same) > 1:
        listed = ", ".join(f"{str(c)!r}" for c in same[:_MOST_NAMED])
        return f"run {run} has {name!r} in several contexts ({listed}): name the context to read"
    known = ", ".join(f"{n!r} in {c}" for n, c in list(dict.fromkeys(own))[:_MOST_NAMED])
    place = "" if context is None else f" in {context}"
    target = "" if of is None else f" of {of!r}"
    found = f"the run has: {known or 'none'}"
    return f"run {run} has no series {name!r} of kind {kind!r}{place}{target}; {found}"


def decode_alerts(records: Iterable[Record]) -> list[RecordedAlert]:
    """Decode the records of alerts, and leave out records that can't be decoded."""
    found: list[RecordedAlert] = []
    for record in records:
        try:
            found.append(
                RecordedAlert(
                    time_ns=int(record["time"]),
                    metric=str(record["name"]),
                    value=float(decode(record["value"])),
                    threshold=float(decode(record["threshold"])),
                    severity=str(record["severity"]),
                    collector=str(record["collector"]),
                    context=context_from_path(record_context(record)),
                    step=record.get("step"),
                    epoch=record.get("epoch"),
                )
            )
        except (KeyError, TypeError, ValueError, ArithmeticError):
            continue
    return found


def find_contents(journal: Journal) -> list[RecordedContent]:
    """Return the datasets, inputs, artifacts and models that a run logged.

    The result is grouped by process, and follows the order of logging within each process.
    """
    found: list[RecordedContent] = []
    for files in journal.writers:
        records = [record for _, record in files.records() if record.get("record") in _CONTENT]
        digests = {series_number(r): r.get("content") for r in records if r["record"] == "digest"}
        for record in records:
            name, time_ns = record.get("name"), record.get("time")
            if not isinstance(name, str) or not isinstance(time_ns, int):
                continue
            content, role = record.get("content"), record.get("role")
            facts = content if isinstance(content, dict) else {}
            number = series_number(record)
            later = None if number is None else digests.get(number)
            if isinstance(later, dict):
                facts = add_later_digest(facts, later)
            found.append(
                RecordedContent(
                    kind=record["record"],
                    name=name,
                    time_ns=time_ns,
                    context=context_from_path(record_context(record)),
                    step=record.get("step"),
                    epoch=record.get("epoch"),
                    facts=facts,
                    metadata=history.decode_metadata(record),
                    role=role if isinstance(role, str) else None,
                )
            )
    return found
