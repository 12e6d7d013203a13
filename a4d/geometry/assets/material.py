"""Surface appearance in the metallic-roughness model of glTF 2.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

PICTURE_FIELDS = (
    "base_colour_map",
    "normal_map",
    "metallic_roughness_map",
    "occlusion_map",
    "emission_map",
    "transmission_map",
)
"""Of a material."""

Wrap = Literal["repeat", "clamp", "mirror"]
AlphaMode = Literal["opaque", "mask", "blend"]


@dataclass(frozen=True)
class TextureMap:
    """A picture laid over a surface.

    Args:
        image: (H, W, 3) or (H, W, 4) in [0, 1] as stored: sRGB for colours, linear for everything else. Its upper left
            corner is at texture coordinates (0, 0), its lower right at (1, 1).
        uv_set: which of the mesh's texture coordinates it uses.
        wrap: outside [0, 1], along u and v.
        is_smooth: interpolated between texels rather than nearest.
        transform: (2, 3) affine that maps the mesh's coordinates to the picture's.
    """

    image: Tensor
    uv_set: int
    wrap: tuple[Wrap, Wrap]
    is_smooth: bool
    transform: Tensor


@dataclass(frozen=True)
class Material:
    """Factors in linear light, each multiplied with its texture where there is one.

    Args:
        name: as in the file, may be empty.
        base_colour: red, green, blue, alpha.
        base_colour_map: sRGB.
        metallic: 0 dielectric to 1 metal.
        roughness: 0 mirror to 1 matt.
        metallic_roughness_map: roughness in green, metallic in blue.
        normal_map: tangent space, x, y, z from [0, 1] to [-1, 1], +y up the texture.
        normal_scale: applied to x and y of the normal map.
        occlusion_map: in red.
        occlusion_strength: 0 ignores the map.
        emission: red, green, blue, may exceed 1.
        emission_map: sRGB.
        alpha_mode: whether alpha is ignored, thresholded or blended.
        alpha_cutoff: the threshold of "mask".
        is_double_sided: back faces are seen, with reversed normals.
        is_unlit: the base colour is shown without shading.
        transmission: share of the light that passes a thin wall instead of being scattered; metal lets none pass.
        transmission_map: in red.
        extensions: of the material, by name, that are kept for files alone: values as in JSON; in a reference to a
            texture, `index` is the TextureMap.
    """

    name: str = ""
    base_colour: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    base_colour_map: TextureMap | None = None
    metallic: float = 1.0
    roughness: float = 1.0
    metallic_roughness_map: TextureMap | None = None
    normal_map: TextureMap | None = None
    normal_scale: float = 1.0
    occlusion_map: TextureMap | None = None
    occlusion_strength: float = 1.0
    emission: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emission_map: TextureMap | None = None
    alpha_mode: AlphaMode = "opaque"
    alpha_cutoff: float = 0.5
    is_double_sided: bool = False
    is_unlit: bool = False
    transmission: float = 0.0
    transmission_map: TextureMap | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_opaque(self) -> bool:
        """Whether nothing behind the surface can be seen."""
        return self.alpha_mode == "opaque" and not self.transmission
