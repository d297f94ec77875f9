"""``provml run``: runs a command and records it.

Imports `capture.command` only when the command runs.
"""

from __future__ import annotations

import click

from provml.base.settings import TRACE_WAYS
from provml.cli._options import examples, store_option

_BYTES_A_MIB = 2**20


@click.command(
    "run",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    options_metavar="[OPTIONS] --",
    epilog=examples(
        "provml run -- python train.py --lr 0.1",
        "provml run --tag kind=baseline -- python -m package.train",
        "provml run -- train.ipynb",
    ),
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True, metavar="COMMAND...")
@click.option(
    "--experiment",
    metavar="NAME",
    help="The name of the experiment.  [default: the name of the script or command]",
)
@click.option("--project", metavar="NAME", help="A name that groups experiments.")
@click.option(
    "--owner", metavar="NAME", help="The person responsible for the run.  [default: the login name]"
)
@click.option("--namespace", metavar="IRI", help="The base IRI of all identifiers in the run.")
@click.option(
    "--run-id", metavar="ID", help="The run's id. Use the same id for all ranks of a job."
)
@click.option("--resume", is_flag=True, help="Resume the run that --run-id names, or the latest.")
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag for the run. Can be repeated."
)
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="P",
    help="The format of output lines with metrics that provml does not recognize by itself, such "
    "as 'epoch {epoch} loss {loss}'; see provml ingest --help. Can be repeated.",
)
@click.option("--no-output", is_flag=True, help="Don't keep the output or read metrics from it.")
@click.option(
    "--no-trackers",
    is_flag=True,
    help="Don't record calls to TensorBoard, MLflow and other trackers.",
)
@click.option(
    "--no-frameworks",
    is_flag=True,
    help="Don't record what frameworks such as Lightning and Keras report.",
)
@click.option("--no-files", is_flag=True, help="Don't record which files are read and written.")
@click.option(
    "--trace",
    type=click.Choice(TRACE_WAYS),
    help="Whether to trace the command with strace, which finds the files of all programs.  "
    "[default: auto]",
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Record the files that match, such as '/tmp/cache/*'. Can be repeated.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Don't record the files that match, such as '*.log'. Can be repeated.",
)
@click.option(
    "--no-code", is_flag=True, help="Don't record the code and configuration files that are used."
)
@click.option("--no-settings", is_flag=True, help="Don't record settings such as arguments.")
@click.option("-q", "--quiet", is_flag=True, help="Don't print a summary at the end on a terminal.")
@click.option(
    "--output-limit",
    type=click.FloatRange(min=0, max=2**20),
    default=10,
    show_default=True,
    metavar="MIB",
    help="Keep this much of each output stream, half from the start and half from the end; 0 keeps "
    "nothing.",
)
@click.option(
    "--sample-interval",
    type=float,
    metavar="S",
    help="The number of seconds between system readings; 0 for no readings.  [default: 5]",
)
@click.option(
    "--formats",
    default="provjson",
    show_default=True,
    metavar="NAMES",
    help="The formats of the documents to write at the end, separated by commas; '' for none.",
)
@store_option
def run_command(
    command: tuple[str, ...],
    experiment: str | None,
    project: str | None,
    owner: str | None,
    namespace: str | None,
    run_id: str | None,
    resume: bool,
    tags: tuple[str, ...],
    patterns: tuple[str, ...],
    no_output: bool,
    no_trackers: bool,
    no_frameworks: bool,
    no_files: bool,
    trace: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    no_code: bool,
    no_settings: bool,
    quiet: bool,
    output_limit: float,
    sample_interval: float | None,
    formats: str,
    store: str | None,
) -> None:
    """Run a command and record it.

    The command can be python train.py, python -m module, a notebook (train.ipynb) or any other
    program. It runs exactly as it would without provml, with the same output, exit status and
    signals.

    provml keeps the output of the command, reads metrics from it, and records the files that the
    command reads and writes. In Python programs, provml also records the settings, the code, and
    what frameworks and other trackers report. If the program calls provml.start_run, the call joins
    this run.

    If standard error is a terminal, provml prints at the end what it recorded, in one to three
    lines.

    If provml can't write to the store, the command runs without being recorded.
    """
    from provml.capture.command import supervisor as capture
    from provml.errors import InvalidArgumentError, RunExistsError

    pairs = [tag.partition("=") for tag in tags]
    for tag, (name, equals, _) in zip(tags, pairs, strict=True):
        if not equals or not name:
            raise InvalidArgumentError(f"--tag takes KEY=VALUE, not {tag!r}")
    wanted = capture.CommandOptions(
        patterns=patterns,
        output=not no_output,
        trackers=not no_trackers,
        frameworks=not no_frameworks,
        files=not no_files,
        trace=trace,
        include=include,
        exclude=exclude,
        code=not no_code,
        settings=not no_settings,
        summary=not quiet,
        output_limit_bytes=round(output_limit * _BYTES_A_MIB),
    )
    try:
        exit_status = capture.record_command(
            command,
            wanted,
            experiment=experiment,
            project=project,
            owner=owner,
            namespace=namespace,
            run_id=run_id,
            resume=resume,
            store=store,
            tags={name: value for name, _, value in pairs},
            formats=tuple(name.strip() for name in formats.split(",") if name.strip()),
            sample_interval_s=sample_interval,
        )
    except RunExistsError as error:
        raise InvalidArgumentError(str(error).replace("resume=True", "--resume")) from None
    exit_status.leave()


GROUP = "Record"
COMMANDS = [run_command]
