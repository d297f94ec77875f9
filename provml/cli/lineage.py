"""``provml lineage`` and ``provml impact``: show the origins and the effects of a file.

Imports `lineage` and `export` only when a command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import ask, can_ask
from provml.cli._options import FormatName, exact_option, examples, json_option, store_option
from provml.errors import QueryError

if TYPE_CHECKING:
    from provml.lineage.questions import Store
    from provml.lineage.trace import Lineage

_SHORT_DIGEST = 12
_MOST_PARAMS = 8
_MOST_CHOICES = 20
_MOST_FILES = 6
_LONGEST = 60
_STDOUT = "-"
_CODE = ("script", "source", "diff")
"""The kinds of content that the tree shows as text under a run, not as separate branches."""

_depth_option = click.option(
    "--depth", metavar="N", type=click.IntRange(min=0), help="Follow at most N steps."
)
_format_option = click.option(
    "--format",
    "format_name",
    type=FormatName(),
    help="Write the result as a PROV document in this format.",
)
_output_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The file for the PROV document. Without --format, the extension determines the format.  "
    "[default: standard output]",
)


@click.command(
    "lineage",
    epilog=examples(
        "provml lineage model.pt",
        "provml lineage latest --both --depth 2",
        "provml lineage model.pt -o lineage.svg",
    ),
)
@click.argument("start", metavar="FILE|ID")
@click.option(
    "--up",
    "direction",
    flag_value="up",
    default="up",
    help="Show what the file or dataset was made from (default).",
)
@click.option(
    "--down", "direction", flag_value="down", help="Show what was made from the file or dataset."
)
@click.option("--both", "direction", flag_value="both", help="Show both directions.")
@_depth_option
@exact_option
@json_option
@_format_option
@_output_option
@store_option
def lineage_command(
    start: str,
    direction: str,
    depth: int | None,
    as_json: bool,
    format_name: str | None,
    output: str | None,
    store: str | None,
) -> None:
    """Show which runs, data and code a file was made from.

    FILE is a file or folder. provml looks for its content, so you may have renamed, moved or copied
    it since the run. Instead of a FILE, you can give an ID:

    \b
      the SHA-256 digest of a file, or the beginning of a digest
      a recorded path or URI
      the name of an artifact, dataset or model
      an IRI
      a RUN

    Two runs are connected if one used a file that the other made. Empty files don't connect runs.

    In a pipe, the output has one line for each run that used or made a file. The lines have
    tab-separated fields: direction (up, down or start), steps, kind, name, sha256, role (in or
    out), run, path.
    """  # noqa: D301 - \b tells click not to wrap the text
    _answer_lineage(start, direction, depth, as_json, format_name, output, store)


@click.command(
    "impact",
    epilog=examples("provml impact data/train.csv", "provml impact data/train.csv --json"),
)
@click.argument("start", metavar="FILE|DATASET")
@_depth_option
@exact_option
@json_option
@_format_option
@_output_option
@store_option
def impact_command(
    start: str,
    depth: int | None,
    as_json: bool,
    format_name: str | None,
    output: str | None,
    store: str | None,
) -> None:
    """Show what was made from a file or dataset.

    The same as provml lineage --down.
    """
    _answer_lineage(start, "down", depth, as_json, format_name, output, store)


def _answer_lineage(
    start: str,
    direction: str,
    depth: int | None,
    as_json: bool,
    format_name: str | None,
    output: str | None,
    store: str | None,
) -> None:
    from provml.export import find_format, guess_format
    from provml.lineage.questions import open_store

    chosen = None if format_name is None else find_format(format_name)
    if output is not None and chosen is None:
        chosen = guess_format(output)
        if chosen is None:
            raise click.UsageError(
                f"can't tell the format from the extension of {output}: choose one with --format"
            )
    lineage = _trace_chosen(open_store(store), start, direction, depth)
    for note in lineage.notes:
        terminal.echo_note(terminal.printable(note))
    if chosen is not None:
        lineage.export(chosen, sys.stdout.buffer if output in (None, _STDOUT) else output)
        sys.stdout.buffer.flush()
    elif as_json:
        terminal.echo_json(terminal.exact(lineage.to_dict()))
    elif terminal.on_terminal():
        for way in ("up", "down"):
            if direction in (way, "both"):
                for line in _tree_lines(lineage, way):
                    click.echo(line)
    else:
        for fields in _place_rows(lineage):
            click.echo("\t".join(map(terminal.printable, fields)))


def _trace_chosen(store: Store, start: str, direction: str, depth: int | None) -> Lineage:
    """Trace the lineage of ``start``. If ``start`` matches several things, ask which is meant."""
    try:
        return store.lineage(start, direction, depth)
    except QueryError as error:
        if not error.candidates or not can_ask():
            raise
        names = list(error.candidates)[-_MOST_CHOICES:]
        described = [f"{_short_text(name)}  {error.candidates[name]}" for name in names]
        place = ask(f"{start} matches several things:", described)
        return store.lineage(names[place], direction, depth)


def _place_rows(lineage: Lineage) -> Iterator[tuple[Any, ...]]:
    for content in lineage.contents.values():
        for way in ("up", "down"):
            steps: int | None = getattr(content, way)
            if steps is None or (steps == 0 and way == "down" and content.up == 0):
                continue
            for place in content.places:
                own = "start" if steps == 0 else way
                facts = [place[key] or "" for key in ("kind", "name", "sha256", "role", "run")]
                yield own, steps, *facts, place["path"] or place["uri"] or ""


def _tree_lines(lineage: Lineage, way: str) -> Iterator[str]:
    """Yield the lines of a tree that shows one direction of a lineage.

    Runs are listed below the content that they made or used. Each node is expanded only once, so
    the tree is finite even if the lineage has cycles.
    """
    shown: set[tuple[str, str]] = set()
    roots: list[tuple[str, str]] = [("content", k) for k in lineage.starts if k in lineage.contents]
    if not any(getattr(lineage.contents[key], way) == 0 for _, key in roots):
        # the start is a run, or an element of a run for which no content was recorded
        roots = [("run", run) for run in lineage.start_runs]
    branches, code = _tree_branches(lineage, way), _code_by_run(lineage)
    # a stack instead of recursion, because a chain may exceed Python's recursion limit
    waiting = [(node, "", "") for node in reversed(roots)]
    while waiting:
        node, lead, indent = waiting.pop()
        again = node in shown
        shown.add(node)
        text = (
            _describe_content(lineage, node[1])
            if node[0] == "content"
            else _describe_tree_run(lineage, node[1])
        )
        children = branches.get(node, [])
        yield f"{lead}{text}{' (shown above)' if again and children else ''}"
        if again:
            continue
        if node[0] == "run":
            for fact in _describe_run_facts(lineage, node[1], code.get(node[1], [])):
                yield f"{indent}{'│  ' if children else '   '}{fact}"
        for place, child in reversed(list(enumerate(children))):
            last = place == len(children) - 1
            waiting.append(
                (
                    child,
                    f"{indent}{'└─ ' if last else '├─ '}",
                    f"{indent}{'   ' if last else '│  '}",
                )
            )


def _tree_branches(lineage: Lineage, way: str) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return the children of each node.

    The children of content are runs, and the children of a run are content. In addition, files can
    be children of the folder that contains them, and a folder can be a child of a file in it.
    """
    branches: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def join(one: tuple[str, str], other: tuple[str, str]) -> None:
        under = branches.setdefault(one, [])
        if other not in under:
            under.append(other)

    role = "out" if way == "up" else "in"
    for content in lineage.contents.values():
        for place in content.places:
            if getattr(content, way) is not None and place["role"] == role:
                join(("content", content.key), ("run", place["run"]))
    nearest = "in" if way == "up" else "out"
    for key in lineage.starts:  # if the start is a run, add what it used or made
        places = lineage.contents[key].places if key in lineage.contents else []
        for place in places:
            is_step = getattr(lineage.contents[key], way) == 1 and place["kind"] not in _CODE
            if is_step and place["run"] in lineage.start_runs and place["role"] == nearest:
                join(("run", place["run"]), ("content", key))
    for effect, cause in lineage.members:
        one, other = (effect, cause) if way == "up" else (cause, effect)
        if all(getattr(lineage.contents[key], way) is not None for key in (one, other)):
            join(("content", one), ("content", other))
    for run, effect, cause in lineage.flows:
        one, other = (effect, cause) if way == "up" else (cause, effect)
        if getattr(lineage.contents[one], way) is None:
            continue
        found = lineage.contents[other]
        if getattr(found, way) is None or found.facts["kind"] in _CODE:
            continue
        join(("content", one), ("run", run))
        join(("run", run), ("content", other))
    return branches


def _code_by_run(lineage: Lineage) -> dict[str, list[str]]:
    """Return the names and shortened digests of the code that each run used."""
    code: dict[str, list[str]] = {}
    for content in lineage.contents.values():
        for place in content.places:
            if place["kind"] in ("script", "source"):
                digest = (place["sha256"] or "")[:_SHORT_DIGEST]
                text = f"{_short_text(place['name'])} {digest}".strip()
                of_run = code.setdefault(place["run"], [])
                if text not in of_run:
                    of_run.append(text)
    return code


def _describe_content(lineage: Lineage, key: str) -> str:
    content = lineage.contents[key]
    facts = content.facts
    names = list(dict.fromkeys(place["name"] for place in content.places))
    role = f" ({_short_text(facts['input_role'])})" if facts["input_role"] else ""
    parts = [" = ".join(_short_text(name) for name in names[:4]), facts["kind"] + role]
    parts.append((facts["sha256"] or "no digest")[:_SHORT_DIGEST])
    if facts["size"] is not None:
        parts.append(terminal.size_text(facts["size"]))
    if facts["uri"]:
        parts.append(_short_text(facts["uri"]))
    if facts["role"] == "out" and (facts["context"] or facts["step"] is not None):
        epoch = "" if facts["epoch"] is None else f"epoch {facts['epoch']} "
        step = "" if facts["step"] is None else f"step {facts['step']}"
        parts.append(f"made in {_short_text(facts['context'] or 'the run')} {epoch}{step}".rstrip())
    return click.style(parts[0], bold=True) + "  " + "  ".join(parts[1:])


def _short_text(text: Any) -> str:
    return terminal.shortened(terminal.printable(text), _LONGEST)


def _describe_tree_run(lineage: Lineage, name: str) -> str:
    run = lineage.runs.get(name)
    if run is None:
        return f"run {_short_text(name)}"
    status = click.style(run["status"], fg=terminal.STYLES.get(run["status"]))
    parts = [f"run {terminal.printable(name)}", status, terminal.local_text(run["started_ns"])]
    if run["owner"]:
        parts.append(_short_text(run["owner"]))
    return "  ".join(parts)


def _describe_run_facts(lineage: Lineage, name: str, code: list[str]) -> Iterator[str]:
    run = lineage.runs.get(name, {})
    if run.get("git_commit"):
        dirty = " with changes" if run.get("git_dirty") else ""
        code = [*code, f"commit {_short_text(run['git_commit'])[:_SHORT_DIGEST]}{dirty}"]
    if code:
        more = f" and {len(code) - _MOST_FILES} more" if len(code) > _MOST_FILES else ""
        yield click.style(f"code    {', '.join(code[:_MOST_FILES])}{more}", dim=True)
    params = lineage.params.get(name, [])
    if params:
        shown = [f"{_short_text(p['name'])}={_format_param(p)}" for p in params[:_MOST_PARAMS]]
        more = f" and {len(params) - _MOST_PARAMS} more" if len(params) > _MOST_PARAMS else ""
        yield click.style(f"params  {', '.join(shown)}{more}", dim=True)


def _format_param(row: dict[str, Any]) -> str:
    """Format the value of a parameter. Floats are rounded to six digits."""
    is_float = row["type"] == "float" and row["number"] is not None
    return _short_text(terminal.value_text(row["number"]) if is_float else row["text"])


GROUP = "Ask"
COMMANDS = [lineage_command, impact_command]
