"""Adaptive density control of Gaussians (Kerbl et al. 2023, section 5): clone, split, prune, and reset opacities."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from a4d.config import Config
from a4d.geometry.transforms import rotation_from_quaternion


class DensityControl(Config):
    """When and how the number of Gaussians adapts; steps are counted from 0."""

    start: int = Field(default=500, description="first step that may change the number")
    stop: int = Field(default=15_000, description="no change from this step on")
    every: int = Field(default=100, ge=1)
    gradient_threshold: float = Field(default=2e-4, gt=0, description="mean screen gradient, in half image sizes")
    split_scale: float = Field(default=0.01, gt=0, description="metres; larger Gaussians are split, smaller cloned")
    prune_opacity: float = Field(default=0.005, ge=0, lt=1)
    prune_scale: float = Field(default=0.5, gt=0, description="metres; larger Gaussians are removed")
    reset_every: int = Field(default=3000, ge=1, description="steps between resets of all opacities to 0.01")
    most: int = Field(default=200_000, ge=1, le=20_000_000, description="no growth beyond this number")

    def is_due(self, step: int) -> bool:
        """Whether the number of Gaussians adapts after this step."""
        return self.start <= step < self.stop and (step + 1) % self.every == 0

    def resets(self, step: int) -> bool:
        """Whether the opacities are reset after this step."""
        return step < self.stop and (step + 1) % self.reset_every == 0


SPLIT_SHRINK = math.log(1.6)
"""A split Gaussian's two halves are smaller by this factor (Kerbl et al. 2023, section 5.2)."""

RESET_OPACITY = 0.01


def adapt(
    parameters: dict[str, Tensor],
    mean_gradients: Tensor,  # (N,) length of the screen gradient, averaged over the views that saw each Gaussian
    control: DensityControl,
    generator: torch.Generator,
    is_outside: Callable[[Tensor], Tensor] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Clone small and split large Gaussians where the gradient is high; remove transparent, huge and misplaced ones.

    Args:
        parameters: `means` (N, 3), `quaternions` (N, 4), `log_scales` (N, 3), `opacity_logits` (N,), and others of
            leading size N that copies inherit.
        mean_gradients: (N,).
        control: thresholds.
        generator: where the halves of a split land, on the CPU.
        is_outside: of places (N, 3), whether they are none for Gaussians, (N,) bool; None allows all.

    Returns:
        the new parameters of leading size M; (M,) int64 the former index of each, or -1 for a new one.
    """
    wanted = _growing(mean_gradients, control)
    split = wanted & (parameters["log_scales"].max(dim=-1).values.exp() > control.split_scale)
    clone = wanted & ~split
    halves = _halves({name: value[split] for name, value in parameters.items()}, generator)
    kept = torch.arange(len(mean_gradients), device=mean_gradients.device)[~split]
    added = int(clone.sum()) + 2 * int(split.sum())
    origin = torch.cat([kept, kept.new_full((added,), -1)])
    grown = {name: torch.cat([value[~split], value[clone], halves[name]]) for name, value in parameters.items()}
    stays = _staying(grown, control, is_outside)
    return {name: value[stays] for name, value in grown.items()}, origin[stays]


def _growing(mean_gradients: Tensor, control: DensityControl) -> Tensor:
    """(N,) bool: which have a high gradient; where there is no room for all, those with the highest."""
    wanted = mean_gradients > control.gradient_threshold
    room = control.most - len(mean_gradients)
    if int(wanted.sum()) > room:
        strongest = mean_gradients.argsort(descending=True, stable=True)[: max(room, 0)]
        allowed = torch.zeros_like(wanted)
        allowed[strongest] = True
        wanted &= allowed
    return wanted


def _halves(parameters: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Two smaller Gaussians in place of each, drawn from it."""
    halves = {name: value.repeat_interleave(2, dim=0) for name, value in parameters.items()}
    noise = torch.randn(halves["means"].shape, generator=generator).to(halves["means"]) * halves["log_scales"].exp()
    offsets = (rotation_from_quaternion(halves["quaternions"]) @ noise[..., None]).squeeze(-1)
    halves["means"] = halves["means"] + offsets
    halves["log_scales"] = halves["log_scales"] - SPLIT_SHRINK
    return halves


def _staying(
    parameters: dict[str, Tensor], control: DensityControl, is_outside: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """(N,) bool: which are neither transparent, nor huge, nor misplaced; the most opaque of all where none is."""
    opacity = parameters["opacity_logits"].sigmoid()
    scale = parameters["log_scales"].max(dim=-1).values.exp()
    stays = (opacity >= control.prune_opacity) & (scale <= control.prune_scale)
    if is_outside is not None:
        stays &= ~is_outside(parameters["means"])
    if not bool(stays.any()):
        stays[opacity.argmax()] = True
    return stays
