"""What only some kinds of scenes are or can do; whoever wants it of a scene asks for the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from a4d.geometry.assets.animating import AnimationOptions
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.arap import Neighbourhoods
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.extraction import ExtractedSurface
from a4d.render.render import Render


@runtime_checkable
class Moving(Protocol):
    """A scene that may be another at every time of a clip."""

    @property
    def is_moving(self) -> bool:
        """Whether it differs between times; one that does is sampled at several by those who take it elsewhere."""

    @property
    def seconds(self) -> float | None:
        """Length of its clip, or None where only the workspace's frames tell."""

    @property
    def is_periodic(self) -> bool:
        """Whether the end of its clip is the beginning again."""


def is_moving(scene: object) -> bool:
    """Whether a scene of any kind differs between times."""
    return isinstance(scene, Moving) and scene.is_moving


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
    """

    name: str = "object"
    texture: int = 1024
    times: tuple[float, ...] = (0.0,)
    seconds_per_frame: float = 1 / 24
    animation: AnimationOptions = field(default_factory=AnimationOptions)


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


Followed = Literal["gaussians", "vertices", "nodes"]
"""The points of a scene that can be followed over time."""


@runtime_checkable
class Deforming(Protocol):
    """A scene whose shape at time 0 deforms, and whose points can be followed."""

    def rest_points(self, points: Followed) -> Tensor:
        """(P, 3) where the points are at time 0, world, metres."""

    def moved_points(self, points: Followed, times: Sequence[float], chosen: Tensor | None = None) -> Tensor:
        """(T, P, 3) where the same points, or those of some (P,) indices, are at times in [0, 1]."""

    def carried_points(
        self,
        points: Tensor,  # (P, 3) world, metres, at time 0
        times: Sequence[float],
    ) -> Tensor:
        """(T, P, 3) where any points near the shape are at times in [0, 1]."""

    def neighbourhoods(self, points: Followed, count: int) -> Neighbourhoods:
        """Which points are near which at time 0, up to `count` for each."""

    def node_frames(self, times: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes that carry the motion: (M, 3) at time 0, (T, M, 3) places and (T, M, 3, 3) rotations at times."""


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


@runtime_checkable
class VaryingField(Protocol):
    """A scene of features that are a function of place and time."""

    def temporal_variation(
        self,
        unit: Tensor,  # (N, 3) in [0, 1]³ of its cube
    ) -> Tensor:
        """Mean squared change of the features from one instant to the next, a scalar."""


@runtime_checkable
class Posable(Protocol):
    """What joints move: a rigged mesh, a scene of one, a body."""

    @property
    def skeleton(self) -> Skeleton:
        """The joints at rest, in the world, +Y up and +Z in front.

        Raises:
            InvalidInputError: nothing of it hangs on joints.
        """

    def motion(self, times: Sequence[float]) -> Motion:
        """How the joints stand at T evenly spaced times in [0, 1] of its clip."""

    def with_motion(self, motion: Motion) -> Posable:
        """The same, moved as something else is instead; see `a4d.geometry.assets.reposing.reposed`.

        Args:
            motion: of any skeleton, +Y up and +Z in front.

        Raises:
            InvalidInputError: it has no joints, or too few match those of the motion by their names.
        """
