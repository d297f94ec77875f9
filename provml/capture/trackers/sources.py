"""Records what a tracker's writer or run logs, and keeps several of them apart.

A *source* is what a tracker calls a writer or a run. The rule for the context of a metric:

1. The context that its name implies, see `metric_contexts`: ``train/loss``, ``val_loss``.
2. Else the context of the source, such as a log folder named ``train`` or ``val``.
3. Else none: the metric belongs to the run itself.
4. A name in a context belongs to the source that uses it first. If another source uses the same
   name, its metric goes to a context of its own below that one, named by the source's label. A
   parameter or tag of the same name becomes ``<label>/<name>``.

If another process of the same rank has another source, all names of this source count as used.
Names do not change otherwise.
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
from provml.journal import layout
from provml.journal.values import plain_number
from provml.recording import process_hooks
from provml.recording.disabled_run import DisabledRun
from provml.recording.run import Run

TRACKER_USED: Final = "tracker used"
"""The event of a new source: the tool, its version, and where it writes."""
TRACKER_FINISHED: Final = "tracker finished"
"""The event of the end of a tracker's run."""
TRACKER_VALUE: Final = "tracker value"
"""The event of a value that can't be a metric: its name, type and text."""
_NOT_IN_FILE_NAMES: Final = re.compile(r"[^\w.-]+", re.ASCII)
_MAX_REPR_LENGTH: Final = 1000
_MAX_SCANNED_LINES: Final = 100_000
_MAX_DEPTH: Final = 16


class _SourceRegistry:
    """All sources of this process.

    Attributes:
        sources: by tool and key.
        labels: the source that owns each label.
        owners: the source that owns each name, by kind, name and context.
    """

    def __init__(self) -> None:
        self.sources: dict[tuple[str, str], TrackerSource] = {}
        self.labels: dict[str, TrackerSource] = {}
        self.owners: dict[tuple[str, str, tuple[str, ...] | None], TrackerSource] = {}


class TrackerSource:
    """One writer or run of a tracker. Call `get_source` to get the instance for it.

    Each method records into the active run; without a run, it does nothing.

    Attributes:
        tool: the tracker's name.
        key: identifies the source among those of the tracker: a log folder, a run's id.
        label: a short name.
    """

    def __init__(self, tool: str, key: str, label: str, context: Context | None) -> None:
        """Create a source; for `get_source` only."""
        labels = STATE.part(_SourceRegistry).labels
        self.tool = tool
        self.key = key
        self.label = label if labels.setdefault(label, self) is self else f"{tool} {key}"
        self._context = context
        self._names_are_taken = False
        self._contexts: dict[str | tuple[str, Context], Context | None] = {}
        self._names: dict[tuple[str, str], str] = {}

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Log an event that this tracker is used.

        Args:
            facts: further metadata of the event.
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
        """Record a value as a metric, or as an event with its type if it can't be a metric.

        Costs half a microsecond more than `Run.log_metric`, and raises the same errors, except
        those about the value.

        Args:
            name: the metric's name.
            value: the value.
            step, epoch, timestamp: as in `Run.log_metric`.
            within: the context, if the tracker gives one; by default see the module.
        """
        kind = value.__class__
        if kind is not float and kind is not int:
            value = plain_number(value)
            if value is True or value is False:
                value = int(value)  # the trackers plot it so
        if step is not None and step.__class__ is not int:
            step = int(step)  # the trackers do so
        try:
            context = self._contexts[name if within is None else (name, within)]
        except KeyError:
            context = self._resolve_context(name, within)
        active = process_hooks.active_runs
        run = active[-1] if active else get_outer_run()
        if run.__class__ is DisabledRun:
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
        """Record each value of a mapping. Values in nested mappings get dotted names.

        If one of them is an integer named ``epoch``, it is the epoch of all.

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
            except ProvMLError as error:  # go on with the others
                note_missed(f"{self.tool}: {name[:100]!r}", error)

    def context_for(self, name: str, within: Context | None = None) -> Context | None:
        """Return the context of a metric or other record of this source.

        Args:
            name: its name.
            within: the context, if the tracker gives one; by default see the module.
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
        """Claim a name for this source; return whether it belongs to it."""
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
        """Record parameters. Those in nested mappings get dotted names."""
        run = find_active_run()
        if run is not None:
            for name, value in _flatten_names(params):
                run.log_param(self._name_for("param", name), value)

    def set_tags(self, tags: Mapping[Any, Any]) -> None:
        """Record tags."""
        run = find_active_run()
        if run is not None:
            for name, value in tags.items():
                run.set_tag(self._name_for("tag", str(name)), value)

    def log_event(self, name: str, metadata: Mapping[str, Any], **place: Any) -> None:
        """Record an event. ``place`` holds further arguments of `Run.log_event`: ``step=3``."""
        run = find_active_run()
        if run is not None:
            run.log_event(name, source=self.tool, metadata=metadata, **place)

    def log_artifact(self, path: Any, name: str, **facts: Any) -> None:
        """Record a file or folder as an artifact, with the tracker that it was given to.

        Args:
            path: the file or folder, or a URI.
            name: the artifact's name.
            facts: further arguments of `Run.log_artifact`.
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
        """Record bytes that the tracker was given as an artifact, and keep a copy with the run.

        Args:
            content: the bytes.
            name: the artifact's name.
            ending: the extension of the file's name: ``png``.
            step, timestamp: as the tracker was given them.
            metadata: further metadata of the artifact.
        """
        run = find_active_run()
        if run is not None:
            facts = {"tool": self.tool, "source": self.key, **(metadata or {})}
            stem = _NOT_IN_FILE_NAMES.sub("_", name)[-80:] or "content"
            own_name, context = self._name_for("artifact", name), self.context_for(name)
            run._log_bytes(content, own_name, f"{stem}.{ending}", context, step, timestamp, facts)

    def log_model(self, path: Any, name: str, **facts: Any) -> None:
        """Record a model from a file or folder."""
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
    """Return the source with this key. If it is new, create it and announce it in the run.

    Args:
        tool: the tracker's name.
        key: identifies the source among those of the tracker.
        label: a short name for it.
        facts: metadata for the event that announces it.
        context: the context of metrics whose names imply none.
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
    """Return the run to record into: the script's own run if it has one, else the outer run."""
    run: Run | None = process_hooks.active()
    return get_outer_run() if run is None or isinstance(run, DisabledRun) else run


def _flatten_names(
    values: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values. A mapping that is nested too deeply is itself a value."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value and depth < _MAX_DEPTH:
            yield from _flatten_names(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value


def context_from_folder(path: str) -> Context | None:
    """Return the context that the last part of a log folder's path names: ``runs/exp1/val``."""
    last = os.path.basename(os.path.normpath(path))
    return context_from_name(f"x/{last}") if last.isalpha() else None


def find_package_version(package: str) -> str | None:
    """Return the ``__version__`` of an imported package; None if it has none."""
    version = getattr(sys.modules.get(package), "__version__", None)
    return version if isinstance(version, str) else None


def describe_object(value: object) -> str:
    """Return the beginning of a value's ``repr``."""
    try:
        text = repr(value)
    except Exception as error:  # a foreign __repr__ may raise anything
        text = f"<repr failed: {type(error).__name__}>"
    return text[:_MAX_REPR_LENGTH].encode("utf-8", "backslashreplace").decode()


def _qualified_type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _has_other_source(run: Run, source: TrackerSource) -> bool:
    """Whether another process of this rank has announced another source."""
    folder = run.path / layout.JOURNAL_FOLDER
    own = f"-{os.getpid()}-"
    for path in folder.glob(f"*{layout.EVENTS_SUFFIX}"):
        if own not in path.name:
            with path.open("rb") as file:
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
            continue  # a line that is not finished yet, or of another writer
    return False
