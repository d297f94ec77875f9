"""Runs the cells of a notebook, one after another, for ``provml run -- train.ipynb``.

    python -m provml.capture.command.notebook NOTEBOOK [PARTS]

PARTS lists the parts of capture to turn on in the kernel, in the format of ``PROVML_CAPTURE``. This
process only controls the kernel, so nothing is captured here.

- Text that cells print goes to standard output and error at once. Other outputs are printed as
  plain text.
- If a cell fails, this process ends with exit status 1.
- The first Ctrl-C interrupts the running cell; the second Ctrl-C stops the kernel.
- The notebook, with its outputs, becomes an artifact of the run that ``provml run`` started.

Requires nbclient and nbformat, which the extra ``notebook`` installs.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from typing import Any, Final

from provml.base.settings import CAPTURE_VARIABLE
from provml.capture.outer_run import get_outer_run, note_missed
from provml.recording.joined_run import RUN_FINISHED, RUN_STARTED, SOURCE

_ANSI_COLORS: Final = r"\x1b\[[0-9;]*m"
_HANDLED_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_notebook(path: str) -> int:
    """Run a notebook in the folder that contains it.

    Returns:
        The exit status. If a signal interrupted the notebook, the negative number of that signal.
    """
    import nbformat

    try:
        with open(path, encoding="utf-8") as file:
            notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        return _print_error(f"can't open {path!r}: {error.strerror}", 2)
    except Exception as error:  # nbformat raises many kinds of errors
        return _print_error(f"{path!r} is not a notebook: {error}", 1)
    name = os.path.basename(path)
    client = _create_client(notebook, os.path.dirname(os.path.abspath(path)))
    exception: dict[str, str] | None = None
    try:
        client.execute()
    except Exception as error:  # raised by a cell, the kernel or nbclient
        exception = _report_failure(error)
    _record_notebook(notebook, name, exception)
    if client.signals:
        return -int(client.signals[0])
    return 0 if exception is None else 1


def _create_client(notebook: Any, folder: str) -> Any:
    from nbclient import NotebookClient
    from nbclient.util import ensure_async

    class Client(NotebookClient):
        """A notebook client that prints the cells' outputs and interrupts a cell on a signal."""

        signals: list[int] = []  # noqa: RUF012 - a process runs only one notebook

        async def async_start_new_kernel(self, **options: Any) -> None:
            """Start the kernel. Replace nbclient's signal handlers, which would kill the kernel."""
            await super().async_start_new_kernel(**options)
            for number in _HANDLED_SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._interrupt, number)

        def _interrupt(self, number: int) -> None:
            self.signals.append(number)
            again = len(self.signals) > 1
            if self.km is not None:
                end = self.km.shutdown_kernel(now=True) if again else self.km.interrupt_kernel()
                self._ending = asyncio.ensure_future(ensure_async(end))

        def process_message(self, message: Any, cell: Any, index: int) -> Any:
            """Print the output in a message from the kernel, then process the message as usual."""
            _print_output(message.get("msg_type"), message.get("content") or {})
            return super().process_message(message, cell, index)

    return Client(notebook, timeout=None, resources={"metadata": {"path": folder}})


def _print_output(kind: str, content: dict[str, Any]) -> None:
    """Print one output of a cell as text."""
    if kind == "stream":
        stream = sys.stderr if content.get("name") == "stderr" else sys.stdout
        text = str(content.get("text", ""))
    elif kind in ("execute_result", "display_data", "update_display_data"):
        stream, text = sys.stdout, str((content.get("data") or {}).get("text/plain", ""))
        text = f"{text}\n" if text else ""
    else:
        return
    stream.write(text)
    stream.flush()


def _report_failure(error: Exception) -> dict[str, str]:
    """Print why the notebook failed; return the exception in the form that the journal stores."""
    kind, message = getattr(error, "ename", None), getattr(error, "evalue", None)
    if not isinstance(kind, str) or not isinstance(message, str):  # not raised by a cell
        _print_error(f"{type(error).__name__}: {error}", 1)
        return {"type": type(error).__qualname__, "message": str(error)[:10_000], "traceback": ""}
    text = str(getattr(error, "traceback", ""))
    sys.stderr.write(
        f"{text}\x1b[0m\n" if sys.stderr.isatty() else re.sub(_ANSI_COLORS, "", text) + "\n"
    )
    plain = re.sub(_ANSI_COLORS, "", text)
    return {"type": kind, "message": message[:10_000], "traceback": plain[-20_000:]}


def _record_notebook(notebook: Any, name: str, exception: dict[str, str] | None) -> None:
    """Record the notebook with its outputs and, if it failed, the exception that ended it."""
    import nbformat

    try:
        run = get_outer_run()
        if run is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
            run.log_artifact(path, f"executed {name}", copy=True)
        if exception is not None:
            run.log_event(RUN_STARTED, source=SOURCE, metadata={"notebook": name})
            reason = f"uncaught {exception['type']}"
            status = "interrupted" if exception["type"] == "KeyboardInterrupt" else "failed"
            ended = {"status": status, "reason": reason, "exception": exception}
            run.log_event(RUN_FINISHED, source=SOURCE, metadata=ended)
    except Exception as error:
        note_missed("executed notebook", error)


def _print_error(message: str, status: int) -> int:
    sys.stderr.write(f"provml: {message}\n")
    return status


def main() -> int:
    """Run the notebook named on the command line, and return its exit status."""
    os.environ.pop(CAPTURE_VARIABLE, None)
    if len(sys.argv) > 2:
        os.environ[CAPTURE_VARIABLE] = sys.argv[2]
    return run_notebook(sys.argv[1])


if __name__ == "__main__":
    status = main()
    if status >= 0:
        sys.exit(status)
    from provml.capture.command.signals import die_by_signal

    sys.stdout.flush()
    die_by_signal(-status)
