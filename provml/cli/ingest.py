"""``provml ingest``: reads metrics from log lines.

Imports `capture` and `journal` only when the command runs.
"""

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
from provml.cli._options import examples, store_option
from provml.errors import InvalidArgumentError, JournalError, StoreError

if TYPE_CHECKING:
    from provml.capture.lines import LineReader
    from provml.recording.run import Run

_STDIN = "-"


@click.command(
    "ingest",
    epilog=examples(
        "python train.py | provml ingest -",
        "provml ingest train.log --experiment digits",
        "provml ingest train.log --suggest",
        "provml ingest train.log --follow --pattern 'epoch {epoch} loss {loss}'",
    ),
)
@click.argument("file", metavar="FILE")
@click.option("--experiment", help="The name of the experiment.  [default: FILE's name, or stdin]")
@click.option(
    "--run", "run_name", metavar="RUN", help="Add the metrics to this run, which must have ended."
)
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="The format of lines with metrics, such as 'epoch {epoch} loss {loss}', or a regular "
    "expression with named groups. Can be repeated.",
)
@click.option("--follow", is_flag=True, help="Keep reading while FILE grows, until Ctrl-C.")
@click.option(
    "--suggest",
    is_flag=True,
    help="Record nothing. Print the patterns of the lines that give metrics, and patterns to try.",
)
@click.option("--quiet", is_flag=True, help="Don't copy standard input to standard output.")
@store_option
def ingest_command(
    file: str,
    experiment: str | None,
    run_name: str | None,
    patterns: tuple[str, ...],
    follow: bool,
    suggest: bool,
    quiet: bool,
    store: str | None,
) -> int:
    """Record the metrics in a log file or in piped output.

    FILE is a log file, or - for standard input, which is copied unchanged to standard output.

    provml recognizes JSON lines such as {"metric": "loss", "value": 0.5, "step": 3}, the log lines
    of Keras, the progress bars of tqdm, and lines such as "epoch 3 | train loss 0.12" that come
    again and again with other numbers. --suggest shows what it finds. For other lines, describe the
    format with --pattern.

    A PATTERN is text with placeholders:

    \b
      {epoch}  {step}    an integer
      {name}   {value}   the name of a metric, and its value
      {}                 any word
      {loss}             the value of the metric loss; works for any other name

    A PATTERN that contains (?P<name>...) is a regular expression instead.

    The time of a sample is the time when its line was read or, for a JSON line, its "timestamp" in
    seconds. The event "lines rejected" counts the lines that look like metrics but are not valid.
    """  # noqa: D301 - \b tells click not to wrap the text
    from provml.capture.ingest import STDIN, is_file, open_text, pass_through, read_text
    from provml.capture.lines import LineReader, compile_patterns

    compile_patterns(patterns)
    if file == _STDIN and follow:
        raise click.UsageError("--follow needs a file: standard input is always read until it ends")
    if experiment is not None and run_name is not None:
        raise click.UsageError(
            "--experiment can't be used with --run: the run already has an experiment"
        )
    if file == _STDIN:
        _check_stdin(STDIN)
        fd = STDIN
    else:
        fd = open_text(file)
    if suggest:
        if follow:
            raise click.UsageError(
                "--suggest can't be used with --follow, because --suggest reads FILE only once"
            )
        _echo_suggestions(fd, patterns)
        return 0
    piped = file == _STDIN and not sys.stdin.isatty()
    try:
        run, ending = _start_or_resume(experiment or _experiment_name(file), run_name, store)
    except (StoreError, JournalError) as error:
        if piped and not quiet:
            # keep reading, or SIGPIPE would kill the program that writes to the pipe
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


def _echo_suggestions(fd: int, patterns: tuple[str, ...]) -> None:
    """Read a log, and print the kinds of lines that give metrics, with an example of each.

    Also prints the kinds of lines that look like metrics but give none.
    """
    from provml.capture.ingest import read_text
    from provml.capture.lines._suggestions import PatternSuggester

    suggester = PatternSuggester(patterns)
    read_text(fd, suggester)
    suggester.finish()
    found, missed = suggester.list_found(), suggester.list_missed()
    if not found:
        click.echo("no lines with metrics found")
    for one in found:
        click.echo(
            terminal.printable(one.pattern or "(a table, or a format that needs no pattern)")
        )
        click.echo(f"  lines    {one.lines:,}")
        click.echo(terminal.printable(f"  example  {one.line.strip()[:200]}"))
        for number, sample in enumerate(one.samples):
            click.echo(terminal.printable(f"  {'' if number else 'records':7}  {sample}"))
    if missed:
        click.echo(
            "\nThese lines look like metrics but give none. To record them, add a --pattern:"
        )
    for one in missed:
        click.echo(terminal.printable(one.pattern or ""))
        click.echo(f"  lines    {one.lines:,}")
        click.echo(terminal.printable(f"  example  {one.line.strip()[:200]}"))


def _check_stdin(fd: int) -> None:
    """Raise InvalidArgumentError if standard input is closed.

    Otherwise, the next file that is opened would get file descriptor 0, and would be read as if it
    were standard input.
    """
    try:
        os.fstat(fd)
    except OSError:
        raise InvalidArgumentError(
            "standard input is closed: pipe log lines to it, or name a file"
        ) from None


def _experiment_name(file: str) -> str:
    """Return the default experiment name for a log file."""
    return "stdin" if file == _STDIN else Path(file).stem or file


def _start_or_resume(
    experiment: str, run_name: str | None, store: str | None
) -> tuple[Run, dict[str, Any]]:
    """Start a new run, or resume the run with a given name.

    Returns:
        The run, and the arguments to pass to the run's `end_run`. For a resumed run, the
        arguments restore the earlier status, or set it to ``failed`` if the run had not ended.
    """
    from provml import start_run

    if run_name is None:
        return start_run(experiment, store=store, sample_interval_s=0), {}
    from provml.cli._choice import choose_run
    from provml.journal import layout
    from provml.journal.reader import Journal

    folder = choose_run(run_name, store)
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
    """Yield a list to which the number of each SIGINT or SIGTERM is added as the signal arrives.

    Ctrl-C also reaches the program that writes to the pipe. After the first Ctrl-C, the command
    therefore keeps reading until that program's output ends. A second Ctrl-C or a SIGTERM raises
    KeyboardInterrupt. With ``at_once``, so does the first Ctrl-C.
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
    """Record the log file as a dataset that the run used."""
    from provml.errors import ContentNotFoundError

    try:
        run.log_dataset(os.path.basename(file), file)
    except ContentNotFoundError as error:
        run.log_event("file lost", source="provml", metadata={"reason": str(error)})


def _echo_summary(run: Run, reader: LineReader) -> None:
    """Print a summary on standard error, because standard output may carry the log lines."""
    text = f"run {run.experiment}/{run.id}: {reader.recorded:,} samples"
    if reader.rejected:
        text += f", {reader.rejected:,} rejected (see the event 'lines rejected')"
    lost, _ = run.dropped
    if lost:
        text += f", {lost:,} of the samples lost"
    terminal.echo_note(terminal.printable(text))


GROUP = "Record"
COMMANDS = [ingest_command]
