"""The one optimisation loop: scene x views x objectives, with progress, previews, checkpoints and exact resumption."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from a4d.config import Config, unknown_key, value_at
from a4d.console import progress
from a4d.errors import InvalidInputError, QualityError
from a4d.io.checkpoint import load_state, save_state
from a4d.io.metrics_log import MetricsLog
from a4d.io.pictures.images import write_image
from a4d.metrics import psnr
from a4d.objectives.objective import Objective, Step, observing
from a4d.optimisers import OptimiserConfig, adam, clip_gradients
from a4d.priors.lpips import Lpips
from a4d.priors.protocol import Prior
from a4d.randomness import generator
from a4d.render.render import Render
from a4d.runtime import Runtime
from a4d.scenes.protocols import Splatting
from a4d.scenes.scene import Scene
from a4d.trainable import Trainable
from a4d.views import Frames, ViewBatch, Views


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
        trainables: what learns beside the scene, by name, on the run's device; changed in place.
        networks: that look at pictures, by their names in the catalogue, on the run's device.
    """

    scene: Scene
    views: Mapping[str, Views]
    objectives: Sequence[Objective]
    frames: Frames | None = None
    priors: Mapping[str, Prior] = field(default_factory=dict)
    frozen: Mapping[str, Scene] = field(default_factory=dict)
    trainables: Mapping[str, Trainable] = field(default_factory=dict)
    networks: Mapping[str, Lpips] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check before the first step what may happen in a late one.

        Raises:
            ConfigError: views want a shading, or an objective a channel, that the scene does not have, an objective
                does not apply to it, or a group is named that it has not.
            MissingInputError: the frames lack a channel that views or objectives want.
        """
        self.views = observing(self.views, self.objectives)
        for name, views in self.views.items():
            for shading in views.shadings:
                self.scene.require_shading(shading, f"views.{name}.shading")
            self.scene.require_groups(views.reaches or (), f"views.{name}.reaches")
            views.require_scene(self.scene, f"views.{name}")
        for views in self.views.values():
            views.require_channels(self.frames)
        for index, objective in enumerate(self.objectives):
            objective.require(self.scene)
            self.scene.require_groups(objective.reaches or (), f"objectives.{index}.reaches")
            self.scene.require_channels(objective.needs, f"objectives.{index} ({objective.label})")

    def learning(self) -> dict[str, Trainable]:
        """All that learns, by the names of its parts in a checkpoint."""
        return {"scene": self.scene, **{f"trainables/{name}": each for name, each in self.trainables.items()}}

    def groups(self) -> dict[str, Sequence[nn.Parameter]]:
        """All groups by the names that rates are given for."""
        beside = {
            f"{name}/{group}": parameters
            for name, trainable in self.trainables.items()
            for group, parameters in trainable.groups().items()
        }
        return {**self.scene.groups(), **beside}

    def hold_all_but(self, rated: Collection[str]) -> None:
        """Let the groups that have a rate learn, and no other.

        Raises:
            ConfigError: there is no such group.
        """
        groups = self.groups()
        for name in rated:
            if name not in groups:
                raise unknown_key(f"optimiser.rates.{name}", name, groups)
        self.scene.hold_all_but([name for name in self.scene.groups() if name in rated])
        for name, trainable in self.trainables.items():
            trainable.hold_all_but([group for group in trainable.groups() if f"{name}/{group}" in rated])


@dataclass
class _Figures:
    """Losses of the last iterations, written to metrics.jsonl every so often."""

    log: MetricsLog
    every: int
    values: dict[str, float] = field(default_factory=dict)
    psnr: dict[str, float] = field(default_factory=dict)

    def add(self, step: int, losses: dict[str, Tensor], psnr: dict[str, float], facts: dict[str, Any]) -> None:
        """Append a step's line, and remember its figures."""
        latest = {name: float(value) for name, value in losses.items()}
        visible = {f"psnr/{name}": value for name, value in psnr.items() if math.isfinite(value)}
        # Objectives that take turns are all remembered, each from its own latest step.
        self.values.update(latest)
        self.psnr.update(visible)
        self.log.write({"step": step, **latest, **visible, **facts})

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
        ConfigError: a rate or a view set names a group that there is not.
    """
    return _Loop(problem, config, folder, runtime).run()


class _Loop:
    def __init__(self, problem: Problem, config: LoopConfig, folder: Path, runtime: Runtime) -> None:
        self.problem, self.config, self.folder, self.runtime = problem, config, folder, runtime
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint" / "state.safetensors"
        self.figures = _Figures(MetricsLog(folder / "metrics.jsonl"), config.log_every)
        stored = self._stored()
        self.done = 0
        self._see_pixels(0)
        if stored is not None:
            with self._refusing_damage():
                self.done = int(stored[1]["step"])
                self._see_pixels(max(self.done - 1, 0))
                for name, trainable in problem.learning().items():
                    trainable.restore(stored[0][name], self.done)
        problem.hold_all_but(config.optimiser.rates)
        self.optimisers = adam(problem.groups(), config.optimiser)
        if stored is not None:
            with self._refusing_damage():
                self.optimisers.restore(stored[0].get("optimiser", {}))
        self.figures.log.truncate(self.done)

    def _stored(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
        """The checkpoint; a damaged one is as good as none, since the run can begin anew."""
        try:
            return load_state(self.checkpoint)
        except InvalidInputError:
            return None

    def save(self, done: int) -> None:
        """Write the checkpoint."""
        parts = {name: trainable.state_dict() for name, trainable in self.problem.learning().items()}
        save_state(self.checkpoint, {**parts, "optimiser": self.optimisers.state()}, {"step": done})

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
                if (index + 1) % self.figures.every == 0 or index + 1 == iterations:
                    self.check(losses)
                    self.figures.add(index + 1, losses, step.psnr(), self.facts(index))
                    bar.update(task, completed=index + 1, losses=self.figures.text())
                now = time.monotonic()
                if stop.signal_number is not None or now - last_checkpoint > self.config.checkpoint_seconds:
                    self.save(index + 1)
                    last_checkpoint = now
                    stop.raise_if_requested()
                if now - last_preview > self.config.preview_seconds:
                    self.preview(index + 1)
                    last_preview = now
        self.preview(iterations)
        return {**self.figures.values, **self.quality()}

    def step(self, index: int) -> tuple[Step, dict[str, Tensor]]:
        """One iteration: what was rendered, and the unweighted values of the objectives."""
        problem, seed = self.problem, self.runtime.seed
        if any(views.refines(index) for views in problem.views.values()):
            self._see_pixels(index)
        for group in self.optimisers.groups():
            group["lr"] = value_at(self.config.optimiser.rates[group["name"]], index)
        # Before the objectives, one of which may send gradients of its own.
        self.optimisers.zero()
        step = Step(
            index, seed, problem.scene, problem.views, problem.frames, self.runtime.device, problem.priors,
            problem.frozen, problem.networks,
        )  # fmt: skip
        active = [objective for objective in problem.objectives if objective.turns.includes(index, seed)]
        # Whoever looks at whole clips comes first: what others choose of them is then rendered already.
        active.sort(key=lambda objective: objective.frames != "all")
        for objective in active:
            objective.announce(step)
        losses: dict[str, Tensor] = {}
        total: Tensor | None = None
        for objective in active:
            with problem.scene.reaching(objective.reaches):
                value = objective(step.reaching(objective.reaches).choosing(objective.frames))
            losses[objective.label] = value.detach()
            weighted = value * value_at(objective.weight, index)
            total = weighted if total is None else total + weighted
        if total is not None and total.requires_grad:
            total.backward()
            clip_gradients(self.optimisers, self.config.optimiser)
            self.optimisers.step()
            for name, trainable in problem.learning().items():
                trainable.after_step(index, self.optimisers, generator(seed, name, index))
        return step, losses

    def _see_pixels(self, step: int) -> None:
        """Tell Gaussians how fine the pixels are that they are fitted with from a step on."""
        problem = self.problem
        finest = min((views.finest_pixel(problem.frames, step) for views in problem.views.values()), default=math.inf)
        if math.isfinite(finest) and isinstance(problem.scene, Splatting):
            problem.scene.see_pixels(finest)

    def facts(self, index: int) -> dict[str, Any]:
        """The rates of a step, and what the scene says of itself."""
        rates = {name: value_at(rate, index) for name, rate in self.config.optimiser.rates.items()}
        return {"rates": rates, **self.problem.scene.facts()}

    def check(self, losses: dict[str, Tensor]) -> None:
        """Refuse a loss that is no number.

        Raises:
            DivergenceError: names the objective.
        """
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
            batch = views.placed(views.preview(self.problem.frames).to(self.runtime.device), self.problem.scene)
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
            if views.is_observed and self.problem.frames is not None:
                batches = (batch.to(self.runtime.device) for batch in views.every_frame(self.problem.frames))
                values = [psnr(self.render(batch, views).rgb.clamp(0, 1), batch.rgb) for batch in batches]
                return {"psnr": sum(values) / len(values)}
        return {}
