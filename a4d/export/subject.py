"""What is exported: a scene, or the asset that a workspace was made from, at the moments of its clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from a4d.errors import UsageError
from a4d.export.given_asset import GivenAsset
from a4d.export.surface_options import SurfaceOptions
from a4d.export.texturing import FrontPicture, Looks, bake_scene, texture_size, textured_rig
from a4d.geometry.assets.animating import animated_asset
from a4d.geometry.assets.animation import Clip
from a4d.geometry.assets.assembly import PLAIN, primitive_from_mesh
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.file_frames import SPLATS_UP, UpAxis, frame_of_files, move_gaussians
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.placement import placed
from a4d.geometry.assets.posing import PosedMesh, deform
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.registration import Registration, register
from a4d.geometry.gaussians import Gaussians
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.decimation import decimated
from a4d.geometry.surfaces.unwrapping import unwrap
from a4d.render.asset import AssetRenderer
from a4d.scenes.extraction import extent, extract_surface
from a4d.scenes.protocols import (
    Articulated,
    AssetOptions,
    Baking,
    Deforming,
    Posable,
    Skinned,
    SkinnedGaussians,
    Splatting,
    has_mesh,
)
from a4d.scenes.scene import Scene


@dataclass(frozen=True)
class Moments:
    """When a moving subject is looked at.

    Args:
        times: (T,) increasing in [0, 1] of the clip.
        seconds_per_frame: between two of them.
        is_periodic: whether the last is the first again.
    """

    times: tuple[float, ...] = (0.0,)
    seconds_per_frame: float = 1 / 24
    is_periodic: bool = False


@dataclass(frozen=True)
class Ball:
    """A ball in the frame of cameras.

    Args:
        centre: (3,) metres.
        radius: metres.
    """

    centre: Tensor
    radius: float


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
    """

    name: str
    scene: Scene | None
    given: GivenAsset | None = None
    moments: Moments = Moments()
    surface_options: SurfaceOptions = field(default_factory=SurfaceOptions)
    frame_from_world: Tensor | None = None
    up: UpAxis | None = None
    left_out: tuple[str, ...] = ()
    front_picture: FrontPicture | None = None
    seen_from: tuple[Cameras, ...] = ()

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
    def asset(self) -> Asset:
        """The subject with materials and motion, in the frame of the files; still where nothing can be followed.

        Raises:
            UsageError: fewer faces, or another way to make it, are asked for of a surface that is not made here.
        """
        if self.surface_options.reconstruction != "fused" and not self._is_extracted:
            raise UsageError(
                "--surface says how a surface is made of what a scene shows, and there is one", "Leave it out"
            )
        if self.surface_options.faces is not None and (not self.is_assembled or self._moves_vertices):
            raise UsageError(
                "--faces simplifies surfaces that are made here, and this one's are its own", "Leave it out"
            )
        if self.given is not None:
            return self.given.in_file
        asset = self._assembled() if self._own_asset is None else self._own_asset
        return asset if self.mesh_from_world is None else placed(asset, self.mesh_from_world)

    @property
    def _is_extracted(self) -> bool:
        """Whether the surface is made of what the scene shows."""
        return self.is_assembled and self._first_mesh is None

    @property
    def _moves_vertices(self) -> bool:
        """Whether a mesh of the scene's own moves, by vertices that have to stay."""
        return self.is_moving and self._first_mesh is not None

    @property
    def is_assembled(self) -> bool:
        """Whether the asset was made here, of a mesh and the scene's looks, rather than by those who know better."""
        return self.given is None and self._own_asset is None

    @property
    def is_likeness(self) -> bool:
        """Whether the asset was made of what the scene shows, and may look less like it than one could wish."""
        return self.is_assembled or self._is_rigged

    @property
    def clip(self) -> Clip | None:
        """The asset's animation that is sampled, or None where it does not move."""
        if self.given is not None and self.given.clip is not None:
            return self.asset.clip(self.given.clip)
        return self.asset.clips[0] if self.asset.clips else None

    @cached_property
    def has_fixed_topology(self) -> bool:
        """Whether the scene's own faces are the same at all moments."""
        if not self.is_moving or (not self.is_assembled and self.clip is not None):
            return True
        return self._trajectories is not None

    @cached_property
    def registration(self) -> Registration | None:
        """One mesh on the surfaces of all moments, of a scene whose own faces change; else None."""
        if not self.is_assembled or self.has_fixed_topology or self._first_mesh is None:
            return None
        later = [mesh for time in self.moments.times[1:] if (mesh := self._own_mesh(time)) is not None]
        return register([self._first_mesh, *later])

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

    def radius_at(self, time: float) -> float:
        """Of a ball around the world's origin that holds the subject at a time, metres."""
        vertices = self._surface_vertices(time)
        return extent(self.require_scene(), time) if vertices is None else float(vertices.norm(dim=1).max())

    def ball_around(self, times: Sequence[float]) -> Ball:
        """A small ball that holds the subject at several times; around the origin where no surface is at hand."""
        clouds = [vertices for time in times if (vertices := self._surface_vertices(time)) is not None]
        if not clouds:
            return Ball(torch.zeros(3), max(self.radius_at(time) for time in times))
        low, high = (torch.stack([pick(cloud, 0) for cloud in clouds]) for pick in (torch.amin, torch.amax))
        centre = (low.amin(0) + high.amax(0)) / 2
        return Ball(centre, max(float((cloud - centre).norm(dim=1).max()) for cloud in clouds))

    @torch.no_grad()
    def picture(self, camera: Cameras, time: float) -> Tensor:
        """(H, W, 4) sRGB and straight alpha in [0, 1], seen by a single camera of the world."""
        if self._shown is not None:
            return self._renderer.render(self._shown_at(self._shown, time), camera).rgba
        scene = self.require_scene()
        device = next(scene.parameters()).device
        render = scene.render(camera.to(device), torch.full((1,), time, device=device))
        straight = render.rgb / render.alpha.clamp_min(1e-3)
        return torch.cat([straight, render.alpha], dim=-1)[0].clamp(0, 1).cpu()

    @cached_property
    def _shown(self) -> Asset | None:
        """What pictures show in the frame of cameras: a given asset, or the one that a scene moves along with it."""
        if self.given is not None:
            return self.given.in_world
        is_shown = self.is_moving and isinstance(self.scene, Baking) and not self._is_rigged
        return self._own_asset if is_shown else None

    def _surface_vertices(self, time: float) -> Tensor | None:
        """(V, 3) of what pictures show at a time, in the frame of cameras; None where no surface is at hand."""
        if self._shown is not None:
            return self._shown_at(self._shown, time).vertices
        if isinstance(self.scene, Articulated) and self._own_asset is not None:
            return self._shown_at(self._own_asset, time).vertices
        return self.scene.mesh(time).vertices.detach().cpu() if isinstance(self.scene, Skinned) else None

    @property
    def _is_rigged(self) -> bool:
        """Whether joints move a surface that was made of what the scene shows, which itself knows better."""
        return isinstance(self.scene, Skinned) or (
            isinstance(self.scene, Articulated) and isinstance(self.scene, Baking)
        )

    def _shown_at(self, asset: Asset, time: float) -> PosedMesh:
        clip = self.clip
        return deform(asset, clip, time * (clip.duration if clip else 0.0))

    @cached_property
    def _renderer(self) -> AssetRenderer:
        assert self._shown is not None
        return AssetRenderer(self._shown, "shaded")

    @cached_property
    def _own_asset(self) -> Asset | None:
        options = AssetOptions(
            self.name,
            self.surface_options.texture or 1024,
            self.moments.times,
            self.moments.seconds_per_frame,
            self.surface_options.animation,
        )
        scene = self.require_scene()
        if isinstance(scene, Skinned):
            return scene.skinned_asset(options)
        own = scene.asset(options) if isinstance(scene, Baking) and scene.has_mesh else None
        if own is None or not isinstance(scene, Articulated) or self.surface_options.texture is None:
            return own
        return textured_rig(own, scene, self.moments.times[0], self.surface_options.texture)

    @cached_property
    def _mesh(self) -> Mesh:
        """The scene's own mesh at the first moment, or one extracted from its renders."""
        options, mesh = self.surface_options, self._first_mesh
        if mesh is None:
            scene, first = self.require_scene(), self.moments.times[0]
            mesh = extract_surface(scene, first, options.cells, options.reconstruction).to("cpu")
        return mesh if options.faces is None else decimated(mesh, options.faces)

    @cached_property
    def _first_mesh(self) -> Mesh | None:
        return self._own_mesh(self.moments.times[0])

    def _own_mesh(self, time: float) -> Mesh | None:
        """The scene's own mesh at a time, or None where it has none."""
        scene = self.require_scene()
        if not has_mesh(scene):
            return None
        own = scene.mesh(time)
        colours = None if own.colours is None else own.colours.detach()
        return replace(own.with_vertices(own.vertices.detach()), colours=colours).to("cpu")

    @cached_property
    def _trajectories(self) -> Tensor | None:
        """(T, V, 3) of the mesh, its own or what was extracted at the first moment and moves as the scene does.

        None where its faces change from moment to moment.
        """
        scene, frames = self.require_scene(), [self._mesh.vertices]
        if self.is_moving and isinstance(scene, Deforming) and not has_mesh(scene):
            return self._carried(scene)
        for time in self.moments.times[1:]:
            mesh = self._own_mesh(time)
            if mesh is None or not torch.equal(mesh.faces, self._mesh.faces):
                return None
            frames.append(mesh.vertices)
        return torch.stack(frames)

    @torch.no_grad()
    def _carried(self, scene: Deforming) -> Tensor:
        """(T, V, 3) of a surface that was extracted at rest and goes where the scene takes it."""
        device = next(self.require_scene().parameters()).device
        return scene.carried_points(self._mesh.vertices.to(device), self.moments.times).cpu()

    def _assembled(self) -> Asset:
        """An asset of the scene's mesh, moving where it keeps its faces or was registered to all moments."""
        mesh, frames = self._mesh, self._trajectories
        if self.registration is not None:
            mesh, frames = self.registration.first, self.registration.trajectories
        elif frames is None:
            frames = mesh.vertices[None]
        options, seconds = self.surface_options, self.moments.seconds_per_frame
        if not options.has_picture:
            return animated_asset(self.name, primitive_from_mesh(mesh), frames, seconds, options.animation, PLAIN)
        size = options.texture
        if size is None:
            assert options.texel is not None
            size = texture_size(mesh, options.texel)
        unwrapped, looks = unwrap(mesh, size), Looks(size, options.texel, self.front_picture, self.seen_from)
        material = bake_scene(self.require_scene(), unwrapped, self.moments.times[0], looks)
        positions, normals = unwrapped.follow(frames)
        return animated_asset(
            self.name, unwrapped.primitive(), positions, seconds, options.animation, material, normals
        )
