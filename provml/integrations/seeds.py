"""Records the seeds that a script passes to ``random.seed`` and ``numpy.random.seed``.

The first seed of each function becomes the parameter ``seed.random`` or ``seed.numpy``. A seed
can't be read back from a generator, so provml records the seed when the script sets it. Worker
processes seed their generators too, but these seeds are not recorded.
"""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import Any, Final

from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.integrations._recorder import FrameworkRecorder

name: Final = "seeds"
modules: Final = ("random", "numpy.random")


class _SeenSeeds:
    """The generators whose seeds have been recorded."""

    def __init__(self) -> None:
        self.recorder = FrameworkRecorder(name)
        self.generators: set[str] = set()


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the module's function ``seed``, so that the seed of the first call is recorded."""
    after = partial(_seeded, module.__name__.partition(".")[0])
    calls.record(module, "seed", after, leaf=True, nested=True)


def _seeded(generator: str, result: None, a: Any = None, *_: Any, **named: Any) -> None:
    seen = STATE.part(_SeenSeeds)
    seed = named.get("seed", a)
    if generator in seen.generators or not isinstance(seed, (int, str)) or _is_worker():
        return
    seen.generators.add(generator)
    seen.recorder.log_settings({generator: seed}, "seed.")


def _is_worker() -> bool:
    """Return whether another Python process started this one with ``multiprocessing``."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and processes.parent_process() is not None
