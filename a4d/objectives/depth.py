"""Objectives that compare depths of which neither scale nor origin are known."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from a4d.errors import MissingInputError
from a4d.objectives.objective import Objective, Step

LEAST_SPREAD = 1e-6
"""Relative to its size, below which a depth counts as flat."""


class DepthCorrelation(Objective):
    """(1 - r) / 2 with Pearson's correlation r of rendered and observed depth (Zhao et al. 2023, Animate124)."""

    kind: Literal["depth-correlation"] = "depth-correlation"
    views: str

    @property
    def observes(self) -> tuple[str, ...]:
        """The observed depth."""
        return ("depth",)

    def __call__(self, step: Step) -> Tensor:
        """Mean over views, from 0 where they agree up to scale and origin to 1 where they oppose; on the subject alone.

        Raises:
            MissingInputError: the views have no observed depth.
        """
        batch = step.batch(self.views)
        if batch.rgba is None or "depth" not in batch.channels:
            raise MissingInputError(f"{self.label}: no depth was observed", "Use a view set with the channel depth")
        is_subject = batch.rgba[..., 3] > 0
        rendered, observed = step.render(self.views).depth[..., 0], batch.channels["depth"][..., 0]
        views = zip(rendered, observed, is_subject, strict=True)
        return torch.stack([(1 - correlation(ours[where], theirs[where])) / 2 for ours, theirs, where in views]).mean()


def correlation(
    first: Tensor,  # (P,)
    second: Tensor,  # (P,)
) -> Tensor:
    """Pearson's correlation of two samples, in [-1, 1]; 0, with finite gradients, where one of them is flat."""
    a, b = (values.double() - values.double().mean() if len(values) else values.double() for values in (first, second))
    size = torch.stack([first.detach().double().square().sum(), second.detach().double().square().sum()]).sqrt()
    spread = torch.stack([a.square().sum(), b.square().sum()])
    is_flat = (spread.detach() <= (LEAST_SPREAD * size).square()).any()
    if is_flat:
        return (a * b).sum().to(first.dtype) * 0
    return ((a * b).sum() / spread.sqrt().prod()).to(first.dtype)
