"""What is exported: a scene, or the asset that a workspace was made from, at the moments of its clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.export.film_texture import texel_of
from a4d.export.given_asset import GivenAsset
from a4d.export.made_surface import MadeSurface
from a4d.export.moments import Moments
from a4d.export.surface_options import TEXTURED_FACES, SurfaceOptions
from a4d.export.texturing import FrontPicture, Looks, texture_size, textured_rig
from a4d.export.viewing import Viewing
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.file_frames import SPLATS_UP, UpAxis, frame_of_files, move_gaussians
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.placement import placed
from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.registration import Registration
from a4d.geometry.gaussians import Gaussians
from a4d.scenes.protocols import (
    Articulated,
    AssetOptions,
    Baking,
    Posable,
    Skinned,
    SkinnedGaussians,
    Splatting,
)
from a4d.scenes.scene import Scene
from a4d.views import Frames


@dataclass(frozen=True)
class Surface:
    """A surface at a moment, and what it is made of.

    Args:
        posed: in the frame of the files.
        materials: that it refers to.
    """

    posed: PosedMesh
    materials: tuple[Material, ...]


@dataclass
class Subject:
    """A scene or an asset on its way out; what several formats share is made once.

    Args:
        name: of the object in the files.
        scene: None where a given asset is exported.
        given: that asset.
        moments: of a moving subject; a still one has one.
        surface_options: how it becomes a surface.
        frame_from_world: (4, 4) similarity that takes the scene to the size and place that it has in files, before
            their formats' axes.
        up: axis of the files that points up where the frame has +Y; None is the custom of each format.
        left_out: what the input of the workspace holds and the scene never had, as entries for a warning.
        front_picture: that the scene was fitted to.
        seen_from: single cameras of the photographs that the scene was fitted to.
        film: frames that a scene of loose bones was fitted to, as the scene has learnt their cameras, where it is to
            carry their looks; None of others.
        is_driven: whether joints that were found in its motion follow that of something else.
    """

    name: str
    scene: Scene | None
    given: GivenAsset | None = None
    moments: Moments = field(default_factory=Moments)
    surface_options: SurfaceOptions = field(default_factory=SurfaceOptions)
    frame_from_world: Tensor | None = None
    up: UpAxis | None = None
    left_out: tuple[str, ...] = ()
    front_picture: FrontPicture | None = None
    seen_from: tuple[Cameras, ...] = ()
    film: Frames | None = None
    is_driven: bool = False

    @property
    def is_moving(self) -> bool:
        """Whether there is more than one moment to show."""
        return len(self.moments.times) > 1

    @property
    def posable(self) -> Posable | None:
        """What of it has joints, or None."""
        if self.given is not None:
            return self.given
        if isinstance(self.scene, Articulated) and self._own_asset is not None:
            return GivenAsset(self._own_asset, self._own_asset)
        return self.scene if isinstance(self.scene, Posable) else None

    @property
    def rig(self) -> Asset | None:
        """What of it hangs on joints, in the world; None where nothing does."""
        asset = self.given.in_world if self.given is not None else self._unpictured
        return asset if asset is not None and asset.shown_joints() else None

    @property
    def has_found_joints(self) -> bool:
        """Whether it has joints that were found in its motion, whose names say nothing."""
        return (self.is_driven or isinstance(self.scene, Articulated)) and self.rig is not None

    def require_scene(self) -> Scene:
        """The scene, for what no mesh can give.

        Raises:
            UsageError: there is none.
        """
        if self.scene is None:
            raise UsageError(
                "the workspace has no scene, only the mesh that it was made from",
                "Leave ply and splat out of --formats, or run a stage that makes a scene",
            )
        return self.scene

    @property
    def splats_up(self) -> UpAxis:
        """The axis that points up in files of Gaussians."""
        return self.up or SPLATS_UP

    @property
    def mesh_from_world(self) -> Tensor | None:
        """(4, 4) similarity that takes the scene into the frame of mesh files; None where that is the world."""
        frame = torch.eye(4, dtype=torch.float64) if self.frame_from_world is None else self.frame_from_world
        matrix = frame_of_files(self.up or "y") @ frame
        return None if torch.equal(matrix, torch.eye(4, dtype=matrix.dtype)) else matrix

    @cached_property
    def made(self) -> MadeSurface | None:
        """The surface that is made here; None where the asset is given, or made by a scene that knows better."""
        if self.given is not None or self._unpictured is not None:
            return None
        return MadeSurface(
            self.name, self.require_scene(), self.moments, self.surface_options, self.front_picture, self.seen_from
        )

    @cached_property
    def asset(self) -> Asset:
        """The subject with materials and motion, in the frame of the files; still where nothing can be followed.

        Raises:
            UsageError: fewer faces, or another way to make it, are asked for of a surface that is not made here.
        """
        made = self.made
        if self.surface_options.reconstruction != "fused" and (made is None or made.own is not None):
            raise UsageError(
                "--surface says how a surface is made of what a scene shows, and there is one", "Leave it out"
            )
        if self.surface_options.faces is not None and (made is None or (self.is_moving and made.own is not None)):
            raise UsageError(
                "--faces simplifies surfaces that are made here, and this one's are its own", "Leave it out"
            )
        if self.given is not None:
            return self.given.in_file
        asset = self._own_asset if made is None else made.asset()
        assert asset is not None
        return asset if self.mesh_from_world is None else placed(asset, self.mesh_from_world)

    @property
    def is_likeness(self) -> bool:
        """Whether the asset was made of what the scene shows, and may look less like it than one could wish."""
        return self.made is not None or self._is_rigged

    @property
    def clip(self) -> Clip | None:
        """The asset's animation that is sampled, or None where it does not move."""
        if self.given is not None and self.given.clip is not None:
            return self.asset.clip(self.given.clip)
        return self.asset.clips[0] if self.asset.clips else None

    @cached_property
    def has_fixed_topology(self) -> bool:
        """Whether the faces are the same at all moments."""
        return not self.is_moving or self.made is None or self.made.trajectories is not None

    @property
    def registration(self) -> Registration | None:
        """One mesh on the surfaces of all moments, of a scene whose own faces change; else None."""
        return None if self.made is None else self.made.registration

    def surfaces(self) -> Iterator[Surface]:
        """The surface at every moment, in the frame of the files."""
        for index in range(len(self.moments.times)):
            yield self.surface_at(index)

    def surface_at(self, index: int) -> Surface:
        """The scene's own surface at one of the moments."""
        if not self.has_fixed_topology:
            return replace(self, moments=Moments((self.moments.times[index],))).surface_at(0)
        posed = deform(self.asset, self.clip, index * self.moments.seconds_per_frame)
        return Surface(posed, self.asset.materials)

    @property
    def has_gaussians(self) -> bool:
        """Whether it is a scene of Gaussians."""
        return isinstance(self.scene, Splatting)

    def gaussians(self, time: float) -> Gaussians:
        """The scene's Gaussians at the size and place of the files, +Y up.

        Raises:
            UsageError: it has none.
        """
        scene = self.require_scene()
        if not isinstance(scene, Splatting):
            problem = f"a scene of kind '{scene.kind}' has no Gaussians"
            raise UsageError(problem, "Leave ply and splat out of --formats")
        gaussians = scene.gaussians(time).detach().to("cpu")
        return gaussians if self.frame_from_world is None else move_gaussians(gaussians, self.frame_from_world)

    def skinned_gaussians(self) -> SkinnedGaussians:
        """The scene's Gaussians at rest with the joints that move them, at the size and place of the files, +Y up.

        Raises:
            UsageError: they hang on no joints.
        """
        scene = self.require_scene()
        if not isinstance(scene, Skinned):
            problem = f"a scene of kind '{scene.kind}' has no Gaussians that hang on joints"
            raise UsageError(problem, "Leave canonical out of --formats")
        skinned = scene.skinned_gaussians()
        gaussians = skinned.gaussians.detach().to("cpu")
        if self.frame_from_world is not None:
            gaussians = move_gaussians(gaussians, self.frame_from_world)
        return SkinnedGaussians(gaussians, skinned.weights.cpu())

    @cached_property
    def viewing(self) -> Viewing:
        """What cameras of the world see of it."""
        own = self._unpictured if self.given is None else None
        shown = own if self.is_moving and isinstance(self.scene, Baking) and not self._is_rigged else None
        if self.given is not None:
            shown = self.given.in_world
        outline = own if isinstance(self.scene, Articulated) else shown
        return Viewing(self.scene, shown, outline, self.clip if shown or outline else None)

    @property
    def _is_rigged(self) -> bool:
        """Whether joints move a surface that was made of what the scene shows, which itself knows better."""
        return isinstance(self.scene, Skinned) or (
            isinstance(self.scene, Articulated) and isinstance(self.scene, Baking)
        )

    @cached_property
    def _own_asset(self) -> Asset | None:
        scene, own = self.require_scene(), self._unpictured
        return own if own is None or not self._is_pictured else self._pictured(own, scene)

    @cached_property
    def _unpictured(self) -> Asset | None:
        """What the scene makes itself; of loose bones without the picture, which only files of meshes carry."""
        scene = self.require_scene()
        options = AssetOptions(
            self.name,
            self.surface_options.texture or 1024,
            self.moments.times,
            self.moments.seconds_per_frame,
            self.surface_options.animation,
            TEXTURED_FACES if self._is_pictured else None,
        )
        if isinstance(scene, Skinned):
            return scene.skinned_asset(options)
        return scene.asset(options) if isinstance(scene, Baking) and scene.has_mesh else None

    @property
    def _is_pictured(self) -> bool:
        """Whether a surface on loose bones is to carry a picture."""
        has_picture = self.surface_options.texture is not None or self.film is not None
        return has_picture and isinstance(self.scene, Articulated)

    def _pictured(self, own: Asset, scene: Scene) -> Asset:
        """A rigged surface with a picture, as large as asked for or as its film tells."""
        size = self.surface_options.texture
        if size is None:
            assert self.film is not None
            size = texture_size(deform(own).mesh, texel_of(self.film))
        return textured_rig(own, scene, self.moments.times[0], Looks(size, film=self.film))
