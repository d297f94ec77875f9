"""Defines the error for unreadable content, and turns exceptions into reasons that a run records.

Reading a user's object runs the code of other libraries, which can raise any exception. provml
records such an exception as the reason why the content has no digest.

Imports only `secrets` from provml.
"""

from __future__ import annotations

from typing import Final

from provml.collect.secrets import mask_text

_MAX_REASON_LENGTH: Final = 500
_INTERRUPTS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)


class UnreadableError(Exception):
    """Content can't be read. The text of the exception is the reason, and the run records it."""


def explain_failure(error: BaseException) -> str:
    """Return the reason to record for an exception that was raised while content was read.

    Call this function in an ``except BaseException`` block, because exceptions of libraries written
    in Rust don't inherit from `Exception`. If the exception interrupts the program, as
    KeyboardInterrupt does, this function raises the exception again.
    """
    if isinstance(error, _INTERRUPTS):
        raise error
    if isinstance(error, UnreadableError):
        reason = str(error)
    else:
        try:
            text = str(error)
        except Exception:  # the exception's own __str__ can fail
            text = ""
        name = type(error).__name__
        reason = f"it could not be read, because of {name}" + (f": {text}" if text else "")
    return mask_text(printable_text(reason))[:_MAX_REASON_LENGTH]


def printable_text(text: str) -> str:
    """Escape the lone surrogates in a text, so that JSON and RDF can store the text."""
    return text.encode("utf-8", "backslashreplace").decode()


def describe_type(value: object) -> str:
    """Return the module and the qualified name of a value's class.

    Does not use ``value.__class__``, which can raise an exception or return another class.
    """
    kind = type(value)
    try:
        return f"{kind.__module__}.{kind.__qualname__}"
    except Exception:  # a metaclass can redefine both attributes
        return f"builtins.{type.__dict__['__name__'].__get__(kind)}"
