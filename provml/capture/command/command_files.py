"""Watches the files of a command: with strace if possible, else by comparing folders.

In Python processes, provml's audit hook notes files in both cases. The audit hook can also hash a
file just before the process overwrites that file, which no other process can do. A file that is
noted twice, by the audit hook and by strace or the comparison, is recorded only once.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any, Final

from provml.base.file_events import FILES_WATCHED
from provml.base.settings import Settings
from provml.base.text import printable_path
from provml.capture.command.program import Program
from provml.capture.command.tracer import TracePlan, TracerProbe, find_obstacle
from provml.capture.files import record_files
from provml.capture.files.access_log import AccessLog, NoteKind
from provml.capture.files.ignore_rules import IgnoreRules
from provml.capture.files.known_files import (
    MAX_NAMED_FILES,
    FolderSnapshot,
    KnownFile,
    NamedPaths,
    find_named_paths,
    hash_known_files,
)
from provml.capture.files.open_files import find_open_file, find_processes_with_file
from provml.capture.files.trace_follower import (
    AccessTracker,
    TraceFollower,
    has_room_for_trace,
)
from provml.errors import InvalidArgumentError
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run

_UNSEEN_BY_STRACE: Final = (
    "files that a program opens through io_uring or lets another service open",
    "files that a process uses after the command that started it has ended",
)
_UNSEEN_BY_COMPARISON: Final = (
    "files that programs other than Python read, unless the command line names them",
    "files that are written and removed again",
    "files outside the working folder and the folders that the command line names",
)


class NamedPlaces:
    """The paths that a command line names, and all paths below the folders that it names.

    Folders that contain the working folder or the user's home folder are ignored.
    """

    def __init__(self, paths: NamedPaths, working_folder: str) -> None:
        self._files = frozenset(paths.files)
        protected = (f"{working_folder}/", os.path.expanduser("~/"))
        self._folders = tuple(
            f"{folder}/"
            for folder in paths.folders
            if not any(own.startswith(f"{folder.rstrip('/')}/") for own in protected)
        )

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path in self._files or path.startswith(self._folders))


class CommandFiles:
    """Watches the files of one command, and records them when the command has ended."""

    def __init__(self, program: Program, settings: Settings, reads_output: bool = True) -> None:
        """Prepare the watch, and start a probe that shows whether this system allows tracing.

        Args:
            program: the program that the command runs.
            settings: the settings of the run.
            reads_output: whether this process reads the command's output.
        """
        self._reads_output = reads_output
        self._program, self._settings = program, settings
        self._probe = None if settings.trace == "off" else TracerProbe()
        self._named = NamedPaths([], [])
        self._folder = ""
        self._rules: IgnoreRules | None = None
        self._log: AccessLog | None = None
        self._follower: TraceFollower | None = None
        self._tracker: AccessTracker | None = None
        self._before: FolderSnapshot | None = None
        self._known: dict[str, KnownFile] = {}
        self._started_ns = 0

    @functools.cached_property
    def plan(self) -> TracePlan:
        """Whether and how to trace the command.

        Raises InvalidArgumentError if the settings demand strace, but the command can't be traced.
        """
        if self._probe is None:
            return TracePlan(None, "tracing is turned off")
        plan = self._probe.finish()
        if plan.strace is not None:
            obstacle = find_obstacle(self._program, self._reads_output)
            plan = plan if obstacle is None else TracePlan(None, obstacle)
        if self._settings.trace == "strace" and plan.strace is None:
            raise InvalidArgumentError(f"can't trace the command: {plan.reason}")
        return plan

    def prepare(self, run: Run, token: str, words: list[str]) -> list[str] | None:
        """Prepare the watch before the command starts.

        Hashes the files that the command names, which takes at most about 30 ms. If the command is
        not traced, also lists the files in the working folder and in the folders that the command
        names, which takes at most 50 ms.

        Args:
            run: the run that records the command.
            token: the value of ``PROVML_COMMAND`` for the command's processes.
            words: the command line to execute.

        Returns:
            The command line that runs the command under strace; None if the command is not traced.

        Raises:
            OSError: the working folder was removed, or the file for the trace can't be created.
        """
        folder = self._folder = os.getcwd()
        settings, program = self._settings, self._program
        rules = IgnoreRules.for_this_process(
            str(run.path), folder, settings.include, settings.exclude, program.interpreter
        )
        self._rules = rules
        self._log = AccessLog(
            str(run.path),
            token,
            lambda: ((NoteKind.RULES, rules.text()), (NoteKind.WORKING_FOLDER, folder)),
        )
        self._named = self._find_named()
        self._known = hash_known_files([*self._named.files, *self._list_members(rules)], rules)
        self._started_ns = time.time_ns()
        self._note_redirections(self._log, rules)
        if settings.trace != "strace" and not has_room_for_trace(run.path):
            self.plan = TracePlan(None, "the disk of the store is almost full")
        if self.plan.strace is None:
            self._before = FolderSnapshot([folder, *self._named.folders], rules)
            self._before.add(self._named.files)
            return None
        script = None if program.script is None else os.path.abspath(program.script)
        self._tracker = AccessTracker(self._log, rules, self._known, script)
        self._follower = TraceFollower(run.path, token, self._tracker)
        return self.plan.command_line(words, self._follower.output)

    def _list_members(self, rules: IgnoreRules) -> list[str]:
        """List the files in the folders that the command names; none if Python runs the program.

        In Python programs, the audit hook hashes files in time. Another program may remove a folder
        right after reading the files in it, as ``cp -r a b; rm -r a`` does. In that case, only
        digests computed before the command starts can tell what was in the folder.
        """
        if self._program.interpreter is not None:
            return []
        folders = [folder for folder in self._named.folders if folder != self._folder]
        return list(FolderSnapshot(folders, rules).states)[:MAX_NAMED_FILES]

    def _note_redirections(self, log: AccessLog, rules: IgnoreRules) -> None:
        """Note the file that standard input comes from, and the file that output goes to."""
        for number in (0, 1):
            path = find_open_file(number)
            if path is None:
                continue
            if number:
                log.add(NoteKind.WRITE, f"1 {path}")
                continue
            log.add(NoteKind.READ, path)
            for file in hash_known_files([path], rules).values():
                log.add(NoteKind.DIGEST, f"{file.sha256}:{file.size} {path}")

    def start(self, run: Run, pid: int) -> None:
        """Start following the trace, if there is one, and record how the files are watched.

        Args:
            run: the run that records the command.
            pid: the process id of the command.
        """
        if self._follower is not None:
            self._follower.start(pid)
        metadata: dict[str, Any] = {"method": "strace", "not_seen": list(_UNSEEN_BY_STRACE)}
        if self.plan.strace is None:
            metadata = {
                "method": "Python's audit hook and a comparison of folders",
                "reason": self.plan.reason,
                "not_seen": list(_UNSEEN_BY_COMPARISON),
            }
        run.log_event(FILES_WATCHED, source=SOURCE, metadata=metadata)

    def discard(self) -> None:
        """Remove the trace. Call this method if the command could not be started."""
        if self._follower is not None:
            self._follower.discard()

    def is_only_writer(self, link: str) -> bool:
        """Return whether strace is the only other process that has a pipe or terminal open.

        strace keeps standard error open as long as any process of the command runs, even if that
        process does not write to standard error. Reads the open files of the user's processes,
        which takes a few milliseconds.

        Args:
            link: the target of the link in ``/proc/<pid>/fd`` for the pipe or terminal, for example
                ``pipe:[1234]``.
        """
        tracer = 0 if self._follower is None else self._follower.tracer
        return bool(tracer) and find_processes_with_file(link) == {tracer}

    def finish(self, run: Run, token: str) -> list[tuple[str, str]]:
        """Record the files that the command used. Call this method after the command has ended.

        Returns:
            The name of each thing that could not be recorded, with the reason.
        """
        missed: list[tuple[str, str]] = []
        if self._follower is not None and self._tracker is not None:
            missed = _finish_trace(self._follower, self._tracker)
        elif self._before is not None:
            self._note_changes(self._before)
        named, later = self._named, self._find_named()
        places = NamedPaths(named.files + later.files, named.folders + later.folders)
        record_files(run, token, named=NamedPlaces(places, self._folder))
        return missed

    def _find_named(self) -> NamedPaths:
        arguments = [*self._program.command[1:], *self._program.arguments]
        return find_named_paths(arguments, self._program.script)

    def _note_changes(self, before: FolderSnapshot) -> None:
        """Note the files that the command changed or removed in the watched folders.

        If Python does not run the program, also notes the files that the program seems to have
        read: the files named on the command line that were moved or that have not changed.
        """
        log, rules = self._log, self._rules
        if log is None or rules is None:
            return
        after = FolderSnapshot([self._folder, *self._named.folders], rules, before=False)
        after.add(self._find_named().files)
        changed = before.find_changes(after, self._started_ns)
        inodes = {state.inode for state in after.states.values()}
        for path, file in self._known.items() if self._program.interpreter is None else ():
            own = before.states.get(path)
            is_moved = path not in after.states and own is not None and own.inode in inodes
            if after.states.get(path) == own or is_moved:
                log.add(NoteKind.READ, path, self._started_ns)
                log.add(NoteKind.DIGEST, f"{file.sha256}:{file.size} {path}", self._started_ns)
        for path in changed:
            log.add(NoteKind.WRITE, f"0 {path}")
        for path in before.find_removed(after):
            log.add(NoteKind.REMOVE, path)


def _finish_trace(follower: TraceFollower, tracker: AccessTracker) -> list[tuple[str, str]]:
    """Read the rest of the trace.

    Returns the name of each thing that the trace does not show, with the reason.
    """
    missed: list[tuple[str, str]] = []
    if not follower.finish():
        missed.append(("files", "processes that the command left running may use more files"))
    if follower.trouble is not None:
        missed.append(("files", f"the trace could not be read: {follower.trouble}"))
    if follower.damage:
        missed.append(("files", f"part of the trace could not be read: {follower.damage}"))
    for path in sorted(tracker.privileged):
        reason = "this program ran without its privileges, because of strace: use --trace off"
        missed.append((printable_path(path), reason))
    for way in sorted(tracker.unseen):
        missed.append(("files", f"the command used {way}, which the trace does not show"))
    return missed
