"""Arguments and options that several commands share.

Imports only `base` and `errors` from provml; imports `graph` only when needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from provml.base.format_names import check_format, format_names
from provml.cli._terminal import EXACT_KEY
from provml.errors import ExportError

if TYPE_CHECKING:
    from provml.graph.view import View

_Command = TypeVar("_Command", bound=Callable[..., Any])


def examples(*commands: str) -> str:
    """Format example commands, one per line, for the end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


run_argument = click.argument("run", metavar="RUN")

store_option = click.option(
    "--store",
    metavar="DIR",
    help="The folder that holds the runs.  [default: $PROVML_STORE, or else provenance]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print exact values as JSON.")


def _set_exact(context: click.Context, _: click.Parameter, is_exact: bool) -> None:
    context.meta[EXACT_KEY] = is_exact


exact_option = click.option(
    "--exact",
    is_flag=True,
    expose_value=False,
    callback=_set_exact,
    help="Print all digits of numbers, and sizes in bytes.",
)


class FormatName(click.ParamType):  # type: ignore[type-arg] # generic only in newer versions
    """The click type of an option that takes the name of an export format.

    Searches for formats from other packages only when needed.
    """

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return all format names for the help, in the style of click: ``[dot|gexf|svg]``."""
        return f"[{'|'.join(format_names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name unchanged, or fail if the format does not exist or can't be loaded."""
        try:
            check_format(value)
        except ExportError as error:
            self.fail(str(error), param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Return the format names that start with the text typed so far."""
        names = [name for name in format_names() if name.startswith(incomplete)]
        return [click.shell_completion.CompletionItem(name) for name in names]


_VIEW_OPTIONS = (
    click.option(
        "--around",
        metavar="NODE",
        help="In graphs and pictures, show only NODE, its causes and its effects. NODE is an IRI, "
        "a name such as model/net/2, or a label.",
    ),
    click.option(
        "--depth", type=click.IntRange(min=0), help="Follow at most this many relations from NODE."
    ),
    click.option("--up", "reach", flag_value="up", help="Show only NODE and its causes."),
    click.option("--down", "reach", flag_value="down", help="Show only NODE and its effects."),
    click.option(
        "--both", "reach", flag_value="both", help="Show NODE, its causes and effects (default)."
    ),
    click.option(
        "--only",
        multiple=True,
        type=click.Choice(["metric", "model", "data"]),
        help="In graphs and pictures, show only metrics, models or data, with their activities and "
        "agents. Can be repeated.",
    ),
    click.option(
        "--direction",
        type=click.Choice(["RL", "LR", "BT", "TB"]),
        help="The direction of a picture's edges, which point from effect to cause: RL means right "
        "to left.  [default: BT for narrow graphs, otherwise RL]",
    ),
)


def view_options(command: _Command) -> _Command:
    """Give a click command the options that select a part of a run.

    The command passes the values of these options to `view_of`.
    """
    for option in reversed(_VIEW_OPTIONS):
        command = option(command)
    return command


def view_of(options: dict[str, Any]) -> View:
    """Build a `View` from the values of the options that `view_options` adds.

    Raises ExportError if the options contradict each other.
    """
    from provml.graph.view import View

    return View(**{**options, "only": tuple(options["only"])})
