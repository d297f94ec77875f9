"""Records what machine-learning frameworks report: metrics, settings, checkpoints and data.

Each framework has a module here, which implements the protocol `tool_hooks.Tool`. There are two
ways to record a framework:

- Under ``provml run``, or after `autolog`, hooks record what the framework reports. provml adds no
  callback and changes no argument, so the training runs exactly as it would without provml.
- A script can use a class of the framework's module, such as ``ProvMLLogger`` in
  `provml.integrations.lightning`. The class then records instead of the hooks.

To add a framework, write a module with ``name``, ``modules`` and ``patch(module, calls)``, and list
the module in `BUILT_IN`. Another package can register an integration of its own in the entry point
group ``provml.integrations``.

The modules here may import all recording modules. Each module here imports its framework at the
top, because provml imports the module only after the script has imported the framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Final, NamedTuple

from provml.capture.announced_tools import load_announced_tools
from provml.capture.outer_run import note_missed
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.tool_hooks import Tool, ToolHooks
from provml.errors import InvalidArgumentError

ENTRY_POINTS: Final = "provml.integrations"
BUILT_IN: Final[dict[str, tuple[str, ...]]] = {
    "accelerate": ("accelerate",),
    "catboost": ("catboost.core",),
    "ignite": ("ignite.engine",),
    "keras": ("keras",),
    "lightgbm": ("lightgbm",),
    "lightning": ("lightning.pytorch",),
    "optuna": ("optuna.study",),
    "pytorch_lightning": ("pytorch_lightning",),
    "ray": ("ray.tune",),
    "seeds": ("random", "numpy.random"),
    "sklearn": ("sklearn.base", "sklearn.metrics", "sklearn.model_selection"),
    "skorch": ("skorch",),
    "torch": ("torch",),
    "transformers": ("transformers.trainer",),
    "xgboost": ("xgboost",),
}
"""The framework modules that each module in this package waits for.

A module in this package is imported when the script has imported one of these framework modules.
"""


class _BuiltIn(NamedTuple):
    """A framework whose module in this package is imported only if the script needs it."""

    name: str
    modules: tuple[str, ...]

    def patch(self, module: ModuleType, calls: RecordedCalls) -> None:
        """Import the module for this framework, and install the framework's hooks."""
        import_module(f"{__name__}.{self.name}").patch(module, calls)


class _FrameworkHooks(ToolHooks):
    """The hooks that record frameworks.

    Attributes:
        chosen: the names of the frameworks whose hooks are installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chosen: set[str] = set()


def install() -> None:
    """Start recording what all known frameworks report. Idempotent.

    Costs well under a millisecond, plus a few milliseconds to find the integrations that other
    packages register.
    """
    _install([*_list_built_in(), *load_announced_tools(ENTRY_POINTS, "integration")])


def uninstall() -> None:
    """Stop recording, and restore the original functions of all frameworks."""
    hooks = STATE.part(_FrameworkHooks)
    hooks.uninstall()
    hooks.chosen.clear()


def autolog(*frameworks: str) -> None:
    """Start to record what frameworks report, as ``provml run`` does. Idempotent.

        provml.integrations.autolog("lightning")

    The values are recorded in the active run. You can call this function before or after you import
    the framework. Objects of the framework that already exist are recorded too.

    Args:
        frameworks: the names of the frameworks; by default all frameworks that provml supports.

    Raises:
        InvalidArgumentError: a framework is unknown.
    """
    if not frameworks:
        install()
        return
    known = {tool.name: tool for tool in _list_built_in()}
    if not set(frameworks) <= set(known):
        for tool in load_announced_tools(ENTRY_POINTS, "integration"):
            known.setdefault(tool.name, tool)
    for name in frameworks:
        if name not in known:
            raise InvalidArgumentError(
                f"provml has no integration for {name!r}; it has {', '.join(sorted(known))}"
            )
    _install([known[name] for name in frameworks])


def _install(tools: Iterable[Tool]) -> None:
    hooks = STATE.part(_FrameworkHooks)
    for tool in tools:
        try:
            if tool.name in hooks.chosen:
                continue
            hooks.chosen.add(tool.name)
            hooks.install([tool])
        except Exception as error:  # the code of another package may raise anything
            note_missed(f"integration {tool!r:.200}", error)


def _list_built_in() -> Iterator[Tool]:
    for name, modules in BUILT_IN.items():
        yield _BuiltIn(name, modules)
