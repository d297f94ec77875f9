"""Writes the pages of a store as files, for a website or for the artifacts of a CI job.

The pages work from a web server and from a folder on disk. Because browsers don't let pages from
disk read other files, each answer is a script that passes its data to the page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from provml.errors import InvalidArgumentError, ProvMLError
from provml.ui.answers import find_answer
from provml.ui.browsed_store import BrowsedStore
from provml.ui.pages import PAGES, build_page, list_assets, read_asset
from provml.ui.queries import Query
from provml.ui.run_documents import write_graph

_POINTS: Final = "2000"
_AXES: Final = ("step", "epoch", "time", "wall")
_RUN_ANSWERS: Final = ("run", "output", "events", "files", "validity", "file")
_PAGE_OF_RUNS: Final = 1_000
_MOST_DIGESTS: Final = 1_000
_MOST_VALUES: Final = 300
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY

Request = tuple[str, dict[str, str]]


def write_static_pages(
    store: BrowsedStore,
    target: Path,
    where: str | None = None,
) -> int:
    """Write the pages of a store to a folder, and return the number of runs that they show.

    The pages show the runs as they are now. They can't search with conditions, and each curve has
    as much detail as 2,000 pixels can show.

    Args:
        store: the store.
        target: the folder, which must not exist or must be empty.
        where: a condition that the runs must meet, as for ``provml runs --where``.

    Raises:
        InvalidArgumentError: the folder is not empty, or it is in the store.
        QueryError: the condition is not valid.
        OSError: a file can't be written.
    """
    _check_target(store, target)
    runs = _list_runs(store, where)
    for name in PAGES:
        _write(target / f"{name}.html", build_page(name, store.name, live=False))
    for name in list_assets():
        _write(target / "assets" / name, read_asset(name) or b"")
    answers = _AnswerFiles(store, target)
    answers.add("runs", {}, runs)
    digests: dict[str, None] = {}
    for done, run in enumerate(runs["runs"], 1):
        digests.update(_write_run(answers, str(run["key"]), done))
    for digest in list(digests)[:_MOST_DIGESTS]:
        answers.write("file", {"digest": digest})
    answers.write_index()
    return len(runs["runs"])


def _check_target(store: BrowsedStore, target: Path) -> None:
    own, root = os.path.realpath(target), os.path.realpath(store.path)
    if os.path.commonpath([own, root]) == root:
        raise InvalidArgumentError(
            f"can't write the pages to {str(target)!r}, because it is in the store: choose a "
            "folder outside the store"
        )
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidArgumentError(
            f"can't write the pages to {str(target)!r}: choose a new or empty folder"
        )


def _list_runs(store: BrowsedStore, where: str | None) -> dict[str, Any]:
    """Return the answer for the page of runs, with all runs and the values of all columns."""
    condition = {} if where is None else {"where": where}
    first = _ask(store, "runs", {"limit": "1"} | condition)
    shown = list(_list_values(first["columns"]))
    return first | {"runs": list(_list_below(store, condition, shown)), "offset": 0}


def _list_below(
    store: BrowsedStore, parameters: dict[str, str], shown: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield all runs that match a request, each followed by its children and their children."""
    answer = find_answer("runs")
    assert answer is not None
    offset, total = 0, 1
    while offset < total:
        pairs = [*parameters.items(), *(("show", name) for name in shown)]
        pairs += [("limit", str(_PAGE_OF_RUNS)), ("offset", str(offset))]
        page = answer(store, Query(pairs))
        for run in page["runs"]:
            yield run
            if run["children"]:
                yield from _list_below(store, parameters | {"parent": run["key"]}, shown)
        offset, total = offset + _PAGE_OF_RUNS, page["total"]


def _list_values(columns: dict[str, Any]) -> Iterator[str]:
    """Yield the values that the table of runs can show as columns."""
    for kind in ("params", "tags"):
        yield from (f"{kind}[{_quote(name)}]" for name in columns[kind][:_MOST_VALUES])
    yield from islice(_list_metrics(columns["metrics"]), _MOST_VALUES)


def _list_metrics(metrics: list[tuple[str, list[Any]]]) -> Iterator[str]:
    for name, contexts in metrics:
        for context in contexts:
            path = [context] if isinstance(context, str) else context
            parts = "None" if path is None else ", ".join(map(_quote, path))
            for field in ("", ".min", ".max"):
                yield f"metrics[{_quote(name)}][{parts}]{field}"


def _quote(text: str) -> str:
    return orjson.dumps(text).decode()


def _write_run(answers: _AnswerFiles, key: str, number: int) -> dict[str, None]:
    """Write all data about a run. Return the digests of the run's files."""
    made: dict[str, Any] = {}
    graph = f"graph/{number}.html"
    try:
        _write(answers.target / graph, write_graph(answers.store.run_folder(key)))
    except ProvMLError:
        graph = ""  # the graph is too large to draw
    for name in _RUN_ANSWERS:
        changes = {"graph": graph or None} if name == "run" else {}
        made[name] = answers.write(name, {"run": key}, changes)
    for axis in _AXES:
        answers.write("curves", {"axis": axis, "points": _POINTS, "run": key})
    answers.write("curves", {"axis": "time", "kind": "reading", "points": _POINTS, "run": key})
    return dict.fromkeys(_find_digests(made["files"]))


def _find_digests(files: Any) -> Iterator[str]:
    """Yield each SHA-256 digest that an answer contains."""
    if isinstance(files, dict):
        digest = files.get("sha256")
        if isinstance(digest, str):
            yield digest
        for value in files.values():
            yield from _find_digests(value)
    elif isinstance(files, list | tuple):
        for value in files:
            yield from _find_digests(value)


class _AnswerFiles:
    """Writes the answers of an export: a script for each answer, and an index of the requests."""

    def __init__(self, store: BrowsedStore, target: Path) -> None:
        self.store = store
        self.target = target
        self._index: dict[str, int] = {}

    def write(
        self, name: str, parameters: dict[str, str], changes: dict[str, Any] | None = None
    ) -> Any:
        """Write the answer to a request, or the error if the request fails. Return the answer."""
        try:
            made = _ask(self.store, name, parameters) | (changes or {})
        except (ProvMLError, OSError) as error:
            self._add(name, parameters, {"error": str(error), "kind": type(error).__name__}, True)
            return {}
        self.add(name, parameters, made)
        return made

    def add(self, name: str, parameters: dict[str, str], answer: Any) -> None:
        """Write an answer that is already known."""
        self._add(name, parameters, answer, False)

    def _add(self, name: str, parameters: dict[str, str], content: Any, failed: bool) -> None:
        number = len(self._index) + 1
        self._index[f"{name}?{_browser_query(parameters)}"] = number
        call = f"ui.receive({number}, JSON.parse({_script_text(content)}), {str(failed).lower()});"
        _write(self.target / "data" / f"{number}.js", call.encode() + b"\n")

    def write_index(self) -> None:
        """Write the script that tells the pages which requests have an answer."""
        text = f"var provmlExported = JSON.parse({_script_text(self._index)});\n"
        _write(self.target / "data" / "index.js", text.encode())


def _ask(store: BrowsedStore, name: str, parameters: dict[str, str]) -> dict[str, Any]:
    answer = find_answer(name)
    assert answer is not None
    return dict(answer(store, Query(parameters.items())))


def _browser_query(parameters: dict[str, str]) -> str:
    """Return a query as the browser's ``URLSearchParams`` writes it, with sorted names."""
    text = urlencode(sorted(parameters.items()))
    return text.replace("~", "%7E").replace("%2A", "*")


def _script_text(content: Any) -> str:
    """Return JSON as a JavaScript string. In an object literal, ``__proto__`` would be special."""
    return orjson.dumps(orjson.dumps(content, option=_OPTIONS).decode()).decode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
