"""`a4d train-prior`: teach a prior one subject from the images of a workspace, or train a whole model."""

from __future__ import annotations

import json as json_format
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from a4d.cli import find_stage
from a4d.commands.stage_command import RunControl, run_stage
from a4d.commands.train_network import MODELS, NetworkTraining, train_network
from a4d.config import Config, load_yaml
from a4d.console import progress
from a4d.errors import UsageError
from a4d.runtime import Runtime
from a4d.workspace.fitting import ADAPTERS, recorded_weights, weight_overrides
from a4d.workspace.stage import Stage
from a4d.workspace.transaction import Transaction
from a4d.workspace.workspace import Workspace


class Method(str, Enum):
    """What is learnt."""

    textual_inversion = "textual-inversion"
    lora = "lora"
    compact = "compact"
    mv_vdm = "mv-vdm"


class TrainPrior(Config):
    """Everything that decides an adapter."""

    method: Literal["textual-inversion", "lora"]
    prior: str = "stable-diffusion-1.5"
    token: str = Field(default="<subject>", min_length=1)
    initial: str = "object"
    prompt: str = "a photo of the subject"
    rank: int = Field(default=4, ge=1)
    image_dropout: float = Field(default=0.1, ge=0, le=1)
    iterations: int = Field(default=2000, ge=1)
    rate: float | None = Field(default=None, gt=0, description="None is 5e-3 for a token and 1e-4 for adapters")
    split: Literal["train", "test", "all"] = "train"
    background: Literal["black", "white", "grey"] = "white"
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="None is bfloat16 on CUDA and float32 on the CPU"
    )
    weights: str = Field(default="", exclude=True)


WHOLE = "Whole models"
RATES = {"textual-inversion": 5e-3, "lora": 1e-4}
LOG_EVERY = 20


def train_prior(
    method: Annotated[
        Method, typer.Argument(help="A new word of a frozen model, low-rank adapters of it, or a whole model.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="A workspace with images, or an image or folder to make one of; or a data set of films."),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Model of the catalogue; stable-diffusion-1.5 if none.", metavar="NAME")
    ] = None,
    token: Annotated[str | None, typer.Option(help="The new word; <subject> if none.")] = None,
    initial: Annotated[str | None, typer.Option(help="Words that the new one starts from; object if none.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the images show, for adapters.")] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the adapters; 4 if none.")] = None,
    image_dropout: Annotated[float | None, typer.Option(help="Share of steps without condition; 0.1 if none.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Steps of one image each; 2000 if none.")] = None,
    weights: Annotated[str | None, typer.Option(help="Folders of weights: NAME=PATH[,NAME=PATH]...")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of a whole model's run.", metavar="FOLDER", rich_help_panel=WHOLE)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps to train; or --hours.", min=1, rich_help_panel=WHOLE)] = None,
    hours: Annotated[
        float | None, typer.Option(help="Hours to train, interruptions left out.", rich_help_panel=WHOLE)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a batch.", min=1, rich_help_panel=WHOLE)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that make batches.", min=0, rich_help_panel=WHOLE)
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Weights to start from.", metavar="WEIGHTS", rich_help_panel=WHOLE),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Print figures on held-out objects; train nothing.", rich_help_panel=WHOLE),
    ] = False,
    objects: Annotated[int, typer.Option(help="Of which the figures are.", min=1, rich_help_panel=WHOLE)] = 32,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.", metavar="FILE")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting.", metavar="KEY=VALUE")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the adapter; the method if none.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of every random number.", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Make a finished result anew.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Teach a prior one subject, or train a whole model.

    What is learnt of a subject stands in `adapters/NAME/` and is used by a prior's `adapters: [NAME]`. A whole model's
    run is a folder of its own, which the same command takes up again after an interruption.
    """
    if method.value in MODELS:
        sizes: dict[str, dict[str, Any]] = {
            "training": {"steps": steps, "hours": hours, "workers": workers},
            "data": {"images": batch},
            "weights": {key: str(path) for key, path in weight_overrides(weights or "").items()},
        }
        chosen = {section: {k: v for k, v in values.items() if v is not None} for section, values in sizes.items()}
        given = {section: values for section, values in chosen.items() if values}
        read = load_yaml(config) if config else {}
        train_network(
            method.value,
            NetworkTraining(
                output,
                Path(target) if target else None,
                start,
                (read, given),
                tuple(set_ or ()),
                device,
                seed,
                evaluate,
                objects,
                json,
                quiet,
            ),
        )
        return
    if target is None:
        raise UsageError(f"{method.value} needs a workspace with images, or an image to make one of")
    flags = {
        "method": method.value,
        "prior": prior,
        "token": token,
        "initial": initial,
        "prompt": prompt,
        "rank": rank,
        "image_dropout": image_dropout,
        "iterations": iterations,
        "weights": weights,
    }
    control = RunControl(
        target, config, set_, name or method.value, None, device, seed, force, json=json, quiet=quiet, debug=debug
    )
    run_stage(STAGE, control, flags, find_stage)


def _inputs(workspace: Workspace, config: TrainPrior) -> list[Path]:
    return [workspace.path / name for name in ("transforms.json", "images")]


def _require(config: TrainPrior) -> None:
    from a4d.priors.catalogue import locate, with_bases

    for name in with_bases([config.prior]):
        locate(name, weight_overrides(config.weights))


def _run(work: Transaction, config: TrainPrior, runtime: Runtime) -> dict[str, Any]:
    import torch

    from a4d.priors.catalogue import Placement, load_prior, locate, with_bases
    from a4d.priors.personalisation import Pictures, Training, learn_lora, learn_token, save_lora, save_token
    from a4d.views import ObservedViews
    from a4d.workspace.frames import load_frames

    views = ObservedViews(split=config.split, background=config.background)
    batches = [batch.to(runtime.device) for batch in views.every_frame(load_frames(work.workspace))]
    pictures = Pictures([batch.rgb for batch in batches], [batch.cameras for batch in batches])
    overrides = weight_overrides(config.weights)
    # Half precision without a wider exponent loses the small gradients of a single token.
    chosen = config.dtype or ("bfloat16" if runtime.device.startswith("cuda") else "float32")
    prior = load_prior(config.prior, Placement(runtime.device, getattr(torch, chosen), overrides=overrides))
    work.weights += [recorded_weights(name, locate(name, overrides), overrides) for name in with_bases([config.prior])]
    losses: list[float] = []
    with progress(runtime.console) as bar:
        task = bar.add_task(config.method, total=config.iterations, losses="")

        def report(step: int, loss: float) -> None:
            losses.append(loss)
            if (step + 1) % LOG_EVERY == 0 or step + 1 == config.iterations:
                mean = sum(losses[-LOG_EVERY:]) / len(losses[-LOG_EVERY:])
                with work.metrics.open("a", encoding="utf-8") as file:
                    file.write(json_format.dumps({"step": step + 1, "loss": mean}) + "\n")
                bar.update(task, completed=step + 1, losses=f"loss {mean:.4g}")

        training = Training(config.iterations, config.rate or RATES[config.method], runtime.seed, report)
        if config.method == "lora":
            state = learn_lora(prior, pictures, config.prompt, training, config.rank, config.image_dropout)
            save_lora(work.replace(f"{ADAPTERS}/{work.name}"), state)
        else:
            embedding = learn_token(prior, pictures, config.token, config.initial, training)
            save_token(work.replace(f"{ADAPTERS}/{work.name}"), config.token, embedding)
    return {"images": len(batches), "loss": sum(losses[-LOG_EVERY:]) / len(losses[-LOG_EVERY:])}


STAGE = Stage(
    name="train-prior",
    summary="Teach a prior one subject from the images of a workspace.",
    example="a4d train-prior textual-inversion photo.png",
    config=TrainPrior,
    run=_run,
    inputs=_inputs,
    require=_require,
    needs=("preprocess", "estimate-pose"),
    memory_knobs=("dtype", "rank"),
)
