"""Pictures of assets with all their materials: what a camera would see, with soft edges, exact depth and alpha."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from a4d.geometry.assets.asset import Asset
from a4d.geometry.assets.posing import PosedMesh
from a4d.geometry.cameras import Cameras
from a4d.geometry.surfaces.tangents import corner_tangents
from a4d.geometry.transforms import transform_points
from a4d.render.environment import EnvironmentLight, studio
from a4d.render.mesh import NEAR, rasterise_in_camera
from a4d.render.mesh_gradients import MeshView
from a4d.render.shaded_mesh import SurfacePoints
from a4d.render.shading import SurfaceMaterial, decode_srgb, encode_srgb, facing, perturbed, shade
from a4d.render.texture import footprint_level, footprints
from a4d.render.textured_material import TexturedMaterial

Lighting = Literal["unlit", "shaded"]

MOST_LAYERS = 8
"""See-through surfaces behind each other; what lies deeper is hardly seen."""

OPAQUE = 0.999

SHORTEST_NORMAL = 1e-6
"""Of the interpolated normals, which are of unit length at the corners."""


@dataclass(frozen=True)
class Picture:
    """What one camera sees.

    Args:
        rgba: (H, W, 4) sRGB in [0, 1], straight alpha, black where nothing is seen.
        depth: (H, W) along the viewing axis at the pixel's centre, metres; 0 where nothing is seen.
        normal: (H, W, 3) unit, world, of the surface that `depth` is of, on the side that is seen and without normal
            maps; 0 where nothing is seen. None where it was not wanted.
    """

    rgba: Tensor
    depth: Tensor
    normal: Tensor | None = None


class AssetRenderer:
    """Renders an asset's surface at any moment; the result carries no gradient.

    Textures are filtered by mip levels, and each pixel is the mean over samples, so that neither flickers. Surfaces
    that are seen through are peeled layer by layer. What transmits light is there and hides the background; like a thin
    pane it tints the surface behind it, without bending light, or the white that counts as behind everything.

    Args:
        asset: gives materials.
        lighting: "unlit" shows base colours and what glows, which look alike from everywhere; "shaded" lights them.
        light: for "shaded"; the built-in studio where it is None.
        samples: per pixel and axis.
    """

    def __init__(
        self, asset: Asset, lighting: Lighting = "unlit", light: EnvironmentLight | None = None, samples: int = 2
    ) -> None:
        self.materials = [TexturedMaterial(material) for material in asset.materials]
        self.light = None if lighting == "unlit" else light or studio()
        self.samples = samples

    def render(self, surface: PosedMesh, camera: Cameras, *, with_normal: bool = False) -> Picture:
        """The picture of a single camera."""
        with torch.no_grad():
            fine = camera.resized(camera.width * self.samples, camera.height * self.samples)
            colour, through = self._composite(surface, fine)
            premultiplied = torch.cat([colour, 1 - through[..., None]], dim=-1)
            resolved = avg_pool2d(premultiplied.permute(2, 0, 1)[None], self.samples)[0].permute(1, 2, 0)
            alpha = resolved[..., 3:]
            straight = torch.where(alpha > 0, resolved[..., :3] / alpha.clamp_min(1e-6), 0.0)
            rgba = torch.cat([straight, alpha], dim=-1).clamp(0, 1)
            geometry = self._geometry(surface, camera, with_normal=with_normal)
            return Picture(rgba, geometry[..., 0], geometry[..., 1:] if with_normal else None)

    def _composite(self, surface: PosedMesh, camera: Cameras) -> tuple[Tensor, Tensor]:
        """(H, W, 3) sRGB premultiplied, and (H, W) the share of a pixel that no surface covers."""
        count = camera.height * camera.width
        bare, through, colour = torch.ones(count), torch.ones(count, 3), torch.zeros(count, 3)
        for view in self._layers(surface, camera):
            samples, pixel = SurfaceSamples.seen(surface, view)
            rgb, alpha, passed = self.shade(samples)
            colour.index_add_(0, pixel, through[pixel] * rgb)
            through[pixel] *= passed
            bare[pixel] *= 1 - alpha
            if bool((through[pixel] <= 1 - OPAQUE).all()):
                break
        size = (camera.height, camera.width)
        return (colour + through - bare[:, None]).view(*size, 3), bare.view(size)

    def _geometry(self, surface: PosedMesh, camera: Cameras, *, with_normal: bool) -> Tensor:
        """(H, W, 1) depth, or (H, W, 4) with its normal.

        They are of the first surface that hides at least half of what is behind it, else of the first at all.
        """
        solid, nearest = torch.zeros(2, camera.height * camera.width, 4 if with_normal else 1)
        is_opaque = self._is_opaque(surface)
        for view in self._layers(surface, camera):
            samples, pixel = SurfaceSamples.seen(surface, view)
            values = view.fragments.depth.flatten()[pixel, None]
            if with_normal:
                values = torch.cat([values, samples.seen_normals()], dim=-1)
            whole = torch.ones(len(samples))
            hidden = (whole, whole) if is_opaque else self._hidden(samples)
            for found, share in zip((nearest, solid), hidden, strict=True):
                first = (share >= 0.5) & (found[pixel, 0] == 0)
                found[pixel[first]] = values[first]
            if bool((solid[pixel, 0] > 0).all()):
                break
        return torch.where(solid[:, :1] > 0, solid, nearest).view(camera.height, camera.width, -1)

    def _is_opaque(self, surface: PosedMesh) -> bool:
        shown = surface.materials.bincount(minlength=len(self.materials)) > 0
        return all(
            material.material.is_opaque
            for material, is_shown in zip(self.materials, shown.tolist(), strict=True)
            if is_shown
        )

    def _layers(self, surface: PosedMesh, camera: Cameras) -> Iterator[MeshView]:
        """The surfaces seen at each pixel, from front to back; one where nothing is see-through."""
        vertices = transform_points(camera.camera_from_world.double(), surface.vertices.double()[None])
        beyond: Tensor | None = None
        for _ in range(1 if self._is_opaque(surface) else MOST_LAYERS):
            fragments = rasterise_in_camera(vertices, surface.faces, camera, NEAR, beyond)
            if not bool(fragments.is_covered.any()):
                return
            yield MeshView(vertices, surface.faces, camera, fragments, NEAR)
            # Depths are rounded; without a small step the same surface would be found again.
            beyond = torch.where(fragments.is_covered, fragments.depth * (1 + 1e-6), torch.inf)

    def shade(self, samples: SurfaceSamples) -> tuple[Tensor, Tensor, Tensor]:
        """(P, 3) premultiplied sRGB and (P,) alpha of samples, and (P, 3) the share of the sRGB behind that passes."""
        rgb, alpha, passed = torch.zeros(len(samples), 3), torch.ones(len(samples)), torch.zeros(len(samples), 3)
        colours = samples.colours
        for index, chosen in samples.by_material(len(self.materials)):
            material = self.materials[index]
            points = samples.points(chosen, material.uv_set)
            look = material(points)
            if colours is not None:
                look = replace(look, base_colour=look.base_colour * decode_srgb(colours[chosen, :3]))
            own = encode_srgb(self._light(samples, chosen, material, look))
            if not material.material.is_opaque:
                alpha[chosen] = material.alpha(points, None if colours is None else colours[chosen, 3])
                transmitted = alpha[chosen] * material.transmission(points)
                passed[chosen] = 1 - alpha[chosen, None] + transmitted[:, None] * encode_srgb(look.base_colour)
                own *= (alpha[chosen] - transmitted)[:, None]
            rgb[chosen] = own
        return rgb, alpha, passed

    def _light(
        self, samples: SurfaceSamples, chosen: Tensor, material: TexturedMaterial, look: SurfaceMaterial
    ) -> Tensor:
        """(K, 3) linear light that chosen samples of one material send to the eye."""
        if self.light is None or material.material.is_unlit:
            return look.base_colour if look.emission is None else look.base_colour + look.emission
        toward_eye = samples.toward_eye(chosen)
        normals = facing(samples.normals(chosen), toward_eye)
        if look.normal is not None and material.uv_set is not None:
            normals = perturbed(normals, samples.tangents(chosen, material.uv_set), look.normal)
        return shade(look, normals, toward_eye, self.light)

    def _hidden(self, samples: SurfaceSamples) -> tuple[Tensor, Tensor]:
        """(P,) how much of the background is hidden, and (P,) how much of surfaces behind."""
        alpha, opacity, colours = torch.ones(len(samples)), torch.ones(len(samples)), samples.colours
        for index, chosen in samples.by_material(len(self.materials)):
            material = self.materials[index]
            points = samples.points(chosen, material.uv_set)
            alpha[chosen] = material.alpha(points, None if colours is None else colours[chosen, 3])
            opacity[chosen] = alpha[chosen] * (1 - material.transmission(points))
        return alpha, opacity


class SurfaceSamples:
    """P places on a surface, and what is known there.

    Args:
        surface: at a moment.
        face: (P,) int64.
        weights: (P, 3) barycentric, of the face's corners.
        footprint: for a set of texture coordinates, (P, 2, 2) change of u, v along the axes of each sample's extent.
        eye: (3,) from where the samples are looked at; None is from straight above each.
    """

    def __init__(
        self,
        surface: PosedMesh,
        face: Tensor,
        weights: Tensor,
        footprint: Callable[[int], Tensor],
        eye: Tensor | None = None,
    ) -> None:
        self.surface, self.face, self.weights, self.eye = surface, face, weights, eye
        self.corners = surface.faces[face]
        self._footprint = functools.lru_cache(maxsize=None)(footprint)

    @classmethod
    def seen(cls, surface: PosedMesh, view: MeshView) -> tuple[SurfaceSamples, Tensor]:
        """What a single view shows, and the (P,) indices of its pixels."""
        fragments = view.fragments
        pixel = fragments.is_covered.flatten().nonzero()[:, 0]
        samples = cls(
            surface,
            fragments.face.flatten()[pixel],
            fragments.barycentric.flatten(0, 2)[pixel],
            lambda uv_set: footprints(view, surface.uvs[uv_set], surface.faces).float(),
            view.cameras.positions[0],
        )
        return samples, pixel

    def __len__(self) -> int:
        return len(self.face)

    def by_material(self, count: int) -> Iterator[tuple[int, Tensor]]:
        """Each of the materials that is met, with the (K,) samples that it has."""
        materials = self.surface.materials[self.face]
        for index in (materials.bincount(minlength=count) > 0).nonzero()[:, 0].tolist():
            yield index, (materials == index).nonzero()[:, 0]

    def interpolate(self, attribute: Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
        """(K, C) values at samples of a (V, C) attribute."""
        weights, corners = self.weights[chosen], self.corners[chosen]
        parts = (weights[:, i, None] * attribute.index_select(0, corners[:, i]) for i in range(3))
        return sum(parts, torch.zeros(()))

    @property
    def colours(self) -> Tensor | None:
        """(P, 4) vertex colours, sRGB and alpha; None where all are opaque white."""
        return None if bool((self.surface.colours == 1).all()) else self.interpolate(self.surface.colours)

    def normals(self, chosen: Tensor) -> Tensor:
        """(K, 3) unit; the face's own where those of its corners are zero or cancel out."""
        normals = self.interpolate(self.surface.normals, chosen)
        is_lost = normals.norm(dim=-1) < SHORTEST_NORMAL
        if bool(is_lost.any()):
            normals[is_lost] = self.face_normals(chosen[is_lost]).to(normals)
        return normalize(normals, dim=-1)

    def face_normals(self, chosen: Tensor) -> Tensor:
        """(K, 3) unit, float64, of the faces themselves."""
        a, b, c = self.surface.vertices[self.corners[chosen]].double().unbind(1)
        return normalize(torch.linalg.cross(b - a, c - a, dim=-1), dim=-1, eps=1e-300)

    def seen_normals(self) -> Tensor:
        """(P, 3) unit, of the side that is seen of each face; near an outline they may point past the eye."""
        every = torch.arange(len(self))
        is_back = (self.face_normals(every) * self.toward_eye(every)).sum(-1, keepdim=True) < 0
        return torch.where(is_back, -self.normals(every), self.normals(every))

    def toward_eye(self, chosen: Tensor) -> Tensor:
        """(K, 3) unit."""
        if self.eye is None:
            return self.normals(chosen)
        return normalize(self.eye - self.interpolate(self.surface.vertices, chosen), dim=-1)

    def points(self, chosen: Tensor, uv_set: int | None) -> SurfacePoints:
        """Where (K,) samples lie on the pictures of their material."""
        # Materials of files do not depend on the place in the world.
        positions = torch.zeros(1, 3).expand(len(chosen), 3)
        if uv_set is None or uv_set >= len(self.surface.uvs):
            return SurfacePoints(positions, None, lambda size: torch.zeros(len(positions)))
        footprint = self._footprint(uv_set)[chosen]
        uvs = self.interpolate(self.surface.uvs[uv_set], chosen)
        return SurfacePoints(positions, uvs, lambda size: footprint_level(footprint, size))

    def tangents(self, chosen: Tensor, uv_set: int) -> Tensor:
        """(K, 4) of the file, or where it has none by the texture coordinates."""
        surface = self.surface
        given = self.interpolate(surface.tangents, chosen)
        found = corner_tangents(surface.vertices, surface.faces, surface.uvs[uv_set], surface.faces)
        has_own = given[:, :3].norm(dim=-1, keepdim=True) > 0.1
        return torch.where(has_own, given, self.interpolate(found, chosen))


def is_colourless(asset: Asset) -> bool:
    """Whether nothing but shading could show the shape of what an asset's scene contains."""
    primitives = [primitive for instance in asset.instances for primitive in asset.meshes[instance.mesh].primitives]
    looks = {asset.materials[primitive.material].base_colour[:3] for primitive in primitives}
    return len(looks) <= 1 and not any(
        primitive.colours is not None
        or (asset.materials[primitive.material].base_colour_map is not None and len(primitive.uvs))
        for primitive in primitives
    )
