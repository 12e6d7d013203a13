"""The materials of files, sampled where a surface is seen."""

from __future__ import annotations

import torch
from torch import Tensor

from a4d.geometry.assets.material import PICTURE_FIELDS, Material, TextureMap
from a4d.render.shaded_mesh import SurfacePoints
from a4d.render.shading import SurfaceMaterial, decode_srgb
from a4d.render.texture import MipMap


class TexturedMaterial:
    """Evaluates factors and pictures at points; colours are decoded before they are averaged into mip levels.

    Args:
        material: all its pictures use one set of texture coordinates, which the caller gives to the renderer.
    """

    def __init__(self, material: Material) -> None:
        self.material = material
        self._colours = {
            name: MipMap.of(decode_srgb(picture.image[..., :3]))
            for name in ("base_colour_map", "emission_map")
            if (picture := getattr(material, name)) is not None
        }
        self._linear = {
            name: MipMap.of(picture.image[..., :3])
            for name in ("metallic_roughness_map", "normal_map", "occlusion_map", "transmission_map")
            if (picture := getattr(material, name)) is not None
        }
        picture = material.base_colour_map
        has_alpha = material.alpha_mode != "opaque" and picture is not None and picture.image.shape[-1] == 4
        self._alpha = MipMap.of(picture.image[..., 3:]) if has_alpha and picture is not None else None

    def __call__(self, points: SurfacePoints) -> SurfaceMaterial:
        """The material at the points of a view, differentiable by the pictures."""
        material, like = self.material, points.positions
        count = len(like)
        base = like.new_tensor(material.base_colour[:3]).expand(count, 3)
        colour = self._sampled("base_colour_map", points)
        emission = like.new_tensor(material.emission).expand(count, 3)
        glow = self._sampled("emission_map", points)
        roughness = like.new_full((count,), material.roughness)
        factors = self._sampled("metallic_roughness_map", points)
        if factors is not None:
            roughness = roughness * factors[:, 1]
        shadow = self._sampled("occlusion_map", points)
        normal = self._sampled("normal_map", points)
        if normal is not None:
            scale = normal.new_tensor([material.normal_scale, material.normal_scale, 1.0])
            normal = (normal * 2 - 1) * scale / 2 + 0.5
        return SurfaceMaterial(
            base if colour is None else base * colour,
            self._metallic(points, factors),
            roughness,
            None if shadow is None else 1 + material.occlusion_strength * (shadow[:, 0] - 1),
            emission if glow is None else emission * glow,
            normal,
        )

    @property
    def uv_set(self) -> int | None:
        """The texture coordinates that its pictures use, or None where it has no picture."""
        maps = (getattr(self.material, field) for field in PICTURE_FIELDS)
        return next((map_.uv_set for map_ in maps if map_ is not None), None)

    def alpha(
        self,
        points: SurfacePoints,
        tint: Tensor | None = None,  # (P,) alpha of the vertex colours
    ) -> Tensor:
        """(P,) how much of the light behind the points is hidden, by the material's alpha mode."""
        material, like = self.material, points.positions
        if material.alpha_mode == "opaque":
            return like.new_ones(len(like))
        alpha = like.new_full((len(like),), material.base_colour[3])
        if self._alpha is not None and material.base_colour_map is not None and points.uvs is not None:
            alpha = alpha * _sample(material.base_colour_map, self._alpha, points, points.uvs)[:, 0]
        alpha = alpha if tint is None else alpha * tint
        return (alpha >= material.alpha_cutoff).to(like) if material.alpha_mode == "mask" else alpha

    def transmission(self, points: SurfacePoints) -> Tensor:
        """(P,) how much of the light behind the points passes straight through, as through a thin pane of glass."""
        share = points.positions.new_full((len(points.positions),), self.material.transmission)
        texels = self._sampled("transmission_map", points)
        share = share if texels is None else share * texels[:, 0]
        return share * (1 - self._metallic(points, self._sampled("metallic_roughness_map", points)))

    def _metallic(self, points: SurfacePoints, factors: Tensor | None) -> Tensor:
        """(P,) from samples of the metallic-roughness picture, if there is one."""
        metallic = points.positions.new_full((len(points.positions),), self.material.metallic)
        return metallic if factors is None else metallic * factors[:, 2]

    def _sampled(self, name: str, points: SurfacePoints) -> Tensor | None:
        """(P, 3) linear samples of one of the pictures, or None where there is none."""
        picture: TextureMap | None = getattr(self.material, name)
        if picture is None or points.uvs is None:
            return None
        return _sample(picture, (self._colours | self._linear)[name], points, points.uvs)


def _sample(picture: TextureMap, mip_map: MipMap, points: SurfacePoints, uvs: Tensor) -> Tensor:
    """(P, C) samples at texture coordinates (P, 2), as the picture's transform, wrap and filter say."""
    transform = picture.transform.to(uvs)
    uv = uvs @ transform[:, :2].T + transform[:, 2]
    if not picture.is_smooth:
        size = uv.new_tensor([mip_map.sizes[0][1], mip_map.sizes[0][0]])
        return mip_map.sample(((uv * size).floor() + 0.5) / size, torch.zeros_like(uv[:, 0]), picture.wrap)
    scale = torch.linalg.det(transform[:, :2]).abs().clamp(min=1e-12).log2() / 2
    return mip_map.sample(uv, points.mip_level(mip_map.sizes[0]) + scale, picture.wrap)
