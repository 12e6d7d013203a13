"""Features of frames: what a frame's network or descriptor says of a pixel belongs to the point that it shows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import ConfigError
from a4d.objectives.objective import Objective, Step
from a4d.scenes.protocols import FEATURES, Featured

COVERED = 0.5
"""Of a pixel from which it counts."""


class FeatureMatch(Objective):
    """How far the features that a scene shows are from a frame's, both of unit length (Lab4D's `feature`)."""

    applies_to = Featured
    kind: Literal["feature-match"] = "feature-match"
    views: str
    channel: str = Field(description="of the frames: features_NAME")

    @property
    def observes(self) -> tuple[str, ...]:
        """The frames' features."""
        return (self.channel,)

    def __call__(self, step: Step) -> Tensor:
        """Mean over the pixels that frame and render show of the squared distance, in [0, 4]; 0 where there are none.

        Raises:
            ConfigError: the scene has no features, or not as many as the frames.
        """
        self.require(step.scene)
        scene, batch = step.scene, step.batch(self.views)
        assert isinstance(scene, Featured)
        assert batch.rgba is not None
        if batch.times is None:
            raise ConfigError(f"{self.label}: the views have no times", "Choose views of a clip")
        render = scene.render_features(batch.cameras, batch.times)
        shown, observed = render.channels[FEATURES], batch.channels[self.channel]
        if shown.shape[-1] != observed.shape[-1]:
            raise ConfigError(
                f"{self.label}: the scene learns {shown.shape[-1]} features, and the frames have {observed.shape[-1]}",
                f"Set scene.features to {observed.shape[-1]}",
            )
        counts = (batch.rgba[..., 3] > COVERED) & (render.alpha[..., 0] > COVERED)
        # Features that begin at zero have no direction, but a gradient.
        squares = (normalize(shown, dim=-1, eps=1e-3) - normalize(observed, dim=-1)).square().sum(-1)
        return (squares * counts).sum() / counts.sum().clamp_min(1)
