"""Scenes of Gaussians, free, or bound to a surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.gaussians import Gaussians
from a4d.render.render import Render
from a4d.scenes.protocols.surfaces import AssetOptions, Meshed


@runtime_checkable
class Splatting(Protocol):
    """A scene of Gaussians."""

    @property
    def footprint(self) -> float | None:
        """Metres that a pixel was wide with which the Gaussians were fitted, or None where nobody knows."""

    def see_pixels(self, size: float) -> None:
        """Learn how fine the images are that the scene is about to be compared with.

        Args:
            size: metres that the smallest pixel is wide at the subject, see `a4d.render.footprint.pixel_sizes`.
        """

    def gaussians(self, time: float = 0.0) -> Gaussians:
        """The scene as Gaussians at a time in [0, 1]."""

    def render_surface(
        self,
        cameras: Cameras,
        times: Tensor | None = None,  # (B,) in [0, 1]
    ) -> Render:
        """Like `render` over black, with the depth of the first surface, though light also comes from behind it."""


@dataclass(frozen=True)
class SkinnedGaussians:
    """Gaussians that joints move by linear blend skinning.

    Args:
        gaussians: N at rest, world, metres.
        weights: (N, J) of each joint, each row sums to 1.
    """

    gaussians: Gaussians
    weights: Tensor


@runtime_checkable
class Skinned(Meshed, Protocol):
    """A scene of Gaussians on a skinned surface, which other programs can pose; see also `Posable`."""

    def skinned_gaussians(self) -> SkinnedGaussians:
        """The Gaussians at rest, as they look at the first moment."""

    def skinned_asset(self, options: AssetOptions) -> Asset:
        """The surface with a picture of what the Gaussians show, and its joints' motion as the only clip.

        Args:
            options: what is wanted; a motion is always stored as that of the scene's own joints.
        """


@dataclass(frozen=True)
class SurfaceAttributes:
    """What is learnt of N Gaussians that are bound to a surface.

    Args:
        offsets: (N, 3) metres from their places on the surface at rest.
        log_scales: (N,) natural logarithm of their sizes over those that they began with.
        colours: (N, 3) sRGB.
    """

    offsets: Tensor
    log_scales: Tensor
    colours: Tensor

    def to(self, device: torch.device | str) -> SurfaceAttributes:
        """The same on another device."""
        return SurfaceAttributes(self.offsets.to(device), self.log_scales.to(device), self.colours.to(device))


@runtime_checkable
class SurfaceBound(Protocol):
    """A scene of Gaussians at points of a surface that moves."""

    def attributes(self, time: float = 0.0) -> SurfaceAttributes:
        """What is learnt of them, as it is at a time in [0, 1], part of the autograd graph."""

    def neighbours(self) -> Tensor:
        """(N, K) int64 the Gaussians that are nearest to each on the surface at rest."""

    def features(self, time: float = 0.0) -> Mapping[str, Tensor]:
        """Maps of features that the attributes are decoded from, by what they tell; none of a table."""
