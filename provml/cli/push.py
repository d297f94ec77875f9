"""``provml push``. Imports `_options`, `_terminal`, `store`; `sparql` when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from provml.cli import _terminal as terminal
from provml.cli._options import store_option
from provml.journal.store import find_run


@click.command("push")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--to", "url", required=True, metavar="URL", help="The server's Graph Store URL, see below."
)
@click.option(
    "--graph", metavar="IRI", help="The graph's name, for one run.  [default: <the run's>/bundle]"
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="Every sample, or each series with its summary.  "
    "[default: sample up to a million samples a run, else series]",
)
@store_option
def push_command(
    runs: Sequence[str], url: str, graph: str | None, detail: str | None, store: str | None
) -> None:
    """Put runs on a SPARQL server, each as a named graph, in place of what that graph held.

    By the SPARQL 1.1 Graph Store HTTP Protocol; its URL is https://HOST/store with Oxigraph,
    https://HOST/DATASET/data with Fuseki, .../rdf-graphs/service with GraphDB and RDF4J. To push a
    run again changes nothing. A graph is one request, streamed, so a push that is cut off leaves
    the graph as it was; push again.

    Credentials are those of PROVML_SPARQL_TOKEN, or PROVML_SPARQL_USER and
    PROVML_SPARQL_PASSWORD, or of ~/.netrc.
    """
    from provml.journal.reader import Journal
    from provml.model.bundles import bundle_iri
    from provml.model.mapping import RunMapping
    from provml.sparql.remote import Endpoint, push_graph, validate_graph_name

    if graph is not None and len(runs) > 1:
        raise click.UsageError(f"--graph names the graph of one run, not of {len(runs)}")
    endpoint = Endpoint(url)
    journals = [Journal(find_run(run, store)) for run in runs]
    for number, journal in enumerate(journals, 1):
        name = bundle_iri(journal) if graph is None else validate_graph_name(graph)
        label = f"{journal.folder.name} ({number} of {len(journals)})"
        mapping = RunMapping(journal, detail)
        with _progress(label) as progress:
            sent = push_graph(endpoint, name, mapping, progress)
        click.echo(name)
        terminal.echo_note(
            f"pushed {terminal.printable(label)}: {terminal.size_text(sent)}, {mapping.detail} "
            f"detail, {mapping.samples:,} samples"
        )


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int], None]]:
    """Where people watch, show what is sent."""
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


COMMANDS = [push_command]
