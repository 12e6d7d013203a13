"""Physically based shading in the metallic-roughness model of glTF 2.0, lit by an environment.

What single scattering between microfacets loses at high roughness is given back (Turquin 2019, Practical multiple
scattering compensation for microfacet models), and the matt part receives only what the shine leaves over: a white
surface in a white environment is exactly as bright as the environment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.render.environment import EnvironmentLight, specular_factors

DIELECTRIC = 0.04
"""Reflectance at normal incidence of everything that is not metal (glTF 2.0, appendix B)."""


@dataclass(frozen=True)
class SurfaceMaterial:
    """Material at P points of a surface.

    Args:
        base_colour: (P, 3) linear in [0, 1].
        metallic: (P,) in [0, 1].
        roughness: (P,) in [0, 1].
        occlusion: (P,) how much of the ambient light arrives, 1 where all does; None is 1.
        emission: (P, 3) linear; None is none.
        normal: (P, 3) tangent-space normals as stored, x, y, z from [0, 1]; None leaves the surface's own.
        normal_offset: (P, 3) along the world's axes; what of it lies across the normal is added to it. None adds none.
    """

    base_colour: Tensor
    metallic: Tensor
    roughness: Tensor
    occlusion: Tensor | None = None
    emission: Tensor | None = None
    normal: Tensor | None = None
    normal_offset: Tensor | None = None


def shade(
    material: SurfaceMaterial,
    normals: Tensor,  # (P, 3) unit, on the side of the viewer
    toward_camera: Tensor,  # (P, 3) unit
    light: EnvironmentLight,
) -> Tensor:
    """Linear light sent to the camera, differentiable by everything.

    Returns:
        (P, 3), not negative, may exceed 1.
    """
    cosine = (normals * toward_camera).sum(-1).clamp(1e-4, 1)
    mirrored = 2 * cosine[:, None] * normals - toward_camera
    scale, offset = (part[:, None] for part in specular_factors(cosine, material.roughness))
    directional = scale + offset

    def shine(reflectance: Tensor | float) -> Tensor:
        return (reflectance * scale + offset) * (1 + reflectance * (1 / directional.clamp(min=1e-4) - 1))

    metallic = material.metallic[:, None]
    dielectric = shine(DIELECTRIC)
    specular = dielectric + metallic * (shine(material.base_colour) - dielectric)
    diffuse = (1 - metallic) * (1 - dielectric) * material.base_colour
    radiance = diffuse * light.diffuse(normals) + specular * light.specular(mirrored, material.roughness)
    if material.occlusion is not None:
        radiance = radiance * material.occlusion[:, None]
    return radiance if material.emission is None else radiance + material.emission


def facing(normals: Tensor, toward_camera: Tensor) -> Tensor:
    """Normals turned to the viewer, so that both sides of a surface look alike.

    Args:
        normals: (P, 3).
        toward_camera: (P, 3).

    Returns:
        (P, 3).
    """
    return torch.where((normals * toward_camera).sum(-1, keepdim=True) < 0, -normals, normals)


def perturbed(normals: Tensor, tangents: Tensor, stored: Tensor, strength: float = 1.0) -> Tensor:
    """Normals bent by a tangent-space normal map.

    Args:
        normals: (P, 3) unit.
        tangents: (P, 4) of `corner_tangents`, interpolated; where they are zero or along the normal nothing changes.
        stored: (P, 3) samples of the map in [0, 1]; (0.5, 0.5, 1) is flat.
        strength: of the map's x and y.

    Returns:
        (P, 3) unit.
    """
    tangent = tangents[:, :3] - normals * (tangents[:, :3] * normals).sum(-1, keepdim=True)
    tangent = normalize(tangent, dim=-1)
    bitangent = torch.linalg.cross(normals, tangent, dim=-1) * tangents[:, 3:].sign()
    x, y, z = (stored * 2 - 1).unbind(-1)
    bent = (strength * x)[:, None] * tangent + (strength * y)[:, None] * bitangent + z[:, None] * normals
    return normalize(bent, dim=-1)


def displaced(normals: Tensor, offsets: Tensor) -> Tensor:
    """Normals bent by offsets in the world, which needs no texture coordinates.

    Args:
        normals: (P, 3) unit.
        offsets: (P, 3); what of them lies along the normal does nothing.

    Returns:
        (P, 3) unit.
    """
    across = offsets - normals * (offsets * normals).sum(-1, keepdim=True)
    return normalize(normals + across, dim=-1)


def encode_srgb(linear: Tensor) -> Tensor:
    """Encode linear light of any shape as sRGB in [0, 1]; what is brighter than 1 is cut, without gradient."""
    linear = linear.clamp(0, 1)
    bright = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, bright)


def decode_srgb(srgb: Tensor) -> Tensor:
    """Decode sRGB values of any shape to linear light in [0, 1]."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
