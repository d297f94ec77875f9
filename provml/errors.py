"""The exceptions that provml raises, and its warning class.

    Exception
    └── ProvMLError                                    every error that provml raises
        ├── InvalidMetricError    TypeError, ValueError  the name or value of a metric is unusable
        ├── InvalidArgumentError  TypeError, ValueError  another argument is unusable
        ├── NoActiveRunError      RuntimeError           provml.log_...() was called outside a run
        ├── RunClosedError        RuntimeError           the run has already ended
        ├── RunExistsError        FileExistsError        the run id is taken
        ├── RunNotFoundError      LookupError            no run matches, or several do
        │   └── SeriesNotFoundError                      the run has no such series
        ├── ContentNotFoundError  FileNotFoundError      the file or folder to record is missing
        ├── StoreError            OSError                the store can't be read or written
        ├── JournalError          ValueError             the journal's files can't be read
        ├── ExportError           ValueError             the export can't be made
        ├── QueryError            ValueError             the query is invalid
        ├── EndpointError         OSError                the SPARQL server could not answer
        ├── DocumentError         ValueError             the PROV document can't be read or written
        ├── MissingExtraError     ImportError            an optional package is not installed
        └── MissingProgramError   FileNotFoundError      an external program is not installed
    UserWarning
    └── ProvMLWarning                                  recording continues, but something is lost

The second column lists the built-in exceptions that each class also inherits from, so that ``except
ValueError`` catches what you expect. You can pickle and copy every exception, so process pools can
pass exceptions on without losing information.

Imports nothing else from provml.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProvMLError(Exception):
    """Base class of all errors that provml raises.

    Attributes:
        candidates: if a name was ambiguous, the unambiguous names that the call accepts instead,
            each with a description of what the name refers to. Empty for all other errors.
    """

    candidates: Mapping[str, str] = types.MappingProxyType({})


class InvalidMetricError(ProvMLError, TypeError, ValueError):
    """The name or value of a metric is invalid. Nothing was recorded."""


class InvalidArgumentError(ProvMLError, TypeError, ValueError):
    """An argument other than a metric's name or value is invalid. Nothing was recorded."""


class NoActiveRunError(ProvMLError, RuntimeError):
    """A function such as `provml.log_metric` was called while no run was active.

    Args:
        verb: the function's name, without the module.
    """

    def __init__(self, verb: str) -> None:
        super().__init__(verb)
        self.verb = verb

    def __str__(self) -> str:
        return (
            f"provml.{self.verb}() needs an active run: "
            "call provml.start_run('my-experiment') first"
        )


class RunClosedError(ProvMLError, RuntimeError):
    """A method was called on a run that has ended."""


class RunExistsError(ProvMLError, FileExistsError):
    """The run id is taken. Choose another id, or pass ``resume=True`` to resume the run."""


class RunNotFoundError(ProvMLError, LookupError):
    """No run matches the name or id, or several runs match."""


class SeriesNotFoundError(RunNotFoundError):
    """No series has this name and context, or several series do, so the call is ambiguous.

    To handle a missing run and a missing series in the same way, catch `RunNotFoundError`.
    """


class ContentNotFoundError(ProvMLError, FileNotFoundError):
    """The file or folder to record does not exist."""


class StoreError(ProvMLError, OSError):
    """The store, or a run's folder in it, can't be created, read or written."""


class JournalError(ProvMLError, ValueError):
    """The files are not a provml journal, or a newer version of provml wrote them."""


class ExportError(ProvMLError, ValueError):
    """The export can't be made: the format or detail is unknown, or the target is unusable."""


class QueryError(ProvMLError, ValueError):
    """The query is invalid: it can't be parsed, or it contains an unknown name."""


class EndpointError(ProvMLError, OSError):
    """The SPARQL server can't be reached, refuses the request, or returns an invalid response."""


class DocumentError(ProvMLError, ValueError):
    """The document is not valid PROV, or the format can't express something in it.

    Args:
        message: a description of the problem and its position. The description may quote the
            document, so line breaks are replaced by spaces, and only 500 characters are kept.
    """

    def __init__(self, message: str) -> None:
        text = " ".join(message.split())
        super().__init__(text if len(text) <= 500 else text[:499] + "…")


class MissingExtraError(ProvMLError, ImportError):
    """An optional package is not installed. The message gives the pip command.

    Args:
        what: the feature that needs the package, such as ``"a graph"``.
        package: the name of the missing package, such as ``"networkx"``.
        extra: the provml extra that installs the package, such as ``"graph"``.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)
        self.what = what
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.what} needs {self.package}: pip install 'provml[{self.extra}]'"


class MissingProgramError(ProvMLError, FileNotFoundError):
    """An external program is not installed. The message says how to install it."""


class ProvMLWarning(UserWarning):
    """A warning about a problem, such as a full disk, after which recording continues.

    If records are lost because of the problem, provml counts them.
    """
