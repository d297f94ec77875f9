"""The children of a run, as ``provml show`` lists them: status, parameters and best values.

Imports only `base`, `journal`, `model` and `_terminal` from provml.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.base.context import context_from_path
from provml.base.store_files import store_root
from provml.cli import _terminal as terminal
from provml.errors import ProvMLError
from provml.journal.history import LastValues
from provml.journal.reader import Journal, read_events_stamp
from provml.journal.status import read_run_state
from provml.journal.store import list_child_folders, read_store_stamp
from provml.journal.values import DECODE_ERRORS, decode, to_logged_value
from provml.model.followed_run import FollowedRun
from provml.model.series import RunSeries, SeriesTable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

MOST_READ: Final = 200
_LOWER_IS_BETTER_TAG: Final = "lower_is_better"
"""The tag that lists the metrics whose lowest value is best, separated by commas."""
_MOST_SHOWN: Final = 20
_MOST_PARAMS: Final = 4
_MOST_METRICS: Final = 3
_LOWER_IS_BETTER: Final = re.compile(
    r"loss|error|mse|mae|mape|msle|perplexity|ppl|nll|deviance|regret|latency"
    r"|(?<![a-z])(?:err|cer|wer|fid|bpd|time|duration)(?![a-z])"
)
"""A pattern for the names of metrics whose lowest value is the best one."""
_DETAIL: Final = re.compile(r"std_|rank_|split\d+_")
"""A pattern for the names of metrics that only give details of another metric."""


class Metric(NamedTuple):
    """A metric of the children, and whether lower values of the metric are better."""

    name: str
    context: tuple[str, ...] | None
    is_lower_better: bool


@dataclass(slots=True)
class SeenChild:
    """A child of a run: its status, parameters and metrics.

    Attributes:
        series: the series of the child's metrics, with their last, lowest and highest values.
    """

    id: str
    experiment: str
    status: str
    started_ns: int
    ended_ns: int | None
    params: dict[str, Any] = field(default_factory=dict)
    series: list[RunSeries] = field(default_factory=list)

    @property
    def duration_s(self) -> float | None:
        """The duration in seconds; None if the child is running or crashed."""
        return terminal.duration_s(self.started_ns, self.ended_ns)

    def find_best(self, metric: Metric) -> Any:
        """Return the best value of a metric, or the last value if no value is a number.

        Returns None if the child has no such metric.
        """
        found = [s for s in self.series if (s.name, s.context) == (metric.name, metric.context)]
        lowest = metric.is_lower_better
        values = [s.minimum if lowest else s.maximum for s in found]
        numbers = [value for value in values if value is not None]
        if not numbers:
            return found[-1].last if found else None
        return min(numbers) if lowest else max(numbers)

    def to_dict(self) -> dict[str, Any]:
        """Return the child as a dictionary of JSON values."""
        return {
            "id": self.id,
            "experiment": self.experiment,
            "status": self.status,
            "started": terminal.time_text(self.started_ns),
            "ended": terminal.time_text(self.ended_ns),
            "duration_s": self.duration_s,
            "params": self.params,
            "metrics": [
                {
                    "name": series.name,
                    "context": None if series.context is None else list(series.context),
                    "count": series.count,
                    "last": series.last,
                    "min": series.minimum,
                    "max": series.maximum,
                }
                for series in self.series
            ],
        }


@dataclass(slots=True)
class SeenChildren:
    """The children of a run.

    Attributes:
        seen: the children that were read: at most the first `MOST_READ`.
        count: the number of all children, including children that were not read.
    """

    seen: list[SeenChild]
    count: int


def is_lower_better(name: str) -> bool:
    """Guess from a metric's name whether lower values of the metric are better."""
    own = name.lower()
    is_negated = own.startswith("neg")  # such as scikit-learn's neg_mean_squared_error
    return not is_negated and _LOWER_IS_BETTER.search(own) is not None


def read_children(folder: Path, description: dict[str, Any]) -> SeenChildren:
    """Read the children of a run, oldest first. Takes a few milliseconds for each child."""
    folders = list_child_folders(folder, description)
    seen: list[SeenChild] = []
    for child in folders[:MOST_READ]:
        try:
            seen.append(_read_child(child))
        except (ProvMLError, OSError):
            continue  # `provml runs` says why a run can't be read
    return SeenChildren(seen, len(folders))


def _read_child(folder: Path) -> SeenChild:
    journal = Journal(folder)
    state = journal.state()
    table = SeriesTable(journal)
    for block in table.blocks():
        block.series.add(block)
    return SeenChild(
        id=str(journal.description["id"]),
        experiment=str(journal.description["experiment"]),
        status=state.status,
        started_ns=state.started_ns,
        ended_ns=state.ended_ns,
        params=LastValues(folder, "param", lambda: journal).to_dict(),
        series=[series for series in table.all if series.kind == "metric"],
    )


class FollowedChildren:
    """The children of a run that is being recorded. Each read processes only new data."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self._folder = folder
        self._description = description
        self._stamp: object = None
        self._folders: list[Path] = []
        self._children: dict[Path, _FollowedChild] = {}

    def close(self) -> None:
        """Close all files."""
        for child in self._children.values():
            child.run.close()

    def read_new(self) -> bool:
        """Read the children's new data. Return True if there was any."""
        stamp = read_store_stamp(store_root(self._folder))
        if stamp != self._stamp or stamp is None:
            self._folders = list_child_folders(self._folder, self._description)
            self._stamp = stamp
        is_changed = False
        for folder in self._folders[:MOST_READ]:
            try:
                if folder not in self._children:
                    self._children[folder] = _FollowedChild(folder)
                is_changed = self._children[folder].read_new() or is_changed
            except (ProvMLError, OSError):
                continue  # `provml runs` says why a run can't be read
        return is_changed

    def list(self) -> SeenChildren:
        """Return the children that were read, oldest first."""
        read = [self._children[folder] for folder in self._folders if folder in self._children]
        return SeenChildren([child.seen for child in read], len(self._folders))


class _FollowedChild:
    """A child run, and the data that has been read from its files so far."""

    def __init__(self, folder: Path) -> None:
        description, state = Journal(folder).description, read_run_state(folder)
        self.run = FollowedRun(folder)
        self.seen = SeenChild(
            id=str(description["id"]),
            experiment=str(description["experiment"]),
            status=state.status,
            started_ns=state.started_ns,
            ended_ns=state.ended_ns,
        )
        self._end_stamp: object = None

    def read_new(self) -> bool:
        """Read the child's new data. Return True if there was any."""
        if self._end_stamp is not None and self._end_stamp == read_events_stamp(self.run.folder):
            return False  # the child has ended, and has not been resumed since
        # read the state before the data, so that the data of an ended child is complete
        state = read_run_state(self.run.folder)
        is_changed = state.status != self.seen.status
        for part in self.run.read_new():
            is_changed = True
            for block in part.blocks:
                block.series.add(block)
            for record in part.records:
                if record["record"] == "param" and isinstance(record.get("name"), str):
                    with suppress(*DECODE_ERRORS):
                        value = to_logged_value(decode(record["value"]))
                        self.seen.params[record["name"]] = value
        self.seen.status = state.status
        self.seen.started_ns, self.seen.ended_ns = state.started_ns, state.ended_ns
        self.seen.series = [series for series in self.run.table.all if series.kind == "metric"]
        self._end_stamp = None
        if state.status != "running":
            self._end_stamp = read_events_stamp(self.run.folder)
            self.run.close()
        return is_changed


def build_section(
    children: SeenChildren, own_id: str, tags: Mapping[str, Any]
) -> list[RenderableType]:
    """Build the table of a run's children, and a line about children that the table leaves out.

    The columns are the parameters that differ between the children, and the metrics that most of
    the children have. The best value of each metric is bold.

    Args:
        children: the children.
        own_id: the id of the run.
        tags: the tags of the run. The tag ``lower_is_better`` names the metrics whose lowest value
            is the best one, in addition to metrics with names such as ``loss``.
    """
    lower = [name.strip() for name in str(tags.get(_LOWER_IS_BETTER_TAG, "")).split(",")]
    shown = children.seen[:_MOST_SHOWN]
    params = _find_differing_params(children.seen)
    metrics = _find_common_metrics(children.seen, lower)
    best = {metric: _find_best_of_all(children.seen, metric) for metric in metrics}
    rows: list[list[Text]] = []
    for child in shown:
        cells = [
            terminal.cell(f"  {child.id}"),
            terminal.styled(child.status, terminal.STYLES.get(child.status, "")),
            terminal.styled(terminal.format_duration(child.duration_s)),
        ]
        cells += [terminal.cell(_param_text(child, name)) for name in params]
        for metric in metrics:
            value = child.find_best(metric)
            style = "bold" if value is not None and value == best[metric] else ""
            cells.append(terminal.cell(terminal.value_text(value), style))
        rows.append(cells)
    headings = [terminal.fold_heading(terminal.printable(name)) for name in params]
    values = [_metric_heading(metric) for metric in metrics]
    parts: list[RenderableType] = [
        terminal.table(
            ["  id", "status", "duration", *headings, *values],
            rows,
            right=("duration", *values),
            cut=headings,
            drop=["duration", *headings[::-1], *values[:0:-1]],
        )
    ]
    if children.count > len(shown):
        more = children.count - len(shown)
        command = f"provml runs --where 'parent == \"{terminal.printable(own_id)}\"'"
        parts.append(terminal.styled(f"  {more:,} more: {command}", "dim"))
    return parts


def _param_text(child: SeenChild, name: str) -> str:
    return terminal.value_text(child.params[name]) if name in child.params else "-"


def _find_differing_params(children: Sequence[SeenChild]) -> list[str]:
    """Return the names of the parameters whose values differ between the children."""
    names = list(dict.fromkeys(name for child in children for name in child.params))
    if len(children) == 1:
        return names[:_MOST_PARAMS]
    texts = {name: {_param_text(child, name) for child in children} for name in names}
    return [name for name in names if len(texts[name]) > 1][:_MOST_PARAMS]


def _find_common_metrics(children: Sequence[SeenChild], lower: Collection[str]) -> list[Metric]:
    """Return the few metrics that the largest number of children have.

    Metrics that measure a time, or only give details of another metric, come last.
    """
    counts: Counter[tuple[str, tuple[str, ...] | None]] = Counter()
    details: set[str] = set()
    for child in children:
        counts.update({(series.name, series.context): 1 for series in child.series})
        details.update(s.name for s in child.series if "s" in s.units or _DETAIL.match(s.name))
    ranked = sorted(counts, key=lambda metric: (metric[0] in details, -counts[metric]))
    return [
        Metric(name, context, name in lower or is_lower_better(name))
        for name, context in ranked[:_MOST_METRICS]
    ]


def _find_best_of_all(children: Sequence[SeenChild], metric: Metric) -> Any:
    found = [child.find_best(metric) for child in children]
    numbers = [value for value in found if isinstance(value, int | float)]
    if len(numbers) < 2:
        return None
    return min(numbers) if metric.is_lower_better else max(numbers)


def _metric_heading(metric: Metric) -> str:
    context = context_from_path(metric.context)
    place = "" if context is None else f" {context}"
    side = "min" if metric.is_lower_better else "max"
    return f"{terminal.fold_heading(terminal.printable(metric.name + place))}\n{side}"
