"""What other trackers call a writer or a run: where its records go, told apart from others'.

The rule for a metric's context:

1. what its name says, by `naming.context_of`: ``train/loss``, ``val_loss``;
2. else what the source says, as a log folder does whose last part is ``train`` or ``val``;
3. else none: the run itself;
4. a name and context belong to the source that uses them first. Another source has a context of
   its own beneath that one, called by its label, for the same name. A parameter or tag of the same
   name is then ``<label>/<name>``.

Where another process of the run, of the same rank, has another source, all names of this one are
taken to be used. Names stay as they are. Imports `joined`, `naming`, `run`, `lifecycle`.
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
from provml.capture.outer_run import note_missed, outer_run
from provml.errors import InvalidMetricError, ProvMLError
from provml.journal import layout
from provml.journal.values import plain_number
from provml.recording import process_hooks
from provml.recording.disabled_run import DisabledRun
from provml.recording.run import Run

USED: Final = "tracker used"
"""The event of a source's first record: the tool, its version, where it writes."""
VALUE: Final = "tracker value"
"""The event of a value that is no metric: its name, type and text."""
_NOT_IN_FILE_NAMES: Final = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST: Final = 1000
_SCAN_LINES: Final = 100_000
_DEEPEST: Final = 16

_sources: dict[tuple[str, str], Source] = {}
_labels: dict[str, Source] = {}
_owners: dict[tuple[str, str, tuple[str, ...] | None], Source] = {}


class Source:
    """One writer or run of a tracker; made by `source_of`, once for each.

    Attributes:
        tool: the tracker's name.
        key: what identifies it among the tracker's: a log folder, a run's id.
        label: a short name.
    """

    def __init__(self, tool: str, key: str, label: str, context: Context | None) -> None:
        """Not for users: `source_of` makes them."""
        self.tool = tool
        self.key = key
        self.label = label if _labels.setdefault(label, self) is self else f"{tool} {key}"
        self._context = context
        self._apart = False
        self._contexts: dict[str | tuple[str, Context], Context | None] = {}
        self._names: dict[tuple[str, str], str] = {}

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Say in the run that this tracker is used."""
        run = target()
        if run is not None:
            metadata = {"tool": self.tool, "source": self.key, "label": self.label, **facts}
            run.log_event(USED, source=self.tool, metadata=metadata)
            self._apart = _others_track(run, self)

    def metric(
        self,
        name: str,
        value: Any,
        step: Any = None,
        epoch: int | None = None,
        timestamp: float | datetime | None = None,
        within: Context | None = None,
    ) -> None:
        """Record a value under a name: a metric where it is one, else an event with its type.

        Costs what `Run.log_metric` does and half a microsecond. Raises what that does, but for
        values.
        """
        kind = value.__class__
        if kind is not float and kind is not int:
            value = plain_number(value)
            if value is True or value is False:
                value = int(value)  # as the trackers plot it
        if step is not None and step.__class__ is not int:
            step = int(step)  # as the trackers do
        try:
            context = self._contexts[name if within is None else (name, within)]
        except KeyError:
            context = self._resolve(name, within)
        active = process_hooks.active_runs
        run = active[-1] if active else outer_run()
        if run.__class__ is DisabledRun:
            run = outer_run()
        if run is None:
            return
        try:
            run.log_metric(name, value, context, step, epoch=epoch, timestamp=timestamp)
        except InvalidMetricError:
            metadata = {"name": name, "type": _type_name(value), "value": describe_object(value)}
            run.log_event(
                VALUE,
                source=self.tool,
                metadata=metadata,
                context=context,
                step=step,
                epoch=epoch,
                timestamp=timestamp,
            )

    def metrics(
        self,
        values: Mapping[Any, Any],
        step: Any = None,
        timestamp: float | datetime | None = None,
        within: Context | None = None,
    ) -> None:
        """Record each value of a mapping; those of nested mappings have dotted names.

        An ``epoch`` among them that is a whole number, of an integer type, is that of all.
        """
        epoch = plain_number(values.get("epoch"))
        if epoch.__class__ is not int or not 0 <= epoch < 2**31:
            epoch = None
        for name, value in _flat(values):
            try:
                self.metric(name, value, step, epoch, timestamp, within)
            except ProvMLError as error:  # one of them, not all
                note_missed(f"{self.tool}: {name[:100]!r}", error)

    def context_for(self, name: str, within: Context | None = None) -> Context | None:
        """The context of what has this name here.

        Args:
            name: the name.
            within: a context that the tracker gives, instead of what the name says.
        """
        try:
            return self._contexts[name if within is None else (name, within)]
        except KeyError:
            return self._resolve(name, within)

    def _resolve(self, name: str, within: Context | None) -> Context | None:
        context = within or context_from_name(name) or self._context
        if not self._first("metric", name, context_path(context)):
            context = Context(self.label, context)
        self._contexts[name if within is None else (name, within)] = context
        return context

    def _first(self, kind: str, name: str, path: tuple[str, ...] | None = None) -> bool:
        return not self._apart and _owners.setdefault((kind, name, path), self) is self

    def _own_name(self, kind: str, name: str) -> str:
        try:
            return self._names[kind, name]
        except KeyError:
            own = name if self._first(kind, name) else f"{self.label}/{name}"
            self._names[kind, name] = own
            return own

    def params(self, params: Mapping[Any, Any]) -> None:
        """Record parameters; those of nested mappings have dotted names."""
        run = target()
        if run is not None:
            for name, value in _flat(params):
                run.log_param(self._own_name("param", name), value)

    def tags(self, tags: Mapping[Any, Any]) -> None:
        """Record tags."""
        run = target()
        if run is not None:
            for name, value in tags.items():
                run.set_tag(self._own_name("tag", str(name)), value)

    def event(self, name: str, metadata: Mapping[str, Any], **place: Any) -> None:
        """Record an event; ``place`` is what `Run.log_event` takes of step and timestamp."""
        run = target()
        if run is not None:
            run.log_event(name, source=self.tool, metadata=metadata, **place)

    def artifact(self, path: Any, name: str, **facts: Any) -> None:
        """Record a file or folder that the run made, with which tracker it was given to."""
        run = target()
        if run is not None:
            metadata = {"tool": self.tool, "source": self.key, **facts.pop("metadata", {})}
            run.log_artifact(path, self._own_name("artifact", name), metadata=metadata, **facts)

    def content(
        self,
        content: bytes,
        name: str,
        ending: str,
        step: int | None = None,
        timestamp: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record an artifact that the tracker got as bytes; they are kept beside the run.

        Args:
            content: the bytes.
            name: the name that the tracker has for it.
            ending: what their file's name ends with: ``png``.
            step, timestamp: as the tracker got them.
            metadata: what else there is to say.
        """
        run = target()
        if run is not None:
            facts = {"tool": self.tool, "source": self.key, **(metadata or {})}
            stem = _NOT_IN_FILE_NAMES.sub("_", name)[-80:] or "content"
            own_name, context = self._own_name("artifact", name), self.context_for(name)
            run._log_bytes(content, own_name, f"{stem}.{ending}", context, step, timestamp, facts)

    def model(self, path: Any, name: str, **facts: Any) -> None:
        """Record a model that lies in a file or folder."""
        run = target()
        if run is not None:
            run.log_model(self._own_name("model", name), path, **facts)

    def dataset(self, data: Any, name: str, context: Context | None = None) -> None:
        """Record a dataset that is used."""
        run = target()
        if run is not None:
            run.log_dataset(self._own_name("dataset", name), data, context=context)


def source_of(
    tool: str,
    key: str,
    label: str,
    facts: Mapping[str, Any],
    context: Context | None = None,
) -> Source:
    """The source of that key, made and announced in the run where it is new.

    Args:
        tool: the tracker's name.
        key: what identifies the source among the tracker's.
        label: a short name for it.
        facts: what else to say of it.
        context: what it says of the context of names that say none.
    """
    known = _sources.get((tool, key))
    if known is not None:
        return known
    made = Source(tool, key, label, context)
    source = _sources.setdefault((tool, key), made)
    if source is made:
        source.announce(facts)
    return source


def target() -> Run | None:
    """The run to record into: the script's own where it has one, else the one around it."""
    run: Run | None = process_hooks.active()
    return outer_run() if run is None or isinstance(run, DisabledRun) else run


def _flat(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Dotted names and values; what is nested too deep is itself a value."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value and depth < _DEEPEST:
            yield from _flat(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value


def folder_context(path: str) -> Context | None:
    """What the last part of a log folder says, where it is one word: ``runs/exp1/val``."""
    last = os.path.basename(os.path.normpath(path))
    return context_from_name(f"x/{last}") if last.isalpha() else None


def version_of(package: str) -> str | None:
    """The version that an imported package says it has."""
    version = getattr(sys.modules.get(package), "__version__", None)
    return version if isinstance(version, str) else None


def describe_object(value: object) -> str:
    """The beginning of a value's ``repr``."""
    try:
        text = repr(value)
    except Exception as error:  # another's __repr__ may raise anything
        text = f"<repr failed: {type(error).__name__}>"
    return text[:_LONGEST].encode("utf-8", "backslashreplace").decode()


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _others_track(run: Run, source: Source) -> bool:
    """Whether another process of this rank has said that it uses another source."""
    folder = run.path / layout.JOURNAL_FOLDER
    own = f"-{os.getpid()}-"
    for path in folder.glob(f"*{layout.EVENTS_SUFFIX}"):
        if own not in path.name:
            with path.open("rb") as file:
                if _says_another(islice(file, _SCAN_LINES), run, source):
                    return True
    return False


def _says_another(lines: Iterable[bytes], run: Run, source: Source) -> bool:
    quoted = json.dumps(USED).encode()
    for number, line in enumerate(lines):
        if number and quoted not in line:
            continue
        try:
            record = json.loads(line)
            if not number and record.get("rank") != run._folder.settings.rank:
                return False
            if record.get("name") == USED:
                told = record["metadata"]
                if (told["tool"], told["source"]) != (source.tool, source.key):
                    return True
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a line that is being written, or another's
    return False
