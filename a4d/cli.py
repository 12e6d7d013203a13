"""The command line: one group of the commands that the table names."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from a4d import __version__
from a4d.commands import table
from a4d.commands.options import with_options
from a4d.errors import ExitCode, UsageError, stopped_by
from a4d.interruption import StopRequest

STAGE_PANEL, COMMAND_PANEL = "Stages", "Tools"

Rejection = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""What Typer raises at arguments that it cannot take; it has no public name for it."""


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code.

    Raises:
        UsageError: an argument is none that the command takes; it says nothing where the help was printed instead.
        A4DError: what the command raises.
    """
    try:
        return app(args=arguments, prog_name="a4d", standalone_mode=False) or ExitCode.DONE
    except Rejection as error:
        raise UsageError(error.format_message()) from error


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
    """A function as a command that Typer can run by itself, and that signals end with their own exit codes."""
    run = with_options(function)

    @functools.wraps(run)
    def command(**given: Any) -> None:
        try:
            with StopRequest().listening(at_once=True):
                run(**given)
        except KeyboardInterrupt:
            raise stopped_by(signal.SIGINT) from None

    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    single.command(name, cls=CommandWithoutBlanks)(command)
    return typer.main.get_command(single)


class CommandWithoutBlanks(TyperCommand):
    """A command that takes no empty argument: a path of no letters would be the working folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            UsageError: one is empty, or blank.
        """
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.params:
            value = given.get(parameter.name)
            for text in value if isinstance(value, list | tuple) else [value]:
                if isinstance(text, str) and not text.strip():
                    name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
                    raise UsageError(f"{name} is empty")
        return super().parse_args(ctx, args)


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
