"""``provml run``: a run around a command that knows nothing of it.

The command is started as early as can be; what there is to say of its code and environment is
found out while it runs. Whatever befalls the recording, the command runs, and its exit status or
signal is this process's own. Imports `program`, `streams`, `output`, `signals`, `starting`.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from provml.base.settings import (
    CAPTURE_VARIABLE,
    COMMAND_VARIABLE,
    JOINED_VARIABLE,
    Settings,
    read_settings,
)
from provml.capture import bootstrap
from provml.capture.command.bounded_log import DEFAULT_LIMIT_BYTES
from provml.capture.command.exit_status import read_script_ends
from provml.capture.command.output_recorder import OutputRecorder
from provml.capture.command.program import Program, find_program
from provml.capture.command.signals import (
    ENDING,
    Signals,
    die_by_signal,
    reap,
    signal_name,
    stop_by_signal,
)
from provml.capture.command.streams import Stream, open_streams
from provml.capture.files import complete as complete_files
from provml.capture.lines import compile_patterns
from provml.capture.outer_run import MISSED
from provml.collect.collector_selection import plan_collectors
from provml.collect.content import printable_path
from provml.errors import (
    InvalidArgumentError,
    JournalError,
    MissingExtraError,
    RunClosedError,
    RunExistsError,
    StoreError,
)
from provml.recording import process_hooks
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run
from provml.recording.start import RunStart, open_run, validate_start

_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_WORST_FIRST: Final = ("failed", "interrupted", "finished")
_DESCRIBE_WAIT_S: Final = 30


class CommandExit(NamedTuple):
    """How a command ended: with an exit status, or by a signal."""

    exit_status: int = 0
    signal: int | None = None

    @property
    def status(self) -> str:
        """The run's status."""
        if self.signal == signal.SIGINT:
            return "interrupted"
        return "finished" if self.signal is None and self.exit_status == 0 else "failed"

    @property
    def reason(self) -> str | None:
        """Why, in words."""
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}"
        return f"exit status {self.exit_status}" if self.exit_status else None

    def leave(self) -> NoReturn:
        """End this process as the command ended."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                pass  # its reader is gone
        if self.signal is not None:
            die_by_signal(self.signal)
        os._exit(self.exit_status)  # the interpreter's own end could have a status of its own


class CommandOptions(NamedTuple):
    """What to record of a command, beside what `start_run` takes."""

    patterns: tuple[str, ...] = ()
    """What else in its output is a metric, as `provml.capture.lines` has it."""
    output: bool = True
    """Read and keep what it prints; without, it has the caller's own streams."""
    trackers: bool = True
    files: bool = True
    output_limit_bytes: int = DEFAULT_LIMIT_BYTES


def record_command(
    command: Sequence[str],
    around: CommandOptions = CommandOptions(),  # noqa: B008 - it can't be changed
    *,
    experiment: str | None = None,
    project: str | None = None,
    owner: str | None = None,
    namespace: str | None = None,
    run_id: str | None = None,
    resume: bool = False,
    store: str | None = None,
    tags: Mapping[str, Any] | None = None,
    formats: tuple[str, ...] = ("provjson",),
    sample_interval_s: float | None = None,
) -> CommandExit:
    """Run a command, record it, and say how it ended.

    To be called from the main thread of a process that does nothing else: signals are its own, and
    standard output and error the command's. Costs some tens of milliseconds before the command
    starts; where no run can be recorded the process becomes the command, after a line on standard
    error that says why.

    Args:
        command: the words to execute; a ``.py`` or ``.ipynb`` file is run with this Python.
        around: what to record of it.
        experiment: by default the script's name without its ending, or the command's.
        project, owner, namespace, run_id, resume, tags, formats, sample_interval_s: as in
            `provml.start_run`.
        store: the folder that holds the runs, likewise.

    Raises:
        InvalidArgumentError, ExportError, RunExistsError, MissingExtraError: misuse; the command
            did not run.
    """
    if not command or not command[0]:
        raise InvalidArgumentError("there is no command to run: provml run -- python train.py")
    settings = read_settings()._replace(joined_run=None)
    compile_patterns(around.patterns)
    program = find_program(command)
    if program.is_notebook:
        _check_notebook()
    start = validate_start(
        settings,
        program.name if experiment is None else experiment,
        project=project,
        owner=owner,
        namespace=namespace,
        tags=tags,
        formats=formats,
        sample_interval_s=sample_interval_s,
    )
    if settings.disabled:
        return _become(program, dict(os.environ))
    signals = Signals()
    try:
        run = open_run(
            settings, start, program.describe(), store=store, run_id=run_id, resume=resume
        )
    except RunExistsError:
        raise
    except (StoreError, JournalError, OSError) as error:
        signals.release()
        _say(f"not recording: {_reason(error)}")
        return _become(program, dict(os.environ))
    process_hooks.watch(run)
    return _Recording(run, program, around, settings, start, signals).follow()


def _reason(error: Exception) -> str:
    """What went wrong; a working folder that was removed makes a message without a name."""
    try:
        os.getcwd()
    except OSError:
        return f"the working folder is not there any more ({error}): give --store a whole path"
    return str(error)


def _say(text: str) -> None:
    """A line on standard error, where there is one to write to."""
    try:
        os.write(2, f"provml: {printable_path(text)}\n".encode())
    except OSError:
        pass


def _check_notebook() -> None:
    from importlib.util import find_spec

    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        raise MissingExtraError("running a notebook", "nbclient and ipykernel", "notebook")


def _become(program: Program, environment: dict[str, str]) -> CommandExit:
    """Become the command; returns only where it can't be executed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # what Python has set for itself
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(program.command[0], program.command, environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            return _not_started(program, error)
    os.execvpe("/bin/sh", _by_shell(program), environment)


def _by_shell(program: Program) -> list[str]:
    """A file without a first line that says what runs it is the shell's, as everywhere."""
    import shutil

    path = shutil.which(program.command[0]) or program.command[0]
    return ["/bin/sh", path, *program.command[1:]]


def _not_started(program: Program, error: OSError) -> CommandExit:
    """Say what a shell says of a command that can't be executed, with its exit status."""
    missing = isinstance(error, FileNotFoundError)
    what = "command not found" if missing and "/" not in program.command[0] else error.strerror
    _say(f"{program.command[0]}: {what}")
    return CommandExit(_NOT_FOUND if missing else _NOT_EXECUTABLE)


def _nothing(block: bytes, time_ns: int) -> None:
    """Take a block of output where none can be recorded."""


class _Recording:
    """One command under way, and its run."""

    def __init__(
        self,
        run: Run,
        program: Program,
        around: CommandOptions,
        settings: Settings,
        start: RunStart,
        signals: Signals,
    ) -> None:
        self._run = run
        self._program = program
        self._around = around
        self._settings = settings
        self._start = start
        self._signals = signals
        self._streams: list[Stream] = []
        self._output: OutputRecorder | None = None
        self._token = f"{os.urandom(6).hex()}-"
        self._pid = 0
        self._stopped = False
        self._unwritten = False
        self._started_ns = 0
        self._usage: Any = None
        self._describer: threading.Thread | None = None

    def follow(self) -> CommandExit:
        """Start the command, stand by until it has ended, and record that."""
        early = self._signals.waiting() & ENDING
        if early:
            self._run.end_run("interrupted", reason="before the command was started")
            self._signals.release()
            return CommandExit(signal=min(early))
        try:
            self._spawn()
        except OSError as error:
            for stream in self._streams:
                stream.discard()
            ending = _not_started(self._program, error)
            self._end(ending, error.strerror)
            return ending
        self._begin_recording()
        ending = self._stand_by()
        self._signals.release()
        try:
            self._finish(ending)
        except KeyboardInterrupt:  # of what is recorded by now nothing is lost
            pass
        except Exception as error:  # how the command ended is to be told in any case
            _say(f"the run is not recorded to its end: {type(error).__qualname__}: {error}")
        if self._unwritten and ending == CommandExit():
            return CommandExit(1)  # as one that writes its output itself would end
        return ending

    # -- the start ----------------------------------------------------------------------------

    def _spawn(self) -> None:
        """Start the command. Raises OSError where it can't be executed."""
        environment = self._environment()
        words = self._program.command
        if self._program.is_notebook:  # in the kernel, not in the process that runs it
            words = [*words, *filter(None, [environment.get(CAPTURE_VARIABLE)])]
            environment[CAPTURE_VARIABLE] = ""
        actions: list[tuple[int, ...]] = []
        if self._around.output:
            try:
                self._streams = open_streams()
            except OSError as error:
                self._miss("output", str(error))
            for stream in self._streams:
                actions += [
                    (os.POSIX_SPAWN_DUP2, stream.given, number) for number in stream.numbers
                ]
        ours = [signal.SIGPIPE, *([signal.SIGXFSZ] if hasattr(signal, "SIGXFSZ") else [])]
        options: dict[str, Any] = {
            "file_actions": actions,
            "setsigdef": ours,  # what Python ignores, the command is not to
            "setsigmask": sorted(self._signals.before),
        }
        self._started_ns = time.time_ns()
        try:
            self._pid = os.posix_spawnp(words[0], words, environment, **options)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            self._pid = os.posix_spawn("/bin/sh", _by_shell(self._program), environment, **options)

    def _environment(self) -> dict[str, str]:
        """The caller's, with what has the command's processes join the run."""
        environment = dict(os.environ)
        environment[JOINED_VARIABLE] = str(self._run.path)
        environment[COMMAND_VARIABLE] = self._token
        chosen = bootstrap.PARTS if self._settings.capture is None else self._settings.capture
        own = [
            part
            for part in chosen
            if (part != "trackers" or self._around.trackers)
            and (part != "files" or self._around.files)
        ]
        if self._settings.capture is not None or len(own) < len(chosen):
            environment[CAPTURE_VARIABLE] = ",".join(own)
        site, others = str(bootstrap.SITE), environment.get("PYTHONPATH", "")
        paths = [path for path in others.split(os.pathsep) if path != site] if others else []
        environment["PYTHONPATH"] = os.pathsep.join([site, *paths])
        return environment

    def _begin_recording(self) -> None:
        """Begin all that goes on beside the command; what can't be is missed, and told."""
        self._guard("output", self._open_output)
        for index, stream in enumerate(self._streams):  # it passes in any case
            stream.start(_nothing if self._output is None else self._output.taker(index))
        self._signals.post_witness()
        started_s = self._started_ns / 1e9
        self._guard(
            "command_started",
            lambda: self._run.log_event("command_started", source=SOURCE, timestamp=started_s),
        )
        self._guard("readings", self._start_sampling)
        self._describer = threading.Thread(
            target=self._describe, name="provml-describe", daemon=True
        )
        self._guard("source code and environment", self._describer.start)

    def _guard(self, what: str, part: Callable[[], object]) -> None:
        """Do a part of the recording, which must not end what goes on."""
        try:
            part()
        except Exception as error:
            self._miss(what, f"{type(error).__qualname__}: {error}")

    def _open_output(self) -> None:
        if self._streams:
            limit = self._around.output_limit_bytes
            output = OutputRecorder(
                self._run, self._streams, limit, self._around.patterns, self._miss
            )
            output.start()
            self._output = output

    def _start_sampling(self) -> None:
        interval_s = self._start.interval_s
        if not interval_s:
            return
        machine_wide = self._settings.local_rank in (None, 0)
        planned = plan_collectors(
            self._start.collectors, interval_s, machine_wide, command=self._pid
        )
        self._run._start_sampling(interval_s, planned)

    def _describe(self) -> None:
        """Record code and environment, as `log_source_code` and `log_environment` do."""
        from provml.capture.command.environment_probe import probe_environment

        try:
            for record in probe_environment(self._program, self._run.path, self._miss):
                self._run._append(record)
        except RunClosedError:
            pass  # it took too long, which is told

    # -- while it runs ------------------------------------------------------------------------

    def _stand_by(self) -> CommandExit:
        """Wait for the command's end, and for the end of what it wrote."""
        ending: CommandExit | None = None
        while True:
            came = self._signals.wait()
            if came.number == signal.SIGCHLD:
                if ending is None:
                    ending = self._look()
                if ending is not None:
                    for stream in self._streams:
                        stream.end()
                    if all(stream.is_done for stream in self._streams):
                        return ending
            elif ending is None:
                self._pass_on_signal(came.number, came)
            elif came.number in ENDING:
                # the command is over, and who reads what it wrote takes too long
                return ending

    def _look(self) -> CommandExit | None:
        """How the command ended; None while it has not. Where it was stopped so are we."""
        found = reap(self._pid)
        if found is None:
            return None
        status, usage = found
        if os.WIFSTOPPED(status):
            self._stopped = True
            stop_by_signal(os.WSTOPSIG(status))
            return None
        self._usage = usage
        if os.WIFSIGNALED(status):
            return CommandExit(signal=os.WTERMSIG(status))
        return CommandExit(os.waitstatus_to_exitcode(status))

    def _pass_on_signal(self, number: int, came: Any) -> None:
        if number == signal.SIGWINCH:
            for stream in self._streams:
                stream.copy_size()
            if self._streams:  # it may have looked before its terminal had the size
                self._send(number)
        elif number == signal.SIGCONT:
            if self._stopped:
                self._stopped = False
                self._send(number)
        elif number == signal.SIGTSTP:
            if not came.by_kernel:
                self._send(number)
            self._stopped = True
            stop_by_signal(number)
        elif not self._signals.reached_group(came):
            self._send(number)

    def _send(self, number: int) -> None:
        try:
            os.kill(self._pid, number)
        except OSError:
            pass  # it has ended, or has become another user's

    # -- the end ------------------------------------------------------------------------------

    def _finish(self, ending: CommandExit) -> None:
        """Record how the command ended, and what is known only now."""
        used = self._usage
        metadata: dict[str, Any] = {
            "exit_status": ending.exit_status if ending.signal is None else None,
            "signal": None if ending.signal is None else signal_name(ending.signal),
            "user_s": used.ru_utime,
            "system_s": used.ru_stime,
            "peak_memory_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }
        self._run.log_event("command_finished", source=SOURCE, metadata=metadata)
        for stream in self._streams:
            if stream.unread or not stream.is_done:
                stream.hand_over()
                self._miss(stream.name, "written after the command's end by what it left running")
            if stream.trouble is not None:
                self._miss(stream.name, f"passing it on: {stream.trouble}")
                if stream.trouble.errno != errno.EPIPE:  # of which the command may not have heard
                    _say(f"{stream.name}: {stream.trouble.strerror or stream.trouble}")
                    self._unwritten = True
        if self._output is not None:
            self._guard("output", self._output.finish)
        if self._describer is not None and self._describer.ident is not None:
            self._describer.join(_DESCRIBE_WAIT_S)
            if self._describer.is_alive():
                reason = f"they were not found out within {_DESCRIBE_WAIT_S} s of its end"
                self._miss("source code and environment", reason)
        was_inside = bootstrap.was_installed(self._run.path, keep=self._settings.rank is not None)
        if self._program.interpreter is not None and not was_inside:
            self._miss(
                "calls and files of the script",
                f"{self._program.interpreter} did not import provml: it is older than Python 3.11, "
                "or was started with -E, -I or -S",
            )
        if self._around.files:
            self._guard("files", lambda: complete_files(self._run, self._token))
        self._end(ending, ending.reason)

    def _end(self, ending: CommandExit, reason: str | None) -> None:
        """End the run; its status is the worse of the command's and of those that joined it."""
        status, exception = ending.status, None
        for joined in read_script_ends(self._run.path):
            if _WORST_FIRST.index(joined["status"]) < _WORST_FIRST.index(status):
                status, reason = joined["status"], joined.get("reason", reason)
            if isinstance(joined.get("exception"), dict):
                exception = joined["exception"]
        if status == "finished":
            exception = None
        self._run._end(status, None if reason is None else reason[:1000], exception)

    def _miss(self, what: str, reason: str) -> None:
        """Record something that could not be."""
        self._run.log_event(MISSED, source=SOURCE, metadata={"what": what, "reason": reason[:1000]})
