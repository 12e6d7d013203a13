"""Extensions that are not read: those of materials that can be carried to another file, and the names of all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from a4d.geometry.assets.material import TextureMap
from a4d.io.assets.gltf.schema import Extensions, Gltf, Material, TextureInfo

TextureReader = Callable[[TextureInfo], TextureMap | None]

SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"
"""Which is read in part, and carried whole."""

TEXTURE_SUFFIX = "Texture"
"""By which extensions of materials name references to textures, as the core of the format does."""

WRITTEN_ANEW = ("texCoord", "extensions")
"""What a TextureMap says of a reference to a texture besides its picture."""


def unread_extensions(item: object) -> Iterator[str]:
    """The names of extensions that are not read, of an object and all that it contains."""
    if isinstance(item, list):
        for element in item:
            yield from unread_extensions(element)
    elif isinstance(item, BaseModel):
        if isinstance(item, Extensions):
            yield from item.others
        for name in type(item).model_fields:
            yield from unread_extensions(getattr(item, name))


@dataclass(frozen=True)
class MaterialExtensions:
    """What becomes of a material's extensions besides those that are read.

    Args:
        gltf: the file.
        is_readable: whether the picture of a texture can be read, or is known to be missing, by the texture's index.
    """

    gltf: Gltf
    is_readable: Callable[[int], bool]

    def carried(self, material: Material, texture: TextureReader) -> dict[str, Any]:
        """Those that stand for themselves, by name, with textures in place of their indices; missing ones left out."""
        return {
            name: _with_textures(values, texture)
            for name, values in _stated(material).items()
            if self._stands_alone(name, values)
        }

    def lost(self, material: Material) -> list[str]:
        """The names of those that cannot be carried."""
        stated = _stated(material)
        kept = {name for name, values in stated.items() if self._stands_alone(name, values)}
        return [name for name in dict.fromkeys([*stated, *unread_extensions(material)]) if name not in kept]

    def _stands_alone(self, name: str, values: Any) -> bool:
        """Whether an extension refers to nothing but textures, so that it means the same in another file."""
        return isinstance(values, dict) and name not in self.gltf.extensions.others and self._is_plain(values)

    def _is_plain(self, value: Any) -> bool:
        if isinstance(value, float):
            return math.isfinite(value)
        if isinstance(value, list):
            return all(self._is_plain(element) for element in value)
        if not isinstance(value, dict):
            return True
        if "index" in value or "extensions" in value:
            return False
        return all(
            self._is_known_texture(member) if _is_texture(key, member) else self._is_plain(member)
            for key, member in value.items()
        )

    def _is_known_texture(self, member: dict[str, Any]) -> bool:
        try:
            info = TextureInfo.model_validate(member)
        except ValidationError:
            return False
        rest = {key: value for key, value in member.items() if key not in ("index", *WRITTEN_ANEW)}
        is_known = info.index < len(self.gltf.textures) and self.is_readable(info.index)
        return is_known and not info.extensions.others and self._is_plain(rest)


def _stated(material: Material) -> dict[str, Any]:
    """A material's extensions that are not or only partly read, as the file has them."""
    specular = material.extensions.specular_glossiness
    if specular is None:
        return material.extensions.others
    return {SPECULAR_GLOSSINESS: specular.model_dump(by_alias=True, exclude_unset=True), **material.extensions.others}


def _is_texture(key: str, member: Any) -> bool:
    return key.endswith(TEXTURE_SUFFIX) and isinstance(member, dict) and "index" in member


def _with_textures(value: Any, texture: TextureReader) -> Any:
    if isinstance(value, list):
        return [_with_textures(element, texture) for element in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for key, member in value.items():
        if not _is_texture(key, member):
            changed[key] = _with_textures(member, texture)
        elif (map_ := texture(TextureInfo.model_validate(member))) is not None:
            changed[key] = {**{name: member[name] for name in member if name not in WRITTEN_ANEW}, "index": map_}
    return changed
