"""Reading material libraries of Wavefront OBJ files, in the dialects of the programs that write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from a4d.geometry.assets.left_out import quoted
from a4d.geometry.assets.material import Material, TextureMap
from a4d.io.arrays import numpy_from_tensor
from a4d.io.assets.mesh_file import PLAIN, ROUGHNESS
from a4d.io.assets.texture_files import TextureFiles, texture
from a4d.io.files import read_bytes
from a4d.io.pictures.colour import linear_from_srgb

OPTIONS = {
    "-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-colorspace": 1, "-imfchan": 1,
    "-mm": 2, "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-type": 1,
}  # fmt: skip
"""How many values each option of a map has, at most where these are numbers."""

NUMERIC = frozenset({"-bm", "-boost", "-mm", "-o", "-s", "-t"})

USES = {
    "map_kd": "base colour", "map_d": "opacity", "map_tr": "opacity", "map_opacity": "opacity", "map_ke": "emission",
    "map_emissive": "emission", "map_pr": "roughness", "map_pm": "metallic", "norm": "normals", "map_kn": "normals",
    "map_norm": "normals", "map_bump": "bumps", "bump": "bumps",
}  # fmt: skip
"""What maps are used for, by their keywords in small letters; of several for one use the first here is taken."""

UNUSED = frozenset(
    {"map_ks", "map_ns", "map_ps", "map_pc", "map_refl", "map_orm", "map_rma", "map_disp", "disp", "decal", "refl"}
)
"""Maps without a place in our materials; those of ambient light are left out in silence, as light is ours to give."""

CHANNELS = {"r": 0, "g": 1, "b": 2, "m": 3}

BRIGHTEST = 1000.0
"""The largest exponent of highlights, which stands for a mirror."""


@dataclass(frozen=True)
class MapStatement:
    """A line that names a picture.

    Args:
        name: of the picture, as given.
        options: their values, by the option's name with its dash.
    """

    name: str
    options: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, value: str) -> MapStatement:
        """Options stand before the name, seldom behind it; the name is all the rest, with its spaces."""
        options, name, words = dict[str, tuple[str, ...]](), list[str](), value.split(" ")
        while words:
            word = words.pop(0)
            option = word.lower()
            if option not in OPTIONS:
                name.append(word)
                continue
            values = list[str]()
            while words and len(values) < OPTIONS[option]:
                if words[0] and option in NUMERIC and number(words[0]) is None:
                    break
                values += filter(None, [words.pop(0)])
            options[option] = tuple(values)
        return cls(" ".join(name).strip().strip("\"'"), options)

    def numbers(self, option: str, missing: float) -> tuple[float, float]:
        """The first two values of an option, the second of which may be missing; a lone scale holds for both."""
        values = [found for found in map(number, self.options.get(option, ())) if found is not None] or [missing]
        return values[0], values[1] if len(values) > 1 else values[0] if option == "-s" else missing

    @property
    def transform(self) -> Tensor:
        """(2, 3) that maps texture coordinates with v down to the picture's; the options mean v up."""
        (width, height), (right, up) = self.numbers("-s", 1.0), self.numbers("-o", 0.0)
        return torch.tensor([[width, 0.0, right], [0.0, height, 1 - up - height]])


def number(word: str) -> float | None:
    """A finite number, or None for anything else."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def plain_text(content: bytes) -> str:
    """Text of an encoding that nobody says: UTF-8 where it is that, else that of Western Windows."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def parse_library(path: Path) -> dict[str, dict[str, str]]:
    """The statements of each material of a library by its name: the last value of each keyword, in small letters.

    Raises:
        InvalidInputError: the file cannot be read.
    """
    materials, statements = dict[str, dict[str, str]](), dict[str, str]()
    for line in plain_text(read_bytes(path)).replace("\t", " ").splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword.lower() == "newmtl":
            statements = materials.setdefault(value.strip(), {})
        elif keyword and not keyword.startswith("#"):
            statements[keyword.lower()] = value.strip()
    return materials


def map_statements(statements: Mapping[str, str]) -> dict[str, MapStatement]:
    """The maps of a material by what they are used for, and those without a use by their keywords."""
    maps = dict[str, MapStatement]()
    for keyword in (*USES, *sorted(UNUSED)):
        use = USES.get(keyword, keyword)
        if statements.get(keyword) and use not in maps:
            maps[use] = MapStatement.parse(statements[keyword])
    return {use: statement for use, statement in maps.items() if statement.name}


@dataclass(frozen=True)
class MaterialReader:
    """Turns the statements of one library into materials.

    Args:
        folder: of the library, in which its pictures are looked for first.
        textures: of the mesh file.
    """

    folder: Path
    textures: TextureFiles

    def material(self, name: str, statements: Mapping[str, str]) -> Material:
        """The material that statements describe; where its dialects differ, as Blender reads them.

        A picture takes the place of the colour beside it. Highlights become a roughness, reflections of the
        surroundings are left out.

        Raises:
            InvalidInputError: a picture is damaged.
        """
        maps = map_statements(statements)
        for keyword in UNUSED & maps.keys():
            self.textures.left_out.append(f"the {keyword} {quoted(maps[keyword].name)} of material {quoted(name)}")
        material = replace(
            PLAIN,
            name=name,
            base_colour=(*_colour(statements.get("kd", ""), 1.0), _opacity(statements)),
            roughness=_roughness(statements),
            metallic=_share(statements, "pm", 0.0),
            emission=_colour(statements.get("ke", ""), 0.0),
        )
        material = self._with_base(material, maps)
        material = self._with_emission(material, maps)
        material = self._with_roughness(material, maps, "pr" in statements)
        return self._with_normals(material, maps)

    def _map(self, statement: MapStatement | None) -> TextureMap | None:
        image = None if statement is None else self.textures.image(statement.name, self.folder)
        if image is None or statement is None:
            return None
        is_clamped = statement.options.get("-clamp", ("off",))[:1] == ("on",)
        return texture(image, statement.transform, "clamp" if is_clamped else "repeat")

    def _with_base(self, material: Material, maps: Mapping[str, MapStatement]) -> Material:
        base, alpha = self._map(maps.get("base colour")), self._map(maps.get("opacity"))
        red, green, blue, opacity = material.base_colour
        if base is not None:
            base = replace(base, image=base.image[..., :3])
            red, green, blue = 1.0, 1.0, 1.0
        if alpha is not None:
            values = _channel(alpha.image, maps["opacity"].options.get("-imfchan", ("m",)))
            colours = values[..., None].expand(*values.shape, 3) * 0 + 1 if base is None else base.image
            values = _resized(values, (colours.shape[0], colours.shape[1]))
            base = replace(base or alpha, image=torch.cat([colours, values[..., None]], dim=-1))
            opacity = opacity or 1.0
        if not opacity:
            # Programs that confuse opacity and transparency make everything vanish.
            self.textures.left_out.append(
                f"the opacity of material {quoted(material.name)}, at which nothing would be seen"
            )
            opacity = 1.0
        is_opaque = opacity == 1 and alpha is None
        return replace(
            material,
            base_colour=(red, green, blue, opacity),
            base_colour_map=base,
            alpha_mode="opaque" if is_opaque else "blend",
        )

    def _with_emission(self, material: Material, maps: Mapping[str, MapStatement]) -> Material:
        glow = self._map(maps.get("emission"))
        if glow is None:
            return material
        image = replace(glow, image=glow.image[..., :3])
        return replace(material, emission_map=image, emission=(1.0, 1.0, 1.0))

    def _with_roughness(self, material: Material, maps: Mapping[str, MapStatement], has_factor: bool) -> Material:
        """Roughness and metallic in one picture; one that is missing takes the factor's place."""
        rough, metal = self._map(maps.get("roughness")), self._map(maps.get("metallic"))
        picture = rough or metal
        if picture is None:
            return material
        size = (picture.image.shape[0], picture.image.shape[1])
        channels = [torch.ones(size)]
        for use, found, factor in (
            ("roughness", rough, material.roughness),
            ("metallic", metal, material.metallic),
        ):
            if found is None:
                channels.append(torch.full(size, factor))
            else:
                channels.append(_resized(_channel(found.image, maps[use].options.get("-imfchan", ("l",))), size))
        combined = replace(picture, image=torch.stack(channels, dim=-1))
        return replace(material, metallic_roughness_map=combined, roughness=1.0, metallic=1.0)

    def _with_normals(self, material: Material, maps: Mapping[str, MapStatement]) -> Material:
        """The normal map; a picture of heights, which is not mostly blue, is left out."""
        for use in ("normals", "bumps"):
            found = self._map(maps.get(use))
            if found is None:
                continue
            image = found.image[..., :3]
            if float(image[..., 2].mean()) > 0.7 > float(image[..., :2].mean()):
                scale = maps[use].numbers("-bm", 1.0)[0]
                return replace(material, normal_map=replace(found, image=image), normal_scale=scale)
            self.textures.left_out.append(f"the heights {quoted(maps[use].name)} of material {quoted(material.name)}")
        return material


def _colour(value: str, missing: float) -> tuple[float, float, float]:
    """Linear light of a stated colour, which is sRGB; one number stands for a grey."""
    words = value.lower().split()
    numbers = [found for found in map(number, words) if found is not None]
    if not numbers or words[0] in ("spectral", "xyz"):
        return missing, missing, missing
    stated = np.array((numbers * 3)[:3] if len(numbers) < 3 else numbers[:3])
    red, green, blue = linear_from_srgb(stated.clip(0, None)).tolist()
    return red, green, blue


def _share(statements: Mapping[str, str], keyword: str, missing: float) -> float:
    words = statements.get(keyword, "").split()
    value = number(words[-1]) if words else None  # `d -halo 0.5`
    return missing if value is None else min(max(value, 0.0), 1.0)


def _opacity(statements: Mapping[str, str]) -> float:
    """`d`, else what `Tr` leaves; some programs write as `Tr 1`, without `d`, what is opaque."""
    return _share(statements, "d", 1.0) if "d" in statements else (1 - _share(statements, "tr", 0.0)) or 1.0


def _roughness(statements: Mapping[str, str]) -> float:
    """As stated, else by the width of highlights where the lighting model has any."""
    shininess = number((statements.get("ns") or "x").split()[0])
    has_highlights = statements.get("illum", "2").strip() not in ("0", "1") and any(
        _colour(statements.get("ks", ""), 0)
    )
    by_highlights = ROUGHNESS
    if shininess is not None and has_highlights:
        by_highlights = 1 - math.sqrt(min(max(shininess, 0.0), BRIGHTEST) / BRIGHTEST)
    return _share(statements, "pr", by_highlights)


def _channel(
    image: Tensor,  # (H, W, 3) or (H, W, 4)
    choice: tuple[str, ...],  # the value of -imfchan
) -> Tensor:
    """(H, W) the values of a picture that stands for one number: its alpha if that is asked for and there, or grey."""
    channel = CHANNELS.get(choice[0].lower() if choice else "", image.shape[-1])
    if channel == CHANNELS["m"] and image.shape[-1] == 4 and bool((image[..., 3] < 1).any()):
        return image[..., 3]
    return image[..., channel] if channel < 3 else image[..., :3].mean(dim=-1)


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W) values at another size."""
    if tuple(values.shape) == size:
        return values
    return torch.from_numpy(cv2.resize(numpy_from_tensor(values), size[::-1], interpolation=cv2.INTER_LINEAR))
