"""Materials and the pictures that they use."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from a4d.errors import MissingInputError
from a4d.geometry.assets.material import AlphaMode, Material, TextureMap, Wrap
from a4d.io.assets.gltf import schema
from a4d.io.assets.gltf.container import Container
from a4d.io.assets.gltf.extensions import MaterialExtensions
from a4d.io.assets.gltf.resources import read_resource

FORMATS = ("PNG", "JPEG", "WEBP")
PIXEL_LIMIT = 2**26
"""8192 x 8192; larger pictures are refused by their header, before memory is asked for."""

WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
ALPHA_MODES: dict[str, AlphaMode] = {"OPAQUE": "opaque", "MASK": "mask", "BLEND": "blend"}
NEAREST = 9728

DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error)
"""What Pillow's decoders raise on damaged pictures."""


@dataclass(frozen=True)
class Pictures:
    """The images of a file.

    Args:
        samples: (H, W, 3) or (H, W, 4) float32 in [0, 1] as stored; None for those missing, and of unknown format.
        missing: those whose file does not exist, by index.
    """

    samples: list[Tensor | None]
    missing: dict[int, str]


def read_pictures(container: Container) -> Pictures:
    """All images of a file.

    Raises:
        InvalidInputError: one is damaged, larger than 67 megapixels, or outside the asset's folder.
    """
    samples: list[Tensor | None] = []
    missing: dict[int, str] = {}
    for index, image in enumerate(container.gltf.images):
        try:
            samples.append(_read_picture(container, index))
        except MissingInputError:
            samples.append(None)
            missing[index] = image.uri or ""
    return Pictures(samples, missing)


def _read_picture(container: Container, index: int) -> Tensor | None:
    image = container.gltf.images[index]
    if image.buffer_view is not None:
        content = bytes(container.view(image.buffer_view))
    elif image.uri is not None:
        content = read_resource(container.path, image.uri)
    else:
        return None
    is_known = content.startswith((b"\x89PNG", b"\xff\xd8")) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
    if not is_known:
        return None
    try:
        # Oddities of metadata and of size are Pillow's warnings; the first do not matter, the second we check.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > PIXEL_LIMIT:
                size = f"{picture.width} x {picture.height}"
                raise container.invalid(f"image {index} has {size} pixels", "Scale it to at most 8192 x 8192")
            return torch.from_numpy(_samples(picture))
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        raise container.invalid(f"image {index} is damaged or no picture") from error


def _samples(picture: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3), or (H, W, 4) where the picture has transparency."""
    if picture.mode.startswith("I"):
        grey = np.asarray(picture, dtype=np.float32) / 65535
        return np.repeat(grey[..., None], 3, axis=2)
    has_alpha = "A" in picture.mode or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if has_alpha else "RGB"), dtype=np.float32) / np.float32(255)


def material_extensions(gltf: schema.Gltf, pictures: Pictures) -> MaterialExtensions:
    """What becomes of the extensions of a file's materials."""

    def is_readable(index: int) -> bool:
        source = gltf.textures[index].picture
        return source is None or source in pictures.missing or pictures.samples[source] is not None

    return MaterialExtensions(gltf, is_readable)


def read_materials(container: Container, pictures: Pictures) -> tuple[Material, ...]:
    """The materials of a file, and after them the one of primitives that name none.

    Raises:
        InvalidInputError: a texture, image or sampler does not exist, or an image has an unknown format.
    """
    gltf = container.gltf
    for texture in gltf.textures:
        for items, index, what in (
            (gltf.images, texture.picture, "image"),
            (gltf.samplers, texture.sampler, "sampler"),
        ):
            if index is not None:
                container.item(items, index, what)
    return (*(_read_material(container, pictures, material) for material in gltf.materials), Material())


def _read_material(container: Container, pictures: Pictures, material: schema.Material) -> Material:
    def texture(info: schema.TextureInfo | None) -> TextureMap | None:
        return None if info is None else _read_texture(container, pictures, info)

    surface, normal, occlusion = material.pbr_metallic_roughness, material.normal_texture, material.occlusion_texture
    base_colour, base_colour_map = surface.base_color_factor, surface.base_color_texture
    metallic, roughness = surface.metallic_factor, surface.roughness_factor
    if (specular := material.extensions.specular_glossiness) is not None:
        # The older model has no metals; without its tinted reflections, diffuse and gloss remain.
        base_colour, base_colour_map = specular.diffuse_factor, specular.diffuse_texture
        metallic, roughness = 0.0, 1 - specular.glossiness_factor
    strength = material.extensions.emissive_strength.emissive_strength
    red, green, blue = (factor * strength for factor in material.emissive_factor)
    return Material(
        name=material.name,
        base_colour=(base_colour[0], base_colour[1], base_colour[2], base_colour[3]),
        base_colour_map=texture(base_colour_map),
        metallic=metallic,
        roughness=roughness,
        metallic_roughness_map=texture(surface.metallic_roughness_texture),
        normal_map=texture(normal),
        normal_scale=normal.scale if normal else 1.0,
        occlusion_map=texture(occlusion),
        occlusion_strength=occlusion.strength if occlusion else 1.0,
        emission=(red, green, blue),
        emission_map=texture(material.emissive_texture),
        alpha_mode=ALPHA_MODES.get(material.alpha_mode, "opaque"),
        alpha_cutoff=material.alpha_cutoff,
        is_double_sided=material.double_sided,
        is_unlit=material.extensions.unlit is not None,
        transmission=material.extensions.transmission.transmission_factor,
        transmission_map=texture(material.extensions.transmission.transmission_texture),
        extensions=material_extensions(container.gltf, pictures).carried(material, texture),
    )


def _read_texture(container: Container, pictures: Pictures, info: schema.TextureInfo) -> TextureMap | None:
    """The texture, or None where its picture is missing or belongs to an extension that we do not know."""
    texture = container.item(container.gltf.textures, info.index, "texture")
    source = texture.picture
    if source is None or source in pictures.missing:
        return None
    image = pictures.samples[source]
    if image is None:
        raise container.invalid(f"image {source} is neither PNG, JPEG nor WebP", "Convert it to PNG")
    transform = _uv_transform(info.extensions.transform)
    if not transform.isfinite().all():
        raise container.invalid(f"texture {info.index} has a transform of its coordinates that is out of range")
    sampler = schema.Sampler() if texture.sampler is None else container.gltf.samplers[texture.sampler]
    return TextureMap(
        image,
        info.uv_set,
        (WRAPS.get(sampler.wrap_s, "repeat"), WRAPS.get(sampler.wrap_t, "repeat")),
        sampler.mag_filter != NEAREST,
        transform,
    )


def _uv_transform(transform: schema.TextureTransform | None) -> Tensor:
    """(2, 3) translation @ rotation @ scale of KHR_texture_transform."""
    if transform is None:
        return torch.eye(2, 3)
    cosine, sine = math.cos(transform.rotation), math.sin(transform.rotation)
    (width, height), (u, v) = transform.scale, transform.offset
    return torch.tensor([[cosine * width, sine * height, u], [-sine * width, cosine * height, v]])
