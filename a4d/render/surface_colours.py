"""Colours of points on the surface of an asset, as pictures without light show them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from a4d.geometry.assets.material import Material
from a4d.geometry.assets.posing import PosedMesh
from a4d.render.shaded_mesh import SurfacePoints
from a4d.render.shading import decode_srgb, encode_srgb
from a4d.render.textured_material import TexturedMaterial


@torch.no_grad()
def surface_colours(
    surface: PosedMesh,
    materials: Sequence[Material],
    face: Tensor,  # (N,) int64
    weights: Tensor,  # (N, 3) barycentric
    spacing: Tensor,  # (N,) metres over which pictures are averaged
) -> Tensor:
    """(N, 3) sRGB of points on a surface: base colour, vertex colour and what glows."""
    colours = torch.zeros(len(face), 3)
    corners = surface.faces[face]
    material_of = surface.materials[face]
    for index in material_of.unique().tolist():
        chosen = (material_of == index).nonzero()[:, 0]
        material = TexturedMaterial(materials[index])
        look = _Look(surface, material, face[chosen], weights[chosen], spacing[chosen])
        tint = (surface.colours[corners[chosen], :3] * weights[chosen, :, None]).sum(1)
        colours[chosen] = encode_srgb(look.base_and_glow(decode_srgb(tint)))
    return colours.clamp(0, 1)


class _Look:
    """One material at K points."""

    def __init__(
        self, surface: PosedMesh, material: TexturedMaterial, face: Tensor, weights: Tensor, spacing: Tensor
    ) -> None:
        self.material = material
        uv_set = material.uv_set
        has_uvs = uv_set is not None and uv_set < len(surface.uvs)
        corners = surface.faces[face]
        uvs = surface.uvs[uv_set][corners] if has_uvs else None
        sides = surface.vertices[corners[:, 1:]] - surface.vertices[corners[:, :1]]
        area = torch.linalg.cross(sides[:, 0], sides[:, 1], dim=-1).norm(dim=-1)

        def level(size: tuple[int, int]) -> Tensor:
            assert uvs is not None
            along = (uvs[:, 1:] - uvs[:, :1]) * uvs.new_tensor([size[1], size[0]])
            texels = (along[:, 0, 0] * along[:, 1, 1] - along[:, 0, 1] * along[:, 1, 0]).abs()
            return (spacing * (texels / area.clamp_min(1e-20)).sqrt()).clamp_min(1).log2()

        places = None if uvs is None else (uvs * weights[..., None]).sum(1)
        self.points = SurfacePoints(torch.zeros(len(face), 3), places, level)

    def base_and_glow(self, tint: Tensor) -> Tensor:
        """(K, 3) linear light."""
        look = self.material(self.points)
        base = look.base_colour * tint
        return base if look.emission is None else base + look.emission
