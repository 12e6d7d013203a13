"""The compact prior as the training loop sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.io.pictures.images import write_image
from a4d.memory import PICTURE_PIXEL, Demand
from a4d.priors.compact.diffusion import compact_schedule, diffusion_loss, noisy_levels, task_of
from a4d.priors.compact.evaluation import evaluate, passes
from a4d.priors.compact.examples import Batch, ProceduralBatches, Recipe
from a4d.priors.compact.network import CompactConfig, CompactNetwork
from a4d.priors.compact.prior import WEIGHTS, package_folder
from a4d.priors.compact.weights import load_network, save_network
from a4d.randomness import generator
from a4d.training.model import Model, ModelTraining

NOT_PASSED = "falls short of its own quality gate: what it makes is approximate; see its MODEL_CARD.md"

HELD_OUT_SEED = 10**6
"""Training uses the seeds below."""


class CompactTraining(ModelTraining):
    """Everything that decides a compact prior."""

    network: CompactConfig = CompactConfig()
    data: Recipe = Recipe()

    def memory(self) -> list[Demand]:
        """The pictures of a batch."""
        return [Demand("data.images", PICTURE_PIXEL * self.data.images * self.data.size**2, on_device=False)]


@dataclass
class CompactTrainee:
    """Loss, held-out figures and pictures of a compact network.

    Args:
        module: the network.
        recipe: of its batches.
        validation_batches: of each kind.
    """

    module: CompactNetwork
    recipe: Recipe
    validation_batches: int = 3

    def __post_init__(self) -> None:
        """Take the schedule."""
        self.schedule = compact_schedule()

    def loss(self, batch: Mapping[str, Tensor], draws: torch.Generator) -> tuple[str, Tensor]:
        """The diffusion loss."""
        return diffusion_loss(self.module, dict(batch), draws, self.schedule)

    def save(self, path: Path) -> None:
        """Half-precision weights."""
        save_network(path, self.module)

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Losses at fixed noise levels, PSNR of the moving objects' one-step estimate and of repeating frame 0."""
        figures: dict[str, list[float]] = {}
        shown: list[Tensor] = []
        for share, kind in ((1.0, "moving"), (0.0, "still")):
            update = {"moving_share": share, "frames": (7,), "text_dropout": 0.0, "pair_share": 0.0}
            batches = ProceduralBatches(self.recipe.model_copy(update=update), HELD_OUT_SEED)
            for index in range(self.validation_batches):
                batch = self._placed(batches[index])
                pictures = {name: value for name, value in batch.items() if name not in ("way", "visible")}
                for level in (0.5, 0.8, 0.999):
                    t = torch.full((len(batch["clean"]),), self.schedule.timestep(level))
                    draws = generator(HELD_OUT_SEED, kind, index)
                    _, loss = diffusion_loss(self.module, pictures, draws, self.schedule, t)
                    figures.setdefault(f"{kind} {level}", []).append(float(loss))
                if share:
                    estimate = self.one_step(batch, index)
                    for name, images in (("one step", estimate), ("repeated", batch["still"][:, :, None])):
                        error = ((images - batch["clean"].float()) / 2).square().mean((1, 2, 3, 4, 5))
                        figures.setdefault(f"PSNR {name}", []).append(float(-10 * error.log10().mean()))
                    shown.append(torch.stack([batch["clean"].float(), estimate], 1))
        write_image(folder / f"moving_{step:06d}.png", _sheet(shown[0][:4, :, :2]))
        return {name: sum(values) / len(values) for name, values in figures.items()}

    @torch.no_grad()
    def one_step(self, batch: Batch, index: int) -> Tensor:
        """The clean images (S, V, F, 3, H, W) that the network expects before it has seen anything but noise."""
        task, clean = task_of(batch), batch["clean"].float()
        t = torch.full((len(clean),), len(self.schedule) - 1)
        _, sigma = noisy_levels(self.schedule, t, task, clean.shape[2])
        noise = torch.randn(clean.shape, generator=generator(HELD_OUT_SEED, "preview", index)).to(clean)
        return -self.module(noise, sigma, task).velocity.clamp(-1, 1)

    def _placed(self, batch: Batch) -> Batch:
        device = next(self.module.parameters()).device
        return {name: value.to(device) for name, value in batch.items()}


def _sheet(images: Tensor) -> NDArray[np.float32]:
    """One picture of (S, 2, V, F, 3, H, W) in [-1, 1]: frames along, views and truth over estimate down."""
    rows = images.permute(0, 1, 2, 5, 3, 6, 4)  # S, 2, V, H, F, W, 3
    sheet = rows.reshape(-1, images.shape[3] * images.shape[-1], 3)
    return np.asarray((sheet.clamp(-1, 1).cpu().float().numpy() + 1) / 2, np.float32)


def start(config: CompactTraining, weights: Path | None, seed: int) -> tuple[CompactTrainee, ProceduralBatches]:
    """A network, new or from weights, and its batches."""
    torch.manual_seed(seed)
    network = CompactNetwork(config.network) if weights is None else load_network(weights)[0]
    batches = ProceduralBatches(config.data, seed)
    if config.training.workers:
        batches[0]  # compiles the renderer once, before every worker would
    return CompactTrainee(network, config.data), batches


def evaluate_weights(weights: Path | None, device: str, objects: int) -> dict[str, float]:
    """Figures of weights on held-out objects; None are those of the package.

    A run's weights carry them from then on, and what they fall short of is said to whoever loads them.
    """
    network, facts = load_network(weights or package_folder() / WEIGHTS)
    figures = evaluate(network.to(device), objects)
    if weights is not None:
        limits = "" if passes(figures) else NOT_PASSED
        save_network(weights, network, {**facts, "objects": objects, "figures": figures, "limits": limits})
    return figures


MODEL = Model("compact", CompactTraining, Path(__file__).with_name("compact.yaml"), start, evaluate_weights)
