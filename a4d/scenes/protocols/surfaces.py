"""Scenes with a surface: what it is like, and how it leaves for other programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from a4d.geometry.assets.animating import AnimationOptions
from a4d.geometry.assets.asset import Asset
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.extraction import ExtractedSurface


@runtime_checkable
class Meshed(Protocol):
    """A scene that may have a surface of its own."""

    @property
    def has_mesh(self) -> bool:
        """Whether it has; a scene of moving Gaussians need not carry one."""

    def mesh(self, time: float = 0.0) -> Mesh:
        """The scene as a mesh at a time in [0, 1].

        Where the faces are the same at all times, a vertex is the same point of the surface at all times.

        Raises:
            ConfigError: it has none.
        """


def has_mesh(scene: object) -> TypeGuard[Meshed]:
    """Whether a scene of any kind has a surface of its own; of others one is extracted from what they show."""
    return isinstance(scene, Meshed) and scene.has_mesh


@runtime_checkable
class Coloured(Protocol):
    """A scene that knows the colour of every point, of which others have to be looked at."""

    def surface_colours(
        self,
        points: Tensor,  # (N, 3) world, metres, on the surface
        time: float = 0.0,
    ) -> Tensor:
        """(N, 3) sRGB in [0, 1] without light and shadow."""


@dataclass(frozen=True)
class AssetOptions:
    """What a scene is asked for when it becomes an asset.

    Args:
        name: of the asset's mesh.
        texture: pixels along either side of the pictures that are baked.
        times: (T,) in [0, 1], evenly spaced, at which a moving scene is sampled; a single one is a still asset.
        seconds_per_frame: between two of them.
        animation: how the motion is stored.
        faces: at most, of a surface that was made of what the scene shows; None leaves all.
    """

    name: str = "object"
    texture: int = 1024
    times: tuple[float, ...] = (0.0,)
    seconds_per_frame: float = 1 / 24
    animation: AnimationOptions = field(default_factory=AnimationOptions)
    faces: int | None = None


@runtime_checkable
class Baking(Meshed, Protocol):
    """A scene whose mesh leaves for other programs with materials and motion of its own.

    Its surface knows its appearance (baked pictures rather than vertex colours), or its vertices are the same points
    at all times (morph targets or bones; see `a4d.geometry.assets.animating.animated_asset`).
    """

    def asset(self, options: AssetOptions) -> Asset:
        """The scene as it should leave.

        Args:
            options: what is wanted; a still scene ignores the times.

        Raises:
            ConfigError: it has no mesh.
        """


@runtime_checkable
class Shaded(Protocol):
    """A scene that knows the material of every point of its surface."""

    def surface_mesh(self) -> Mesh:
        """The surface as it stands, on the scene's device, part of the autograd graph where it learns."""

    def material_channels(
        self,
        points: Tensor,  # (N, 3) world, metres
    ) -> Tensor:
        """(N, 8) albedo in sRGB, roughness, metalness, and an offset of the normal along the world's axes."""


@runtime_checkable
class Extracting(Protocol):
    """A scene whose surface is extracted from a grid."""

    def extracted(self) -> ExtractedSurface:
        """The surface as it stands, part of the autograd graph."""

    def cell_size(self) -> float:
        """Metres along a side of the grid's cells."""
