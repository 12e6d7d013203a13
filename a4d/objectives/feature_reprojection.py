"""Features as landmarks: what looks like a point of the shape is seen where that point is."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from a4d.config import Number, value_at
from a4d.errors import ConfigError
from a4d.objectives.objective import Objective, Step
from a4d.randomness import generator
from a4d.scenes.protocols import Featured
from a4d.views.batch import ViewBatch

COVERED = 0.5
"""Of a pixel from which it shows the subject."""

NEAREST = 1e-2
"""Metres in front of a camera, within which nothing is projected."""


class FeatureReprojection(Objective):
    """How far from a pixel the points are seen that have its features (BANMo, section 3.4; Lab4D's `feat_reproj`).

    A pixel's place on the shape is the mean of points of it, by how alike their features are to the pixel's.
    """

    applies_to = Featured
    kind: Literal["feature-reprojection"] = "feature-reprojection"
    views: str
    channel: str = Field(description="of the frames: features_NAME")
    points: int = Field(default=1024, ge=1, le=1_000_000, description="of the shape, drawn anew each step")
    pixels: int = Field(default=256, ge=1, le=1_000_000, description="of each frame's subject, drawn anew each step")
    sharpness: Number = Field(
        default=20.0, description="by which the cosine of two features is multiplied before the softmax; it may grow"
    )

    @property
    def observes(self) -> tuple[str, ...]:
        """The frames' features."""
        return (self.channel,)

    def __call__(self, step: Step) -> Tensor:
        """Mean over pixels of the distance, in units of the image's longer side; 0 where no pixel counts.

        Raises:
            ConfigError: the scene has no features, or not as many as the frames, or the views have no times.
        """
        self.require(step.scene)
        scene, batch = step.scene, step.batch(self.views)
        assert isinstance(scene, Featured)
        if batch.times is None:
            raise ConfigError(f"{self.label}: the views have no times", "Choose views of a clip")
        draws = generator(step.seed, "feature-reprojection", step.index)
        places, features = scene.featured_points(self.points, batch.times.tolist(), draws)
        count = batch.channels[self.channel].shape[-1]
        if features.shape[-1] != count:
            raise ConfigError(
                f"{self.label}: the scene learns {features.shape[-1]} features, and the frames have {count}",
                f"Set scene.features to {count}",
            )
        known, sharpness = normalize(features, dim=-1, eps=1e-3), value_at(self.sharpness, step.index)
        missed = [
            self._missed(batch[torch.tensor([index])], each, known, sharpness, draws)
            for index, each in enumerate(places)
        ]
        distances = torch.cat(missed)
        return distances.sum() / max(len(distances), 1) / max(batch.cameras.width, batch.cameras.height)

    def _missed(
        self, frame: ViewBatch, places: Tensor, features: Tensor, sharpness: float, draws: torch.Generator
    ) -> Tensor:
        """(P,) pixels between some places in one frame and where it shows what has their features."""
        assert frame.rgba is not None
        rows, columns = (frame.rgba[0, ..., 3] > COVERED).nonzero(as_tuple=True)
        if not len(rows):
            return places.new_zeros(0)
        chosen = torch.randint(len(rows), (self.pixels,), generator=draws).to(rows.device)
        rows, columns = rows[chosen], columns[chosen]
        seen = normalize(frame.channels[self.channel][0, rows, columns], dim=-1)
        likeness = (sharpness * seen @ features.T).softmax(dim=-1)
        pixels, depth = frame.cameras.project(likeness @ places)
        apart = pixels[0] - torch.stack([columns, rows], dim=-1) - 0.5
        return (apart.square().sum(-1) + 1e-12).sqrt()[depth[0] > NEAREST]
