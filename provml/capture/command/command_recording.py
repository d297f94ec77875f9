"""Starts a command, records it while it runs, and ends its run.

If a part of the recording fails, an event in the run says so, and the other parts go on.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from provml.base.settings import CAPTURE_VARIABLE, Settings
from provml.capture import bootstrap
from provml.capture.arguments import SETTINGS_READ
from provml.capture.arguments.command_line import read_options
from provml.capture.code.code_recorder import CodeRecorder
from provml.capture.command.command_environment import build_environment
from provml.capture.command.command_files import CommandFiles
from provml.capture.command.command_options import CommandOptions
from provml.capture.command.execution import print_message, report_not_started, spawn_command
from provml.capture.command.exit_status import CommandExit, read_script_ends
from provml.capture.command.output_recorder import CommandOutputRecorder
from provml.capture.command.program import Program
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
from provml.errors import RunClosedError
from provml.recording.joined_run import SOURCE
from provml.recording.run import Run
from provml.recording.start import RunStart

_WORST_FIRST: Final = ("failed", "interrupted", "finished")
_ENVIRONMENT_WAIT_S: Final = 30


def _discard_block(block: bytes, time_ns: int) -> None:
    """Ignore a block of output. Serves as the callback if the output can't be recorded."""


class CommandRecording:
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
            command_exit = report_not_started(self._program, error)
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
            print_message(
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
        environment = build_environment(
            self._run.path, self._token, self._settings, self._options, self._records_code
        )
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
        else:
            self._pid = spawn_command(self._program, words, environment, **spawn_options)

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

    def _begin_recording(self) -> None:
        """Start the parts that record while the command runs. Note in the run which parts fail."""
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
        """Call a function that records something. If it fails, note the failure in the run."""
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
        # stop sampling now: the readings must not include provml's work after the command has ended
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
                    print_message(f"{stream.name}: {stream.trouble.strerror or stream.trouble}")
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
        """Return whether strace alone still has a stream open. Then no more output can arrive."""
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
        from provml.capture.command.end_summary import RunEnd, print_summary

        name = f"{self._run.experiment}/{self._run.id}"
        seconds = (self._ended_ns - self._started_ns) / 1e9
        terminals = [stream for stream in self._streams if stream.is_terminal]
        try:
            print_summary(
                RunEnd(name, *self._ending, seconds),
                self._run.path,
                MISSED,
                [stream.name for stream in self._streams],
                [] if self._output is None else self._output.list_missed(),
                lambda: all(one.ends_with_line(self._interrupted_ns) for one in terminals),
            )
        except Exception:
            pass  # the run is recorded, and `provml show` can describe it

    def _note_missed(self, what: str, reason: str) -> None:
        """Log an event that says what could not be recorded, and why."""
        self._run.log_event(MISSED, source=SOURCE, metadata={"what": what, "reason": reason[:1000]})
