"""Objectives that keep Gaussians near the surface that they are bound to, of its spacing, and like their neighbours."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.rows import rows
from a4d.objectives.objective import Objective, Step
from a4d.scenes.protocols import Splatting, SurfaceAttributes, SurfaceBound


class SurfaceBoundObjective(Objective):
    """Base of the objectives that read what is learnt of Gaussians on a surface, at the moments that views show."""

    applies_to = SurfaceBound
    views: str

    def scene(self, step: Step) -> SurfaceBound:
        """The scene.

        Raises:
            ConfigError: its Gaussians are bound to no surface.
        """
        self.require(step.scene)
        assert isinstance(step.scene, SurfaceBound)
        return step.scene

    def times(self, step: Step) -> list[float]:
        """The distinct times of the step's views; the first of the clip where they have none."""
        batch = step.batch(self.views)
        return [0.0] if batch.times is None else batch.distinct_times.tolist()

    def attributes(self, step: Step) -> list[SurfaceAttributes]:
        """What is learnt, at each of these times; once where it is the same at all."""
        scene = self.scene(step)
        found = [scene.attributes(time) for time in self.times(step)]
        return [each for index, each in enumerate(found) if each is not found[0] or index == 0]


class SurfaceOffset(SurfaceBoundObjective):
    """How far Gaussians are off the surface (GaussianAvatar, equation 8)."""

    kind: Literal["surface-offset"] = "surface-offset"

    def __call__(self, step: Step) -> Tensor:
        """Mean square of the offsets' components, square metres."""
        return torch.stack([each.offsets.square().mean() for each in self.attributes(step)]).mean()


class SurfaceSize(SurfaceBoundObjective):
    """How large Gaussians are (GaussianAvatar, equation 8), or how far from the size that they began with."""

    kind: Literal["surface-size"] = "surface-size"
    measure: Literal["metres", "ratio"] = Field(
        default="ratio", description="the mean deviation in metres, or the mean square of the logarithm of its change"
    )

    def __call__(self, step: Step) -> Tensor:
        """Mean over Gaussians."""
        if self.measure == "ratio":
            return torch.stack([each.log_scales.square().mean() for each in self.attributes(step)]).mean()
        scene = self.scene(step)
        assert isinstance(scene, Splatting)
        return torch.stack([scene.gaussians(time).scales.mean() for time in self.times(step)]).mean()


class SurfaceLaplacian(SurfaceBoundObjective):
    """How far offsets or colours are from the mean of those around them on the surface."""

    kind: Literal["surface-laplacian"] = "surface-laplacian"
    of: Literal["offsets", "colours"]

    def __call__(self, step: Step) -> Tensor:
        """Mean square of the distance, square metres or of sRGB in [0, 1]."""
        around = self.scene(step).neighbours()
        values = [each.offsets if self.of == "offsets" else each.colours for each in self.attributes(step)]
        return torch.stack([(each - rows(each, around).mean(1)).square().sum(-1).mean() for each in values]).mean()

    @property
    def label(self) -> str:
        """With what is smoothed, so that both are told apart in logs."""
        return f"{self.kind}/{self.of}"


class FeatureMagnitude(SurfaceBoundObjective):
    """How large the features are that the appearance is decoded from (GaussianAvatar, equations 8 and 9)."""

    kind: Literal["feature-magnitude"] = "feature-magnitude"
    of: Literal["appearance", "pose"] = Field(description="the map that is learnt, or what is made of a pose")

    def __call__(self, step: Step) -> Tensor:
        """Mean square over the map.

        Raises:
            ConfigError: the scene has no such features.
        """
        scene, found = self.scene(step), []
        for time in self.times(step)[: 1 if self.of == "appearance" else None]:
            features = scene.features(time)
            if self.of not in features:
                known = " and ".join(features) or "none: its appearance is a table"
                raise ConfigError(f"{self.label}: the scene has no features of that kind", f"It has {known}")
            found.append(features[self.of].square().mean())
        return torch.stack(found).mean()

    @property
    def label(self) -> str:
        """With whose features, so that both are told apart in logs."""
        return f"{self.kind}/{self.of}"
