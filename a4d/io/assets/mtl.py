"""Material libraries of Wavefront OBJ files, with the physically based extension that Blender and others read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from a4d.geometry.assets.material import Material, TextureMap
from a4d.io.arrays import numpy_from_tensor
from a4d.io.files import write_text
from a4d.io.pictures.colour import linear_from_srgb, srgb_from_linear
from a4d.io.pictures.images import write_image


def write_material_library(path: Path, materials: Sequence[Material]) -> list[str]:
    """Write materials to a `.mtl` file and their pictures as PNG files beside it.

    The base colour's factor is multiplied into its picture, since readers disagree on `Kd` beside `map_Kd`. Occlusion
    and the strength of a normal map have no place in the format.

    Args:
        path: the `.mtl` file; the pictures' names begin with its stem.
        materials: in any number, named or not.

    Returns:
        The name of each in the file.

    Raises:
        WorkspaceError: a file cannot be written.
    """
    names = _names(materials)
    blocks = []
    for name, material in zip(names, materials, strict=True):
        blocks.append("\n".join([f"newmtl {name}", *_statements(path, f"{path.stem}_{name}", material)]))
    write_text(path, "\n\n".join(blocks) + "\n")
    return names


def _names(materials: Sequence[Material]) -> list[str]:
    """Unique words without spaces."""
    names: list[str] = []
    for number, material in enumerate(materials):
        name = re.sub(r"\W+", "_", material.name).strip("_") or f"material_{number}"
        names.append(f"{name}_{number}" if name in names else name)
    return names


def _statements(path: Path, stem: str, material: Material) -> list[str]:
    diffuse = srgb_from_linear(np.array(material.base_colour[:3])) if material.base_colour_map is None else np.ones(3)
    lines = [
        "Ka 0 0 0",
        "Kd {:.6g} {:.6g} {:.6g}".format(*diffuse),
        "Ks 0 0 0",
        f"d {material.base_colour[3] if material.alpha_mode == 'blend' else 1.0:.6g}",
        "illum 1",
    ]
    if material.metallic_roughness_map is None:
        lines += [f"Pr {material.roughness:.6g}", f"Pm {material.metallic:.6g}"]
    if any(material.emission):
        lines.append("Ke {:.6g} {:.6g} {:.6g}".format(*srgb_from_linear(np.array(material.emission))))
    for keyword, use, image in _pictures(material):
        picture = f"{stem}_{use}.png"
        write_image(path.with_name(picture), numpy_from_tensor(image.clamp(0, 1)))
        lines.append(f"{keyword} {picture}")
        if use == "base_colour" and image.shape[-1] == 4:
            lines.append(f"map_d {picture}")
    return lines


def _pictures(material: Material) -> list[tuple[str, str, Tensor]]:
    """Keyword, use and (H, W, C) picture as stored, of every map that the format knows."""
    pictures = []
    if material.base_colour_map is not None:
        image = material.base_colour_map.image
        if material.base_colour[:3] != (1.0, 1.0, 1.0):
            linear = linear_from_srgb(numpy_from_tensor(image[..., :3])) * np.array(material.base_colour[:3])
            image = torch.cat([torch.from_numpy(srgb_from_linear(linear)).to(image), image[..., 3:]], dim=-1)
        pictures.append(("map_Kd", "base_colour", image if material.alpha_mode != "opaque" else image[..., :3]))
    if material.metallic_roughness_map is not None:
        factors = material.metallic_roughness_map.image
        pictures.append(("map_Pr", "roughness", factors[..., 1:2] * material.roughness))
        pictures.append(("map_Pm", "metallic", factors[..., 2:3] * material.metallic))
    if material.normal_map is not None:
        pictures.append(("norm", "normal", material.normal_map.image[..., :3]))
    if material.emission_map is not None:
        pictures.append(("map_Ke", "emission", material.emission_map.image[..., :3]))
    return pictures


def texture_of(material: Material) -> TextureMap | None:
    """The picture whose texture coordinates stand for those of all of a material's pictures, where it has any."""
    return material.base_colour_map or material.normal_map or material.metallic_roughness_map or material.emission_map
