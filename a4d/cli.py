"""The command line: one group of the commands that the table names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from a4d import __version__
from a4d.commands import table
from a4d.commands.options import with_options
from a4d.errors import ExitCode

STAGE_PANEL, COMMAND_PANEL = "Stages", "Tools"


class LazyGroup(TyperGroup):
    """A group that lists its commands from the table and loads the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the table's entry by the command itself."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name is not None else listed, rest


def load_command(name: str) -> Any:
    """Import a command of the table."""
    if name in table.STAGES:
        from a4d.commands.stage_command import make_command

        return command_of(name, make_command(table.find_stage(name)))
    return command_of(name, table.load(table.COMMANDS[name][0]))


def command_of(name: str, function: Callable[..., None]) -> Any:
    """A function as a command that Typer can run by itself, and that Ctrl-C ends with its own exit code."""
    run = with_options(function)

    @functools.wraps(run)
    def command(**given: Any) -> None:
        try:
            run(**given)
        except KeyboardInterrupt:
            typer.echo("a4d: interrupted", err=True)
            raise typer.Exit(ExitCode.CTRL_C) from None

    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    single.command(name)(command)
    return typer.main.get_command(single)


app = typer.Typer(
    name="a4d",
    cls=LazyGroup,
    help="Turn an image, a text, a mesh or a video into a 3D or animated asset.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"a4d {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


def _listed() -> None:
    """Stand for a command in the list of all; it is replaced when it is called."""


for _name, (_, _summary) in table.STAGES.items():
    app.command(_name, help=_summary, rich_help_panel=STAGE_PANEL)(_listed)
for _name, (_, _summary) in table.COMMANDS.items():
    app.command(_name, help=_summary, rich_help_panel=COMMAND_PANEL)(_listed)
