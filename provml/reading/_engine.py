"""The libraries that read and write for us, kept quiet, and what they raise turned into one line.

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

_warning_filters = threading.RLock()


@contextmanager
def guarded(what: str) -> Iterator[list[str]]:
    """Have bad input raise DocumentError alone, and nothing be printed.

    This is the one place where any exception of a library becomes a DocumentError: what they raise
    for bad input is not a closed list, and reaches from KeyError to RecursionError.

    Args:
        what: the document's form, which the message begins with.

    Yields:
        The warnings, which are filled in when the block ends.
    """
    told: list[str] = []
    with _silent(told):
        try:
            yield told
        except (ProvMLError, OSError):
            raise
        except RecursionError:
            raise DocumentError(f"{what}: nested too deeply") from None
        except MemoryError:
            raise DocumentError(f"{what}: too large for the memory there is") from None
        except Exception as error:
            raise DocumentError(f"{what}: {one_line(error)}") from error


def refuse_losses(what: str, told: list[str]) -> None:
    """Refuse what a library has warned that it drops. Raises DocumentError."""
    for message in told:
        if _DROPPED.search(message):
            raise DocumentError(f"{what}: {message}")


def time_notes(data: bytes) -> list[str]:
    """A note where times are finer than a microsecond, which is what a read document keeps."""
    found = [each for each in _FINE_TIME.findall(data) if each.strip(b"0")]
    if not found:
        return []
    return [f"{len(found):,} times are cut to the microsecond, which is what is kept of them"]


def one_line(error: object) -> str:
    """What a library says, as one line, with the kind of error where that says more."""
    text = str(error)
    if isinstance(error, KeyError | IndexError | AttributeError | TypeError | AssertionError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return " ".join(_FUTURE.sub("", text).split()) or type(error).__name__


@contextmanager
def _silent(told: list[str]) -> Iterator[None]:
    """Collect warnings; have no logger fall back on standard error."""
    handlers = [(logging.getLogger(name), logging.NullHandler()) for name in _LOGGERS]
    with _warning_filters, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for logger, handler in handlers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger, handler in handlers:
                logger.removeHandler(handler)
            told += [one_line(warning.message) for warning in caught]
