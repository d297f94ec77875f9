"""The options that choose what ``provml run`` records."""

from __future__ import annotations

from typing import NamedTuple

from provml.base.settings import Settings
from provml.capture.command.bounded_log import DEFAULT_LIMIT_BYTES
from provml.capture.files.ignore_rules import compile_pattern
from provml.errors import InvalidArgumentError


class CommandOptions(NamedTuple):
    """The options of ``provml run`` that choose what to record. `start_run` has none of these."""

    patterns: tuple[str, ...] = ()
    """Templates and regular expressions for lines with metrics; see `provml.capture.lines`."""
    output: bool = True
    """Whether to read the command's output and keep a copy. If False, the command writes to the
    caller's streams directly."""
    trackers: bool = True
    """Whether to record the command's calls to other experiment trackers, such as MLflow."""
    frameworks: bool = True
    """Whether to record what machine-learning frameworks such as Lightning report."""
    files: bool = True
    """Whether to record the files that the command reads and writes."""
    trace: str | None = None
    """Whether to trace the command with strace: ``auto`` traces it if possible, ``strace`` raises
    an error if it can't be traced, and ``off`` never traces it. None stands for the value of
    ``PROVML_TRACE``."""
    include: tuple[str, ...] = ()
    """Patterns for files to record even if the ignore rules leave them out, in addition to the
    patterns in ``PROVML_INCLUDE``."""
    exclude: tuple[str, ...] = ()
    """Patterns for files to leave out even if they match ``include``, in addition to the patterns
    in ``PROVML_EXCLUDE``."""
    code: bool = True
    """Whether to record the code and configuration files that the command uses."""
    settings: bool = True
    """Whether to record the command's settings, such as its arguments, as parameters."""
    summary: bool = True
    """Whether to print a summary at the end if standard error is a terminal."""
    output_limit_bytes: int = DEFAULT_LIMIT_BYTES
    """The maximum number of bytes to keep of each output stream."""

    def apply_to(self, settings: Settings) -> Settings:
        """Return a copy of the settings, changed by ``trace``, ``include`` and ``exclude``.

        Raises InvalidArgumentError if a pattern for files is invalid.
        """
        changed = settings._replace(
            trace=self.trace or settings.trace,
            include=settings.include + self.include,
            exclude=settings.exclude + self.exclude,
        )
        for pattern in changed.include + changed.exclude:
            try:
                compile_pattern(pattern)
            except ValueError as error:
                raise InvalidArgumentError(str(error)) from None
        return changed
