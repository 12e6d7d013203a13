"""The one optimisation loop: scene x views x objectives, with progress, previews, checkpoints and exact resumption."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from a4d.checkpoint import load_checkpoint, restore_optimiser, save_checkpoint, scene_state
from a4d.config import Config, Number, value_at
from a4d.console import progress
from a4d.errors import InvalidInputError, QualityError
from a4d.io.images import write_image
from a4d.metrics import psnr
from a4d.objectives.objective import Objective, Step
from a4d.priors.protocol import Prior
from a4d.randomness import generator
from a4d.render.render import Render
from a4d.runtime import Runtime
from a4d.scenes.scene import Scene
from a4d.views import Frames, ObservedViews, ViewBatch, Views


class OptimiserConfig(Config):
    """Adam and its learning rates, one per group of the scene's parameters."""

    rates: dict[str, Number]
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-15, gt=0)
    clip: float | None = Field(default=None, gt=0, description="largest absolute value of a gradient's element")


class LoopConfig(Config):
    """How long to optimise and how often to look up."""

    iterations: int = Field(ge=0)
    optimiser: OptimiserConfig
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    preview_seconds: float = Field(default=20.0, gt=0)
    log_every: int = Field(default=20, ge=1, description="iterations between two lines of metrics.jsonl")


class DivergenceError(QualityError):
    """An objective became infinite or not a number."""


@dataclass
class Problem:
    """What is optimised: a scene, from where it is seen, and what its renders should satisfy.

    Args:
        scene: its parameters are changed in place.
        views: view sets by name.
        objectives: at least one.
        frames: the workspace's images, or None where no view set is observed.
        priors: diffusion priors by name, on the run's device.
        frozen: scenes by name that objectives look at and nothing changes, on the run's device.
    """

    scene: Scene
    views: Mapping[str, Views]
    objectives: Sequence[Objective]
    frames: Frames | None = None
    priors: Mapping[str, Prior] = field(default_factory=dict)
    frozen: Mapping[str, Scene] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check before the first step what may happen in a late one.

        Raises:
            ConfigError: views want a shading that the scene does not have.
        """
        for name, views in self.views.items():
            for shading in views.shadings:
                self.scene.require_shading(shading, f"views.{name}.shading")


@dataclass
class _Log:
    """Losses of the last iterations, written to metrics.jsonl every so often."""

    path: Path
    every: int
    values: dict[str, float] = field(default_factory=dict)
    psnr: dict[str, float] = field(default_factory=dict)

    def truncate(self, step: int) -> None:
        """Drop the lines that a resumed run will write again."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def add(self, step: int, losses: dict[str, Tensor], psnr: dict[str, float], facts: dict[str, Any]) -> None:
        """Append a step's line, and remember its figures."""
        latest = {name: float(value) for name, value in losses.items()}
        visible = {f"psnr/{name}": value for name, value in psnr.items() if math.isfinite(value)}
        # Objectives that take turns are all remembered, each from its own latest step.
        self.values.update(latest)
        self.psnr.update(visible)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **latest, **visible, **facts}) + "\n")

    def text(self) -> str:
        """The latest figures, as the progress bar shows them."""
        losses = [f"{name} {value:.4g}" for name, value in self.values.items()]
        return "  ".join([*losses, *(f"{name} {value:.1f} dB" for name, value in self.psnr.items())])


def optimise(problem: Problem, config: LoopConfig, folder: Path, runtime: Runtime) -> dict[str, float]:
    """Change the scene so that its renders satisfy the objectives, going on from a checkpoint where there is one.

    Every random number is a function of the seed and the step, so that on the CPU a run that was killed and resumed
    ends with the same bits as one that was not.

    Args:
        problem: scene, views and objectives.
        config: iterations and learning rates.
        folder: takes `metrics.jsonl`, `previews/` and `checkpoint/`.
        runtime: device, seed, console and stop requests.

    Returns:
        the last values of the objectives, and `psnr` in dB where a view set is observed.

    Raises:
        Interrupted: a scheduler asked to stop; a checkpoint is left.
        InvalidInputError: there is a checkpoint of something else.
        DivergenceError: an objective became infinite or not a number.
    """
    return _Loop(problem, config, folder, runtime).run()


class _Loop:
    def __init__(self, problem: Problem, config: LoopConfig, folder: Path, runtime: Runtime) -> None:
        self.problem, self.config, self.folder, self.runtime = problem, config, folder, runtime
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint" / "state.safetensors"
        self.log = _Log(folder / "metrics.jsonl", config.log_every)
        stored = load_checkpoint(self.checkpoint)
        self.done = 0
        if stored is not None:
            tensors, facts = stored
            with self._refusing_damage():
                self.done = int(facts["step"])
                problem.scene.restore(scene_state(tensors), self.done)
        self.optimiser = torch.optim.Adam(
            problem.scene.parameter_groups(config.optimiser.rates),
            betas=config.optimiser.betas,
            eps=config.optimiser.eps,
            fused=True,
        )
        if stored is not None:
            with self._refusing_damage():
                restore_optimiser(self.optimiser, stored[0])
        self.log.truncate(self.done)

    @contextmanager
    def _refusing_damage(self) -> Iterator[None]:
        try:
            yield
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise InvalidInputError(
                f"{self.checkpoint} is damaged: it does not fit the run", f"Delete {self.folder} to begin anew"
            ) from error

    def run(self) -> dict[str, float]:
        """All steps that are left, with checkpoints and previews; the last figures."""
        iterations, stop = self.config.iterations, self.runtime.stop
        last_checkpoint = last_preview = time.monotonic()
        if self.done == 0:
            self.preview(0)
        with progress(self.runtime.console) as bar:
            task = bar.add_task("optimise", total=iterations, completed=self.done, losses="")
            for index in range(self.done, iterations):
                step, losses = self.step(index)
                if (index + 1) % self.log.every == 0 or index + 1 == iterations:
                    self.check(losses)
                    self.log.add(index + 1, losses, step.psnr(), self.facts(index))
                    bar.update(task, completed=index + 1, losses=self.log.text())
                now = time.monotonic()
                if stop.signal_number is not None or now - last_checkpoint > self.config.checkpoint_seconds:
                    save_checkpoint(self.checkpoint, self.problem.scene, self.optimiser, {"step": index + 1})
                    last_checkpoint = now
                    stop.raise_if_requested()
                if now - last_preview > self.config.preview_seconds:
                    self.preview(index + 1)
                    last_preview = now
        self.preview(iterations)
        return {**self.log.values, **self.quality()}

    def step(self, index: int) -> tuple[Step, dict[str, Tensor]]:
        """One iteration: what was rendered, and the unweighted values of the objectives."""
        problem = self.problem
        for group in self.optimiser.param_groups:
            group["lr"] = value_at(self.config.optimiser.rates[group["name"]], index)
        step = Step(
            index, self.runtime.seed, problem.scene, problem.views, problem.frames, self.runtime.device,
            problem.priors, problem.frozen,
        )  # fmt: skip
        losses: dict[str, Tensor] = {}
        total: Tensor | None = None
        for objective in problem.objectives:
            if not objective.turns.includes(index):
                continue
            value = objective(step)
            losses[objective.label] = value.detach()
            weighted = value * value_at(objective.weight, index)
            total = weighted if total is None else total + weighted
        if total is not None and total.requires_grad:
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()
            if self.config.optimiser.clip is not None:
                parameters = [part for group in self.optimiser.param_groups for part in group["params"]]
                torch.nn.utils.clip_grad_value_(parameters, self.config.optimiser.clip)
            self.optimiser.step()
            problem.scene.after_step(index, self.optimiser, generator(self.runtime.seed, "scene", index))
        return step, losses

    def facts(self, index: int) -> dict[str, Any]:
        rates = {name: value_at(rate, index) for name, rate in self.config.optimiser.rates.items()}
        return {"rates": rates, **self.problem.scene.facts()}

    def check(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            if not bool(torch.isfinite(value)):
                raise DivergenceError(f"the objective {name} is {float(value)}", "Lower the learning rates")

    def render(self, batch: ViewBatch, views: Views) -> Render:
        """A batch outside of the steps, in which shadings are not a matter of chance."""
        return self.problem.scene.render_shaded(batch.cameras, batch.times, batch.background, views.only_shading)

    @torch.no_grad()
    def preview(self, step: int) -> None:
        """Write one picture per view set, observation and render side by side where there is an observation."""
        (self.folder / "previews").mkdir(exist_ok=True)
        for name, views in self.problem.views.items():
            batch = views.preview(self.problem.frames).to(self.runtime.device)
            image = self.render(batch, views).rgb[0]
            if batch.rgba is not None:
                image = torch.cat([batch.rgb[0], image], dim=1)
            # A scene that has just diverged is worth a look too.
            shown = image.nan_to_num().clamp(0, 1).cpu().numpy()
            write_image(self.folder / "previews" / f"{name}_{step:06d}.png", shown)

    @torch.no_grad()
    def quality(self) -> dict[str, float]:
        """PSNR over the frames of the first observed view set."""
        for views in self.problem.views.values():
            if isinstance(views, ObservedViews) and self.problem.frames is not None:
                batches = (batch.to(self.runtime.device) for batch in views.every_frame(self.problem.frames))
                values = [psnr(self.render(batch, views).rgb.clamp(0, 1), batch.rgb) for batch in batches]
                return {"psnr": sum(values) / len(values)}
        return {}
