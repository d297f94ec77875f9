"""Prints what ``provml run`` has recorded, in at most three lines on the terminal.

The lines come from the journal, where secrets are already masked. Nothing is printed if standard
error is not a terminal. Imports only `base`, `collect.secrets` and `journal` from provml.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.base.text import format_duration, printable
from provml.collect.secrets import mask_text
from provml.journal.files import WriterFiles
from provml.journal.journal_folder import list_writer_files
from provml.journal.last_samples import LastSample, find_last_samples
from provml.journal.record_parsing import Series

if TYPE_CHECKING:
    from provml.capture.lines._suggestions import Suggestion

_ERROR_FD: Final = 2
_DEFAULT_WIDTH: Final = 80
_MIN_WIDTH: Final = 20
_INDENT: Final = "  "
_MAX_EVENTS_BYTES: Final = 64 * 2**20
_MAX_SAMPLES_BYTES: Final = 64 * 2**20
_LONGEST_NAME: Final = 40
_FILES_READ: Final = ("dataset", "input")
_FILES_WRITTEN: Final = ("artifact", "model")
_EPOCH: Final = "epoch"


class RunEnd(NamedTuple):
    """How a run ended."""

    name: str
    """The experiment and the id of the run, such as ``train/20260102T030405-abcdefgh``."""
    status: str
    reason: str | None
    """Why the run failed or was interrupted; None if it finished."""
    duration_s: float


class RecordedNames(NamedTuple):
    """The names of the metrics, files and other things that a run has recorded.

    Each list is in the order in which the names were first recorded.
    """

    metrics: dict[tuple[str, ...], dict[str, LastSample | None]]
    """The last sample of each metric, by context and name. None if the part of the samples file
    that was read has no sample of the metric."""
    read: list[str]
    written: list[str]
    parameters: int
    """The number of parameters."""
    missed: list[str]
    """The names of the things that could not be recorded."""


def print_summary(
    end: RunEnd,
    run_folder: Path,
    missed_event: str,
    logs: Sequence[str],
    missed: Sequence[Suggestion],
    starts_line: Callable[[], bool],
) -> None:
    """Print what was recorded, if standard error is a terminal that this process may write to.

    Args:
        end: how the run ended.
        run_folder: the folder of the run.
        missed_event: the name of the events that say what could not be recorded.
        logs: the names of the artifacts that contain the kept output.
        missed: suggested patterns for the lines that look like metrics but were not recorded.
        starts_line: a function that returns whether the cursor is at the start of a line.
    """
    if not can_print():
        return
    found = read_names(run_folder, missed_event, logs)
    width = find_width()
    hint = build_hint(missed, width)
    lines = build_lines(end, found, hint, width)
    print_lines(lines, starts_line())


def can_print() -> bool:
    """Return whether standard error is a terminal to which this process can write at once.

    Returns False in a background process: the terminal may stop a background process that writes.
    """
    try:
        if not os.isatty(_ERROR_FD) or os.tcgetpgrp(_ERROR_FD) != os.getpgrp():
            return False
        poller = select.poll()
        poller.register(_ERROR_FD, select.POLLOUT)
        return any(found & select.POLLOUT for _, found in poller.poll(0))
    except OSError:
        return False


def print_lines(lines: Sequence[str], starts_line: bool) -> None:
    """Print the lines on standard error.

    Args:
        lines: the lines, without line breaks.
        starts_line: whether the cursor is at the start of a line. If not, a line break is printed
            first.

    Raises:
        OSError: the terminal is gone.
    """
    text = "".join(f"{line}\n" for line in lines)
    os.write(_ERROR_FD, (text if starts_line else f"\n{text}").encode("utf-8", "replace"))


def find_width() -> int:
    """Return the number of columns of the terminal."""
    try:
        columns = os.get_terminal_size(_ERROR_FD).columns
    except OSError:
        columns = 0
    return max(_MIN_WIDTH, columns or _DEFAULT_WIDTH)


def read_names(run_folder: Path, missed_event: str, logs: Sequence[str]) -> RecordedNames | None:
    """Return the names in a run's journal; None if the events take more than 64 MiB.

    Reads all events, and the last 64 MiB of the samples.

    Args:
        run_folder: the run's folder.
        missed_event: the name of the events that say what could not be recorded.
        logs: the names of the logs of the command's output, which are not counted as files.
    """
    writers = list_writer_files(run_folder)
    if sum(files.events_size() for files in writers) > _MAX_EVENTS_BYTES:
        return None
    found = RecordedNames({}, [], [], 0, [])
    parameters: set[str] = set()
    limit_bytes = _MAX_SAMPLES_BYTES
    for files in writers:
        for _, record in files.records():
            kind, name = record.get("record"), record.get("name")
            if not isinstance(name, str):
                continue
            if kind in _FILES_READ:
                _add_once(found.read, name)
            elif kind in _FILES_WRITTEN and name not in logs:
                _add_once(found.written, name)
            elif kind == "param":
                parameters.add(name)
            elif kind == "event" and name == missed_event:
                metadata = record.get("metadata")
                what = metadata.get("what") if isinstance(metadata, dict) else None
                _add_once(found.missed, str(what))
        limit_bytes -= _add_metrics(found.metrics, files, max(0, limit_bytes))
    return found._replace(parameters=len(parameters))


def _add_once(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def _add_metrics(
    metrics: dict[tuple[str, ...], dict[str, LastSample | None]],
    files: WriterFiles,
    limit_bytes: int,
) -> int:
    """Add the metrics of one writer to ``metrics``; return the size of its samples in bytes."""
    series = {number: one for number, one in files.series().items() if _is_shown(one)}
    if not series:
        return 0
    try:
        last = find_last_samples(files, series, limit_bytes)
        size = files.find_samples_end()
    except OSError:
        last, size = {}, 0
    for number, one in series.items():
        known = metrics.setdefault(one.context or (), {})
        sample, earlier = last.get(number), known.get(one.name)
        is_later = sample is not None and (earlier is None or sample.time_ns >= earlier.time_ns)
        if one.name not in known or is_later:
            known[one.name] = sample
    return size


def _is_shown(series: Series) -> bool:
    return series.kind == "metric" and series.role != "stored" and series.name != _EPOCH


def build_hint(missed: Sequence[Suggestion], width: int) -> str | None:
    """Return a hint on how to record lines that look like metrics; None if there are no such lines.

    Masks the secrets in the suggested pattern, which contains parts of the lines.

    Args:
        missed: a suggested pattern for each shape of lines that were not recorded.
        width: the number of columns of the terminal. If the pattern does not fit, the hint names
            the command that shows the pattern.
    """
    if not missed:
        return None
    import shlex

    most = max(missed, key=lambda one: one.lines)
    pattern = shlex.quote(mask_text(most.pattern or ""))
    hint = f"{most.lines:,} more lines look like metrics; to record them: --pattern {pattern}"
    if len(_INDENT) + len(hint) <= width:
        return hint
    return "more lines look like metrics: see provml ingest --suggest"


# -- the lines --------------------------------------------------------------------------------


def build_lines(
    end: RunEnd, found: RecordedNames | None, hint: str | None, width: int
) -> list[str]:
    """Build the lines of the summary: at most three, each at most ``width`` characters wide.

    Args:
        end: how the run ended.
        found: what the run recorded; None if unknown.
        hint: the hint that `build_hint` returned, or None.
        width: the number of columns of the terminal.
    """
    lines = [_describe_end(end, width)]
    room = width - len(_INDENT)
    if found is not None:
        metrics = _describe_metrics(found, room)
        files = _describe_files(found, room)
        both = f"{metrics}; {files}"
        if len(both) <= room:
            lines.append(_INDENT + both)
        elif hint is None:
            lines += [_INDENT + metrics, _INDENT + files]
        else:
            counts = f"; {_describe_counts(found)}"
            if room - len(counts) < _MIN_WIDTH:
                counts = ""
            lines.append(_INDENT + _describe_metrics(found, room - len(counts)) + counts)
    if hint is not None:
        lines.append(_INDENT + _shorten(printable(hint), room))
    return lines


def _describe_end(end: RunEnd, width: int) -> str:
    """Return the first line of the summary, without its least important parts if it is too long."""
    name = printable(end.name)
    duration = format_duration(end.duration_s)
    reason = "" if end.reason is None else f": {printable(end.reason)}"
    own_id = name.rpartition("/")[2]
    candidates = [
        f"provml: {name} {end.status} after {duration}{reason}",
        f"provml: {name} {end.status} after {duration}",
        f"provml: {own_id} {end.status} after {duration}",
        f"provml: {own_id} {end.status}",
    ]
    fitting = (line for line in candidates if len(line) <= width)
    return next(fitting, _shorten(candidates[-1], width))


def _describe_metrics(found: RecordedNames, room: int) -> str:
    """Return the names and last values of as many metrics as fit, grouped by context.

    Args:
        found: what the run recorded.
        room: the maximum length of the text.
    """
    if not found.metrics:
        return "no metrics"
    total = sum(map(len, found.metrics.values()))
    text = ""
    for most in range(max(map(len, found.metrics.values())), 0, -1):
        text = _list_metrics(found, most, total)
        if len(text) <= room:
            return text
    return _shorten(text, room)


def _list_metrics(found: RecordedNames, most: int, total: int) -> str:
    parts, shown = [], 0
    for context, metrics in found.metrics.items():
        own = [_metric_text(name, sample) for name, sample in list(metrics.items())[:most]]
        shown += len(own)
        prefix = f"{_shorten(printable('/'.join(context)), _LONGEST_NAME)}: " if context else ""
        parts.append(prefix + ", ".join(own))
    rest = f" and {total - shown} more" if shown < total else ""
    return "; ".join(parts) + rest


def _metric_text(name: str, sample: LastSample | None) -> str:
    own = _shorten(printable(name), _LONGEST_NAME)
    return own if sample is None else f"{own} {_value_text(sample.value)}"


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return _shorten(printable(value), _LONGEST_NAME)


def _describe_files(found: RecordedNames, room: int) -> str:
    """Return the names of the files, or only the number of files if the names don't fit.

    The text also gives the number of parameters, and says what could not be recorded.

    Args:
        found: what the run recorded.
        room: the maximum length of the text.
    """
    for most in (5, 3, 2, 1):
        parts = _list_rest(found)
        if found.written:
            parts.insert(0, f"wrote {_list_names(found.written, most)}")
        if found.read:
            parts.insert(0, f"read {_list_names(found.read, most)}")
        text = "; ".join(parts) if found.read or found.written else "; ".join(["no files", *parts])
        if len(text) <= room:
            return text
    return _shorten(_describe_counts(found), room)


def _describe_counts(found: RecordedNames) -> str:
    files = f"{_count_text(len(found.read), 'file')} read, {len(found.written)} written"
    return "; ".join([files, *_list_rest(found)])


def _list_rest(found: RecordedNames) -> list[str]:
    parts = []
    if found.parameters:
        parts.append(_count_text(found.parameters, "parameter"))
    if found.missed:
        parts.append(f"not recorded: {_list_names(found.missed, 1)}")
    return parts


def _count_text(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _list_names(names: Sequence[str], most: int) -> str:
    shown = [_shorten(printable(name), _LONGEST_NAME) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(0, length - 1)]}…"
