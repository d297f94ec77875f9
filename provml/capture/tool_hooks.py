"""Installs hooks into the packages that a script imports, to record the script's calls to them.

A *tool* is a module or object that implements the `Tool` protocol. A tool never imports the package
whose calls it records: an import hook waits until the script imports that package.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from functools import partial
from types import ModuleType
from typing import Protocol

from provml.capture.import_hooks import ImportCallback, call_on_import, cancel_call_on_import
from provml.capture.outer_run import note_missed
from provml.capture.recorded_calls import RecordedCalls
from provml.recording import process_hooks


class Tool(Protocol):
    """The protocol of a tool: a module or object that records the calls to one package."""

    @property
    def name(self) -> str:
        """The name of the package. For a tracker, the run gets an agent with this name."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The full names of the modules that contain the functions to record."""

    def patch(self, module: ModuleType, calls: RecordedCalls) -> None:
        """Call ``calls.record`` for each function to record.

        Args:
            module: the module in `modules` that was just imported.
            calls: the collection of this tool's wrapped functions.
        """


class ToolHooks:
    """The wrapped functions of several tools, and the callbacks that wait for imports."""

    def __init__(self) -> None:
        self._calls: list[RecordedCalls] = []
        self._waits: list[tuple[str, ImportCallback]] = []

    @property
    def installed(self) -> bool:
        """Whether the hooks are installed, so that callbacks wait for imports."""
        return bool(self._waits)

    def install(self, tools: Iterable[Tool]) -> None:
        """Patch each module of the tools, as soon as the script has imported the module."""
        # register the run's exit handler first: exit handlers run in reverse order, and the run
        # must end after the tools have finished
        process_hooks.install()
        if not self._waits:
            atexit.register(self.uninstall)
        new: list[tuple[str, ImportCallback]] = []
        for tool in tools:
            try:
                calls = RecordedCalls(tool.name)
                patch = partial(_patch_module, tool, calls)
                new.extend([(name, patch) for name in tool.modules])
                self._calls.append(calls)
            except Exception as error:  # the code of another package may raise anything
                note_missed(f"tool {tool!r:.200}", error)
        self._waits.extend(new)
        for name, callback in new:
            call_on_import(name, callback)

    def uninstall(self) -> None:
        """Stop recording calls, and restore the original functions of all tools."""
        while self._waits:
            cancel_call_on_import(*self._waits.pop())
        for calls in self._calls:
            calls.restore()
        self._calls.clear()
        atexit.unregister(self.uninstall)


def _patch_module(tool: Tool, calls: RecordedCalls, module: ModuleType) -> None:
    tool.patch(module, calls)
