"""Turn exceptions from the parsing libraries into `DocumentError`, and collect their warnings."""

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
    """Turn any exception raised by bad input into DocumentError, and suppress printed warnings.

    Libraries raise anything from KeyError to RecursionError for bad input, so this is the only
    place in `reading` that catches every exception. ProvMLError and OSError pass through unchanged.

    Args:
        what: the start of the error message, usually the name of the format.

    Yields:
        A list that receives the libraries' warnings when the block ends.
    """
    warned: list[str] = []
    with _capture_warnings(warned):
        try:
            yield warned
        except (ProvMLError, OSError):
            raise
        except RecursionError:
            raise DocumentError(f"{what}: the document is nested too deeply") from None
        except MemoryError:
            raise DocumentError(
                f"{what}: the document is too large for the available memory"
            ) from None
        except Exception as error:
            raise DocumentError(f"{what}: {describe_error(error)}") from error


def refuse_losses(what: str, warned: list[str]) -> None:
    """Raise DocumentError if a library warned that it dropped part of the document."""
    for message in warned:
        if _DROPPED.search(message):
            raise DocumentError(f"{what}: {message}")


def note_cut_times(data: bytes) -> list[str]:
    """Return a list with one note if a text contains times finer than a microsecond.

    Returns an empty list otherwise.
    The ``prov`` library stores times in microseconds, and drops all further digits.
    """
    found = [each for each in _FINE_TIME.findall(data) if each.strip(b"0")]
    if not found:
        return []
    return [f"the precision of {len(found):,} time values was reduced to microseconds"]


def describe_error(error: object) -> str:
    """Format an exception or a warning as one line.

    The line includes the type of an exception whose text says too little by itself, for example a
    KeyError.
    """
    text = str(error)
    if isinstance(error, KeyError | IndexError | AttributeError | TypeError | AssertionError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return " ".join(_FUTURE.sub("", text).split()) or type(error).__name__


@contextmanager
def _capture_warnings(warned: list[str]) -> Iterator[None]:
    """Add the libraries' warnings to ``warned``, and stop their log messages from being printed."""
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
