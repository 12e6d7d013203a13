"""Materials and their pictures as parts of a binary glTF file."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch import Tensor

from a4d.geometry.assets.material import Material, TextureMap
from a4d.io.arrays import numpy_from_tensor
from a4d.io.assets.glb import GlbBuilder
from a4d.io.pictures.images import to_bytes

WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}
LINEAR, NEAREST, LINEAR_MIPMAP_LINEAR = 9729, 9728, 9987
IDENTITY_TRANSFORM = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are embedded.

    Args:
        format: "png" keeps every sample; "jpeg" is smaller and has no alpha, so that pictures with alpha stay PNG.
        jpeg_quality: 1 to 95.
    """

    format: Literal["png", "jpeg"] = "png"
    jpeg_quality: int = 92


@dataclass(frozen=True)
class MaterialWriter:
    """Adds materials to a file; a picture that several of them use is stored once.

    Args:
        builder: of the file.
        options: how pictures are embedded.
    """

    builder: GlbBuilder
    options: PictureOptions = field(default_factory=PictureOptions)
    _images: dict[int, int] = field(default_factory=dict)
    _samplers: dict[tuple[int, int, bool], int] = field(default_factory=dict)
    _textures: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, material: Material) -> int:
        """Add a material and the pictures it needs; returns its index."""
        item: dict[str, Any] = {"name": material.name} if material.name else {}
        item["pbrMetallicRoughness"] = self._surface(material)
        for key, map_, use, factors in (
            ("normalTexture", material.normal_map, "normal", {"scale": material.normal_scale}),
            ("occlusionTexture", material.occlusion_map, "occlusion", {"strength": material.occlusion_strength}),
            ("emissiveTexture", material.emission_map, "emission", {}),
        ):
            if map_ is not None:
                item[key] = {**self._texture(map_, f"{material.name} {use}"), **factors}
        if any(material.emission):
            # Factors end at 1; what shines brighter needs an extension.
            item["emissiveFactor"] = [channel / max(1.0, *material.emission) for channel in material.emission]
        extensions = self._extensions(material)
        if extensions:
            item["extensions"] = extensions
        for name in extensions:
            self.builder.use_extension(name)
        if material.alpha_mode != "opaque":
            item["alphaMode"] = material.alpha_mode.upper()
        if material.alpha_mode == "mask":
            item["alphaCutoff"] = material.alpha_cutoff
        if material.is_double_sided:
            item["doubleSided"] = True
        return self.builder.append("materials", item)

    def _surface(self, material: Material) -> dict[str, Any]:
        surface: dict[str, Any] = {
            "baseColorFactor": list(material.base_colour),
            "metallicFactor": material.metallic,
            "roughnessFactor": material.roughness,
        }
        if material.base_colour_map is not None:
            surface["baseColorTexture"] = self._texture(material.base_colour_map, f"{material.name} base colour")
        if material.metallic_roughness_map is not None:
            use = f"{material.name} metallic roughness"
            surface["metallicRoughnessTexture"] = self._texture(material.metallic_roughness_map, use)
        return surface

    def _extensions(self, material: Material) -> dict[str, Any]:
        """What the core of the format has no room for, by extension."""
        extensions: dict[str, Any] = {}
        if max(material.emission) > 1:
            extensions["KHR_materials_emissive_strength"] = {"emissiveStrength": max(material.emission)}
        if material.is_unlit:
            extensions["KHR_materials_unlit"] = {}
        transmission: dict[str, Any] = {"transmissionFactor": material.transmission} if material.transmission else {}
        if material.transmission_map is not None:
            transmission["transmissionTexture"] = self._texture(
                material.transmission_map, f"{material.name} transmission"
            )
        # A volume is nothing that light would get into without it.
        if transmission or "KHR_materials_volume" in material.extensions:
            extensions["KHR_materials_transmission"] = transmission
        for name, values in material.extensions.items():
            extensions[name] = self._carried(values, f"{material.name} {name}")
        return extensions

    def _carried(self, value: Any, use: str) -> Any:
        """A value of an extension with references to this file's textures in place of the textures themselves."""
        if isinstance(value, list):
            return [self._carried(element, use) for element in value]
        if not isinstance(value, dict):
            return value
        members = {key: self._carried(member, use) for key, member in value.items() if key != "index"}
        return {**members, **self._texture(value["index"], use)} if "index" in value else members

    def _texture(self, map_: TextureMap, name: str) -> dict[str, Any]:
        """The reference to a texture, with its picture and sampler added where they are new."""
        image = _once(self._images, id(map_.image), lambda: self._add_picture(map_.image, name.strip()))
        wrap_s, wrap_t = (WRAPS[wrap] for wrap in map_.wrap)
        sampler = _once(
            self._samplers,
            (wrap_s, wrap_t, map_.is_smooth),
            lambda: self.builder.append(
                "samplers",
                {
                    "magFilter": LINEAR if map_.is_smooth else NEAREST,
                    "minFilter": LINEAR_MIPMAP_LINEAR if map_.is_smooth else NEAREST,
                    "wrapS": wrap_s,
                    "wrapT": wrap_t,
                },
            ),
        )
        texture = _once(
            self._textures,
            (image, sampler),
            lambda: self.builder.append("textures", {"source": image, "sampler": sampler}),
        )
        info: dict[str, Any] = {"index": texture}
        if map_.uv_set:
            info["texCoord"] = map_.uv_set
        if map_.transform.tolist() != IDENTITY_TRANSFORM:
            self.builder.use_extension("KHR_texture_transform")
            info["extensions"] = {"KHR_texture_transform": texture_transform(map_.transform)}
        return info

    def _add_picture(self, image: Tensor, name: str) -> int:
        samples = to_bytes(numpy_from_tensor(image))
        is_jpeg = self.options.format == "jpeg" and samples.shape[-1] == 3
        stream = io.BytesIO()
        if is_jpeg:
            # Full chroma resolution: these pictures may hold directions rather than colours.
            Image.fromarray(samples).save(stream, "JPEG", quality=self.options.jpeg_quality, subsampling=0)
        else:
            Image.fromarray(samples).save(stream, "PNG")
        view = self.builder.add_bytes(stream.getvalue())
        kind = "image/jpeg" if is_jpeg else "image/png"
        return self.builder.append("images", {"name": name, "mimeType": kind, "bufferView": view})


def _once(known: dict[Any, int], key: Any, add: Callable[[], int]) -> int:
    if key not in known:
        known[key] = add()
    return known[key]


def texture_transform(
    transform: Tensor,  # (2, 3) affine, without shear
) -> dict[str, Any]:
    """The offset, rotation and scale of KHR_texture_transform that make up an affine map of texture coordinates."""
    (a, b, u), (c, d, v) = np.asarray(transform, dtype=np.float64).tolist()
    width, height = math.hypot(a, c), math.hypot(b, d)
    # A column that vanishes says nothing about the rotation.
    rotation = math.atan2(-c, a) if width else math.atan2(b, d)
    return {
        "offset": [u, v],
        "rotation": rotation,
        "scale": [width, -height if a * d - b * c < 0 else height],
    }
