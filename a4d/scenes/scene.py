"""The first of the four nouns: a scene is anything with parameters that can be rendered, saved and exported."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from a4d.config import Config, Spec
from a4d.errors import ConfigError
from a4d.geometry.assets.animating import AnimationOptions
from a4d.geometry.assets.asset import Asset
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.arap import Neighbourhoods
from a4d.geometry.deformation.skeleton import Motion, Skeleton
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.isosurface.extraction import ExtractedSurface
from a4d.render.render import Channel, Render, Shading, Wants
from a4d.scenes.seed import Seed
from a4d.trainable import Trainable


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


class Scene(Trainable):
    """A differentiable scene; its tensors live in parameters and buffers, its choices in `config`."""

    kind: ClassVar[str]
    config_class: ClassVar[type[Config]]
    shadings: ClassVar[tuple[Shading, ...]] = ()
    follows_rays: ClassVar[bool] = False
    """Whether each pixel is rendered on its own, so that few of them cost little."""
    offers: ClassVar[frozenset[Channel]] = frozenset()
    """The channels that its renders can have beside colour, coverage and depth."""
    config: Config

    @classmethod
    @abstractmethod
    def begin(cls, spec: Spec, seed: Seed, generator: torch.Generator) -> Scene:
        """A scene to be optimised, of the configuration `spec`, that starts from what is known of the shape.

        Raises:
            ConfigError: an unknown key or a value out of range in the configuration.
        """

    @classmethod
    def begin_from(cls, start: Scene, over: Spec, generator: torch.Generator) -> Scene:
        """A scene of this kind that goes on from another.

        Args:
            start: as it stands; it stays as it is.
            over: settings in place of the other's, where it is of this kind, else as for `begin`.
            generator: on the CPU.

        Raises:
            ConfigError: the other does not become one of this kind, or not with these settings.
        """
        raise cannot_become(start, cls)

    @classmethod
    def files_read(cls, config: Config) -> list[Path]:
        """The files that a configuration names and `begin` reads."""
        return []

    @classmethod
    def memory(cls, config: Config) -> int:
        """Bytes that a scene of a configuration takes at the least while it is optimised, but for what a seed decides.

        Args:
            config: of the class's own kind.
        """
        return 0

    @abstractmethod
    def render(
        self,
        cameras: Cameras,
        times: Tensor | None = None,  # (B,) seconds in [0, 1] of the clip; None for a static scene
        background: Tensor | None = None,  # (B, 3) or (3,) sRGB; None is black
        wants: Wants = (),
    ) -> Render:
        """Images from B cameras, with the channels that are wanted and no more.

        Raises:
            ConfigError: this kind of scene does not offer one of them.
        """

    def render_shaded(
        self,
        cameras: Cameras,
        times: Tensor | None,  # (B,) in [0, 1]
        background: Tensor | None,  # (B, 3) or (3,) sRGB
        shading: Shading | None,
        wants: Wants = (),
    ) -> Render:
        """Like `render`, in one of this kind's shadings; None is the scene's own.

        Raises:
            ConfigError: this kind of scene has no such shading, or does not offer a channel.
        """
        self.require_shading(shading)
        return self.render(cameras, times, background, wants)

    def require_channels(self, wants: Collection[str], where: str = "wants") -> None:
        """Check that a scene of this kind offers what is wanted of its renders.

        Raises:
            ConfigError: it does not; names who asks and what there is.
        """
        for name in sorted(wants):
            if name not in self.offers:
                raise ConfigError(
                    f"{where}: renders of a scene of kind '{self.kind}' have no channel '{name}'",
                    f"They have: {', '.join(['rgb', 'alpha', 'depth', *sorted(self.offers)])}",
                )

    def require_shading(self, shading: Shading | None, where: str = "shading") -> None:
        """Check that a scene of this kind can be shown that way.

        Raises:
            ConfigError: it cannot; names the place in the configuration and what there is.
        """
        if shading is not None and shading not in self.shadings:
            raise ConfigError(
                f"{where}: a scene of kind '{self.kind}' has no shading '{shading}'",
                f"It has: {', '.join(self.shadings)}" if self.shadings else "Leave the key out",
            )

    def render_surface(self, cameras: Cameras, times: Tensor | None = None) -> Render:
        """Like `render` over black, with the depth of the first surface where light also comes from behind it."""
        return self.render(cameras, times)

    def see_pixels(self, size: float) -> None:
        """Learn how fine the images are that the scene is about to be compared with.

        Args:
            size: metres that the smallest pixel is wide at the subject, see `a4d.render.footprint.pixel_sizes`.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `scene.yaml`, `tensors.safetensors` and standard forms of this scene into an existing folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Scene:
        """Read what `save` wrote."""

    @property
    def is_moving(self) -> bool:
        """Whether it differs between times; one that does is sampled at several by those who take it elsewhere."""
        return False

    @property
    def seconds(self) -> float | None:
        """Length of its clip, or None where only the workspace's frames tell."""
        return None

    @property
    def is_periodic(self) -> bool:
        """Whether the end of its clip is the beginning again."""
        return False

    def asset(self, options: AssetOptions) -> Asset | None:
        """The scene as it should leave for other programs, with materials and motion of its own.

        For a surface that knows its appearance (baked pictures rather than vertex colours), or whose vertices are the
        same points at all times (morph targets or bones; see `a4d.geometry.assets.animating.animated_asset`).

        Args:
            options: what is wanted; a still scene ignores the times.

        Returns:
            None where the scene has no such form; its mesh with vertex colours, its own or an extracted one, has to do.
        """
        return None

    def surface_colours(
        self,
        points: Tensor,  # (N, 3) world, metres, on the surface
        time: float = 0.0,
    ) -> Tensor | None:
        """(N, 3) sRGB in [0, 1] without light and shadow, or None where only images tell a point's colour."""
        return None

    @property
    def footprint(self) -> float | None:
        """Metres that a pixel was wide with which the Gaussians were fitted, or None where nobody knows."""
        return None

    def gaussians(self, time: float = 0.0) -> Gaussians | None:
        """The scene as Gaussians at a time in [0, 1], or None where it has no such form."""
        return None

    def mesh(self, time: float = 0.0) -> Mesh | None:
        """The scene as a mesh at a time in [0, 1], or None where it has no such form.

        Where the faces are the same at all times, a vertex is the same point of the surface at all times.
        """
        return None


def cannot_become(start: Scene, kind: type[Scene]) -> ConfigError:
    """The error for a scene that another kind cannot go on from."""
    return ConfigError(
        f"a scene of kind '{start.kind}' does not become one of kind '{kind.kind}'", "Leave out `scene`, or --from"
    )


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
class Extracting(Protocol):
    """A scene whose surface is extracted from a grid, and which knows the material of every point."""

    def extracted(self) -> ExtractedSurface:
        """The surface as it stands, part of the autograd graph."""

    def cell_size(self) -> float:
        """Metres along a side of the grid's cells."""

    def material_channels(
        self,
        points: Tensor,  # (N, 3) world, metres
    ) -> Tensor:
        """(N, 8) albedo in sRGB, roughness, metalness, and an offset of the normal along the world's axes."""


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
