"""Finds the code and configuration files that this process uses: opened, imported or executed.

Imports `code_files`, `code_watch` and `imported_modules` from provml.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from time import time_ns
from typing import Final

from provml.collect.code_files import (
    COMMAND_LINE,
    EXECUTED,
    IMPORTED,
    OPENED,
    SOURCE_CODE,
    CodeFile,
    ProjectFiles,
    choose_role,
    list_named_files,
    read_code_file,
)
from provml.collect.code_watch import WATCH, UsedFile
from provml.collect.imported_modules import list_imported_files, may_have_changed

MAX_FILES: Final = 1000
"""The maximum number of files to report."""
MAX_FILES_PER_FOLDER: Final = 20
"""If a process opens more files than this in one folder, provml treats these files as data."""
CHANGED_AFTER_IMPORT: Final = "it changed after it was imported, before it was recorded"
CHANGED_AFTER_OPENING: Final = "it changed after it was opened, before it was recorded"
BEYOND_LIMIT: Final = f"beyond the first {MAX_FILES:,} files"
MANY_IN_FOLDER: Final = f"more than {MAX_FILES_PER_FOLDER} opened files in one folder"


class UsedCode:
    """Reports each code and configuration file of the project once, with its content.

    Attributes:
        project: decides which files belong to the user's project.
        left_out: the number of files that were not reported, keyed by the reason.
    """

    def __init__(self, project: ProjectFiles, report: Callable[[CodeFile], None]) -> None:
        """Store the arguments. Call `start` to begin reporting files.

        Args:
            project: decides which files belong to the user's project.
            report: a function that receives each file. It is called in any thread and at any point
                of the program, so it must not wait.
        """
        self.project = project
        self.left_out: Counter[str] = Counter()
        self._report = report
        self._states: dict[str, tuple[int, int]] = {}
        """The modification time and size of each reported file."""
        self._by_folder: Counter[str] = Counter()
        self._beyond: set[str] = set()
        self._named: dict[str, CodeFile] = {}
        """The files that the script's arguments name, and that the process has not read so far."""
        self._module_count = 0

    def start(self, arguments: Sequence[str]) -> None:
        """Report the modules that were imported and the files that were opened so far.

        To report later files too, `CodeWatch.listener` must call `take`. Takes about half a
        microsecond for each imported module, plus the time to read the files.

        Args:
            arguments: the arguments of the script. A file that an argument names counts as used,
                unless the process writes the file; see `report_named`.
        """
        self.find_modules()
        self._named = {file.path: file for file in read_named_files(self.project, arguments)}
        for file in WATCH.opened:
            self.take(file)

    def report_named(self) -> None:
        """Report the files that the script's arguments name, unless they changed after `start`.

        Call this at the end of a run, because an argument may also name a file to write.
        """
        named, self._named = self._named, {}
        for path, file in named.items():
            if path not in self._states and not has_changed(file):
                self._states[path] = (file.facts["modified"], file.facts["size"])
                self._report(file)

    def find_modules(self) -> None:
        """Report the local modules that were imported since the last call."""
        if len(sys.modules) == self._module_count:
            return
        self._module_count = len(sys.modules)
        for file in list_imported_files(self.project):
            if file.path not in self._states:
                changed = CHANGED_AFTER_IMPORT if may_have_changed(file) else None
                found_by = EXECUTED if file.is_script else IMPORTED
                self._add(file.path, SOURCE_CODE, found_by, changed)

    def is_data(self, file: CodeFile) -> bool:
        """Return whether a reported file is probably data: one of many opened files in a folder."""
        folder = os.path.dirname(file.path)
        return file.found_by == OPENED and self._by_folder[folder] > MAX_FILES_PER_FOLDER

    def take(self, file: UsedFile) -> None:
        """Report a file that Python has opened or executed, if it belongs to the project."""
        path = file.path
        if self.project.is_certainly_installed(path):
            return
        named = self._named.pop(path, None)
        if named is not None and not file.is_executed and not has_changed(named):
            self._states[path] = (named.facts["modified"], named.facts["size"])
            self._report(named)
            return
        if file.is_executed:
            if self.project.is_local(path):
                self._add(path, SOURCE_CODE, EXECUTED)
            return
        role = choose_role(path)
        if role is None or path in self._states or not self.project.is_local(path):
            return
        folder = os.path.dirname(path)
        self._by_folder[folder] += 1
        if self._by_folder[folder] > MAX_FILES_PER_FOLDER:
            self.left_out[MANY_IN_FOLDER] += 1
            return
        changed = CHANGED_AFTER_OPENING if _has_changed_since(path, file.time_ns) else None
        self._add(path, role, OPENED, changed)

    def _add(self, path: str, role: str, found_by: str, changed: str | None = None) -> None:
        """Report a file, unless it has already been reported in its present state.

        Args:
            changed: the reason why the file may no longer have the content that was used; None if
                the file still has that content.
        """
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return
        state = (status.st_mtime_ns, status.st_size)
        if self._states.get(path) == state:
            return
        if len(self._states) >= MAX_FILES:
            if path not in self._beyond:
                self._beyond.add(path)
                self.left_out[BEYOND_LIMIT] += 1
            return
        self._states[path] = state  # set this first, because reading the file opens it again
        if changed is not None:
            self._report(CodeFile(path, role, found_by, time_ns(), {"unread": changed}, None))
            return
        file = read_code_file(path, role, found_by, time_ns())
        if file is not None:
            self._report(file)


def read_named_files(project: ProjectFiles, arguments: Sequence[str]) -> Iterator[CodeFile]:
    """Read the code and configuration files that are named in the arguments of a script."""
    for path in list_named_files(arguments):
        role = choose_role(path)
        if role is not None and project.is_local(path, is_named=True):
            file = read_code_file(path, role, COMMAND_LINE, time_ns())
            if file is not None and "modified" in file.facts:
                yield file


def has_changed(file: CodeFile) -> bool:
    """Return whether a file was changed or removed after it was read."""
    try:
        status = os.stat(file.path)
    except (OSError, ValueError):
        return True
    return (status.st_mtime_ns, status.st_size) != (file.facts["modified"], file.facts["size"])


def _has_changed_since(path: str, since_ns: int) -> bool:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return max(status.st_mtime_ns, status.st_ctime_ns) > since_ns
