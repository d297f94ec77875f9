"""``provml query``. Imports `_options`, `_terminal`; `sparql` when it runs."""

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
from provml.cli._options import store_option
from provml.errors import ProvMLError, QueryError
from provml.journal.store import find_run

if TYPE_CHECKING:
    from rich.text import Text

    from provml.sparql.answers import SparqlAnswer
    from provml.sparql.query import Parameter

_STDOUT: Final = "-"
_FORMATS: Final = ("table", "csv", "json", "arrow", "parquet", "turtle", "ntriples", "jsonld")
_GRAPHS: Final = _FORMATS[-3:]
_BINARY: Final = ("arrow", "parquet")
_MOST_ROWS: Final = 1000
_LONGEST: Final = 200
_LARGEST_QUERY: Final = 2**22


@click.command("query")
@click.argument("runs_and_query", nargs=-1, metavar="[RUN]... [QUERY]")
@click.option("--file", "file", metavar="FILE", help="Read the query from a file; - is the input.")
@click.option("--name", "ready_name", metavar="NAME", help="Ask a ready query; see --list.")
@click.option("--list", "list_ready", is_flag=True, help="List the ready queries and end.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a parameter of the query: what it has as VALUES ?name { UNDEF }.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(_FORMATS),
    help="How to give the answer.  [default: by the ending of -o; else a table on a terminal and "
    "csv in a pipe, and turtle for a graph]",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Where to: a file (.gz and .zst compress), or -."
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="Ask of every sample, or of each series with its summary.  "
    "[default: sample up to a million samples a run, else series]",
)
@click.option(
    "--in-memory",
    is_flag=True,
    help="Load for this query alone and keep nothing: twice as fast as loading to keep.",
)
@click.option(
    "--endpoint", metavar="URL", help="Ask a SPARQL server, of the graphs of the runs named."
)
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Give up after.")
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
    """Ask a SPARQL query of runs, or of all runs of the store.

    SELECT, ASK, CONSTRUCT and DESCRIBE. The default graph is all the runs named, together; GRAPH
    sees each. The prefixes prov, provml, rdf, rdfs, xsd and dcterms are known, and of a single run
    its own, run. Nothing is changed, and nothing fetched: SERVICE is refused.

    Runs are loaded once, into .provml in the store, and again when they changed; that folder can
    be deleted at any time.

    With --endpoint a server answers by the SPARQL 1.1 protocol. Credentials are those of
    PROVML_SPARQL_TOKEN, or PROVML_SPARQL_USER and PROVML_SPARQL_PASSWORD, or of ~/.netrc.
    """
    if list_ready:
        _show_ready()
        return
    runs, text, parameters = _asked(runs_and_query, file, ready_name, settings)
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise click.UsageError(f"--timeout is a number of seconds above 0, not {timeout_s}")
    _in_child(timeout_s, output)
    if endpoint is not None:
        _give(_ask_endpoint(endpoint, runs, text, parameters, store), format_name, output)
        return
    from provml.sparql import load_runs

    with load_runs(runs or None, store, detail, terminal.echo_note, not in_memory) as loaded:
        answer = loaded.query(text, **parameters)
        _give(answer, format_name, output)


def _ask_endpoint(
    url: str, runs: list[str], text: str, parameters: dict[str, Parameter], store: str | None
) -> SparqlAnswer:
    from provml.journal.reader import Journal
    from provml.model.bundles import bundle_iri
    from provml.model.mapping import run_prefixes
    from provml.sparql.remote import Endpoint, ask_endpoint

    endpoint = Endpoint(url)
    journals = [Journal(find_run(run, store)) for run in runs]
    prefixes = {"run": run_prefixes(journals[0])["run"]} if len(journals) == 1 else {}
    graphs = [bundle_iri(journal) for journal in journals]
    return ask_endpoint(endpoint, text, parameters, prefixes, graphs)


def _show_ready() -> None:
    from provml.sparql.ready_queries import list_ready_queries

    for query in list_ready_queries():
        click.echo(f"{query.name:20}{query.title}")
        for name, what in query.parameters.items():
            click.echo(f"{'':20}  --set {name}=...  {what}")


# -- what is asked ----------------------------------------------------------------------------


def _asked(
    arguments: Sequence[str], file: str | None, ready_name: str | None, settings: Sequence[str]
) -> tuple[list[str], str, dict[str, Parameter]]:
    """The runs, the query's text, and its parameters."""
    from provml.sparql.ready_queries import describe_query, find_ready_query

    if file is not None and ready_name is not None:
        raise click.UsageError("give --file or --name, not both")
    runs = list(arguments)
    if ready_name is not None:
        query = find_ready_query(ready_name)
    elif file is not None:
        query = describe_query(file, _read(file))
    elif runs:
        query = describe_query("", runs.pop())
        if query.text and not any(mark in query.text for mark in " \n\t{"):
            raise click.UsageError(
                f"{query.text!r} is no query: the last argument is one, or --file or --name says it"
            )
    else:
        raise click.UsageError("there is no query: give one, --file FILE or --name NAME")
    given: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, not {setting!r}")
        given[name] = value
    return runs, query.text, query.values(given)


def _read(file: str) -> str:
    if file == _STDOUT:
        content = sys.stdin.buffer.read(_LARGEST_QUERY + 1)
    else:
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST_QUERY + 1)
    if len(content) > _LARGEST_QUERY:
        raise QueryError(f"{file} is larger than {terminal.size_text(_LARGEST_QUERY)}: no query")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise QueryError(f"{file} is no text in UTF-8: byte {error.start}") from None


# -- a process for the engine, which no signal handler reaches while it works ------------------


def _in_child(timeout_s: float | None, output: str | None) -> None:
    """Go on in a child process; the parent waits for it, and ends as it does.

    The engine hands control back to Python only with a row. So Ctrl-C and a time limit end the
    process that it works in.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    waiting, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(waiting)  # the other end stays open until this process is gone
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return
    os.close(held)
    try:
        ended, _, _ = select.select([waiting], [], [], timeout_s)
        if not ended:
            raise ProvMLError(f"there was no answer within {timeout_s:g} s")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _remove_parts(output, child)
        raise
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _remove_parts(output, child)
        raise click.Abort if -code == signal.SIGINT else ProvMLError(f"killed by signal {-code}")
    raise click.exceptions.Exit(code)


def _remove_parts(output: str | None, child: int) -> None:
    """Remove what a killed process left beside its output file."""
    if output is None or output == _STDOUT:
        return
    path = Path(os.path.realpath(output))
    for part in path.parent.glob(f".*.{child}-*.part"):
        if part.name.startswith(f".{path.name[:100]}."):
            part.unlink(missing_ok=True)


# -- the answer -------------------------------------------------------------------------------


def _give(answer: SparqlAnswer, format_name: str | None, output: str | None) -> None:
    format_name = format_name or _default_format(answer, output)
    if answer.kind == "boolean" and format_name in ("table", "csv"):
        text = "true\n" if answer else "false\n"
        _write_text(text, output)
    elif format_name == "table":
        if answer.kind == "graph":
            raise QueryError(f"the answer is a graph: {', '.join(_GRAPHS)} hold one")
        if output not in (None, _STDOUT):
            raise QueryError("a table is for people to see: a file takes csv, json, ...")
        _show(answer)
    elif output in (None, _STDOUT):
        if format_name in _BINARY and sys.stdout.isatty():
            raise QueryError(f"{format_name} is not for a terminal: give -o FILE")
        sys.stdout.flush()
        answer.write(format_name, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with open_sink(str(output)) as sink:
            answer.write(format_name, sink)


def _default_format(answer: SparqlAnswer, output: str | None) -> str:
    from provml.sparql.answers import ANSWER_SUFFIXES

    if output not in (None, _STDOUT):
        name = str(output).lower().removesuffix(".gz").removesuffix(".zst")
        for ending, format_name in ANSWER_SUFFIXES.items():
            if name.endswith(ending):
                return format_name
    if answer.kind == "graph":
        return "turtle"
    return "table" if terminal.on_terminal() and output is None else "csv"


def _write_text(text: str, output: str | None) -> None:
    if output in (None, _STDOUT):
        click.echo(text, nl=False)
    else:
        with open_sink(str(output)) as sink:
            sink.write(text.encode())


def _show(answer: SparqlAnswer) -> None:
    from rich.text import Text

    rows: list[list[Text]] = []
    more = 0
    numbers = [True] * len(answer.variables)
    for row in answer.rows():
        if len(rows) == _MOST_ROWS:
            more += 1
            continue
        cells: list[Text] = []
        for place, term in enumerate(row):
            text, is_number = _cell(term, answer.prefixes)
            numbers[place] &= is_number
            cells.append(Text(terminal.shortened(terminal.printable(text), _LONGEST)))
        rows.append(cells)
    names = [terminal.printable(name) for name in answer.variables]
    right = [name for name, is_number in zip(names, numbers, strict=True) if is_number]
    terminal.show(terminal.table(names, rows, right, [n for n in names if n not in right]))
    if more:
        terminal.echo_note(f"{more:,} more rows: -o FILE or --format csv gives all")


def _cell(term: Any, prefixes: dict[str, str]) -> tuple[str, bool]:
    """A term for people, numbers with all their digits; whether it is a number, or nothing."""
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
        return repr(value), True
    if isinstance(value, int):
        return term.value, True
    return term.value if hasattr(term, "value") else str(term), False


COMMANDS = [query_command]
