"""An avatar for programs that know no Gaussians: its body's mesh, dressed and textured by them, and moved by joints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a4d.geometry.assets.assembly import MotionTolerance, skinned_asset
from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.material import Material
from a4d.geometry.assets.unwrapping import laid_out
from a4d.geometry.bodies.body import Body
from a4d.geometry.deformation.influences import Influences
from a4d.geometry.deformation.skeleton import Motion
from a4d.geometry.mesh import Mesh
from a4d.render.baking import bake_texture, texture_map
from a4d.render.gaussians_reference import DILATION
from a4d.scenes.avatar.surface import SurfacePoints
from a4d.scenes.protocols import AssetOptions, SurfaceAttributes

BLENDED = 8
"""Gaussians that are blended at a place of the surface, those that are nearest to it at rest."""

SEEN = 2.0
"""Deviations of a splat as it is drawn by which what is seen stands out from its centre, where splats overlap."""

ROUNDS = 2
"""By which offsets are smoothed along the mesh: a dent of one texel is noise."""


@dataclass(frozen=True)
class DressedSurface:
    """The surface of a body, and what the Gaussians on it say of every place.

    Args:
        body: in its only shape, with texture coordinates.
        points: where the N Gaussians lie at rest, before their offsets.
        attributes: what was learnt of them.
        deviations: (N,) metres.
        footprint: of the scene, see `a4d.scenes.protocols.Splatting`.
    """

    body: Body
    points: SurfacePoints
    attributes: SurfaceAttributes
    deviations: Tensor
    footprint: float | None

    def blended(
        self,
        values: Tensor,  # (N, C) of the Gaussians
        places: Tensor,  # (M, 3) on the surface at rest, metres
    ) -> Tensor:
        """(M, C) the mean over the Gaussians around each place, each by its density there, on the CPU."""
        places = places.to(self.points.positions)
        nearest = self.points.nearest_to(places, count=BLENDED)
        distances = (self.points.positions[nearest] - places[:, None]).norm(dim=-1)
        shares = (-0.5 * (distances / self.deviations[nearest]).square()).softmax(dim=1)
        return (shares[..., None] * values[nearest]).sum(1).cpu()

    def mesh(self) -> Mesh:
        """The body at rest with its vertices where the Gaussians around them are seen on average, smoothed.

        They lie deeper than what they show, by how far they stand out.
        """
        vertices, faces = self.body.rest()[0], self.body.faces
        drawn = (self.deviations**2 + DILATION * (self.footprint or 0.0) ** 2).sqrt()
        offsets = self.blended(self.attributes.offsets + SEEN * drawn[:, None] * self.points.normals, vertices)
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        edges = torch.cat([edges, edges.flip(1)]).unique(dim=0)
        around = torch.zeros(len(vertices), 1).index_add_(0, edges[:, 0], torch.ones(len(edges), 1)) + 1
        for _ in range(ROUNDS):
            offsets = offsets.index_add(0, edges[:, 0], offsets[edges[:, 1]]) / around
        return Mesh(vertices + offsets, faces)

    def material(self, size: int) -> Material:
        """A rough material with what the Gaussians show of the surface as its picture, `size` pixels along a side."""
        assert self.body.uvs is not None
        flat = laid_out(Mesh(self.body.rest()[0], self.body.faces), self.body.uvs)
        image = bake_texture(flat, lambda texels: self.blended(self.attributes.colours, texels.positions), size, 1)
        return Material("surface", base_colour_map=texture_map(image), metallic=0.0, roughness=0.9)

    def asset(self, motion: Motion, options: AssetOptions) -> Asset:
        """The mesh with its picture, moved by a motion of the body's joints; each vertex by its four strongest."""
        assert self.body.uvs is not None
        unwrapped = laid_out(self.mesh(), self.body.uvs)
        influences = Influences.strongest(self.body.weights[unwrapped.sources])
        primitive = replace(unwrapped.primitive(), influences=influences)
        tolerance = MotionTolerance(metres=options.animation.tolerance)
        return skinned_asset(options.name, primitive, {"motion": motion}, self.material(options.texture), tolerance)
