"""Surfaces of scenes that bring no asset: the mesh that a scene has or shows, followed over its moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from a4d.export.moments import Moments
from a4d.export.surface_options import USUAL_CELLS, SurfaceOptions
from a4d.export.texturing import FrontPicture, Looks, bake_scene, texture_size
from a4d.geometry.assets.animating import animated_asset
from a4d.geometry.assets.assembly import PLAIN, primitive_from_mesh
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.unwrapping import unwrap
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.registration import Registration, register
from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.decimation import decimated
from a4d.scenes.extraction import brought_to_renders, extract_surface
from a4d.scenes.protocols import Deforming, has_mesh
from a4d.scenes.scene import Scene


@dataclass
class MadeSurface:
    """A mesh with looks and motion, in the world; what several formats share is made once.

    Args:
        name: of the object in the files.
        scene: without an asset of its own.
        moments: of a moving scene; a still one has one.
        options: how it becomes a surface.
        front_picture: that the scene was fitted to.
        seen_from: single cameras of the photographs that the scene was fitted to.
    """

    name: str
    scene: Scene
    moments: Moments
    options: SurfaceOptions
    front_picture: FrontPicture | None = None
    seen_from: tuple[Cameras, ...] = ()

    @cached_property
    def own(self) -> Mesh | None:
        """The scene's own mesh at the first moment; None where it has none."""
        return self._own_at(self.moments.times[0])

    @cached_property
    def mesh(self) -> Mesh:
        """The scene's own mesh at the first moment, or one extracted from its renders."""
        return self._simplified(self.own) if self.own is not None else self._extracted()

    @cached_property
    def trajectories(self) -> Tensor | None:
        """(T, V, 3) of the mesh, its own or what was extracted at the first moment and moves as the scene does.

        None where its faces change from moment to moment.
        """
        scene, frames = self.scene, [self.mesh.vertices]
        if len(self.moments.times) > 1 and isinstance(scene, Deforming) and not has_mesh(self.scene):
            return self._carried(scene)
        for time in self.moments.times[1:]:
            mesh = self._own_at(time)
            if mesh is None or not torch.equal(mesh.faces, self.mesh.faces):
                return None
            frames.append(mesh.vertices)
        return torch.stack(frames)

    @cached_property
    def registration(self) -> Registration | None:
        """One mesh on the surfaces of all moments, of a scene whose own faces change; else None."""
        if self.own is None or self.trajectories is not None:
            return None
        later = [mesh for time in self.moments.times[1:] if (mesh := self._own_at(time)) is not None]
        return register([self.own, *later])

    def asset(self) -> Asset:
        """The mesh with its looks, moving where it keeps its faces or was registered to all moments."""
        mesh, frames = self.mesh, self.trajectories
        if self.registration is not None:
            mesh, frames = self.registration.first, self.registration.trajectories
        elif frames is None:
            frames = mesh.vertices[None]
        options, seconds = self.options, self.moments.seconds_per_frame
        if not options.has_picture:
            return animated_asset(self.name, primitive_from_mesh(mesh), frames, seconds, options.animation, PLAIN)
        size = options.texture
        if size is None:
            assert options.texel is not None
            size = texture_size(mesh, options.texel)
        unwrapped, looks = unwrap(mesh, size), Looks(size, options.texel, self.front_picture, self.seen_from)
        material = bake_scene(self.scene, unwrapped, self.moments.times[0], looks)
        positions, normals = unwrapped.follow(frames)
        return animated_asset(
            self.name, unwrapped.primitive(), positions, seconds, options.animation, material, normals
        )

    def _extracted(self) -> Mesh:
        options, time = self.options, self.moments.times[0]
        mesh = self._simplified(extract_surface(self.scene, time, options.cells, options.reconstruction).to("cpu"))
        if not options.is_brought_to_renders:
            return mesh
        return brought_to_renders(self.scene, mesh, time, max(options.cells, USUAL_CELLS))

    def _simplified(self, mesh: Mesh) -> Mesh:
        return mesh if self.options.faces is None else decimated(mesh, self.options.faces)

    def _own_at(self, time: float) -> Mesh | None:
        """The scene's own mesh at a time, or None where it has none."""
        if not has_mesh(self.scene):
            return None
        own = self.scene.mesh(time)
        colours = None if own.colours is None else own.colours.detach()
        return replace(own.with_vertices(own.vertices.detach()), colours=colours).to("cpu")

    @torch.no_grad()
    def _carried(self, scene: Deforming) -> Tensor:
        """(T, V, 3) of a surface that was extracted at rest and goes where the scene takes it."""
        device = next(self.scene.parameters()).device
        return scene.carried_points(self.mesh.vertices.to(device), self.moments.times).cpu()
