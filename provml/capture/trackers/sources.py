"""Records the values that each source logs, and keeps the values of different sources apart.

A *source* is one writer or run of a tracker. A metric's context is the first of these that exists:

1. the context that the tracker supplies, such as that of W&B's ``summary``
2. the context that the metric's name implies, such as training for ``train/loss``; see
   `metric_contexts`
3. the context of the source, for example if its log folder is named ``train`` or ``val``

If none of these exists, the metric belongs to the run itself.

In each context, a metric's name belongs to the first source that uses the name. If another source
uses the same name, the metric of that source goes into a sub-context of the context. The name of
the sub-context is the label of that source.

If the name of a parameter, tag, artifact, model or dataset belongs to another source, the item is
recorded as ``<label>/<name>``. If another process of the same rank has a different source, all
names of this source count as taken. Otherwise, names do not change.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from provml.base.context import Context, context_path
from provml.capture.metric_contexts import context_from_name
from provml.capture.outer_run import get_outer_run, note_missed
from provml.capture.state import STATE
from provml.errors import InvalidMetricError, ProvMLError
from provml.journal.journal_folder import list_writer_files
from provml.journal.values import plain_number
from provml.recording.active_runs import active_runs
from provml.recording.disabled_run import DisabledRun
from provml.recording.run import Run

TRACKER_USED: Final = "tracker used"
"""The name of the event that announces a source, with its tracker and its folder or run id."""
TRACKER_FINISHED: Final = "tracker finished"
"""The name of the event that says that a tracker's run has ended."""
TRACKER_VALUE: Final = "tracker value"
"""The name of the event that records the name, type and text of a value that is not a metric."""
_NOT_IN_FILE_NAMES: Final = re.compile(r"[^\w.-]+", re.ASCII)
_MAX_REPR_LENGTH: Final = 1000
_MAX_SCANNED_LINES: Final = 100_000
_MAX_DEPTH: Final = 16


class _SourceRegistry:
    """All sources of this process.

    Attributes:
        sources: the sources, by tool and key.
        labels: the source that owns each label.
        owners: the source that owns each name, by kind (such as ``metric``), name and context.
    """

    def __init__(self) -> None:
        self.sources: dict[tuple[str, str], TrackerSource] = {}
        self.labels: dict[str, TrackerSource] = {}
        self.owners: dict[tuple[str, str, tuple[str, ...] | None], TrackerSource] = {}


def _is_text_of(text: str, value: Any) -> bool:
    """Return whether a value is not a str itself, but ``str`` of the value gives this text."""
    return not isinstance(value, str) and str(value) == text


class TrackerSource:
    """One writer or run of a tracker. Call `get_source` to get an instance.

    All recording methods record in the active run. If no run is active, they do nothing.

    Attributes:
        tool: the tracker's name.
        key: the source's identifier in the tracker: a log folder or a run id.
        label: a short name for the source.
    """

    def __init__(self, tool: str, key: str, label: str, context: Context | None) -> None:
        """Create a source. Call `get_source` instead, which never creates a source twice."""
        labels = STATE.part(_SourceRegistry).labels
        self.tool = tool
        self.key = key
        self.label = label if labels.setdefault(label, self) is self else f"{tool} {key}"
        self._context = context
        self._names_are_taken = False
        self._contexts: dict[str | tuple[str, Context], Context | None] = {}
        self._names: dict[tuple[str, str], str] = {}

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Log an event that says that the script uses this source.

        Reads the events of the run's other processes, to find out whether they use other sources.

        Args:
            facts: further metadata for the event.
        """
        run = find_active_run()
        if run is not None:
            metadata = {"tool": self.tool, "source": self.key, "label": self.label, **facts}
            run.log_event(TRACKER_USED, source=self.tool, metadata=metadata)
            self._names_are_taken = _has_other_source(run, self)

    def log_metric(
        self,
        name: str,
        value: Any,
        step: Any = None,
        epoch: int | None = None,
        timestamp: float | datetime | None = None,
        within: Context | None = None,
    ) -> None:
        """Record a value as a metric.

        If the value can't be a metric, records an event with the name, type and text of the value.

        Costs half a microsecond more than `Run.log_metric`. Raises the same errors as
        `Run.log_metric`, except InvalidMetricError.

        Args:
            name: the metric's name.
            value: the value.
            step, epoch, timestamp: as in `Run.log_metric`.
            within: the context that the tracker supplies; None to apply the rules of this module.
        """
        kind = value.__class__
        if kind is not float and kind is not int:
            value = plain_number(value)
            if value is True or value is False:
                value = int(value)  # the trackers also treat booleans as integers
        if step is not None and step.__class__ is not int:
            step = int(step)  # the trackers also convert the step
        try:
            context = self._contexts[name if within is None else (name, within)]
        except KeyError:
            context = self._resolve_context(name, within)
        run = active_runs.process_run or active_runs.find()
        if run is None or run.__class__ is DisabledRun:
            run = get_outer_run()
        if run is None:
            return
        try:
            run.log_metric(name, value, context, step, epoch=epoch, timestamp=timestamp)
        except InvalidMetricError:
            metadata = {
                "name": name,
                "type": _qualified_type_name(value),
                "value": describe_object(value),
            }
            run.log_event(
                TRACKER_VALUE,
                source=self.tool,
                metadata=metadata,
                context=context,
                step=step,
                epoch=epoch,
                timestamp=timestamp,
            )

    def log_metrics(
        self,
        values: Mapping[Any, Any],
        step: Any = None,
        timestamp: float | datetime | None = None,
        within: Context | None = None,
    ) -> None:
        """Record each value in a mapping as a metric. Values in nested mappings get dotted names.

        If the mapping contains an integer named ``epoch``, all metrics get that epoch.

        Args:
            values: the values by name.
            step, timestamp, within: as in `log_metric`.
        """
        epoch = plain_number(values.get("epoch"))
        if epoch.__class__ is not int or not 0 <= epoch < 2**31:
            epoch = None
        for name, value in _flatten_names(values):
            try:
                self.log_metric(name, value, step, epoch, timestamp, within)
            except ProvMLError as error:  # continue with the other values
                note_missed(f"{self.tool}: {name[:100]!r}", error)

    def context_for(self, name: str, within: Context | None = None) -> Context | None:
        """Return the context in which this source records a metric or another item.

        Args:
            name: the name of the metric or item.
            within: the context that the tracker supplies; None to apply the rules of this module.
        """
        try:
            return self._contexts[name if within is None else (name, within)]
        except KeyError:
            return self._resolve_context(name, within)

    def _resolve_context(self, name: str, within: Context | None) -> Context | None:
        context = within or context_from_name(name) or self._context
        if not self._claim("metric", name, context_path(context)):
            context = Context(self.label, context)
        self._contexts[name if within is None else (name, within)] = context
        return context

    def _claim(self, kind: str, name: str, path: tuple[str, ...] | None = None) -> bool:
        """Claim a name for this source; return whether the name now belongs to this source."""
        owners = STATE.part(_SourceRegistry).owners
        return not self._names_are_taken and owners.setdefault((kind, name, path), self) is self

    def _name_for(self, kind: str, name: str) -> str:
        try:
            return self._names[kind, name]
        except KeyError:
            own = name if self._claim(kind, name) else f"{self.label}/{name}"
            self._names[kind, name] = own
            return own

    def log_params(self, params: Mapping[Any, Any]) -> None:
        """Record parameters. Parameters in nested mappings get dotted names.

        A value of type str is not recorded if the run already has the same value with another type,
        because some trackers keep parameters as text. For example, a framework records ``0.5``, and
        later MLflow's autologging, which runs in another thread, passes ``"0.5"``.
        """
        run = find_active_run()
        if run is None:
            return
        recorded = dict(run.params)
        for name, value in _flatten_names(params):
            own_name = self._name_for("param", name)
            if not (isinstance(value, str) and _is_text_of(value, recorded.get(own_name, value))):
                run.log_param(own_name, value)

    def set_tags(self, tags: Mapping[Any, Any]) -> None:
        """Set tags on the run."""
        run = find_active_run()
        if run is not None:
            for name, value in tags.items():
                run.set_tag(self._name_for("tag", str(name)), value)

    def log_event(self, name: str, metadata: Mapping[str, Any], **place: Any) -> None:
        """Record an event of this source.

        Args:
            name: the event's name.
            metadata: the event's metadata.
            place: further arguments for `Run.log_event`, such as ``step=3``.
        """
        run = find_active_run()
        if run is not None:
            run.log_event(name, source=self.tool, metadata=metadata, **place)

    def log_artifact(self, path: Any, name: str, **facts: Any) -> None:
        """Record a file or folder as an artifact whose metadata names the tracker and the source.

        Args:
            path: the file or folder, or a URI.
            name: the artifact's name.
            facts: further arguments for `Run.log_artifact`.
        """
        run = find_active_run()
        if run is not None:
            metadata = {"tool": self.tool, "source": self.key, **facts.pop("metadata", {})}
            run.log_artifact(path, self._name_for("artifact", name), metadata=metadata, **facts)

    def log_bytes(
        self,
        content: bytes,
        name: str,
        ending: str,
        step: int | None = None,
        timestamp: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Store bytes in the run, and record them as an artifact of this source.

        Args:
            content: the bytes.
            name: the artifact's name.
            ending: the extension of the stored file, such as ``png``.
            step, timestamp: the step and time that the script passed to the tracker.
            metadata: further metadata for the artifact.
        """
        run = find_active_run()
        if run is not None:
            facts = {"tool": self.tool, "source": self.key, **(metadata or {})}
            stem = _NOT_IN_FILE_NAMES.sub("_", name)[-80:] or "content"
            own_name, context = self._name_for("artifact", name), self.context_for(name)
            run._log_bytes(content, own_name, f"{stem}.{ending}", context, step, timestamp, facts)

    def log_model(self, path: Any, name: str, **facts: Any) -> None:
        """Record a file or folder as a model."""
        run = find_active_run()
        if run is not None:
            run.log_model(self._name_for("model", name), path, **facts)

    def log_dataset(self, data: Any, name: str, context: Context | None = None) -> None:
        """Record a dataset that the run uses."""
        run = find_active_run()
        if run is not None:
            run.log_dataset(self._name_for("dataset", name), data, context=context)


def get_source(
    tool: str,
    key: str,
    label: str,
    facts: Mapping[str, Any],
    context: Context | None = None,
) -> TrackerSource:
    """Return the source with this key.

    If the tracker has no such source yet, creates one and announces it in the run.

    Args:
        tool: the tracker's name.
        key: the source's identifier in the tracker.
        label: a short name for the source.
        facts: metadata for the event that announces the source.
        context: the context of metrics whose names do not imply a context.
    """
    sources = STATE.part(_SourceRegistry).sources
    known = sources.get((tool, key))
    if known is not None:
        return known
    created = TrackerSource(tool, key, label, context)
    source = sources.setdefault((tool, key), created)
    if source is created:
        source.announce(facts)
    return source


def find_active_run() -> Run | None:
    """Return the run to record in: the script's own run if it started one, else the outer run.

    Returns None if neither exists.
    """
    run: Run | None = active_runs.find()
    return get_outer_run() if run is None or isinstance(run, DisabledRun) else run


def _flatten_names(
    values: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each item, including the items in nested mappings.

    A mapping at depth `_MAX_DEPTH`, or an empty mapping, counts as a value.
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value and depth < _MAX_DEPTH:
            yield from _flatten_names(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value


def context_from_folder(path: str) -> Context | None:
    """Return the context that a log folder's name implies; None if it implies no context.

    For example, the folder ``runs/val`` implies the context ``validation``.
    """
    last = os.path.basename(os.path.normpath(path))
    return context_from_name(f"x/{last}") if last.isalpha() else None


def find_package_version(package: str) -> str | None:
    """Return the ``__version__`` of an imported package; None if it is unknown."""
    version = getattr(sys.modules.get(package), "__version__", None)
    return version if isinstance(version, str) else None


def describe_object(value: object) -> str:
    """Return the first 1,000 characters of a value's ``repr``. Never raises an error."""
    try:
        text = repr(value)
    except Exception as error:  # the object's __repr__ may raise anything
        text = f"<repr failed: {type(error).__name__}>"
    return text[:_MAX_REPR_LENGTH].encode("utf-8", "backslashreplace").decode()


def _qualified_type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _has_other_source(run: Run, source: TrackerSource) -> bool:
    """Return whether another process of the same rank has announced a different source."""
    own = f"-{os.getpid()}-"
    for files in list_writer_files(run.path):
        if own not in files.name:
            with files.open_events() as file:
                if _names_other_source(islice(file, _MAX_SCANNED_LINES), run, source):
                    return True
    return False


def _names_other_source(lines: Iterable[bytes], run: Run, source: TrackerSource) -> bool:
    quoted = json.dumps(TRACKER_USED).encode()
    for number, line in enumerate(lines):
        if number and quoted not in line:
            continue
        try:
            record = json.loads(line)
            if not number and record.get("rank") != run._folder.settings.rank:
                return False
            if record.get("name") == TRACKER_USED:
                announced = record["metadata"]
                if (announced["tool"], announced["source"]) != (source.tool, source.key):
                    return True
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # the line is incomplete, or another program wrote it
    return False
