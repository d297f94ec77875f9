"""``provml query``: queries runs with SPARQL. Imports `sparql` only when the command runs."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from provml.base.sinks import open_sink
from provml.cli import _terminal as terminal
from provml.cli._choice import choose_run
from provml.cli._options import exact_option, examples, store_option
from provml.errors import ProvMLError, QueryError

if TYPE_CHECKING:
    from rich.text import Text

    from provml.sparql.answers import SparqlAnswer
    from provml.sparql.query import Parameter

_STDOUT: Final = "-"
_FORMATS: Final = ("table", "csv", "json", "arrow", "parquet", "turtle", "ntriples", "jsonld")
_GRAPHS: Final = _FORMATS[-3:]
_BINARY: Final = ("arrow", "parquet")
_MOST_ROWS: Final = 1000
_LARGEST_QUERY: Final = 2**22


@click.command(
    "query",
    epilog=examples(
        "provml query --list",
        "provml query latest 'SELECT * { ?metric a provml:Metric } LIMIT 5'",
        "provml query --file question.rq -o answer.csv",
    ),
)
@click.argument("runs_and_query", nargs=-1, metavar="[RUN]... [QUERY]")
@click.option(
    "--file", "file", metavar="FILE", help="Read the query from a file, or - for standard input."
)
@click.option("--name", "ready_name", metavar="NAME", help="Run a ready-made query from --list.")
@click.option("--list", "list_ready", is_flag=True, help="List the ready-made queries and exit.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a parameter that the query declares as VALUES ?name { UNDEF }. Can be repeated.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(_FORMATS),
    help="The format of the result.  [default: from the extension of FILE; otherwise turtle for a "
    "graph, table on a terminal, and csv in a pipe]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The file to write, or - for standard output. A file whose name ends in .gz or .zst is "
    "compressed.",
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="Query every sample, or only a summary of each series.  [default: sample for runs of up "
    "to a million samples, series for larger runs]",
)
@click.option(
    "--in-memory",
    is_flag=True,
    help="Load the runs into memory, for this query only. Loading is twice as fast, but the next "
    "query has to load the runs again.",
)
@click.option(
    "--endpoint", metavar="URL", help="Query the graphs of the RUNs on this SPARQL server."
)
@click.option(
    "--timeout", "timeout_s", type=float, metavar="SECONDS", help="Stop the query after this time."
)
@exact_option
@store_option
def query_command(
    runs_and_query: Sequence[str],
    file: str | None,
    ready_name: str | None,
    list_ready: bool,
    settings: Sequence[str],
    format_name: str | None,
    output: str | None,
    detail: str | None,
    in_memory: bool,
    endpoint: str | None,
    timeout_s: float | None,
    store: str | None,
) -> None:
    """Query runs with SPARQL.

    QUERY is a SELECT, ASK, CONSTRUCT or DESCRIBE query over the RUNs, or over all runs in the store
    if you name none. The default graph is the union of the runs. To address a single run, use
    GRAPH. A query can't change anything, and SERVICE is not allowed.

    The prefixes prov, provml, tags, rdf, rdfs, xsd and dcterms are predefined. If there is a single
    RUN, the prefix run is also predefined.

    The first query loads the runs into the store's folder .provml. A run is loaded again if it has
    changed. You can delete the folder at any time.

    With --endpoint, a server answers the query through the SPARQL 1.1 Protocol. provml reads the
    credentials from the environment variable PROVML_SPARQL_TOKEN, from PROVML_SPARQL_USER and
    PROVML_SPARQL_PASSWORD, or from the file ~/.netrc.
    """
    if list_ready:
        _list_ready_queries()
        return
    runs, text, parameters = _read_question(runs_and_query, file, ready_name, settings)
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise click.UsageError(f"--timeout must be a number of seconds above 0, not {timeout_s}")
    _run_in_child(timeout_s, output)
    if endpoint is not None:
        _write_answer(_ask_endpoint(endpoint, runs, text, parameters, store), format_name, output)
        return
    from provml.sparql import load_runs

    folders = [choose_run(run, store) for run in runs]
    with load_runs(folders or None, store, detail, terminal.echo_note, not in_memory) as loaded:
        answer = loaded.query(text, **parameters)
        _write_answer(answer, format_name, output)


def _ask_endpoint(
    url: str, runs: list[str], text: str, parameters: dict[str, Parameter], store: str | None
) -> SparqlAnswer:
    from provml.journal.reader import Journal
    from provml.model.bundles import bundle_iri
    from provml.model.mapping import run_prefixes
    from provml.sparql.remote import Endpoint, ask_endpoint

    endpoint = Endpoint(url)
    journals = [Journal(choose_run(run, store)) for run in runs]
    prefixes = {"run": run_prefixes(journals[0])["run"]} if len(journals) == 1 else {}
    graphs = [bundle_iri(journal) for journal in journals]
    return ask_endpoint(endpoint, text, parameters, prefixes, graphs)


def _list_ready_queries() -> None:
    from provml.sparql.ready_queries import list_ready_queries

    for query in list_ready_queries():
        click.echo(f"{query.name:20}{query.title}")
        for name, what in query.parameters.items():
            click.echo(f"{'':20}  --set {name}=...  {what}")


# -- reading the query ------------------------------------------------------------------------


def _read_question(
    arguments: Sequence[str], file: str | None, ready_name: str | None, settings: Sequence[str]
) -> tuple[list[str], str, dict[str, Parameter]]:
    """Return the runs to query, the text of the query, and its parameters."""
    from provml.sparql.ready_queries import describe_query, find_ready_query

    if file is not None and ready_name is not None:
        raise click.UsageError("use --file or --name, not both")
    runs = list(arguments)
    if ready_name is not None:
        query = find_ready_query(ready_name)
    elif file is not None:
        query = describe_query(file, _read_query_file(file))
    elif runs:
        query = describe_query("", runs.pop())
        if query.text and not any(mark in query.text for mark in " \n\t{"):
            raise click.UsageError(
                f"{query.text!r} is not a query: add one as the last argument, or use --file or "
                "--name"
            )
    else:
        raise click.UsageError(
            "the query is missing: add it as the last argument, or use --file or --name"
        )
    given: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, not {setting!r}")
        given[name] = value
    return runs, query.text, query.values(given)


def _read_query_file(file: str) -> str:
    if file == _STDOUT:
        content = sys.stdin.buffer.read(_LARGEST_QUERY + 1)
    else:
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST_QUERY + 1)
    if len(content) > _LARGEST_QUERY:
        raise QueryError(
            f"{file} is too large: the limit for a query is {terminal.size_text(_LARGEST_QUERY)}"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise QueryError(f"{file} is not UTF-8 text: byte {error.start} can't be decoded") from None


# -- running the query in a child process ----------------------------------------------------------


def _run_in_child(timeout_s: float | None, output: str | None) -> None:
    """Continue the command in a child process. The parent exits with the child's exit status.

    While the query engine searches for the next row, Python can't handle signals. To make Ctrl-C
    and the time limit work, the query therefore runs in a process that the parent can kill.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    waiting, held = os.pipe()
    child = os.fork()
    if child == 0:
        # the child keeps only the writing end; the parent sees this end close when the child exits
        os.close(waiting)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return
    os.close(held)
    try:
        ended, _, _ = select.select([waiting], [], [], timeout_s)
        if not ended:
            raise ProvMLError(
                f"the query did not finish within {timeout_s:g} s: simplify it or raise --timeout"
            )
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _remove_partial_output(output, child)
        raise
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _remove_partial_output(output, child)
        raise (
            click.Abort
            if -code == signal.SIGINT
            else ProvMLError(f"the query was killed by signal {-code}")
        )
    raise click.exceptions.Exit(code)


def _remove_partial_output(output: str | None, child: int) -> None:
    """Remove the unfinished output file of a killed child process."""
    if output is None or output == _STDOUT:
        return
    path = Path(os.path.realpath(output))
    for part in path.parent.glob(f".*.{child}-*.part"):
        if part.name.startswith(f".{path.name[:100]}."):
            part.unlink(missing_ok=True)


# -- writing the result -----------------------------------------------------------------------


def _write_answer(answer: SparqlAnswer, format_name: str | None, output: str | None) -> None:
    format_name = format_name or _choose_answer_format(answer, output)
    if answer.kind == "boolean" and format_name in ("table", "csv"):
        text = "true\n" if answer else "false\n"
        _write_output_text(text, output)
    elif format_name == "table":
        if answer.kind == "graph":
            raise QueryError(
                f"a graph can't be shown as a table: choose --format from {', '.join(_GRAPHS)}"
            )
        if output not in (None, _STDOUT):
            raise QueryError(
                "the format table can't be written to a file: choose another --format, such as csv"
            )
        _show_bindings(answer)
    elif output in (None, _STDOUT):
        if format_name in _BINARY and sys.stdout.isatty():
            raise QueryError(
                f"{format_name} can't be shown on a terminal: write it to a file with -o"
            )
        sys.stdout.flush()
        answer.write(format_name, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with open_sink(str(output)) as sink:
            answer.write(format_name, sink)


def _choose_answer_format(answer: SparqlAnswer, output: str | None) -> str:
    from provml.sparql.answers import ANSWER_SUFFIXES

    if output not in (None, _STDOUT):
        name = str(output).lower().removesuffix(".gz").removesuffix(".zst")
        for ending, format_name in ANSWER_SUFFIXES.items():
            if name.endswith(ending):
                return format_name
    if answer.kind == "graph":
        return "turtle"
    return "table" if terminal.on_terminal() and output is None else "csv"


def _write_output_text(text: str, output: str | None) -> None:
    if output in (None, _STDOUT):
        click.echo(text, nl=False)
    else:
        with open_sink(str(output)) as sink:
            sink.write(text.encode())


def _show_bindings(answer: SparqlAnswer) -> None:
    rows: list[list[Text]] = []
    more = 0
    numbers = [True] * len(answer.variables)
    for row in answer.rows():
        if len(rows) == _MOST_ROWS:
            more += 1
            continue
        cells: list[Text] = []
        for place, term in enumerate(row):
            text, is_number = _format_term(term, answer.prefixes)
            numbers[place] &= is_number
            cells.append(terminal.cell(text))
        rows.append(cells)
    names = [terminal.printable(name) for name in answer.variables]
    right = [name for name, is_number in zip(names, numbers, strict=True) if is_number]
    terminal.show_wide_table(names, rows, right)
    if more:
        terminal.echo_note(
            f"{more:,} more rows are not shown: use -o FILE or --format csv to write all rows"
        )


def _format_term(term: Any, prefixes: dict[str, str]) -> tuple[str, bool]:
    """Format an RDF term for display.

    Returns:
        The text, and whether the text belongs in a right-aligned column. This is the case for
        numbers and empty cells.
    """
    from provml.model.statements import Iri
    from provml.sparql.answers import python_value

    value = python_value(term)
    if value is None:
        return "", True
    if isinstance(value, Iri):
        for prefix, iri in prefixes.items():
            if value.startswith(iri) and len(value) > len(iri):
                return f"{prefix}:{value[len(iri) :]}", False
        return str(value), False
    if isinstance(value, bool):
        return str(value).lower(), False
    if isinstance(value, float):
        return terminal.value_text(value), True
    if isinstance(value, int):
        return term.value, True
    return term.value if hasattr(term, "value") else str(term), False


GROUP = "Ask"
COMMANDS = [query_command]
