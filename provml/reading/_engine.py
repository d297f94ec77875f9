"""Keep the libraries that read and write documents quiet, and turn their errors into one line.

Imports `errors`.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from provml.errors import DocumentError, ProvMLError

_LOGGERS: Final = ("prov", "rdflib")
_FUTURE: Final = re.compile(r"\. prov 3\.3\.0 will .*$|\s*See\s+https?://\S+.*$", re.S)
_DROPPED: Final = re.compile(r"\b(?:dropped|ignored|skipped)\b")
_FINE_TIME: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}([0-9]+)")

_warnings_lock = threading.RLock()


@contextmanager
def wrap_library_errors(what: str) -> Iterator[list[str]]:
    """Turn every exception from a library into DocumentError, and keep warnings off the terminal.

    This is the one place that catches any exception: the libraries raise everything from KeyError
    to RecursionError for bad input.

    Args:
        what: the name of the format, which starts the message.

    Yields:
        A list that holds the libraries' warnings once the block ends.
    """
    warned: list[str] = []
    with _capture_warnings(warned):
        try:
            yield warned
        except (ProvMLError, OSError):
            raise
        except RecursionError:
            raise DocumentError(f"{what}: nested too deeply") from None
        except MemoryError:
            raise DocumentError(
                f"{what}: the document is too large for the available memory"
            ) from None
        except Exception as error:
            raise DocumentError(f"{what}: {describe_error(error)}") from error


def refuse_losses(what: str, warned: list[str]) -> None:
    """Raise DocumentError if a library warned that it dropped something."""
    for message in warned:
        if _DROPPED.search(message):
            raise DocumentError(f"{what}: {message}")


def note_cut_times(data: bytes) -> list[str]:
    """Return a note if times are finer than a microsecond, the precision of a document."""
    found = [each for each in _FINE_TIME.findall(data) if each.strip(b"0")]
    if not found:
        return []
    return [f"{len(found):,} times were cut to microseconds"]


def describe_error(error: object) -> str:
    """Return a library's error as one line, with the type of the error if that says more."""
    text = str(error)
    if isinstance(error, KeyError | IndexError | AttributeError | TypeError | AssertionError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return " ".join(_FUTURE.sub("", text).split()) or type(error).__name__


@contextmanager
def _capture_warnings(warned: list[str]) -> Iterator[None]:
    """Collect warnings, and stop loggers from falling back on standard error."""
    handlers = [(logging.getLogger(name), logging.NullHandler()) for name in _LOGGERS]
    with _warnings_lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for logger, handler in handlers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger, handler in handlers:
                logger.removeHandler(handler)
            warned += [describe_error(warning.message) for warning in caught]
