"""How well a body covers what the masks cover, differentiable: it is drawn as small Gaussians just below its skin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.estimation.bodies.active_body import ActiveBody, ActiveJoints, active_body
from a4d.estimation.bodies.sightings import Sightings
from a4d.geometry.bodies.body import Body
from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh, sample_surface
from a4d.render.gaussians import render_gaussians

POINTS = 5000

TALL = 192
"""Pixels that a body is tall in the pictures that are compared, unless they are smaller."""

MARGIN = 0.15
"""Of the body's height, around its mask, beyond which the body is not looked for."""

BELOW_SKIN = 0.011
"""Metres that the points lie under the surface: Gaussians reach beyond their centres, and would shrink the body."""

SPREAD = 0.4
"""Standard deviation of a point as a part of the distance between points."""

OPACITY_LOGIT = 2.944
"""Of an opacity of 0.95."""


@dataclass(frozen=True)
class Silhouettes:
    """The masks of F frames, and a body to be drawn over them.

    Args:
        body: its points are below the skin.
        log_spread: natural logarithm of their standard deviation in metres.
        cameras: F of the pictures' size.
        masks: (F, H, W) in [0, 1].
        known: (H, W) 1 where something is known.
        windows: (F, 4) int64 left, top, right, bottom of the pixels that are compared.
    """

    body: ActiveBody
    log_spread: float
    cameras: Cameras
    masks: Tensor
    known: Tensor
    windows: Tensor

    def loss(
        self,
        points: Tensor,  # (N, P, 3) of the body in N frames, world
        frames: Tensor,  # (N,) int64
    ) -> Tensor:
        """The mean over frames of the squared difference of coverage, in areas of the masks."""
        losses = []
        for placed, frame in zip(points, frames.tolist(), strict=True):
            left, top, right, bottom = self.windows[frame].tolist()
            camera = self.cameras[frame].cropped(left, top, right - left, bottom - top)
            mask, known = self.masks[frame, top:bottom, left:right], self.known[top:bottom, left:right]
            alpha = render_gaussians(self._gaussians(placed), camera).alpha[0, :, :, 0]
            losses.append(((alpha - mask).square() * known).sum() / (mask * known).sum().clamp(min=1.0))
        return torch.stack(losses).mean()

    def _gaussians(self, points: Tensor) -> Gaussians:
        quaternions, opacities, colours = _plain(len(points))
        return Gaussians(points, quaternions, torch.full_like(points, self.log_spread), opacities, colours)


@lru_cache(maxsize=1)
def _plain(count: int) -> tuple[Tensor, Tensor, Tensor]:
    quaternions = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4)
    return quaternions, torch.full((count,), OPACITY_LOGIT), torch.zeros(count, 1, 3)


def silhouettes(
    body: Body,
    active: ActiveJoints,
    shape: Tensor,  # (S,) likely
    sightings: Sightings,
) -> Silhouettes:
    """Masks at a small size, and points that are spread evenly over the body's surface."""
    surface = Mesh(body.rest(shape)[0], body.faces)
    _, faces, shares = sample_surface(surface, POINTS, torch.Generator().manual_seed(0))
    corners = surface.faces[faces]
    normals = normalize((surface.vertex_normals[corners] * shares[..., None]).sum(1), dim=-1)
    spacing = float((_area(surface) / POINTS).sqrt())
    height, width = sightings.masks.shape[1:]
    margin = round(MARGIN * sightings.height * height / sightings.cameras.height)
    return Silhouettes(
        active_body(body, active, corners, shares, -BELOW_SKIN * normals),
        math.log(SPREAD * spacing),
        sightings.cameras.resized(width, height),
        sightings.masks,
        sightings.known(height, width),
        torch.stack([_window(mask, margin) for mask in sightings.masks]),
    )


def _window(
    mask: Tensor,  # (H, W)
    margin: int,
) -> Tensor:
    """(4,) int64 left, top, right, bottom of what a mask covers, with a margin; all of it where it covers nothing."""
    ends = []
    for axis, size in ((0, mask.shape[1]), (1, mask.shape[0])):
        covered = (mask.amax(axis) > 0.5).nonzero()[:, 0].tolist() or [0, size - 1]
        ends.append((max(covered[0] - margin, 0), min(covered[-1] + 1 + margin, size)))
    (left, right), (top, bottom) = ends
    return torch.tensor([left, top, right, bottom])


def _area(surface: Mesh) -> Tensor:
    a, b, c = surface.vertices[surface.faces].unbind(1)
    return torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2
