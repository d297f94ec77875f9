"""Compares the code and configuration files that runs recorded, as unified diffs.

Imports `base`, `database` and `segments`.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base.store_files import read_file, store_root
from provml.lineage.database import QuestionDatabase

CODE_KINDS: Final = ("script", "source", "diff")
"""The kinds of content that are code. Inputs with the role `CONFIGURATION` are also compared."""
CONFIGURATION: Final = "configuration"

_LONGEST_SOURCE: Final = 2**20
_LONGEST_DIFF: Final = 2_000
_MOST_FILES: Final = 2_000
_MOST_LINES: Final = 20_000
_MOST_PAIRS: Final = 25_000_000
"""The maximum number of pairs of lines to compare in one file. More pairs could take minutes."""


class RecordedFile(NamedTuple):
    """A code or configuration file of a run.

    Attributes:
        sha256: the digest of the file; None if the run recorded no digest.
        text: the text of the run's copy of the file; None if the run has no copy, or if the copy is
            not text.
        reason: why `text` is None; an empty string if `text` is not None.
        is_masked: whether secrets in the copy are masked.
        is_diff: whether the file is the git diff of uncommitted changes.
        is_found: whether provml found the file by itself, without a call that logs the file. If one
            file of a run was found like this, the run recorded all of its code.
    """

    sha256: str | None
    text: str | None
    reason: str = ""
    is_masked: bool = False
    is_diff: bool = False
    is_found: bool = False


@dataclass(slots=True)
class CodeComparison:
    """The differences between the code of the first run and the code of the other runs.

    Attributes:
        by_run: the diffs for each run that differs from the first run, keyed by run. The diffs are
            a dict that maps the name of each file that differs to the lines of the file's diff.
        unrecorded: the runs that recorded no code.
        notes: messages about files that can't be compared.
    """

    by_run: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    unrecorded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def diffs(self) -> dict[str, list[str]]:
        """The lines of the diffs of all runs, keyed by the name of the file."""
        found: dict[str, list[str]] = {}
        for files in self.by_run.values():
            for name, lines in files.items():
                found.setdefault(name, []).extend(lines)
        return dict(sorted(found.items()))


def is_code(row: dict[str, Any]) -> bool:
    """Return whether a row of the table ``artifacts`` is a code or configuration file."""
    is_configuration = row["input_role"] == CONFIGURATION and row["form"] == "file"
    return row["kind"] in CODE_KINDS or (row["kind"] == "input" and is_configuration)


def compare_code(database: QuestionDatabase, runs: list[str]) -> CodeComparison:
    """Compare the code and configuration files of the first run with those of the other runs."""
    rows = _select_artifacts(database, runs)
    files = {run: _find_files(database, run, rows[run]) for run in runs}
    result = CodeComparison(unrecorded=[run for run in runs if not _has_code(files[run])])
    known = [run for run in runs if files[run]]
    if len(known) < 2:
        return result
    lines_left = _MOST_LINES
    names = sorted({name for run in known for name in files[run]})
    for count, name in enumerate(names):
        if count == _MOST_FILES or lines_left <= 0:
            result.notes.append(f"{len(names) - count:,} more files of code are not compared")
            break
        for run in known[1:]:
            sides = files[known[0]].get(name), files[run].get(name)
            if any(side is not None and side.is_diff for side in sides) and (
                _has_all_code(files[known[0]]) or _has_all_code(files[run])
            ):
                continue  # no need for the git diff, because the files themselves are compared
            if None in sides and not all(_has_code(files[own]) for own in (known[0], run)):
                continue  # one of the runs recorded only some of its code
            labels = f"{known[0]}/{name}", f"{run}/{name}"
            lines = list(_diff_files(labels, *sides, result.notes))
            if lines:
                result.by_run.setdefault(run, {})[name] = lines
                lines_left -= len(lines)
    return result


def _has_code(files: dict[str, RecordedFile]) -> bool:
    """Return whether a run recorded code, and not only the digest of the script."""
    return any(file.text is not None or file.is_masked for file in files.values())


def _has_all_code(files: dict[str, RecordedFile]) -> bool:
    return any(file.is_found for file in files.values())


def _find_files(
    database: QuestionDatabase, run: str, rows: list[dict[str, Any]]
) -> dict[str, RecordedFile]:
    """Return the code files that a run recorded, keyed by name.

    If provml found no code in the run by itself, as in a child run, adds the files of the parent.

    Args:
        database: the tables of the store.
        run: the run.
        rows: the run's rows from `_select_artifacts`.
    """
    files = _read_files(database.runs[run].folder, rows)
    seen = {run}
    while not _has_all_code(files):
        (row,) = database.ask(["runs"], "SELECT parent_run FROM runs WHERE run = ?", [run])
        run = row["parent_run"]
        if run is None or run in seen or run not in database.runs:
            break
        seen.add(run)
        own = _select_artifacts(database, [run])[run]
        files |= _read_files(database.runs[run].folder, own)
    return files


def _select_artifacts(
    database: QuestionDatabase, runs: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the table ``artifacts`` for these runs, keyed by run.

    Each row also has the column ``attributes`` of the table ``nodes``.
    """
    question = """
        SELECT a.*, n.attributes FROM artifacts a
        LEFT JOIN nodes n ON n.run = a.run AND n.node = a.node
        WHERE a.run IN (SELECT unnest(?::VARCHAR[])) ORDER BY a.time_ns, a.node
    """
    found: dict[str, list[dict[str, Any]]] = {run: [] for run in runs}
    for row in database.ask(["artifacts", "nodes"], question, [runs]):
        found[row["run"]].append(row)
    return found


def _read_files(folder: Path, rows: list[dict[str, Any]]) -> dict[str, RecordedFile]:
    """Return the last recorded content of each code file of a run, keyed by the file's name.

    Args:
        folder: the run's folder.
        rows: the run's rows from `_select_artifacts`.
    """
    files: dict[str, RecordedFile] = {}
    for row in rows:
        if not is_code(row) or row["form"] == "folder":
            continue
        facts = json.loads(row["attributes"] or "{}")
        masked = bool(facts.get("provml:masked"))
        reasons = facts.get("provml:unread") or facts.get("provml:uncopied")
        text: str | None = None
        reason = str(reasons[0]) if reasons else "the run has no copy of it"
        if row["copy"]:
            text, reason = _read_copy(folder, row["copy"])
        if text is None and row["sha256"] is None and row["kind"] == "source" and not row["path"]:
            continue  # code from a shell or standard input
        is_found = "provml:foundBy" in facts
        files[row["name"]] = RecordedFile(
            row["sha256"], text, reason, masked, row["kind"] == "diff", is_found
        )
    return files


def _read_copy(folder: Path, copy: str) -> tuple[str | None, str]:
    """Read a run's copy of a file. Return its text, or None and the reason why there is no text.

    Never reads a link, or a file outside the folder.
    """
    own = Path(os.path.abspath(folder))
    path = own / copy
    if not path.is_relative_to(own):
        return None, "its copy is outside the run's folder"
    try:
        content = read_file(store_root(own), path, _LONGEST_SOURCE)
    except FileNotFoundError:
        return None, "its copy is missing"
    except (OSError, ValueError) as error:
        return None, f"its copy can't be read: {error}"
    if b"\0" in content:
        return None, "it is not text"
    return content.decode("utf-8", "replace"), ""


def _diff_files(
    labels: tuple[str, str],
    first: RecordedFile | None,
    other: RecordedFile | None,
    notes: list[str],
) -> Iterator[str]:
    """Compare a file in two runs: yield the lines of a diff, or nothing if the content is the same.

    Args:
        labels: the names of the file in the two runs.
        first, other: the file in each run; None if that run did not use the file.
        notes: the list to which a message is added if it is not known whether the file differs.
    """
    if first is None and other is None:
        return
    if first is not None and other is not None:
        if first.sha256 is not None and first.sha256 == other.sha256:
            return
        if first.text is not None and first.text == other.text:
            if first.sha256 != other.sha256:
                yield f"{labels[0]} and {labels[1]} differ only in masked secrets"
            return
    missing = [
        (label, file)
        for label, file in zip(labels, (first, other), strict=True)
        if file is not None and file.text is None
    ]
    if not missing:
        yield from _diff_texts(labels, first and first.text, other and other.text)
        return
    reasons = "; ".join(f"{label}: {file.reason}" for label, file in missing)
    if first is None or other is None:
        label = labels[0] if other is None else labels[1]
        yield f"only {label} exists ({reasons})"
    elif first.sha256 is None or other.sha256 is None:
        notes.append(f"it is not known whether {labels[0]} and {labels[1]} differ ({reasons})")
    else:
        yield f"{labels[0]} and {labels[1]} differ ({reasons})"


def _diff_texts(labels: tuple[str, str], first: str | None, other: str | None) -> Iterator[str]:
    """Yield the lines of a unified diff. A file that a run did not use appears as ``/dev/null``."""
    before, after = (first or "").splitlines(), (other or "").splitlines()
    names = [
        "/dev/null" if text is None else label
        for label, text in zip(labels, (first, other), strict=True)
    ]
    if before == after:
        yield f"--- {names[0]}"
        yield f"+++ {names[1]}"
        yield "... the files differ only in their line ends, or one of them is empty"
        return
    start, end = _count_equal_ends(before, after)
    if (len(before) - start - end) * (len(after) - start - end) > _MOST_PAIRS:
        changed = f"{start + 1:,} to {len(before) - end:,}"
        yield f"--- {names[0]}"
        yield f"+++ {names[1]}"
        yield f"... lines {changed} differ, too many to compare line by line"
        return
    lines = difflib.unified_diff(before, after, names[0], names[1], lineterm="")
    for count, line in enumerate(lines):
        if count == _LONGEST_DIFF:
            yield f"... diff cut after {_LONGEST_DIFF} lines"
            return
        yield line


def _count_equal_ends(before: list[str], after: list[str]) -> tuple[int, int]:
    """Return how many lines two texts have in common at the start, and how many at the end."""
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end
