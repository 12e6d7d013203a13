"""Which parameters train, by the pattern of their names, with which optimiser and at which rate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import AdamW, Optimizer

from a4d.config import Config
from a4d.errors import ConfigError
from a4d.optimisers import Optimisers
from a4d.training.muon import Muon


class Group(Config):
    """Parameters that train alike; a parameter belongs to the first group whose pattern is found in its name."""

    pattern: str = Field(description="a regular expression, searched for anywhere in the name")
    optimiser: Literal["adam", "muon", "none"] = "adam"
    rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)


class RateSchedule(Config):
    """What all rates are multiplied by, as the run goes on."""

    warm_up: int = Field(default=40, ge=0, description="steps from nothing to the full rate")
    decay_from: float = Field(default=0.5, ge=0, le=1, description="share of the run after which rates fall")
    end: float = Field(default=0.02, ge=0, description="share of the full rate at the end")
    scale: float = Field(default=1.0, gt=0, description="of all rates, below one where good weights are taken up")

    def at(self, steps_since_start: int, share: float) -> float:
        """The factor after some steps since the run was started afresh, and at a share of the whole run."""
        warm = min((steps_since_start + 1) / max(self.warm_up, 1), 1.0)
        fall = min(max((share - self.decay_from) / max(1 - self.decay_from, 1e-9), 0.0), 1.0)
        return self.scale * warm * (1 + (self.end - 1) * fall)


def choose_group(name: str, groups: Sequence[Group]) -> Group | None:
    """The first group whose pattern is found in a parameter's name."""
    return next((group for group in groups if re.search(group.pattern, name)), None)


def build_optimisers(parameters: Mapping[str, Tensor], groups: Sequence[Group]) -> Optimisers:
    """Optimisers of the parameters that belong to a group that trains.

    Args:
        parameters: by name; Muon takes those of two and more dimensions.
        groups: in order.

    Raises:
        ConfigError: nothing would train, or Muon was to train a vector.
    """
    chosen: dict[str, list[dict[str, object]]] = {"adam": [], "muon": []}
    for group in groups:
        names = [name for name in parameters if choose_group(name, groups) is group]
        if group.optimiser == "none" or not names:
            continue
        flat = [name for name in names if parameters[name].ndim < 2]
        if group.optimiser == "muon" and flat:
            raise ConfigError(f"Muon cannot train {flat[0]}, which is no matrix", f"Narrow the pattern {group.pattern}")
        entry: dict[str, object] = {
            "params": [parameters[name] for name in names],
            "names": names,
            "lr": group.rate,
            "full_rate": group.rate,
            "weight_decay": group.weight_decay,
        }
        if group.optimiser == "adam":
            entry["betas"] = group.betas
        chosen[group.optimiser].append(entry)
    parts: list[Optimizer] = []
    if chosen["adam"]:
        parts.append(AdamW(chosen["adam"], eps=1e-8, fused=True))
    if chosen["muon"]:
        parts.append(Muon(chosen["muon"]))
    if not parts:
        raise ConfigError("no parameter would train", "Check the patterns of the groups")
    return Optimisers(parts)


@torch.no_grad()
def clip_gradients(parameters: Sequence[Tensor], limit: float) -> float:
    """Scale all gradients together so that their norm is at most a limit; their norm before that."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    if norm > limit:
        torch._foreach_mul_(gradients, limit / norm)
    return norm
