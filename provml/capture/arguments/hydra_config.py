"""Records the configuration that Hydra composes for a script, but not Hydra's own settings."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

from provml.capture.arguments.recorded_settings import record_settings
from provml.capture.recorded_calls import RecordedCalls

name: Final = "hydra"
modules: Final = ("hydra.core.hydra_config",)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``HydraConfig.set_config``, so that the configuration of each job is recorded."""
    calls.record(module.HydraConfig, "set_config", _composed)


def _composed(result: Any, owner: Any, config: Any) -> None:
    package = sys.modules["omegaconf"]
    own = package.OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    overrides = [str(override) for override in config.hydra.overrides.task]
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    facts = {"program": str(config.hydra.job.name), "overrides": overrides}
    record_settings(name, own, given, facts)
