"""Runs a command for ``provml run`` and records it as a run.

The command starts as early as possible, and its code and environment are described while it runs.
If the recording fails, the command still runs, and this process still ends with the command's exit
status or signal.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from provml.base.settings import (
    CAPTURE_VARIABLE,
    COMMAND_VARIABLE,
    EXCLUDE_VARIABLE,
    INCLUDE_VARIABLE,
    JOINED_VARIABLE,
    Settings,
    read_settings,
)
from provml.base.text import printable_path
from provml.capture import bootstrap
from provml.capture.arguments import SETTINGS_READ
from provml.capture.arguments.command_line import read_options
from provml.capture.code.code_recorder import CodeRecorder
from provml.capture.command.command_files import CommandFiles
from provml.capture.command.command_options import CommandOptions as CommandOptions
from provml.capture.command.exit_status import CommandExit, read_script_ends
from provml.capture.command.output_recorder import CommandOutputRecorder, check_patterns
from provml.capture.command.program import Program, find_program
from provml.capture.command.signals import (
    TERMINATING_SIGNALS,
    SignalQueue,
    describe_signal,
    poll_child,
    stop_by_signal,
)
from provml.capture.command.streams import CommandStream, open_streams
from provml.capture.outer_run import MISSED
from provml.collect.collector_selection import plan_collectors
from provml.errors import (
    InvalidArgumentError,
    JournalError,
    MissingExtraError,
    RunClosedError,
    RunExistsError,
    StoreError,
)
from provml.recording import process_hooks
from provml.recording.child_runs import find_parent
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run
from provml.recording.start import RunStart, open_run, validate_start

_STATUS_NOT_FOUND: Final = 127
_STATUS_NOT_EXECUTABLE: Final = 126
_WORST_FIRST: Final = ("failed", "interrupted", "finished")
_ENVIRONMENT_WAIT_S: Final = 30


def record_command(
    command: Sequence[str],
    options: CommandOptions = CommandOptions(),  # noqa: B008 - immutable
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
    """Run a command, record it as a run, and return the command's exit status or signal.

    Call this function from the main thread of a process that does nothing else. It handles the
    process's signals, and passes the command's output on to standard output and error. The command
    starts a few tens of milliseconds later than it would without provml. If the run can't be
    recorded, the function says why on standard error, and replaces this process with the command.

    Args:
        command: the command line. If it starts with a ``.py`` or ``.ipynb`` file that is not
            executable, the Python of this process runs the file.
        options: what to record.
        experiment: the experiment's name; the default is the name of the script or command.
        project, owner, namespace, run_id, resume, store, tags, formats, sample_interval_s: as in
            `provml.start_run`.

    Raises:
        InvalidArgumentError, ExportError, RunExistsError, MissingExtraError: an argument is
            invalid. The command did not run.
    """
    if not command or not command[0]:
        raise InvalidArgumentError(
            "there is no command to run: try 'provml run -- python train.py'"
        )
    settings = options.apply_to(read_settings()._replace(joined_run=None))
    check_patterns(options.patterns)
    program = find_program(command)
    if program.is_notebook:
        _require_notebook_extra()
    settings = settings._replace(code=settings.code and options.code)
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
        return _become_command(program, dict(os.environ))
    files = CommandFiles(program, settings, options.output) if options.files else None
    if files is not None and settings.trace == "strace":
        files.plan  # noqa: B018 - raises an error if the command can't be traced
    signals = SignalQueue()
    try:
        parent = find_parent(None, settings, store)
        run = open_run(
            settings,
            start,
            program.describe(),
            store=store,
            run_id=run_id,
            resume=resume,
            parent=parent,
        )
    except RunExistsError:
        raise
    except (StoreError, JournalError, OSError) as error:
        signals.release()
        _print_message(f"not recording: {_describe_error(error)}")
        return _become_command(program, dict(os.environ))
    process_hooks.watch(run)
    return _CommandRecording(run, program, options, settings, start, signals, files).follow()


def _describe_error(error: Exception) -> str:
    """Return an error as text, with a hint if the working folder was removed."""
    try:
        os.getcwd()
    except OSError:
        return f"the working folder was removed ({error}): pass an absolute path to --store"
    return str(error)


def _print_message(text: str) -> None:
    """Print a line on standard error. Do nothing if standard error is closed."""
    try:
        os.write(2, f"provml: {printable_path(text)}\n".encode())
    except OSError:
        pass


def _require_notebook_extra() -> None:
    from importlib.util import find_spec

    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        raise MissingExtraError("running a notebook", "nbclient and ipykernel", "notebook")


def _become_command(program: Program, environment: dict[str, str]) -> CommandExit:
    """Replace this process with the command. Return only if the command can't be executed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores SIGPIPE; the command must not
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(program.command[0], program.command, environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            return _report_not_started(program, error)
    os.execvpe("/bin/sh", _shell_command(program), environment)


def _shell_command(program: Program) -> list[str]:
    """Return a command line with which ``/bin/sh`` runs a script that has no ``#!`` line."""
    import shutil

    path = shutil.which(program.command[0]) or program.command[0]
    return ["/bin/sh", path, *program.command[1:]]


def _report_not_started(program: Program, error: OSError) -> CommandExit:
    """Print why a command can't be executed; return the exit status that a shell would return."""
    missing = isinstance(error, FileNotFoundError)
    what = "command not found" if missing and "/" not in program.command[0] else error.strerror
    _print_message(f"{program.command[0]}: {what}")
    return CommandExit(_STATUS_NOT_FOUND if missing else _STATUS_NOT_EXECUTABLE)


def _discard_block(block: bytes, time_ns: int) -> None:
    """Ignore a block of output. Serves as the callback if the output can't be recorded."""


class _CommandRecording:
    """The execution of one command, and the recording of its run."""

    def __init__(
        self,
        run: Run,
        program: Program,
        options: CommandOptions,
        settings: Settings,
        start: RunStart,
        signals: SignalQueue,
        files: CommandFiles | None,
    ) -> None:
        self._run = run
        self._program = program
        self._options = options
        self._settings = settings
        self._start = start
        self._signals = signals
        self._files = files
        self._streams: list[CommandStream] = []
        self._output: CommandOutputRecorder | None = None
        self._token = f"{os.urandom(6).hex()}-"
        self._pid = 0
        self._stopped = False
        self._lost_output = False
        self._started_ns = 0
        self._ended_ns = 0
        self._interrupted_ns = 0
        self._ending: tuple[str, str | None] = "crashed", None
        self._usage: Any = None
        self._environment_thread: threading.Thread | None = None
        captured = settings.capture is None or "code" in settings.capture
        self._records_code = settings.code and captured
        self._code: CodeRecorder | None = None

    def follow(self) -> CommandExit:
        """Start the command, record it until it ends, and return its exit status or signal."""
        early = self._signals.list_pending() & TERMINATING_SIGNALS
        if early:
            self._run.end_run("interrupted", reason="before the command was started")
            self._signals.release()
            return CommandExit(signal=min(early))
        try:
            self._start_command()
        except OSError as error:
            for stream in self._streams:
                stream.discard()
            if self._files is not None:
                self._files.discard()
            command_exit = _report_not_started(self._program, error)
            self._end_run(command_exit, error.strerror)
            return command_exit
        self._begin_recording()
        command_exit = self._wait_for_end()
        self._ended_ns = time.time_ns()
        self._signals.release()
        try:
            self._record_end(command_exit)
            if self._options.summary:
                self._print_summary()
        except KeyboardInterrupt:  # everything recorded so far is safe on disk
            pass
        except Exception as error:  # the caller still needs the command's exit status
            _print_message(
                f"could not record the end of the run: {type(error).__qualname__}: {error}"
            )
        if self._lost_output and command_exit == CommandExit():
            return CommandExit(1)  # end as if the command itself had failed to write
        return command_exit

    # -- the start ----------------------------------------------------------------------------

    def _start_command(self) -> None:
        """Start the command.

        Raises:
            OSError: the command can't be executed.
        """
        environment = self._build_environment()
        words = self._program.command
        if self._program.is_notebook:  # capture in the kernel, not in the process that controls it
            words = [*words, *filter(None, [environment.get(CAPTURE_VARIABLE)])]
            environment[CAPTURE_VARIABLE] = ""
        actions: list[tuple[int, ...]] = []
        if self._options.output:
            try:
                self._streams = open_streams()
            except OSError as error:
                self._note_missed("output", str(error))
            for stream in self._streams:
                actions += [
                    (os.POSIX_SPAWN_DUP2, stream.command_fd, number) for number in stream.numbers
                ]
        ours = [signal.SIGPIPE, *([signal.SIGXFSZ] if hasattr(signal, "SIGXFSZ") else [])]
        spawn_options: dict[str, Any] = {
            "file_actions": actions,
            "setsigdef": ours,  # Python ignores these signals, but the command must not
            "setsigmask": sorted(self._signals.before),
        }
        if self._records_code:
            self._try_part("code", self._prepare_code)
        traced = self._prepare_files(words)
        self._started_ns = time.time_ns()
        if traced is not None:
            self._pid = os.posix_spawn(traced[0], traced, environment, **spawn_options)
            return
        try:
            self._pid = os.posix_spawnp(words[0], words, environment, **spawn_options)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            self._pid = os.posix_spawn(
                "/bin/sh", _shell_command(self._program), environment, **spawn_options
            )

    def _prepare_files(self, words: list[str]) -> list[str] | None:
        """Prepare to watch the command's files.

        Returns:
            The command line that runs the command under strace; None if the command is not traced.
        """
        if self._files is None:
            return None
        try:
            return self._files.prepare(self._run, self._token, words)
        except OSError as error:
            self._note_missed("files", str(error))
            self._files = None
            return None

    def _build_environment(self) -> dict[str, str]:
        """Return the caller's environment, plus the variables that let processes join the run."""
        environment = dict(os.environ)
        environment[JOINED_VARIABLE] = str(self._run.path)
        environment[COMMAND_VARIABLE] = self._token
        chosen = (
            tuple(bootstrap.PARTS) if self._settings.capture is None else self._settings.capture
        )
        own = [
            part
            for part in chosen
            if (part != "trackers" or self._options.trackers)
            and (part != "files" or self._options.files)
            and (part != "arguments" or self._options.settings)
            and (part != "code" or self._records_code)
            and (part != "frameworks" or self._options.frameworks)
        ]
        if self._settings.capture is not None or len(own) < len(chosen):
            environment[CAPTURE_VARIABLE] = ",".join(own)
        for name, patterns in (
            (INCLUDE_VARIABLE, self._settings.include),
            (EXCLUDE_VARIABLE, self._settings.exclude),
        ):
            if patterns:
                environment[name] = os.pathsep.join(patterns)
        site, others = str(bootstrap.SITE), environment.get("PYTHONPATH", "")
        paths = [path for path in others.split(os.pathsep) if path != site] if others else []
        environment["PYTHONPATH"] = os.pathsep.join([site, *paths])
        return environment

    def _begin_recording(self) -> None:
        """Start everything that records while the command runs. Note what can't be started."""
        self._try_part("output", self._open_output)
        # pass the output on even if it can't be recorded
        for index, stream in enumerate(self._streams):
            stream.start(
                _discard_block if self._output is None else self._output.callback_for(index)
            )
        self._signals.start_witness()
        started_s = self._started_ns / 1e9
        self._try_part(
            "command_started",
            lambda: self._run.log_event("command_started", source=SOURCE, timestamp=started_s),
        )
        self._try_part("files", self._start_files)
        self._try_part("readings", self._start_sampling)
        if self._code is not None:
            self._try_part("code", self._code.start)
        self._environment_thread = threading.Thread(
            target=self._record_environment, name="provml-describe", daemon=True
        )
        self._try_part("source code and environment", self._environment_thread.start)

    def _try_part(self, what: str, part: Callable[[], object]) -> None:
        """Call a function that records something. If it fails, note the failure and go on."""
        try:
            part()
        except Exception as error:
            self._note_missed(what, f"{type(error).__qualname__}: {error}")

    def _open_output(self) -> None:
        if self._streams:
            limit = self._options.output_limit_bytes
            output = CommandOutputRecorder(
                self._run, self._streams, limit, self._options.patterns, self._note_missed
            )
            output.start()
            self._output = output

    def _prepare_code(self) -> None:
        program = self._program
        self._code = CodeRecorder(self._run, self._token, program.script, program.arguments)
        self._code.read_named()

    def _start_files(self) -> None:
        if self._files is not None:
            self._files.start(self._run, self._pid)

    def _record_files(self) -> None:
        if self._files is not None:
            for what, reason in self._files.finish(self._run, self._token):
                self._note_missed(what, reason)

    def _start_sampling(self) -> None:
        interval_s = self._start.interval_s
        if not interval_s:
            return
        machine_wide = self._settings.local_rank in (None, 0)
        planned = plan_collectors(
            self._start.collectors, interval_s, machine_wide, command=self._pid
        )
        self._run._start_sampling(interval_s, planned)

    def _record_environment(self) -> None:
        """Record the command's source code and environment."""
        from provml.capture.command.environment_probe import probe_environment

        try:
            for record in probe_environment(self._program, self._run.path, self._note_missed):
                self._run._append(record)
        except RunClosedError:
            pass  # the probe took too long; an event in the run says so

    # -- while it runs ------------------------------------------------------------------------

    def _wait_for_end(self) -> CommandExit:
        """Wait until the command has ended and its output is passed on; return its exit status."""
        command_exit: CommandExit | None = None
        while True:
            received = self._signals.wait()
            if received.number == signal.SIGCHLD:
                if command_exit is None:
                    command_exit = self._check_command()
                if command_exit is not None:
                    for stream in self._streams:
                        stream.end()
                    if all(stream.is_done for stream in self._streams):
                        return command_exit
            elif command_exit is None:
                if received.number in (signal.SIGINT, signal.SIGQUIT):
                    self._interrupted_ns = time.time_ns()  # the terminal has echoed ^C
                self._pass_on_signal(received.number, received)
            elif received.number in TERMINATING_SIGNALS:
                # the command has ended: do not wait for a slow reader of its output
                return command_exit

    def _check_command(self) -> CommandExit | None:
        """Return how the command ended; None if it is still running.

        If the command was stopped, stop this process too, until both are resumed.
        """
        found = poll_child(self._pid)
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

    def _pass_on_signal(self, number: int, received: Any) -> None:
        if number == signal.SIGWINCH:
            for stream in self._streams:
                stream.copy_size()
            if self._streams:  # the command may have read the old size
                self._send_signal(number)
        elif number == signal.SIGCONT:
            if self._stopped:
                self._stopped = False
                self._send_signal(number)
        elif number == signal.SIGTSTP:
            if not received.by_kernel:
                self._send_signal(number)
            self._stopped = True
            stop_by_signal(number)
        elif not self._signals.reached_group(received):
            self._send_signal(number)

    def _send_signal(self, number: int) -> None:
        try:
            os.kill(self._pid, number)
        except OSError:
            pass  # the command has ended or now belongs to another user

    # -- the end ------------------------------------------------------------------------------

    def _record_end(self, command_exit: CommandExit) -> None:
        """Record the command's exit, output and files, and note what could not be recorded."""
        # end the readings now: they describe the command, not what provml does after its end
        self._try_part("readings", self._run._end_sampling)
        used = self._usage
        metadata: dict[str, Any] = {
            "exit_status": command_exit.exit_status if command_exit.signal is None else None,
            "signal": None if command_exit.signal is None else describe_signal(command_exit.signal),
            "user_s": used.ru_utime,
            "system_s": used.ru_stime,
            "peak_memory_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }
        self._run.log_event("command_finished", source=SOURCE, metadata=metadata)
        for stream in self._streams:
            if stream.unread and self._is_only_traced(stream):
                stream.stop()
            elif stream.unread or not stream.is_done:
                stream.hand_over()
                self._note_missed(
                    stream.name, "output of processes that the command left running when it ended"
                )
            if stream.trouble is not None:
                self._note_missed(stream.name, f"provml could not pass it on: {stream.trouble}")
                if stream.trouble.errno != errno.EPIPE:  # the command may not have seen this error
                    _print_message(f"{stream.name}: {stream.trouble.strerror or stream.trouble}")
                    self._lost_output = True
        output = self._output
        if output is not None:
            is_rank = self._settings.rank is not None
            self._try_part("output", lambda: output.finish(keep_marks=is_rank))
        if self._environment_thread is not None and self._environment_thread.ident is not None:
            self._environment_thread.join(_ENVIRONMENT_WAIT_S)
            if self._environment_thread.is_alive():
                reason = f"still being read {_ENVIRONMENT_WAIT_S} s after the end of the command"
                self._note_missed("source code and environment", reason)
        was_installed = bootstrap.was_installed(
            self._run.path, keep=self._settings.rank is not None
        )
        if self._program.interpreter is not None and not was_installed:
            self._note_missed(
                "calls and files of the script",
                f"{self._program.interpreter} did not import provml: this Python is older than "
                "3.11, or was started with -E, -I or -S",
            )
        if self._code is not None:
            self._try_part("code", self._code.finish)
        self._try_part("files", self._record_files)
        if self._options.settings:
            self._try_part("settings", self._record_options)
        self._end_run(command_exit, command_exit.reason)

    def _is_only_traced(self, stream: CommandStream) -> bool:
        """Return whether only strace keeps a stream open, so that no more output can arrive."""
        return self._files is not None and self._files.is_only_writer(stream.link)

    def _record_options(self) -> None:
        """Record the options on the command line as parameters, unless a library has done so."""
        options = read_options(self._program.arguments)
        if options and not self._run.events(SETTINGS_READ):
            self._run.log_params(options)
            metadata = {"library": "command line", "given": sorted(options)}
            self._run.log_event(SETTINGS_READ, source=SOURCE, metadata=metadata)

    def _end_run(self, command_exit: CommandExit, reason: str | None) -> None:
        """End the run with the worst status of the command and the scripts that joined the run."""
        status, exception = command_exit.status, None
        for joined in read_script_ends(self._run.path):
            if _WORST_FIRST.index(joined["status"]) < _WORST_FIRST.index(status):
                status, reason = joined["status"], joined.get("reason", reason)
            if isinstance(joined.get("exception"), dict):
                exception = joined["exception"]
        if status == "finished":
            exception = None
        reason = None if reason is None else reason[:1000]
        self._run._end(status, reason, exception)
        self._ending = status, reason

    def _print_summary(self) -> None:
        """Print what was recorded, if standard error is a terminal. Ignore failures."""
        if not os.isatty(2):
            return
        from provml.capture.command import end_summary

        try:
            if not end_summary.can_print():
                return
            name = f"{self._run.experiment}/{self._run.id}"
            seconds = (self._ended_ns - self._started_ns) / 1e9
            end = end_summary.RunEnd(name, *self._ending, seconds)
            logs = [stream.name for stream in self._streams]
            found = end_summary.read_names(self._run.path, MISSED, logs)
            missed = [] if self._output is None else self._output.list_missed()
            width = end_summary.find_width()
            hint = end_summary.build_hint(missed, width)
            lines = end_summary.build_lines(end, found, hint, width)
            terminals = [stream for stream in self._streams if stream.is_terminal]
            starts_line = all(one.ends_with_line(self._interrupted_ns) for one in terminals)
            end_summary.print_lines(lines, starts_line)
        except Exception:
            pass  # the run is recorded, and `provml show` can describe it

    def _note_missed(self, what: str, reason: str) -> None:
        """Log an event that says what could not be recorded, and why."""
        self._run.log_event(MISSED, source=SOURCE, metadata={"what": what, "reason": reason[:1000]})
