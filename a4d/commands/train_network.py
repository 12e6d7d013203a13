"""Training whole models, as `a4d train-prior` does it: a table of what can be trained, and one way to train it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4d.config import plain, to_yaml
from a4d.console import make_console, print_json, print_table
from a4d.errors import UsageError
from a4d.memory import require_memory
from a4d.runtime import Runtime, resolve_device

if TYPE_CHECKING:
    from a4d.training.model import Model

MODELS = {"compact": "a4d.training.compact:MODEL", "mv-vdm": "a4d.training.mv_vdm:MODEL"}
"""Models by their name on the command line; another one needs a module like this and a line here."""

SETTINGS_FILE = "config.yaml"


@dataclass(frozen=True)
class NetworkTraining:
    """What the command line says about training a whole model.

    Args:
        output: folder of the run; None only to evaluate the weights that ship.
        data: folder of the data set, for models that learn from one.
        start: weights to start from.
        given: settings in the nesting of the model's file, of which later ones win.
        assignments: of `--set`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        seed: of every random number.
        evaluate: print figures in place of training.
        objects: of each kind that the figures are of.
        json: print figures as JSON.
        quiet: show errors alone.
    """

    output: Path | None
    data: Path | None
    start: Path | None
    given: tuple[Mapping[str, Any], ...]
    assignments: tuple[str, ...]
    device: str
    seed: int
    evaluate: bool
    objects: int
    json: bool
    quiet: bool


def find_model(name: str) -> Model[Any]:
    """A model that can be trained, by name."""
    module, _, attribute = MODELS[name].partition(":")
    model: Model[Any] = getattr(importlib.import_module(module), attribute)
    return model


def train_network(name: str, wanted: NetworkTraining) -> None:
    """Train a model, or go on with a run that was interrupted, or print figures of one.

    Raises:
        UsageError: there is no folder to train in, or nothing says when to stop.
        Interrupted: a scheduler asked to stop; a checkpoint is left.
    """
    device = resolve_device(wanted.device)
    model = find_model(name)
    if wanted.evaluate:
        weights = wanted.start or (wanted.output / "weights.safetensors" if wanted.output else None)
        figures = model.evaluate(weights, device, wanted.objects)
    else:
        if wanted.output is None:
            raise UsageError("there is no folder to train in", "Give --output FOLDER")
        figures = _train(model, wanted, wanted.output, device)
    if wanted.json:
        print_json({"model": name, "figures": figures})
    elif not wanted.quiet:
        print_table(("figure", "value"), [(label, f"{value:.4g}") for label, value in figures.items()])


def _train(model: Model[Any], wanted: NetworkTraining, output: Path, device: str) -> dict[str, float]:
    from a4d.training.processes import joined
    from a4d.training.trainer import Trainer

    if (wanted.data is not None) != model.learns_from_files:
        raise UsageError(
            f"{model.name} learns from {'a data set' if model.learns_from_files else 'no files'}",
            f"Give {'its folder' if model.learns_from_files else 'none'}",
        )
    given = [*wanted.given, {"data": {"path": str(wanted.data)}} if wanted.data else {}]
    config = model.settings(device, wanted.start is not None, given, wanted.assignments)
    if config.training.steps is None and config.training.hours is None:
        raise UsageError("nothing says how long to train", "Give --steps or --hours")
    require_memory(f"train-prior {model.name}", config.memory(), device, ("data",))
    with joined(device) as processes:
        if processes.count > 1 and device == "cuda":
            device = f"cuda:{processes.local_rank}"
        runtime = Runtime(device, wanted.seed, make_console(quiet=wanted.quiet or not processes.is_first))
        trainee, batches = model.start(config, wanted.start, wanted.seed)
        if processes.is_first:
            output.mkdir(parents=True, exist_ok=True)
            (output / SETTINGS_FILE).write_text(to_yaml(plain(config)), encoding="utf-8")
        with runtime.stop.listening():
            return Trainer(trainee, batches, config.training, output, runtime, processes).run()
