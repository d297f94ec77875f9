"""Finds the content items, run or node at which a lineage starts.

Imports `database`, `contents`, `members` and `rows`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provml.base.text import is_unicode, printable_path
from provml.collect.content import describe_path
from provml.errors import ProvMLError, QueryError, RunNotFoundError
from provml.journal.reader import is_run_folder
from provml.journal.store import find_run
from provml.lineage.contents import Row
from provml.lineage.database import QuestionDatabase
from provml.lineage.members import find_folders
from provml.lineage.rows import CAUSAL

_DIGEST_LENGTH: Final = 64
_MOST_DIGESTS_NAMED: Final = 5
_MOST_FOLDERS_NAMED: Final = 3
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{8,64}")


@dataclass(slots=True)
class LineageStart:
    """The file, run or other node from which a lineage is traced.

    Attributes:
        text: the text that the caller passed as the start.
        contents: the keys of the content items that the text refers to.
        up, down: if the text refers to a run, a parameter or another node, the keys of the nearest
            content items in each direction.
        runs: the names of the runs that the text refers to, or of the runs that contain the node.
        notes: messages for the user.
    """

    text: str
    contents: set[str] = field(default_factory=set)
    up: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def find_start(
    database: QuestionDatabase, start: str | os.PathLike[str], direction: str
) -> LineageStart:
    """Find the content items, node or run that a text refers to.

    The text may be a file, a digest, a recorded path, a name, a node or a run. If the text could be
    several of these, the first in this order is used. Raises QueryError if the text is none of
    them.
    """
    text = os.fspath(start)
    if not text:
        raise QueryError("the start is empty: choose a file, a digest, a name, a run or an IRI")
    try:
        named = printable_path(text)  # provml records non-Unicode names in this form
    except UnicodeEncodeError:
        raise QueryError(f"{text!r:.80} contains a lone surrogate: use valid Unicode") from None
    found = LineageStart(named)
    if _path_exists(text):
        return _start_from_path(database, found, Path(text))
    if _start_from_record(database, found):
        return found
    try:
        folder = find_run(named, database.store)
    except (RunNotFoundError, OSError, ValueError) as error:
        absent = QueryError(
            f"{named!r} was not found: no such file exists, and the store {database.store} has no "
            "content, run or node with this name"
        )
        if isinstance(error, RunNotFoundError) and error.candidates:
            absent = QueryError(str(error))
            absent.candidates = error.candidates
        raise absent from None
    return _start_from_run(database, found, folder)


def find_recorded_start(database: QuestionDatabase, start: str) -> LineageStart:
    """Find the recorded content or node that a text refers to.

    Looks only at what the runs recorded, not at the files of this machine, so the text may come
    from anyone. Raises QueryError if no run recorded content, a digest, a path, a name or a node
    with this text.
    """
    found = LineageStart(start)
    if not is_unicode(start):
        raise QueryError(f"{start!r:.80} contains a lone surrogate: use valid Unicode")
    if _select_artifacts(database, "content = ?", [start]):
        found.contents = {start}
        return found
    if start and _start_from_record(database, found):
        return found
    raise QueryError(f"no run in the store made or used {start!r}")


def start_from_run(database: QuestionDatabase, folder: Path) -> LineageStart:
    """Return the start of a lineage that begins at a run.

    Raises QueryError if the tables do not contain the run.
    """
    return _start_from_run(database, LineageStart(folder.name), folder)


def _start_from_record(database: QuestionDatabase, found: LineageStart) -> bool:
    """Find the recorded content or node that the start's text refers to; return whether any exists.

    Adds the keys of the content, or the node's nearest content items, to ``found``.
    """
    text = found.text
    for query, value in _start_queries(text):
        rows = _select_artifacts(database, query, [value] * query.count("?"))
        is_digest = len(text) == _DIGEST_LENGTH and "starts_with" in query
        if not rows and is_digest and _start_from_member(database, found, value):
            return True
        digests = {row["content"] for row in rows}
        if "starts_with" in query and len(digests) > 1:
            raise _build_ambiguity_error(text, rows)
        if rows:
            found.contents = digests
            return True
    return _start_from_node(database, found)


def _build_ambiguity_error(text: str, rows: list[Row]) -> QueryError:
    """Return an error that lists the contents whose digests begin with a text."""
    names = {str(row["sha256"]): str(row["name"]) for row in rows}
    named = list(names.items())[:_MOST_DIGESTS_NAMED]
    listed = ", ".join(f"{digest[: len(text) + 8]} {name}" for digest, name in named)
    more = f" and {len(names) - len(named)} more" if len(names) > len(named) else ""
    error = QueryError(f"{len(names)} digests begin with {text} ({listed}{more}): add more digits")
    error.candidates = names
    return error


def _start_queries(text: str) -> Iterator[tuple[str, str]]:
    if _DIGEST.fullmatch(text):
        yield "starts_with(sha256, ?)", text.lower()
    yield "path = ? OR uri = ?", text
    yield "path = ?", os.path.abspath(text) if "\0" not in text else text
    yield "name = ? AND role IS NOT NULL", text


def _path_exists(text: str) -> bool:
    try:
        return os.path.exists(text)
    except ValueError:
        return False


def _start_from_path(database: QuestionDatabase, found: LineageStart, path: Path) -> LineageStart:
    if is_run_folder(path):
        return _start_from_run(database, found, path)
    any_run = next((own.folder for own in database.runs.values()), None)
    try:
        # compute the digest without a store inside the folder, as when the folder was recorded
        facts = describe_path(path, any_run, copy=False)
    except ProvMLError as error:
        raise QueryError(str(error)) from None
    digest = facts.get("sha256")
    if digest is None:
        raise QueryError(f"{found.text} can't be read: {facts.get('unread')}")
    rows = _select_artifacts(database, "sha256 = ?", [digest])
    if not rows and _start_from_member(database, found, digest):
        return found
    if not rows:
        rows = _select_artifacts(database, "path = ?", [facts["path"]])
        if rows:
            found.notes.append(
                f"{found.text} has changed since it was recorded: this is the lineage of the "
                "recorded content"
            )
    if rows:
        found.contents = {row["content"] for row in rows}
        return found
    within = next((parent for parent in path.resolve().parents if is_run_folder(parent)), None)
    if within is not None:
        found.notes.append(
            f"{found.text} is part of run {within.name}: this is the lineage of the run"
        )
        return _start_from_run(database, found, within)
    known = _select_artifacts(database, "name = ? AND role IS NOT NULL", [found.text])
    if known:
        found.contents = {row["content"] for row in known}
        found.notes.append(
            f"no run recorded the content of the file {found.text}: this is the lineage of the "
            "content that was recorded with this name"
        )
        return found
    raise QueryError(
        f"no run in {database.store} made or used {found.text} (sha256 {digest[:12]}...)"
    )


def _start_from_member(database: QuestionDatabase, found: LineageStart, digest: str) -> bool:
    """If recorded folders contain the start file, start from these folders and return True."""
    folders = find_folders(database, [digest])
    found.contents = {folder for folder, _ in folders}
    for folder, name in folders[:_MOST_FOLDERS_NAMED]:
        row = _select_artifacts(database, "content = ?", [folder])[0]
        found.notes.append(
            f"{found.text} is the file {name} of the folder {row['name']}: this is the lineage of "
            "the folder"
        )
    return bool(folders)


def _start_from_run(database: QuestionDatabase, found: LineageStart, folder: Path) -> LineageStart:
    real = os.path.realpath(folder)
    run = next((n for n, o in database.runs.items() if os.path.realpath(o.folder) == real), None)
    if run is None:
        raise QueryError(f"run {folder} is not in the store {database.store}, or can't be read")
    rows = _select_artifacts(database, "run = ?", [run])
    found.runs.add(run)
    found.up |= {row["content"] for row in rows if row["role"] == "in"}
    found.down |= {row["content"] for row in rows if row["role"] == "out"}
    return found


def _start_from_node(database: QuestionDatabase, found: LineageStart) -> bool:
    """Find the nodes, such as parameters, steps or people, that the start's text refers to.

    Adds the runs of these nodes, and the nearest content items, to the start. Returns whether any
    node was found.
    """
    query = "SELECT run, node FROM nodes WHERE iri = ? OR node = ?"
    nodes = database.ask(["nodes"], query, [found.text, found.text]).rows
    for run, node in nodes:
        rows = _select_artifacts(database, "run = ?", [run])
        contents = {row["node"]: row["content"] for row in rows}
        found.runs.add(run)
        if node in contents:
            found.contents.add(contents[node])
            continue
        edges = database.ask(
            ["edges"], "SELECT relation, source, target FROM edges WHERE run = ?", [run]
        ).rows
        causal = [(source, target) for kind, source, target in edges if kind in CAUSAL]
        found.up |= _nearest_keys(node, causal, contents)
        found.down |= _nearest_keys(node, [(target, source) for source, target in causal], contents)
    return bool(nodes)


def _nearest_keys(node: str, steps: list[tuple[str, str]], contents: dict[str, str]) -> set[str]:
    """Return the key of the first content item on each path that starts at a node."""
    following: dict[str, list[str]] = {}
    for source, target in steps:
        following.setdefault(source, []).append(target)
    waiting, seen, found = [node], {node}, set()
    while waiting:
        for other in following.get(waiting.pop(), ()):
            if other in contents:
                found.add(contents[other])
            elif other not in seen:
                seen.add(other)
                waiting.append(other)
    return found


def _select_artifacts(database: QuestionDatabase, condition: str, params: list[Any]) -> list[Row]:
    query = f"SELECT * FROM artifacts WHERE {condition} ORDER BY time_ns, run, node"
    return list(database.ask(["artifacts"], query, params))
