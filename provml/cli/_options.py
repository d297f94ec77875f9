"""Arguments and options that several commands share.

Imports click and `base.format_names`; imports `graph.view` only when needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from provml.base.format_names import check_format, format_names
from provml.errors import ExportError

if TYPE_CHECKING:
    from provml.graph.view import View

_Command = TypeVar("_Command", bound=Callable[..., Any])


def examples(*commands: str) -> str:
    """Format the end of a command's help: example calls to copy, one per line."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


run_argument = click.argument("run", metavar="RUN")

store_option = click.option(
    "--store",
    metavar="DIR",
    help="The folder of the runs.  [default: $PROVML_STORE, else provenance]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print exact values as JSON.")


class FormatName(click.ParamType):  # type: ignore[type-arg] # newer clicks only
    """The name of an export format. Formats of other packages are looked up only when needed."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names of all formats for the usage line, in the style of a click choice."""
        return f"[{'|'.join(format_names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name if the format exists and can be loaded, else report an error."""
        try:
            check_format(value)
        except ExportError as error:
            self.fail(str(error), param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Return the format names that complete the user's input."""
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
        "--depth", type=click.IntRange(min=0), help="How many relations to follow from NODE."
    ),
    click.option("--up", "reach", flag_value="up", help="Show only the causes of NODE."),
    click.option("--down", "reach", flag_value="down", help="Show only the effects of NODE."),
    click.option("--both", "reach", flag_value="both", help="Show both, the default."),
    click.option(
        "--only",
        multiple=True,
        type=click.Choice(["metric", "model", "data"]),
        help="In graphs and pictures, show only these and their activities; can be repeated.",
    ),
    click.option(
        "--direction",
        type=click.Choice(["RL", "LR", "BT", "TB"]),
        help="Where the edges of a picture point, to the cause.  [default: RL; BT for few nodes]",
    ),
)


def view_options(command: _Command) -> _Command:
    """Add the options that select a part of a run to a command. Pass their values to `view_of`."""
    for option in reversed(_VIEW_OPTIONS):
        command = option(command)
    return command


def view_of(options: dict[str, Any]) -> View:
    """Return the view that the options describe.

    Raises ExportError if the options contradict each other.
    """
    from provml.graph.view import View

    return View(**{**options, "only": tuple(options["only"])})
