"""The sub-command of a stage, made from its configuration: a flag per plain setting, and run control as for all."""

from __future__ import annotations

import inspect
import logging
import sys
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from a4d.commands import table
from a4d.commands.options import with_signature
from a4d.console import format_metrics, make_console, print_json, print_result
from a4d.documents import parse_yaml
from a4d.errors import InvalidInputError, QualityError, UsageError
from a4d.naming import as_argument
from a4d.randomness import LARGEST_SEED
from a4d.running.runner import Options, Outcome, execute, merge_values, resolved_config
from a4d.running.sections import settings_of
from a4d.running.stage import Stage

SCENE_FIELD = "from_scene"
"""The setting whose flag is `--from`, which is no name in Python."""

SETTINGS, CONTROL, OUTPUT = "Settings", "Run control", "Output"


@dataclass(frozen=True)
class RunControl:
    """The options that every stage has."""

    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of settings; of a paper's, whose sections are named like stages or runs, the run's own.",
            metavar="FILE",
            rich_help_panel=CONTROL,
        ),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, nested ones too.", metavar="KEY=VALUE", rich_help_panel=CONTROL),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run and of what it makes; the stage's name if none.", rich_help_panel=CONTROL),
    ] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=CONTROL)] = "auto"
    seed: Annotated[
        int, typer.Option(help="Seed of every random number.", min=0, max=LARGEST_SEED, rich_help_panel=CONTROL)
    ] = 0
    force: Annotated[bool, typer.Option("--force", help="Make a finished result anew.", rich_help_panel=CONTROL)] = (
        False
    )
    accept: Annotated[
        bool, typer.Option("--accept", help="Go on with a result that misses a gate.", rich_help_panel=CONTROL)
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, write nothing.", rich_help_panel=CONTROL)
    ] = False
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print all settings as YAML, write nothing.", rich_help_panel=CONTROL)
    ] = False
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=OUTPUT)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.", rich_help_panel=OUTPUT)] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Details, too.", rich_help_panel=OUTPUT)] = False


Target = Annotated[str, typer.Argument(help="A workspace; or an image, video, mesh, folder or text to make one of.")]


def make_command(stage: Stage) -> Callable[..., None]:
    """The function of a stage's sub-command, with a signature that Typer reads."""
    settings = {name: field for name, field in stage.config.model_fields.items() if flag_type(field) is not None}
    control = dict(inspect.signature(RunControl, eval_str=True).parameters)
    clash = settings.keys() & control.keys()
    assert not clash, f"{stage.name}: settings named like options of every stage: {clash}"

    def command(*, target: str, **given: Any) -> None:
        flags = {name: given.pop(name) for name in settings}
        run_stage(stage, target, RunControl(**given), flags)

    command.__doc__ = f"{stage.summary}\n\nExample: {stage.example}"
    target = inspect.Parameter("target", inspect.Parameter.KEYWORD_ONLY, annotation=Target)
    # The stage's own settings are what a reader of its help looks for: they come right after the target.
    return with_signature(
        command, [target, *(_flag(name, field) for name, field in settings.items()), *control.values()]
    )


def run_stage(stage: Stage, target: str, control: RunControl, flags: dict[str, Any]) -> None:
    """Run a stage as the command line says and print the result."""
    kind, _, index = control.device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdigit())):
        raise UsageError(f"--device '{control.device}' is none of auto, cpu, cuda and cuda:N")
    given = {name: _read_flag(stage.config.model_fields[name], value) for name, value in flags.items()}
    settings = settings_of(control.config, stage.name, control.name, table.RUNS) if control.config else {}
    options = Options(
        values=merge_values(settings, given),
        assignments=tuple(control.set_ or ()),
        name=control.name,
        device=control.device,
        seed=control.seed,
        force=control.force,
        dry_run=control.dry_run,
        command=("a4d", *sys.argv[1:]),
        level=logging.DEBUG if control.verbose else logging.INFO,
    )
    if control.print_config:
        print_result(resolved_config(stage, target, options))
        return
    outcome = execute(stage, target, options, make_console(quiet=control.quiet), table.find_stage)
    if control.json:
        print_json(asdict(outcome))
    elif not control.quiet:
        print_result(describe(outcome))
    if outcome.missed and not control.accept:
        raise QualityError(
            f"{outcome.name}: {'; '.join(outcome.missed)}",
            f"The result is kept; look at it in {outcome.workspace}, then go on with --accept, or try other settings",
        )


def describe(outcome: Outcome) -> str:
    """An outcome for people: what was written in one line, or for a dry run what would be."""
    if outcome.status.startswith("would"):
        lines = [f"{outcome.stage} {outcome.status} ('{outcome.name}' {outcome.reason})"]
        lines += [f"  reads   {path}" for path in outcome.inputs]
        lines += [f"  writes  {path}" for path in outcome.outputs]
        return "\n".join(lines)
    if outcome.status == "up to date":
        return f"{outcome.name} is up to date in {as_argument(outcome.workspace)}"
    metrics = format_metrics(outcome.metrics)
    return f"{outcome.name} done in {outcome.seconds:.1f} s: {as_argument(outcome.workspace)}" + (
        f"  {metrics}" if metrics else ""
    )


def flag_type(field: FieldInfo) -> Any:
    """The type of a setting's flag: a plain one, a tuple of choices, `str` for a union of plain ones, or None."""
    members = _members(field.annotation)
    choices = [get_args(member) for member in members if get_origin(member) is Literal]
    plain_types = [member for member in members if member in (bool, int, float, str, Path)]
    if len(choices) + len(plain_types) != len(members) or not members:
        return None
    if len(members) == 1:
        return choices[0] if choices else plain_types[0]
    return str


def _members(annotation: Any) -> list[Any]:
    union = get_origin(annotation) in (Union, types.UnionType)
    return [member for member in (get_args(annotation) if union else (annotation,)) if member is not type(None)]


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = flag_type(field)
    choices = [str(choice) for choice in kind] if isinstance(kind, tuple) else []
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    is_scene = name == SCENE_FIELD
    flag = "--from" if is_scene else f"--{name.replace('_', '-')}"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=field.description,
        metavar="SCENE" if is_scene else "|".join(choices) or None,
        autocompletion=(lambda: choices) if choices else None,
        rich_help_panel=CONTROL if is_scene else SETTINGS,
        show_default=False if default is None else str(default),
    )
    annotation = Annotated[(str if choices else kind) | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _read_flag(field: FieldInfo, value: Any) -> Any:
    """A flag's value as the configuration takes it; where several types are possible, as YAML would read it."""
    members = _members(field.annotation)
    choices = {str(choice): choice for member in members for choice in get_args(member)}
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or str in members:
        return value
    if value in choices:
        return choices[value]
    try:
        return parse_yaml(value, "")
    except InvalidInputError:
        return value
