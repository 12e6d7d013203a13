"""What only some kinds of scenes are or can do; whoever wants it of a scene asks for the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor

from a4d.geometry.assets.animating import AnimationOptions
from a4d.geometry.assets.asset import Asset
from a4d.geometry.bodies.tracked_body import TrackedBody
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
class Lensed(Protocol):
    """A scene that learns through which lens, and from where, the frames that show it were taken."""

    def seen_from(self, cameras: Cameras, times: Sequence[float] | None) -> Cameras:
        """The cameras of frames, at times in [0, 1] if they have any, as the scene knows them; part of the graph."""

    def forget_cameras(self) -> None:
        """Know no more than the cameras of frames say."""


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


Followed = Literal["gaussians", "vertices", "nodes"]
"""The points of a scene that can be followed over time."""


@runtime_checkable
class Deforming(Protocol):
    """A scene whose shape at rest deforms, and whose points can be followed; rest may be time 0, or no time at all."""

    def rest_points(self, points: Followed) -> Tensor:
        """(P, 3) where the points are at rest, world, metres."""

    def moved_points(self, points: Followed, times: Sequence[float], chosen: Tensor | None = None) -> Tensor:
        """(T, P, 3) where the same points, or those of some (P,) indices, are at times in [0, 1]."""

    def carried_points(
        self,
        points: Tensor,  # (P, 3) world, metres, at time 0
        times: Sequence[float],
    ) -> Tensor:
        """(T, P, 3) where any points near the shape are at times in [0, 1]."""

    def neighbourhoods(self, points: Followed, count: int) -> Neighbourhoods:
        """Which points are near which at rest, up to `count` for each."""

    def node_frames(self, times: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes that carry the motion: (M, 3) at rest, (T, M, 3) places and (T, M, 3, 3) rotations at times."""


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


@runtime_checkable
class Posed(Protocol):
    """A scene of joints whose poses are learnt at every moment, beside those that it began with."""

    def joints(self, times: Sequence[float]) -> Tensor:
        """(T, J, 3) world, metres, where the joints are at times in [0, 1]; part of the autograd graph."""

    def pose_changes(self, times: Sequence[float]) -> tuple[Tensor, Tensor]:
        """(T, J, 3, 3) rotations and (T, R, 3) metres of the roots that were learnt at moments of the clip."""


@dataclass(frozen=True)
class BoneRig:
    """Bones of a shape at rest, of which each is an ellipsoid that moves what is near it.

    Args:
        world_from_bone: (B, 4, 4) rigid; a bone's centre is its translation.
        radii: (B, 3) metres along the bone's own axes.
    """

    world_from_bone: Tensor
    radii: Tensor


@runtime_checkable
class Articulated(Protocol):
    """A scene whose shape at rest is moved by bones that nobody named: a bag of them, none another's parent.

    All tensors are part of the autograd graph, and all points are in the scene's world, in metres.
    """

    def bones(self) -> BoneRig:
        """The B bones at rest."""

    def root_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, 4, 4) posed_from_rest of the whole, rigid, at times in [0, 1]; what the cameras say is no part of it."""

    def bone_transforms(self, times: Sequence[float]) -> Tensor:
        """(T, B, 4, 4) posed_from_rest of each bone, rigid, the motion of the whole included, at times in [0, 1]."""

    def skinning_weights(
        self,
        points: Tensor,  # (N, 3) at rest
    ) -> Tensor:
        """(N, B) of every bone, each row sums to 1."""

    def warped(
        self,
        points: Tensor,  # (N, 3) at rest
        times: Sequence[float],
    ) -> Tensor:
        """(T, N, 3) where the bones take them at times in [0, 1]."""


@runtime_checkable
class LearntBones(Articulated, Protocol):
    """An articulated scene whose bones and weights are learnt with its shape."""

    def shape_points(self) -> Tensor:
        """(N, 3) points spread over the shape at rest, by which objectives ask what bones do to it."""

    def weight_corrections(
        self,
        points: Tensor,  # (N, 3) at rest
    ) -> Tensor:
        """(N, B) squared radii by which a network moves points away from bones; zero without one."""

    def unwarped(
        self,
        points: Tensor,  # (T, N, 3) posed
        times: Sequence[float],
    ) -> Tensor:
        """(T, N, 3) where they were at rest; not quite the inverse of `warped` where weights are learnt for both."""


PLACE, FEATURES = "place", "features"
"""The channels that renders of `Followable` and `Featured` scenes have beside those of all."""


@runtime_checkable
class Followable(Protocol):
    """A scene that knows where what it shows is at other times."""

    def render_places(
        self,
        cameras: Cameras,
        times: Tensor,  # (B,) in [0, 1]
        others: Tensor,  # (B,) in [0, 1]
    ) -> Render:
        """B views over black with the channel `place`, (B, H, W, 3): where that is at the other times, times alpha."""


@runtime_checkable
class Featured(Protocol):
    """A scene that learns features beside its colours."""

    def render_features(
        self,
        cameras: Cameras,
        times: Tensor,  # (B,) in [0, 1]
    ) -> Render:
        """B views over black with the channel `features`, (B, H, W, C), times alpha."""

    def featured_points(self, count: int, times: Sequence[float], draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """(T, N, 3) where up to so many drawn points of the shape are at times, and (N, C) the features of each."""


@runtime_checkable
class Embodied(Protocol):
    """A scene that is a body in the poses of a clip."""

    pose_groups: ClassVar[tuple[str, ...]]
    """The groups of its parameters that say how the body stands, a row per moment."""

    def in_poses_of(self, tracked: TrackedBody) -> Embodied:
        """The same body, at the times, in the poses and at the place of another of the same joints.

        Raises:
            InvalidInputError: the other has other joints.
        """


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
