"""What the frames of a film say of a body: where its keypoints are, what it covers, and from where that was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.cameras import Cameras
from a4d.geometry.transforms import rigid_from_parts

NEAR_BORDER = 2.0
"""Pixels from the border of what was filmed within which a network's keypoints are only where it ended."""


@dataclass(frozen=True)
class Sightings:
    """F frames of a body, one after the other.

    Args:
        cameras: F of them, metres.
        names: of the K keypoints, see `a4d.io.keypoints`.
        points: (F, K, 2) pixels.
        confidence: (F, K) in [0, 1], 0 in frames that do not show the body.
        space: (F, K, 3) metres from the middle of the hips, right, down and away; None where nobody told them.
        masks: (F, H, W) alpha of the body, of any number of pixels.
        filmed: (4,) left, top, right, bottom in pixels of the cameras: beyond, nothing is known.
    """

    cameras: Cameras
    names: tuple[str, ...]
    points: Tensor
    confidence: Tensor
    space: Tensor | None
    masks: Tensor
    filmed: Tensor

    def __len__(self) -> int:
        return len(self.points)

    @property
    def is_seen(self) -> Tensor:
        """(F,) whether a frame shows the body."""
        return (self.confidence > 0).any(1)

    @property
    def height(self) -> float:
        """See `height_of`."""
        return height_of(self.points, self.confidence)

    def of(self, names: Sequence[str]) -> Sightings:
        """The same frames with some of the keypoints."""
        chosen = [self.names.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            points=self.points[:, chosen],
            confidence=self.confidence[:, chosen],
            space=None if self.space is None else self.space[:, chosen],
        )

    def without_border(self) -> Sightings:
        """The same without keypoints at the border of what was filmed."""
        inside = (self.points > self.filmed[:2] + NEAR_BORDER) & (self.points < self.filmed[2:] - NEAR_BORDER)
        return replace(self, confidence=self.confidence * inside.all(-1))

    def in_unit(self, metres: float) -> Sightings:
        """The same with the places of the cameras in metres, of a unit that is so many."""
        poses = self.cameras.world_from_camera
        moved = rigid_from_parts(poses[:, :3, :3], poses[:, :3, 3] * metres)
        return replace(self, cameras=replace(self.cameras, world_from_camera=moved))

    def space_in_world(self) -> Tensor | None:
        """(F, K, 3) the keypoints in space in axes of the world."""
        if self.space is None:
            return None
        return torch.einsum("fij,fkj->fki", self.cameras.world_from_camera[:, :3, :3], self.space)

    def known(self, height: int, width: int) -> Tensor:
        """(H, W) 1 where pixels of pictures of this size were filmed, else 0."""
        left, top, right, bottom = self.filmed.tolist()
        across = (torch.arange(width) + 0.5) * self.cameras.width / width
        down = (torch.arange(height) + 0.5) * self.cameras.height / height
        inside = ((down > top) & (down < bottom))[:, None] & ((across > left) & (across < right))[None]
        return inside.float()


def height_of(
    points: Tensor,  # (F, K, 2) pixels
    confidence: Tensor,  # (F, K)
) -> float:
    """Pixels that keypoints span from top to bottom, the median over frames that show any; at least one."""
    rows, believed = points[..., 1], confidence > 0
    spans = rows.where(believed, -torch.inf).amax(1) - rows.where(believed, torch.inf).amin(1)
    return max(float(spans[believed.any(1)].nan_to_num().median()), 1.0) if believed.any() else 1.0
