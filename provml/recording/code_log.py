"""Records, in each run of this process, the code and configuration files that the process uses.

When the process uses a file, provml reads the file and keeps the content in memory. A short-lived
thread masks the secrets in the files, copies the files into the run's folder and records them.

Imports only `collect`, `journal` and `errors` from provml.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from provml.collect.code_files import (
    MAX_FILE_BYTES,
    NOTEBOOK,
    SOURCE_CODE,
    CodeFile,
    CodeFolder,
    ProjectFiles,
)
from provml.collect.code_watch import WATCH
from provml.collect.source import find_arguments, find_script, write_notebook_cells
from provml.collect.used_code import UsedCode
from provml.errors import RunClosedError
from provml.journal.layout import Record
from provml.journal.record_building import build_event

CODE_LEFT_OUT: Final = "code left out"
"""The name of the event that counts the code and configuration files that were left out."""
MAX_COPIED_BYTES: Final = 10 * 2**20
"""The maximum total size of the code and configuration files that a process copies."""
BEYOND_COPIES: Final = f"beyond {MAX_COPIED_BYTES >> 20} MiB in total"
NOT_COPIED: Final = "larger than 1 MiB"

_PAUSE_WAIT_S: Final = 5
_FINISH_WAIT_S: Final = 60


class _ProcessCode:
    """The code and configuration files that this process has used so far."""

    def __init__(self) -> None:
        self.files: list[CodeFile] = []
        self.used: UsedCode | None = None
        self._bytes = 0

    def update(self, run_folder: Path) -> UsedCode:
        """Find the files that the process has used so far, and watch for more files from now on."""
        if self.used is None:
            project = ProjectFiles(find_script(), run_folder)
            self.used = UsedCode(project, self._keep)
            WATCH.listener = self.used.take
            self.used.start(find_arguments())
        else:
            self.used.project.leave_out(run_folder)
            self.used.find_modules()
        return self.used

    def _keep(self, file: CodeFile) -> None:
        """Keep a file. If all files together would be too large, drop the content of this file."""
        size = len(file.content or b"")
        if self._bytes + size > MAX_COPIED_BYTES:
            file = file._replace(content=None)
        else:
            self._bytes += size
        self.files.append(file)


_process_code = _ProcessCode()


class CodeLog:
    """Records the code and configuration files that this process uses, in one of its runs."""

    def __init__(self, append: Callable[[Record], None], run_folder: Path, is_helper: bool) -> None:
        """Create the log; `start` begins to record.

        Args:
            append: a function that appends a record to the run.
            run_folder: the run's folder.
            is_helper: whether another process is the main process of the run. If so, this process
                leaves out files that the run already has copies of.
        """
        self._is_helper = is_helper
        self._append = append
        self._run_folder = run_folder
        self._started_ns = time.time_ns()
        self._count = 0
        self._left_out: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._is_paused = False
        self._is_finishing = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Find the files that the process has used so far, and record them in the background."""
        _process_code.update(self._run_folder)
        self.record_later()

    def record_later(self) -> None:
        """Start a thread that records the files found since the last call, and return at once."""
        if self._count == len(_process_code.files) or self._is_paused or self._is_finishing:
            return
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        thread = threading.Thread(target=self._record_in_thread, name="provml-code", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is exiting; `finish` records the files
            self._thread = None

    def pause(self) -> None:
        """Stop the background thread and wait until it has ended. Call this before a fork."""
        self._is_paused = True
        self._join(_PAUSE_WAIT_S)

    def resume(self) -> None:
        """Continue to record in the background, after `pause`."""
        self._is_paused = False
        self.record_later()

    def forget(self) -> None:
        """In a forked child, leave the files found so far to the parent process."""
        self._is_paused = False
        self._is_helper = True
        self._lock = threading.Lock()
        self._thread = None
        self._count = len(_process_code.files)
        self._left_out.clear()

    def finish(self) -> None:
        """Record all files that the process has used, and the number of files left out."""
        used = _process_code.update(self._run_folder)
        used.report_named()
        self._is_finishing = True
        self._join(_FINISH_WAIT_S)
        self._is_paused = False
        self._record_files()
        self._record_cells()
        counts = {**used.left_out, **self._left_out}
        if counts:
            self._append(build_event(CODE_LEFT_OUT, counts))

    def _record_cells(self) -> None:
        """Record the cells that a notebook or IPython shell has run so far."""
        if "IPython" not in sys.modules:
            return
        try:
            content = write_notebook_cells(self._run_folder)
        except OSError as error:
            content = {"kind": "file", "path": "notebook.py", "unread": str(error)}
        if content is not None:
            record = {"record": "code", "time": time.time_ns(), "name": "notebook.py"}
            record |= {"role": SOURCE_CODE, "found_by": NOTEBOOK, "content": content}
            self._append(record)

    def _join(self, wait_s: float) -> None:
        if self._thread is not None:
            self._thread.join(wait_s)
            self._thread = None

    def _record_in_thread(self) -> None:
        try:
            self._record_files()
        except RunClosedError:
            pass  # the run ended before this thread had recorded all files

    def _record_files(self) -> None:
        used = _process_code.used
        if used is None or self._count == len(_process_code.files):
            return
        with CodeFolder(self._run_folder) as folder:
            while not self._is_paused and (file := self._take_next()) is not None:
                if not used.is_data(file) and not (self._is_helper and folder.has_copy_of(file)):
                    self._append(self._build_record(used, file, folder))

    def _take_next(self) -> CodeFile | None:
        """Return the next file to record, or None."""
        with self._lock:
            if self._count >= len(_process_code.files):
                return None
            self._count += 1
            return _process_code.files[self._count - 1]

    def _build_record(self, used: UsedCode, file: CodeFile, folder: CodeFolder) -> Record:
        if file.content is None and "sha256" in file.facts:
            is_large = file.facts["size"] > MAX_FILE_BYTES
            self._left_out[NOT_COPIED if is_large else BEYOND_COPIES] += 1
        return build_code_record(used.project.name_file(file.path), file, folder) | {
            "time": max(file.time_ns, self._started_ns)
        }


def build_code_record(name: str, file: CodeFile, folder: CodeFolder) -> Record:
    """Copy a file into the run's folder, and build the record that describes the file."""
    return {
        "record": "code",
        "time": file.time_ns,
        "name": name,
        "role": file.role,
        "found_by": file.found_by,
        "content": folder.keep(file),
    }
