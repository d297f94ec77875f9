"""``provml ingest``. Imports `store`, `capture.ingest` when it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._options import store_option
from provml.errors import InvalidArgumentError, JournalError, StoreError

if TYPE_CHECKING:
    from provml.capture.lines import LineReader
    from provml.recording.run import Run

_STDIN = "-"


@click.command("ingest")
@click.argument("file", metavar="FILE")
@click.option("--experiment", help="The experiment's name.  [default: FILE's name, or stdin]")
@click.option("--run", "run_name", metavar="RUN", help="Add to this run, which has ended.")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="What lines say a metric, such as 'epoch {epoch} loss {loss}', or a regular expression "
    "with named groups; may be repeated.",
)
@click.option("--follow", is_flag=True, help="Go on as FILE grows, until Ctrl-C.")
@click.option("--quiet", is_flag=True, help="Of standard input: do not pass it on.")
@store_option
def ingest_command(
    file: str,
    experiment: str | None,
    run_name: str | None,
    patterns: tuple[str, ...],
    follow: bool,
    quiet: bool,
    store: str | None,
) -> int:
    """Record the metrics in a log file or in piped output.

    Known are JSON lines {"metric": "loss", "value": 0.5, "step": 3}, Keras's lines and tqdm's
    bars; what else there is a PATTERN says. {epoch} and {step} stand for an integer, {name} for a
    metric's name and {value} for its value, {} for any word, any other name in braces for the
    value of that metric; a regular expression is what has (?P<name>...) in it.

    Standard input is passed on unchanged: python train.py | provml ingest - shows what it shows
    without. A sample's time is when its line was read, but for a JSON line with a "timestamp" in
    seconds. What looked like a metric and was none is counted in the event "lines rejected".
    """
    from provml.capture.ingest import STDIN, is_file, open_text, pass_through, read_text
    from provml.capture.lines import LineReader, compile_patterns

    compile_patterns(patterns)
    if file == _STDIN and follow:
        raise click.UsageError("--follow is for a file; standard input is read as it comes")
    if experiment is not None and run_name is not None:
        raise click.UsageError("--experiment is for a new run, not with --run")
    if file == _STDIN:
        _check_stdin(STDIN)
        fd = STDIN
    else:
        fd = open_text(file)
    piped = file == _STDIN and not sys.stdin.isatty()
    try:
        run, ending = _start_or_resume(experiment or _experiment_name(file), run_name, store)
    except (StoreError, JournalError) as error:
        if piped and not quiet:  # the program before the pipe is not to die of it
            terminal.echo_note(terminal.printable(f"not recording: {error}"))
            pass_through(STDIN, sys.stdout.fileno())
            return 1
        raise
    with run, _collect_signals(at_once=not (piped or follow)) as stops:
        reader = LineReader(run, patterns, source="stdin" if file == _STDIN else file)
        try:
            read_text(
                fd,
                reader,
                pass_on=sys.stdout.fileno() if file == _STDIN and not quiet else None,
                goes_on=(lambda: not stops) if follow else None,
                path=file if follow else None,
            )
        except KeyboardInterrupt:
            pass
        finally:
            reader.finish()
        if file != _STDIN and is_file(fd):
            _log_file_as_dataset(run, file)
        stopped_by = None if follow or not stops else stops[-1]
        if stopped_by is not None:
            ending = {"status": "interrupted", "reason": signal.Signals(stopped_by).name}
        run.end_run(**ending)
    _echo_summary(run, reader)
    return 0 if stopped_by is None else 128 + stopped_by


def _check_stdin(fd: int) -> None:
    """What is opened later must not be taken for it."""
    try:
        os.fstat(fd)
    except OSError:
        raise InvalidArgumentError("standard input is closed: there is nothing to read") from None


def _experiment_name(file: str) -> str:
    """An experiment's name for a text."""
    return "stdin" if file == _STDIN else Path(file).stem or file


def _start_or_resume(
    experiment: str, run_name: str | None, store: str | None
) -> tuple[Run, dict[str, Any]]:
    """A new run, or one that ended and is gone on with; how it is to end, which is as it had."""
    from provml import start_run

    if run_name is None:
        return start_run(experiment, store=store, sample_interval_s=0), {}
    from provml.journal import layout
    from provml.journal.reader import Journal
    from provml.journal.store import find_run

    folder = find_run(run_name, store)
    journal = Journal(folder)
    state = journal.state()
    run = start_run(
        str(journal.description["experiment"]),
        store=folder.parent.parent,
        run_id=folder.name,
        resume=True,
        sample_interval_s=0,
    )
    if state.status in layout.END_STATUSES:
        return run, {"status": state.status, "reason": state.reason}
    return run, {"status": "failed", "reason": state.reason or state.status}


@contextmanager
def _collect_signals(at_once: bool) -> Iterator[list[int]]:
    """The signals that ask to stop, as they come in.

    Ctrl-C reaches the program before the pipe too: what it still prints is read, to its end, but
    for a second Ctrl-C. Other signals, and where there is none before the pipe, stop at once.
    """
    stops: list[int] = []

    def stop(number: int, frame: object) -> None:
        stops.append(number)
        if at_once or len(stops) > 1 or number != signal.SIGINT:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log_file_as_dataset(run: Run, file: str) -> None:
    """Record that the run used the file, as it is now."""
    from provml.errors import ContentNotFoundError

    try:
        run.log_dataset(os.path.basename(file), file)
    except ContentNotFoundError as error:
        run.log_event("file lost", source="provml", metadata={"reason": str(error)})


def _echo_summary(run: Run, reader: LineReader) -> None:
    """What came of it, on standard error: standard output may be what was read."""
    text = f"run {run.experiment}/{run.id}: {reader.recorded:,} samples"
    if reader.rejected:
        text += f", {reader.rejected:,} rejected (see its event 'lines rejected')"
    lost, _ = run.dropped
    if lost:
        text += f", {lost:,} of them lost"
    terminal.echo_note(terminal.printable(text))


GROUP = "Record"
COMMANDS = [ingest_command]
