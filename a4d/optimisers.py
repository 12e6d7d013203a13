"""Optimisers that act as one: their groups, their state by name, and parameters that are replaced under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer, SparseAdam

from a4d.config import Config, Number, value_at


class OptimiserConfig(Config):
    """Adam, its learning rates, and what else holds for groups of parameters.

    A group of the scene goes by its own name, one of another trainable by `TRAINABLE/GROUP`. A group without a rate
    stays as it is, and no gradient is computed for it.
    """

    rates: dict[str, Number]
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-15, gt=0)
    clip: float | None = Field(default=None, gt=0, description="largest absolute value of a gradient's element")
    clip_norm: dict[str, float] = Field(default={}, description="largest norm of a group's gradient")
    weight_decay: dict[str, float] = Field(
        default={}, description="share of a group's weights that is lost per step at a rate of one (AdamW)"
    )
    sparse: list[str] = Field(
        default=[], description="groups whose rows learn only in steps that give them a gradient: a row per frame"
    )

    @model_validator(mode="after")
    def _check_groups(self) -> OptimiserConfig:
        for key in ("clip_norm", "weight_decay", "sparse"):
            for name in getattr(self, key):
                if name not in self.rates:
                    raise ValueError(f"{key}: the group '{name}' has no rate")
        for name in self.sparse:
            if self.weight_decay.get(name):
                raise ValueError(f"weight_decay: rows of '{name}' are sparse, and would decay while they do not learn")
        return self


class RowAdam(SparseAdam):
    """Adam for parameters with a row per frame: rows without a gradient stay, and their moments too.

    Plain Adam would move the pose of a frame that was not seen in this step by what its last gradients were.
    """

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the rows that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None or gradient.is_sparse:
                    continue
                rows = gradient.flatten(1).ne(0).any(dim=1).nonzero()[:, 0]
                parameter.grad = torch.sparse_coo_tensor(
                    rows[None], gradient[rows], gradient.shape, is_coalesced=True, check_invariants=False
                )
        loss: float | None = super().step(closure)
        return loss


@dataclass(frozen=True)
class Optimisers:
    """The optimisers of a run, which act as one.

    Args:
        parts: one per kind; each group's `names` are those of its parameters, by which their state is stored.
    """

    parts: Sequence[Optimizer]

    def groups(self) -> Iterator[dict[str, Any]]:
        """The groups of all parts."""
        for part in self.parts:
            yield from part.param_groups

    def zero(self) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Change the parameters that have gradients."""
        for part in self.parts:
            part.step()

    def replace(
        self,
        former: nn.Parameter,  # (N, ...)
        current: nn.Parameter,  # (M, ...)
        origin: Tensor
        | None = None,  # (M,) former row of each, or -1 where moments are zero; None: the state starts anew
    ) -> None:
        """Go on with another parameter in the place of one, with the moments of the rows that remain."""
        for part in self.parts:
            for group in part.param_groups:
                places = [place for place, parameter in enumerate(group["params"]) if parameter is former]
                for place in places:
                    group["params"][place] = current
            state = part.state.pop(former, None)
            if state is None or origin is None:
                continue
            rows = origin.to(current.device)
            is_old = (rows >= 0).view(-1, *[1] * (current.dim() - 1))
            part.state[current] = {
                key: torch.where(is_old, value[rows.clamp_min(0)], torch.zeros_like(current))
                if isinstance(value, Tensor) and value.shape == former.shape
                else value
                for key, value in state.items()
            }

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on, by parameter and purpose."""
        return {
            f"{name}/{key}": torch.as_tensor(value)
            for part in self.parts
            for group in part.param_groups
            for name, parameter in zip(group["names"], group["params"], strict=True)
            for key, value in part.state.get(parameter, {}).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        by_name: dict[str, dict[str, Tensor]] = {}
        for label, value in state.items():
            name, _, key = label.rpartition("/")
            by_name.setdefault(name, {})[key] = value
        for part in self.parts:
            for group in part.param_groups:
                for name, parameter in zip(group["names"], group["params"], strict=True):
                    for key, value in by_name.get(name, {}).items():
                        part.state[parameter][key] = _restored(part, group, parameter, key, value)


def _restored(part: Optimizer, group: Mapping[str, Any], parameter: Tensor, key: str, value: Tensor) -> Tensor | int:
    if key != "step":
        return value.to(parameter.device, parameter.dtype, copy=True)
    if isinstance(part, SparseAdam):
        return int(value)
    # A fused kernel counts its steps where it computes.
    return value.to(parameter.device, copy=True) if group.get("fused") else value.clone()


Kind = Literal["dense", "sparse"]


def adam(groups: Mapping[str, Sequence[nn.Parameter]], config: OptimiserConfig) -> Optimisers:
    """Adam for all groups that have a rate and parameters, in the order of the rates.

    Args:
        groups: parameters by the names that the configuration uses.
        config: every rate names one of the groups.
    """
    chosen: dict[Kind, list[dict[str, Any]]] = {"dense": [], "sparse": []}
    for name, rate in config.rates.items():
        parameters = list(groups[name])
        if not any(parameter.numel() for parameter in parameters):
            continue
        names = [f"{name}/{index}" for index in range(len(parameters))]
        entry = {"name": name, "names": names, "params": parameters, "lr": value_at(rate, 0)}
        if name in config.sparse:
            chosen["sparse"].append(entry)
        else:
            chosen["dense"].append({**entry, "weight_decay": config.weight_decay.get(name, 0.0)})
    parts: list[Optimizer] = []
    if chosen["dense"]:
        parts.append(AdamW(chosen["dense"], betas=config.betas, eps=config.eps, fused=True))
    if chosen["sparse"]:
        parts.append(RowAdam(chosen["sparse"], betas=config.betas, eps=config.eps))
    return Optimisers(parts)


@torch.no_grad()
def clip_gradients(optimisers: Optimisers, config: OptimiserConfig) -> None:
    """Bound the elements of all gradients, and the norms of the groups that have a bound of their own."""
    groups = list(optimisers.groups())
    if config.clip is not None:
        nn.utils.clip_grad_value_([parameter for group in groups for parameter in group["params"]], config.clip)
    for group in groups:
        if group["name"] in config.clip_norm:
            nn.utils.clip_grad_norm_(group["params"], config.clip_norm[group["name"]])
