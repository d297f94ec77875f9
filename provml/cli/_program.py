"""The ``provml`` command with its subcommands, from provml and from other packages.

This module lists provml's own commands by name, so that provml can run from a zip file, and imports
only the module of the command being run. Each module with commands defines two constants:

- ``GROUP``: the heading under which the help lists the commands
- ``COMMANDS``: a list of click commands

Other packages can add commands through the entry point group ``provml.commands``. Each entry
point is named after its command, and points to a click command. provml searches the entry points
only to show the help, and to find a command that is not provml's own.

Imports `importlib.metadata` and the modules of the commands only when needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import click

from provml.base.entry_points import find_entry_points
from provml.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS: Final = "provml.commands"

BUILT_IN: Final = {
    "run": "run",
    "ingest": "ingest",
    "runs": "runs",
    "show": "show",
    "plot": "plot",
    "ui": "ui",
    "diff": "diff",
    "history": "history",
    "lineage": "lineage",
    "impact": "lineage",
    "query": "query",
    "sql": "sql",
    "export": "export",
    "convert": "convert",
    "validate": "validate",
    "formats": "formats",
    "push": "push",
    "recover": "recover",
    "check": "check",
    "index": "index",
    "demo": "demo",
}
"""The modules of provml's own commands, by the command's name, in the order of the help."""

_OTHERS: Final = "From other packages"
_LEAST_HELP: Final = 30


class CommandGroup(click.Group):
    """A click group that imports a command only to run it or to list it in the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names: first provml's own, then the names from other packages."""
        return [*BUILT_IN, *sorted(find_entry_points(ENTRY_POINTS).keys() - BUILT_IN.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command with this name, or None if the name is unknown.

        Raises ClickException if a command from another package can't be loaded.
        """
        if cmd_name in BUILT_IN:
            return load_built_in(cmd_name)[1]
        point = find_entry_points(ENTRY_POINTS).get(cmd_name)
        return None if point is None else load_entry_point(point)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands to the help, with a heading for each group."""
        groups: dict[str, list[tuple[str, str | click.Command]]] = {}
        for name in BUILT_IN:
            group, command = load_built_in(name)
            groups.setdefault(group, []).append((name, command))
        for name, point in sorted(find_entry_points(ENTRY_POINTS).items()):
            if name not in BUILT_IN:
                entry: str | click.Command
                try:
                    entry = load_entry_point(point)
                except click.ClickException as error:
                    entry = error.format_message()
                groups.setdefault(_OTHERS, []).append((name, entry))
        longest = max(len(name) for rows in groups.values() for name, _ in rows)
        room = max(formatter.width - longest - 6, _LEAST_HELP)
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(
                    [
                        (
                            name.ljust(longest),
                            entry if isinstance(entry, str) else entry.get_short_help_str(room),
                        )
                        for name, entry in rows
                    ]
                )


def load_built_in(name: str) -> tuple[str, click.Command]:
    """Import one of provml's own commands. Return its heading in the help, and the command."""
    module = importlib.import_module(f"provml.cli.{BUILT_IN[name]}")
    command = next(command for command in module.COMMANDS if command.name == name)
    return module.GROUP, command


def load_entry_point(point: EntryPoint) -> click.Command:
    """Import a command from another package.

    Raises ClickException if the import fails or the imported object is not a click command. The
    message names the package.
    """
    package = point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"
    try:
        command = point.load()
    except Exception as error:  # noqa: BLE001 - another package's code may raise anything
        raise click.ClickException(
            f"the command {point.name!r} of {package} can't be loaded: "
            f"{type(error).__name__}: {error}"
        ) from None
    if not isinstance(command, click.Command):
        raise click.ClickException(
            f"the command {point.name!r} of {package} can't be loaded: "
            f"{point.value} must be a click.Command, but its type is {type(command).__name__}"
        )
    return command


@click.group(
    "provml",
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    epilog="Run provml COMMAND --help for the options of a command and for examples.",
)
@click.version_option(__version__, message="provml %(version)s", help="Print the version.")
@click.pass_context
def program(context: click.Context) -> None:
    """Record machine-learning runs as W3C PROV graphs, and inspect, compare and query them.

    \b
    A RUN is one of:
      latest           the run that started last
      ID               an id, or the beginning of an id if only one run matches
      EXPERIMENT/ID    the same, if several experiments have a run with this id
      FOLDER           the folder of a run
    """  # noqa: D301 - \b tells click not to wrap the text
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
