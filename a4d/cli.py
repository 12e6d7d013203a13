"""The command line: a table of commands, each imported when it is called and not before."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from a4d import __version__
from a4d.errors import ExitCode

if TYPE_CHECKING:
    from a4d.workspace.stage import Stage

STAGES = {
    "preprocess": (
        "a4d.stages.preprocess:STAGE",
        "Take an image, folder, video, mesh, capture or text into a workspace",
    ),
    "estimate-pose": ("a4d.stages.estimate_pose:STAGE", "Find or import the cameras of the images"),
    "fit-static": ("a4d.stages.fit_static:STAGE", "Fit a static scene to images, one image or points"),
    "fit-dynamic": ("a4d.stages.fit_dynamic:STAGE", "Fit a motion to a multi-view video, given or sampled"),
    "distill": ("a4d.stages.distill:STAGE", "Move a scene, or make one, toward what diffusion priors expect"),
    "export": ("a4d.stages.export:STAGE", "Write meshes, splats, turntables and frames to take away"),
}
COMMANDS = {
    "evaluate": ("a4d.commands.evaluate:evaluate", "Score a scene against held-out views, a workspace or a mesh"),
    "info": ("a4d.commands.info:info", "Show what a workspace holds and what is out of date"),
    "validate": ("a4d.commands.validate:validate", "Check a workspace against the format's specification"),
    "weights": ("a4d.commands.weights:weights", "List, fetch or check the weights of diffusion models"),
    "train-prior": ("a4d.commands.train_prior:train_prior", "Teach a prior a subject: a token, or low-rank adapters"),
    "make-dataset": ("a4d.commands.make_dataset:make_dataset", "Render assets to a data set of multi-view videos"),
    "doctor": ("a4d.commands.doctor:doctor", "Show versions, devices, optional backends and caches"),
}
STAGE_PANEL, COMMAND_PANEL = "Stages", "Inspection"


class LazyGroup(TyperGroup):
    """A group that lists its commands from the table and loads the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the table's entry by the command itself."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name is not None else listed, rest


def load_command(name: str) -> Any:
    """Import a command of the tables."""
    if name in STAGES:
        from a4d.commands.stage_command import make_command

        return command_of(name, make_command(find_stage(name), find_stage))
    return command_of(name, _load(COMMANDS[name][0]))


def command_of(name: str, function: Callable[..., None]) -> Any:
    """A function as a command that Typer can run by itself, and that Ctrl-C ends with its own exit code."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        try:
            function(**given)
        except KeyboardInterrupt:
            typer.echo("a4d: interrupted", err=True)
            raise typer.Exit(ExitCode.CTRL_C) from None

    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    single.command(name)(command)
    return typer.main.get_command(single)


def find_stage(name: str) -> Stage:
    """Import a stage of the table."""
    stage: Stage = _load(STAGES[name][0])
    return stage


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


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


for _name, (_, _summary) in STAGES.items():
    app.command(_name, help=_summary, rich_help_panel=STAGE_PANEL)(_listed)
for _name, (_, _summary) in COMMANDS.items():
    app.command(_name, help=_summary, rich_help_panel=COMMAND_PANEL)(_listed)
