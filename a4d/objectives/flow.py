"""Optical flow: what a frame shows should be where the other frame of its pair has it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from a4d.errors import ConfigError
from a4d.geometry.cameras import Cameras
from a4d.geometry.transforms import transform_points
from a4d.objectives.objective import Objective, Step
from a4d.scenes.protocols import PLACE, Followable
from a4d.views.observed import PARTNER_FLOW

COVERED = 0.5
"""Of a pixel, so that the place that is rendered is not mixed with the background's."""

NEAREST = 1e-2
"""Metres in front of a camera, within which nothing is projected."""


class Flow(Objective):
    """How far the flow between the two frames of a pair is from where the scene goes, as the other camera sees it.

    Where every pixel's point is at the other moment is rendered, and projected by the other camera. Pixels count that
    the flow is known of, and that both the frame and the render show.
    """

    applies_to = Followable
    kind: Literal["flow"] = "flow"
    views: str = Field(description="of pairs of frames")

    @property
    def observes(self) -> tuple[str, ...]:
        """The flow to the other frame of the pair."""
        return (PARTNER_FLOW,)

    def __call__(self, step: Step) -> Tensor:
        """Mean over pixels of the distance, in units of the image's longer side (Lab4D); 0 where no pixel counts.

        Raises:
            ConfigError: the scene cannot be followed, or the views have no times.
        """
        self.require(step.scene)
        scene, batch = step.scene, step.batch(self.views)
        assert isinstance(scene, Followable)
        assert batch.rgba is not None
        if batch.times is None:
            raise ConfigError(f"{self.label}: the views have no times", "Choose pairs of frames of a clip")
        partner = torch.arange(len(batch.times), device=batch.times.device) ^ 1
        render = scene.render_places(batch.cameras, batch.times, batch.times[partner])
        there, depth = _projected(render.channels[PLACE] / render.alpha.clamp_min(COVERED), batch.cameras[partner])
        flow = batch.channels[PARTNER_FLOW]
        is_known = (flow[..., 2] > COVERED) & (batch.rgba[..., 3] > COVERED)
        is_known &= (render.alpha[..., 0] > COVERED) & (depth > NEAREST)
        squares = (there - _pixel_centres(flow) - flow[..., :2]).square().sum(-1)
        distances = (squares.where(is_known, 1.0) + 1e-12).sqrt() * is_known
        return distances.sum() / is_known.sum().clamp_min(1) / max(batch.cameras.width, batch.cameras.height)


def _projected(
    points: Tensor,  # (B, H, W, 3) world, metres
    cameras: Cameras,
) -> tuple[Tensor, Tensor]:
    """(B, H, W, 2) pixels, and (B, H, W) metres along the viewing axis."""
    seen = transform_points(cameras.camera_from_world, points.flatten(1, 2)).view_as(points)
    depth, lens = seen[..., 2], cameras.intrinsics[:, None, None]
    return seen[..., :2] / depth.clamp_min(NEAREST)[..., None] * lens[..., :2] + lens[..., 2:], depth


def _pixel_centres(image: Tensor) -> Tensor:
    """(H, W, 2) of an image (B, H, W, C)."""
    rows, columns = (torch.arange(count, device=image.device) + 0.5 for count in image.shape[1:3])
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
