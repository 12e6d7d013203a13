"""Images of meshes with materials: lit, or one of the plain views that losses and previews look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.geometry.mesh import Mesh
from a4d.geometry.surfaces.tangents import corner_tangents
from a4d.render.environment import EnvironmentLight
from a4d.render.mesh import AMBIENT, UNPAINTED
from a4d.render.mesh_gradients import MeshView
from a4d.render.render import Channel, Render, Shading, Wants, split_signals
from a4d.render.shading import SurfaceMaterial, displaced, encode_srgb, facing, perturbed, shade
from a4d.render.texture import mip_level

MATERIAL_CHANNELS: frozenset[Channel] = frozenset({"normal", "position"})
"""What can be asked for of any surface."""


@dataclass(frozen=True)
class SurfacePoints:
    """The P covered pixels of a view, in the order of `Fragments.is_covered`.

    Args:
        positions: (P, 3) world, metres.
        uvs: (P, 2) texture coordinates, or None.
        mip_level: for a picture of any size, the level at a texture of height and width `size`; needs uvs.
    """

    positions: Tensor
    uvs: Tensor | None
    mip_level: Callable[[tuple[int, int]], Tensor]


@dataclass(frozen=True)
class TextureCoordinates:
    """Where a mesh's corners lie on its pictures.

    Args:
        uvs: (U, 2) u right and v down, [0, 1] over the picture.
        faces: (F, 3) rows of uvs at the corners of each face.
    """

    uvs: Tensor
    faces: Tensor


@dataclass(frozen=True)
class CornerNormals:
    """Normals that a surface brings along, which may differ between faces that meet in a sharp edge.

    Args:
        normals: (N, 3) unit.
        faces: (F, 3) rows of normals at the corners of each face.
    """

    normals: Tensor
    faces: Tensor


def render_material(
    view: MeshView,
    mesh: Mesh,
    material: Callable[[SurfacePoints], SurfaceMaterial],
    light: EnvironmentLight | Callable[[], EnvironmentLight],
    mode: Shading = "shaded",
    coordinates: TextureCoordinates | None = None,
    wants: Wants = (),
    given_normals: CornerNormals | None = None,
) -> Render:
    """Images over black with gradients by shape, material and light; both sides of every face are seen.

    Args:
        view: of the mesh.
        mesh: its vertices carry the gradient of positions and normals.
        material: what the surface is made of at given points, such as a network's output or samples of textures.
        light: for "shaded"; a function is asked for it in that mode alone.
        mode: "albedo" is the base colour, "lambertian" the base colour with a light at the camera, "textureless" a
            grey surface with the same light, "normal" the shading normals in the world from [-1, 1] to [0, 1].
        coordinates: needed by textures and normal maps.
        wants: channels of `MATERIAL_CHANNELS`; normals are those that light falls on, toward the camera.
        given_normals: of the surface, in place of the means over the faces around each vertex.
    """
    seen = view.fragments.is_covered
    shared = [mesh.vertices, mesh.vertex_normals, torch.ones_like(mesh.vertices[:, :1])]
    plain = torch.cat([part.float() for part in shared], dim=-1).expand(len(view.cameras), -1, -1)
    image = view.interpolate(torch.cat([plain, view.in_camera[..., 2:].to(plain)], dim=-1))
    own = image[..., 3:6] if given_normals is None else view.interpolate(given_normals.normals, given_normals.faces)
    positions, normals = image[seen][:, :3], normalize(own[seen], dim=-1)
    camera = view.cameras.positions.to(positions)[seen.nonzero()[:, 0]]
    toward_camera = normalize(camera - positions, dim=-1)
    normals = facing(normals, toward_camera)
    uvs = None if coordinates is None else view.interpolate(coordinates.uvs, coordinates.faces)[seen]

    def level(size: tuple[int, int]) -> Tensor:
        if coordinates is None:
            raise ValueError("a mesh without texture coordinates has no mip levels")
        return mip_level(view, coordinates.uvs, coordinates.faces, size)

    surface = material(SurfacePoints(positions, uvs, level))
    normals = _with_relief(normals, surface, view, mesh, coordinates)
    rgb = _colours(mode, surface, normals, toward_camera, light)
    shown: dict[str, Tensor] = {name: {"normal": normals, "position": positions}[name] for name in sorted(wants)}
    flat = torch.cat([rgb, *shown.values()], dim=-1)
    colours = flat.new_zeros(*seen.shape, flat.shape[-1]).index_put((seen,), flat)
    blended = view.antialias(torch.cat([colours, image[..., 6:]], dim=-1))
    rgb, signals, alpha, depth = blended.split([3, flat.shape[-1] - 3, 1, 1], dim=-1)
    channels = split_signals(signals, shown)
    return Render(rgb, alpha, depth / alpha.clamp(min=1e-6), channels)


def _with_relief(
    normals: Tensor,  # (P, 3) unit, at the covered pixels
    surface: SurfaceMaterial,
    view: MeshView,
    mesh: Mesh,
    coordinates: TextureCoordinates | None,
) -> Tensor:
    """(P, 3) normals as the material's normal map and its offset turn them."""
    if surface.normal is not None and coordinates is not None:
        corners = corner_tangents(mesh.vertices, view.faces, coordinates.uvs, coordinates.faces)
        tangents = view.interpolate(corners, coordinates.faces)[view.fragments.is_covered]
        normals = perturbed(normals, tangents, surface.normal)
    return normals if surface.normal_offset is None else displaced(normals, surface.normal_offset)


def _colours(
    mode: Shading,
    surface: SurfaceMaterial,
    normals: Tensor,
    toward_camera: Tensor,
    light: EnvironmentLight | Callable[[], EnvironmentLight],
) -> Tensor:
    """(P, 3) sRGB."""
    if mode == "albedo":
        return encode_srgb(surface.base_colour)
    if mode == "normal":
        return normals * 0.5 + 0.5
    if mode in ("lambertian", "textureless"):
        cosine = (normals * toward_camera).sum(-1, keepdim=True).clamp(min=0)
        # As in previews of meshes, the light multiplies what is encoded.
        light_sent = AMBIENT + (1 - AMBIENT) * cosine
        if mode == "textureless":
            return (UNPAINTED * light_sent).expand(-1, 3)
        return encode_srgb(surface.base_colour) * light_sent
    return encode_srgb(
        shade(surface, normals, toward_camera, light if isinstance(light, EnvironmentLight) else light())
    )
