"""``provml run``: records a command. Imports `capture.command` only when the command runs."""

from __future__ import annotations

import click

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
    help="The name of the experiment.  [default: the script's or command's name]",
)
@click.option("--project", metavar="NAME", help="A name that groups experiments.")
@click.option("--owner", metavar="NAME", help="Who is responsible.  [default: the login name]")
@click.option("--namespace", metavar="IRI", help="The base IRI of everything the run describes.")
@click.option("--run-id", metavar="ID", help="The run's id; give the same to all ranks of a job.")
@click.option("--resume", is_flag=True, help="Resume the run with this id, or the latest.")
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of the run; can be repeated."
)
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="P",
    help="How other lines of the output state metrics, as in provml ingest; can be repeated.",
)
@click.option("--no-output", is_flag=True, help="Don't read or keep the output.")
@click.option("--no-trackers", is_flag=True, help="Don't record calls of TensorBoard, MLflow, ...")
@click.option("--no-files", is_flag=True, help="Don't record the files that are read and written.")
@click.option(
    "--output-limit",
    type=click.FloatRange(min=0, max=2**20),
    default=10,
    show_default=True,
    metavar="MIB",
    help="How much of each stream to keep, half of it from the start; 0 for nothing.",
)
@click.option(
    "--sample-interval",
    type=float,
    metavar="S",
    help="Seconds between readings of the machine; 0 for no readings.  [default: 5]",
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
    no_files: bool,
    output_limit: float,
    sample_interval: float | None,
    formats: str,
    store: str | None,
) -> None:
    """Run a command and record it.

    The command can be python train.py, python -m module, a notebook (train.ipynb) or any other
    program. It runs exactly as it would without provml: same output, exit status and signals.

    provml keeps what the command prints and reads metrics from it. In Python programs it also
    records calls of other trackers and the files that are read and written. If the program calls
    provml.start_run, it joins this run. If the store can't be written, the command runs unrecorded.
    """
    from provml.capture.command import supervisor as capture
    from provml.errors import InvalidArgumentError, RunExistsError

    pairs = [tag.partition("=") for tag in tags]
    for tag, (name, equals, _) in zip(tags, pairs, strict=True):
        if not equals or not name:
            raise InvalidArgumentError(f"a tag must be KEY=VALUE: {tag!r}")
    wanted = capture.CommandOptions(
        patterns=patterns,
        output=not no_output,
        trackers=not no_trackers,
        files=not no_files,
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
