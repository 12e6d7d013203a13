"""Which shapes of a body are likely before anything was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from a4d.geometry.bodies.body import Body
from a4d.geometry.bodies.phenotypes import PhenotypeBody

AGES = ((1.0, 0.0), (10.0, 1 / 3), (25.0, 2 / 3), (90.0, 1.0))
"""Years, and the phenotype that they are: a baby, a child, a young adult, old age."""

GENDERS = {"male": 0.0, "neutral": 0.5, "female": 1.0}

LIKELY = 0.02, 0.98
"""Between which a phenotype is looked for: its logit is infinite at the ends."""

HELD = ("gender", "age")
"""Phenotypes that no keypoint tells: they stay what they are said to be."""


@dataclass(frozen=True)
class ShapePrior:
    """A shape of S numbers as a function of free ones, each of which is likely to be about 0.

    Args:
        centre: (S,) what is likely, in (0, 1) where shapes are bounded.
        is_free: (S,) whether a number is looked for.
        is_bounded: shapes lie in [0, 1].
    """

    centre: Tensor
    is_free: Tensor
    is_bounded: bool

    def shape(
        self,
        free: Tensor,  # (S,)
    ) -> Tensor:
        """(S,) the shape of free numbers: logits beside that of the centre, or standard deviations."""
        moved = free * self.is_free
        return torch.sigmoid(torch.logit(self.centre) + moved) if self.is_bounded else self.centre + moved


def shape_prior(body: Body, said: Mapping[str, float]) -> ShapePrior:
    """What is likely of a body.

    Args:
        body: of phenotypes, principal components, or one shape.
        said: phenotypes in [0, 1] that are known, by their names.
    """
    centre = body.default_shape.clone()
    is_free = torch.ones_like(centre)
    if not isinstance(body, PhenotypeBody):
        return ShapePrior(centre, is_free, is_bounded=False)
    for index, name in enumerate(body.shape_names):
        centre[index] = said.get(name, float(centre[index]))
        is_free[index] = float(name not in HELD)
    return ShapePrior(centre.clamp(*LIKELY), is_free, is_bounded=True)


def phenotype_of_age(years: float) -> float:
    """The phenotype in [0, 1] of an age, straight between those that are known."""
    for (younger, low), (older, high) in pairwise(AGES):
        if years <= older:
            return low + (high - low) * max(years - younger, 0.0) / (older - younger)
    return AGES[-1][1]
