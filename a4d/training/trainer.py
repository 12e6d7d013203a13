"""The training loop: batches in, weights and their running average out, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import DataLoader

from a4d.config import Config
from a4d.console import progress
from a4d.errors import QualityError
from a4d.io.checkpoint import load_state, save_state
from a4d.io.metrics_log import MetricsLog
from a4d.randomness import generator
from a4d.runtime import Runtime
from a4d.training.optimisers import Group, RateSchedule, build_optimisers, choose_group, clip_gradients
from a4d.training.processes import Processes

UNBOUNDED = 10**9


class Batches(Protocol):
    """All batches of a run by number; each must be a pure function of its number, so that a run can be resumed."""

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Named tensors on the CPU."""


class Trainee(Protocol):
    """What the loop trains: a model, its loss, and how its progress is judged."""

    @property
    def module(self) -> nn.Module:
        """The model; the loop moves it to the device and its own precision."""

    def loss(self, batch: Mapping[str, Tensor], draws: torch.Generator) -> tuple[str, Tensor]:
        """The loss of a batch on the model's device, and what kind of batch it was; `draws` is on the CPU."""

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Figures on held-out data with the weights as they stand in the model, and pictures in a folder."""

    def save(self, path: Path) -> None:
        """Write the model's weights in the form in which they are used."""


class TrainingConfig(Config):
    """How a model is trained; which data and which loss are the trainee's affair."""

    steps: int | None = Field(default=None, ge=1, description="None trains until the hours are over")
    hours: float | None = Field(default=None, gt=0, description="rates follow the clock if it runs out first")
    groups: tuple[Group, ...] = Field(min_length=1)
    rates: RateSchedule = RateSchedule()
    clip: float = Field(default=1.0, gt=0)
    average: float = Field(default=0.999, ge=0, lt=1, description="share of the running average that a step keeps")
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    workers: int = Field(
        default=0, ge=0, le=256, description="processes that make batches; 0 makes them in between steps"
    )
    compile: bool = Field(default=False, description="torch.compile, which pays after some minutes")
    state_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of checkpoints; bfloat16 halves them and gives up resuming bit by bit"
    )
    checkpoint_seconds: float = Field(default=180.0, gt=0)
    validate_seconds: float = Field(default=600.0, gt=0)
    log_every: int = Field(default=20, ge=1)


@dataclass
class Clock:
    """Seconds of all runs that were resumed into this one."""

    before: float = 0.0
    started: float = 0.0

    @property
    def seconds(self) -> float:
        """Up to now."""
        return self.before + time.monotonic() - self.started


class Trainer:
    """One training run in a folder: `weights.safetensors`, `metrics.jsonl`, `previews/`, and what it resumes from.

    The model holds weights in the precision it computes in; the optimisers change masters in single precision, of
    which a running average is kept, and that average is what is validated and saved.

    Args:
        trainee: model and loss.
        batches: by number.
        config: of the run; a resumed run may have another.
        folder: where it is kept.
        runtime: device, seed, console and stop requests.
        processes: those that train together.
        state: the file that the run resumes from; `state.safetensors` in the folder if none.
    """

    def __init__(
        self,
        trainee: Trainee,
        batches: Batches,
        config: TrainingConfig,
        folder: Path,
        runtime: Runtime,
        processes: Processes | None = None,
        state: Path | None = None,
    ) -> None:
        self.state = state or folder / "state.safetensors"
        self.trainee, self.batches, self.config, self.folder, self.runtime = trainee, batches, config, folder, runtime
        self.processes = processes or Processes()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = MetricsLog(folder / "metrics.jsonl")
        self.masters = {
            name: parameter.detach().to(runtime.device, torch.float32, copy=True)
            for name, parameter in trainee.module.named_parameters()
            if (group := choose_group(name, config.groups)) is not None and group.optimiser != "none"
        }
        for name, parameter in trainee.module.named_parameters():
            parameter.requires_grad_(name in self.masters)
        trainee.module.to(runtime.device, getattr(torch, config.dtype)).train()
        self.parameters = {n: p for n, p in trainee.module.named_parameters() if n in self.masters}
        self.optimisers = build_optimisers(self.masters, config.groups)
        self.average = {name: master.clone() for name, master in self.masters.items()}
        self.done, self.clock = 0, Clock(started=time.monotonic())
        self.means: dict[str, float] = {}
        self._restore()
        self.loss: Callable[..., tuple[str, Tensor]] = trainee.loss
        if config.compile:
            trainee.module.compile()

    def run(self) -> dict[str, float]:
        """Train to the end.

        Returns:
            the last validation's figures.

        Raises:
            Interrupted: a scheduler asked to stop; a checkpoint is left.
            QualityError: the loss is not a number any more.
        """
        total = self.config.steps or UNBOUNDED
        last_saved = last_validated = time.monotonic()
        with progress(self.runtime.console) as bar:
            shown = self.config.steps or None
            task = bar.add_task("train", total=shown, completed=self.done)
            for batch in self._batches(total):
                if self._share() >= 1:
                    break
                self._step(batch)
                now = time.monotonic()
                if self.done % self.config.log_every == 0:
                    bar.update(task, completed=self.done, losses=self._text())
                stop = self.processes.agree(float(self.runtime.stop.signal_number is not None))
                if stop or self.processes.agree(now - last_saved) > self.config.checkpoint_seconds:
                    self._save()
                    last_saved = now
                    self.runtime.stop.raise_if_requested()
                if self.processes.agree(now - last_validated) > self.config.validate_seconds:
                    self.validate()
                    last_validated = time.monotonic()
        self._save()
        return self.validate()

    def _batches(self, total: int) -> Iterator[Mapping[str, Tensor]]:
        numbers = range(
            self.done * self.processes.count + self.processes.rank, total * self.processes.count, self.processes.count
        )
        workers = self.config.workers
        loader: DataLoader[Any] = DataLoader(
            self.batches,  # type: ignore[arg-type]
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            persistent_workers=workers > 0,
            pin_memory=self.runtime.device.startswith("cuda"),
        )
        return iter(loader)

    def _share(self) -> float:
        """How much of the run is over, by steps or by the clock, whichever is further."""
        by_steps = self.done / self.config.steps if self.config.steps else 0.0
        by_clock = self.clock.seconds / 3600 / self.config.hours if self.config.hours else 0.0
        return self.processes.agree(max(by_steps, by_clock))

    def _step(self, batch: Mapping[str, Tensor]) -> None:
        config = self.config
        draws = generator(self.runtime.seed, "training", self.done, self.processes.rank)
        moved = {name: value.to(self.runtime.device, non_blocking=True) for name, value in batch.items()}
        kind, loss = self.loss(moved, draws)
        loss.backward()
        for name, parameter in self.parameters.items():
            gradient = parameter.grad
            self.masters[name].grad = torch.zeros_like(self.masters[name]) if gradient is None else gradient.float()
            parameter.grad = None
        masters = list(self.masters.values())
        self.processes.average([master.grad for master in masters if master.grad is not None])
        norm = clip_gradients(masters, config.clip)
        factor = config.rates.at(self.done, self._share())
        for group in self.optimisers.groups():
            group["lr"] = factor * group["full_rate"]
        if math.isfinite(norm):
            self.optimisers.step()
            self.optimisers.zero()
        self.done += 1
        keep = min(config.average, (self.done + 1) / (self.done + 10))
        averages = list(self.average.values())
        torch._foreach_lerp_(averages, masters, 1 - keep)
        self._show(self.masters)
        self._log(kind, float(loss.detach()), norm, factor)

    @torch.no_grad()
    def _show(self, weights: Mapping[str, Tensor]) -> None:
        """Put weights into the model."""
        torch._foreach_copy_(list(self.parameters.values()), [weights[name] for name in self.parameters])

    def _log(self, kind: str, loss: float, norm: float, factor: float) -> None:
        keep = 0.98 if kind in self.means else 0.0
        self.means[kind] = keep * self.means.get(kind, 0.0) + (1 - keep) * loss
        if self.done % self.config.log_every or not self.processes.is_first:
            return
        if not all(math.isfinite(mean) for mean in self.means.values()):
            raise QualityError(f"the loss of {kind} batches is {loss}", "Lower the rates, or start from older weights")
        facts = {"rate": round(factor, 6), "gradient": norm, "seconds": round(self.clock.seconds, 1)}
        self.log.write({"step": self.done, **self.means, **facts})

    def _text(self) -> str:
        losses = "  ".join(f"{name} {value:.4f}" for name, value in sorted(self.means.items()))
        left = f"  {(1 - self._share()) * self.config.hours * 60:.0f} min left" if self.config.hours else ""
        return losses + left

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The trainee's figures for the averaged weights, written to the metrics as well."""
        if not self.processes.is_first:
            return {}
        self._show(self.average)
        self.trainee.module.eval()
        figures = self.trainee.validate(self.done, self.folder / "previews")
        self.trainee.module.train()
        self._show(self.masters)
        self.log.write({"step": self.done, "validation": figures})
        self.runtime.console.print(f"step {self.done}: " + "  ".join(f"{k} {v:.4g}" for k, v in figures.items()))
        return figures

    def _save(self) -> None:
        if not self.processes.is_first:
            return
        dtype = getattr(torch, self.config.state_dtype)
        parts = {"weights": self.masters, "average": self.average, "optimiser": self.optimisers.state()}
        facts = {"step": self.done, "seconds": self.clock.seconds, "means": self.means}
        save_state(self.state, {k: rounded(v, dtype) for k, v in parts.items()}, facts)
        self._show(self.average)
        self.trainee.save(self.folder / "weights.safetensors")
        self._show(self.masters)

    @torch.no_grad()
    def _restore(self) -> None:
        stored = load_state(self.state)
        if stored is None:
            self._show(self.masters)
            return
        parts, facts = stored
        for target, part in ((self.masters, parts["weights"]), (self.average, parts["average"])):
            for name, value in target.items():
                value.copy_(part[name])
        self.optimisers.restore(parts["optimiser"])
        self.done, self.means = int(facts["step"]), dict(facts["means"])
        self.clock.before = float(facts["seconds"])
        self._show(self.masters)
        if self.processes.is_first:
            self.log.truncate(self.done)


def rounded(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating-point tensors in another precision, the others as they are."""
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
