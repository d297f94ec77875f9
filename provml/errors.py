"""Every exception and warning that provml raises.

    ProvMLError
    ├── InvalidMetricError    (TypeError, ValueError)  a metric's name or value
    ├── InvalidArgumentError  (TypeError, ValueError)  any other argument
    ├── NoActiveRunError      (RuntimeError)           a module-level verb outside a run
    ├── RunClosedError        (RuntimeError)           a verb of a run that has ended
    ├── RunExistsError        (FileExistsError)        a run id that is taken
    ├── RunNotFoundError      (LookupError)            no run answers to a name
    ├── ContentNotFoundError  (FileNotFoundError)      a path that was to be recorded
    ├── StoreError            (OSError)                a folder that can't hold a run
    ├── JournalError          (ValueError)             files that are no journal of ours
    ├── ExportError           (ValueError)             an export that can't be made
    ├── QueryError            (ValueError)             a question that can't be asked
    ├── EndpointError         (OSError)                a SPARQL server that refuses or fails
    ├── DocumentError         (ValueError)             a document that is no PROV we can carry
    ├── MissingExtraError     (ImportError)            an optional package is absent
    └── MissingProgramError   (FileNotFoundError)      a program that draws is absent

Imports nothing of provml.
"""

from __future__ import annotations


class ProvMLError(Exception):
    """The root of all errors that provml raises."""


class InvalidMetricError(ProvMLError, TypeError, ValueError):
    """A metric's name or value can't be recorded; nothing was."""


class InvalidArgumentError(ProvMLError, TypeError, ValueError):
    """An argument other than a metric's name or value is unusable; nothing was recorded."""


class NoActiveRunError(ProvMLError, RuntimeError):
    """A module-level verb was called while no run is active."""

    def __init__(self, verb: str) -> None:
        super().__init__(
            f"provml.{verb}() needs an active run: call provml.start_run('my-experiment') first"
        )


class RunClosedError(ProvMLError, RuntimeError):
    """A verb was called on a run that has ended."""


class RunExistsError(ProvMLError, FileExistsError):
    """The run id is taken; pass ``resume=True`` to go on with that run."""


class RunNotFoundError(ProvMLError, LookupError):
    """No run, or more than one, answers to the name given."""


class ContentNotFoundError(ProvMLError, FileNotFoundError):
    """A file or folder that was to be recorded does not exist."""


class StoreError(ProvMLError, OSError):
    """The folder that is to hold a run can't be made or written."""


class JournalError(ProvMLError, ValueError):
    """The files are no provml journal, or one of a newer version."""


class ExportError(ProvMLError, ValueError):
    """The export asked for can't be made: an unknown format, detail or target."""


class QueryError(ProvMLError, ValueError):
    """A question that can't be asked: a condition or query in error, a name that means nothing."""


class EndpointError(ProvMLError, OSError):
    """A SPARQL server can't be reached, refuses, or answers what can't be read."""


class DocumentError(ProvMLError, ValueError):
    """A document is not PROV, or has what a form can't carry; the line says what, and where.

    The message is one line of limited length, whatever of a document stands in it.
    """

    def __init__(self, message: str) -> None:
        text = " ".join(message.split())
        super().__init__(text if len(text) <= 500 else text[:499] + "…")


class MissingExtraError(ProvMLError, ImportError):
    """An optional package is absent; the message gives the pip command."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}: pip install 'provml[{extra}]'")


class MissingProgramError(ProvMLError, FileNotFoundError):
    """A program that is called is not installed; the message says how to install it."""


class ProvMLWarning(UserWarning):
    """Recording met trouble in its environment and goes on; what is lost is counted."""
