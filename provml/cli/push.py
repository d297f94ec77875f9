"""``provml push``: uploads runs to a SPARQL server.

Imports `journal.store`; imports `sparql` only when the command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import choose_run
from provml.cli._options import examples, store_option


@click.command("push", epilog=examples("provml push latest --to http://localhost:7878/store"))
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--to", "url", required=True, metavar="URL", help="The Graph Store URL of the server."
)
@click.option(
    "--graph",
    metavar="IRI",
    help="The name of the graph, if you push only one run.  [default: <IRI of the run>/bundle]",
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="Send every sample, or only a summary of each series.  [default: sample for runs of up "
    "to a million samples, series for larger runs]",
)
@store_option
def push_command(
    runs: Sequence[str], url: str, graph: str | None, detail: str | None, store: str | None
) -> None:
    """Upload runs to a SPARQL server.

    Each run becomes a named graph, and replaces the previous content of that graph. If you push
    the same run again, the graph does not change. Each graph is sent in a single request, so a push
    that is interrupted leaves the graph unchanged, and you can push again.

    URL is the server's address for the SPARQL 1.1 Graph Store HTTP Protocol:

    \b
      https://HOST/store            Oxigraph
      https://HOST/DATASET/data     Fuseki
      .../rdf-graphs/service        GraphDB and RDF4J

    provml reads the credentials from the environment variable PROVML_SPARQL_TOKEN, from
    PROVML_SPARQL_USER and PROVML_SPARQL_PASSWORD, or from the file ~/.netrc.
    """  # noqa: D301 - \b tells click not to wrap the text
    from provml.journal.reader import Journal
    from provml.model.bundles import bundle_iri
    from provml.model.mapping import RunMapping
    from provml.sparql.remote import Endpoint, push_graph, validate_graph_name

    if graph is not None and len(runs) > 1:
        raise click.UsageError(f"--graph works only with a single run, but you named {len(runs)}")
    endpoint = Endpoint(url)
    journals = [Journal(choose_run(run, store)) for run in runs]
    for number, journal in enumerate(journals, 1):
        name = bundle_iri(journal) if graph is None else validate_graph_name(graph)
        label = f"{journal.folder.name} ({number} of {len(journals)})"
        mapping = RunMapping(journal, detail)
        with _push_progress(label) as progress:
            sent = push_graph(endpoint, name, mapping, progress)
        click.echo(name)
        terminal.echo_note(
            f"pushed {terminal.printable(label)}: {terminal.size_text(sent)}, {mapping.detail} "
            f"detail, {mapping.samples:,} samples"
        )


@contextmanager
def _push_progress(label: str) -> Iterator[Callable[[int], None]]:
    """Show the progress of an upload if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda sent: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(20), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        text = terminal.printable(label)
        task = progress.add_task(f"reading {text}", total=None)

        def show(sent: int) -> None:
            description = f"pushing {text}, {terminal.size_text(sent)}"
            progress.update(task, description=description)

        yield show


GROUP = "Documents"
COMMANDS = [push_command]
