"""`a4d train-prior`: teach a prior one subject from the images of a workspace, or train a whole model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from a4d.commands.stage_command import RunControl, run_stage
from a4d.commands.train_network import MODELS, NetworkTraining, train_network
from a4d.commands.train_subject import STAGE
from a4d.config import load_yaml
from a4d.errors import UsageError
from a4d.running.weights import weight_overrides


class Method(str, Enum):
    """What is learnt."""

    textual_inversion = "textual-inversion"
    lora = "lora"
    compact = "compact"
    mv_vdm = "mv-vdm"


SUBJECT, WHOLE = "One subject", "Whole models"


@dataclass(frozen=True)
class SubjectOptions:
    """What is said of a single subject; the settings of `TrainPrior` have the same names."""

    prior: Annotated[
        str | None,
        typer.Option(
            help="Model of the catalogue; stable-diffusion-1.5 if none.", metavar="NAME", rich_help_panel=SUBJECT
        ),
    ] = None
    token: Annotated[str | None, typer.Option(help="The new word; <subject> if none.", rich_help_panel=SUBJECT)] = None
    initial: Annotated[
        str | None, typer.Option(help="Words that the new one starts from; object if none.", rich_help_panel=SUBJECT)
    ] = None
    embedding: Annotated[
        str | None,
        typer.Option(
            help="A token learnt elsewhere, to use here: learned_embeds.safetensors or .bin.",
            metavar="FILE",
            rich_help_panel=SUBJECT,
        ),
    ] = None
    prompt: Annotated[str | None, typer.Option(help="What the images show, for adapters.", rich_help_panel=SUBJECT)] = (
        None
    )
    rank: Annotated[int | None, typer.Option(help="Rank of the adapters; 4 if none.", rich_help_panel=SUBJECT)] = None
    image_dropout: Annotated[
        float | None, typer.Option(help="Share of steps without condition; 0.1 if none.", rich_help_panel=SUBJECT)
    ] = None
    iterations: Annotated[
        int | None, typer.Option(help="Steps of one image each; 2000 if none.", rich_help_panel=SUBJECT)
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="Folders of weights: NAME=PATH[,NAME=PATH]...", rich_help_panel=SUBJECT)
    ] = None


@dataclass(frozen=True)
class WholeModelOptions:
    """What is said of a whole model."""

    output: Annotated[
        Path | None, typer.Option(help="Folder of a whole model's run.", metavar="FOLDER", rich_help_panel=WHOLE)
    ] = None
    steps: Annotated[int | None, typer.Option(help="Steps to train; or --hours.", min=1, rich_help_panel=WHOLE)] = None
    hours: Annotated[
        float | None, typer.Option(help="Hours to train, interruptions left out.", rich_help_panel=WHOLE)
    ] = None
    batch: Annotated[int | None, typer.Option(help="Images in a batch.", min=1, rich_help_panel=WHOLE)] = None
    workers: Annotated[int | None, typer.Option(help="Processes that make batches.", min=0, rich_help_panel=WHOLE)] = (
        None
    )
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Weights to start from.", metavar="WEIGHTS", rich_help_panel=WHOLE),
    ] = None
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Print figures on held-out objects; train nothing.", rich_help_panel=WHOLE),
    ] = False
    objects: Annotated[
        int, typer.Option(help="Of which the figures are.", min=1, max=10_000, rich_help_panel=WHOLE)
    ] = 32

    def settings(self, weights: str | None) -> dict[str, dict[str, Any]]:
        """What is given of the settings of a model's file, in their nesting."""
        sections: dict[str, dict[str, Any]] = {
            "training": {"steps": self.steps, "hours": self.hours, "workers": self.workers},
            "data": {"images": self.batch},
            "weights": {key: str(path) for key, path in weight_overrides(weights or "").items()},
        }
        given = {name: {k: v for k, v in values.items() if v is not None} for name, values in sections.items()}
        return {name: values for name, values in given.items() if values}


def train_prior(
    *,
    method: Annotated[
        Method, typer.Argument(help="A new word of a frozen model, low-rank adapters of it, or a whole model.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="A workspace with images, or an image or folder to make one of; or a data set of films."),
    ] = None,
    subject: SubjectOptions,
    whole: WholeModelOptions,
    control: RunControl,
) -> None:
    """Teach a prior one subject, or train a whole model.

    What is learnt of a subject stands in `adapters/NAME/` and is used by a prior's `adapters: [NAME]`. A whole model's
    run is a folder of its own, which the same command takes up again after an interruption.
    """
    if method.value in MODELS:
        _train_whole(method.value, target, whole, subject.weights, control)
        return
    if target is None:
        raise UsageError(f"{method.value} needs a workspace with images, or an image to make one of")
    named = replace(control, name=control.name or method.value)
    run_stage(STAGE, target, named, {"method": method.value, **asdict(subject)})


def _train_whole(
    name: str, target: str | None, whole: WholeModelOptions, weights: str | None, control: RunControl
) -> None:
    """Train a model in a folder of its own.

    Raises:
        UsageError: an option asks for what only a workspace has.
    """
    of_workspaces = ("name", "force", "dry_run", "print_config")
    if refused := [option for option in of_workspaces if getattr(control, option)]:
        raise UsageError(f"--{refused[0].replace('_', '-')} is for what is learnt of a subject", "Leave it out")
    train_network(
        name,
        NetworkTraining(
            output=whole.output,
            data=Path(target) if target else None,
            start=whole.start,
            given=(load_yaml(control.config) if control.config else {}, whole.settings(weights)),
            assignments=tuple(control.set_ or ()),
            device=control.device,
            seed=control.seed,
            evaluate=whole.evaluate,
            objects=whole.objects,
            json=control.json,
            quiet=control.quiet,
        ),
    )
