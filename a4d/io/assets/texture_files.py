"""The pictures that a mesh file or its material library names, as textures."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.geometry.assets.left_out import quoted
from a4d.geometry.assets.material import TextureMap, Wrap
from a4d.io.assets.named_files import belonging
from a4d.io.pictures.images import check_size, read_image, unreadable

UNREAD = frozenset({".dds", ".exr", ".hdr", ".ktx", ".ktx2", ".pcx", ".pic", ".psd", ".rgb", ".sgi", ".svg", ".xcf"})
"""Formats of pictures that mesh files name and that are not read here."""


@dataclass
class TextureFiles:
    """Reads each picture once and remembers which are not there.

    Args:
        path: of the mesh file; nothing outside its folder is read.
        left_out: what could not be had, in words.
    """

    path: Path
    left_out: list[str] = field(default_factory=list)
    _read: dict[Path, Tensor] = field(default_factory=dict)

    def image(self, name: str, folder: Path | None = None) -> Tensor | None:
        """A picture as stored.

        Args:
            name: as a file gives it; see `belonging`.
            folder: in which the file lies that gives it, where that is not the mesh file.

        Returns:
            (H, W, 3) or (H, W, 4) float32 in [0, 1], or None where it is missing or of a format that is not read.

        Raises:
            InvalidInputError: it is damaged or too large.
        """
        file = belonging(self.path, name, folder)
        if file is None:
            self._leave_out(f"the picture {quoted(name)}, which is missing")
            return None
        if file.suffix.lower() in UNREAD:
            self._leave_out(f"the picture {quoted(file.name)}, whose format is not read")
            return None
        if file not in self._read:
            is_targa = file.suffix.lower() == ".tga"
            self._read[file] = torch.from_numpy((_read_targa if is_targa else read_image)(file))
        return self._read[file]

    def _leave_out(self, words: str) -> None:
        if words not in self.left_out:
            self.left_out.append(words)


def texture(image: Tensor, transform: Tensor | None = None, wrap: Wrap = "repeat") -> TextureMap:
    """A picture on the only set of texture coordinates."""
    return TextureMap(image, 0, (wrap, wrap), True, torch.eye(2, 3) if transform is None else transform)


def _read_targa(path: Path) -> np.ndarray:
    """A picture of the one common format without a mark of its own, which only its suffix tells."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=("TGA",)) as image:
            warnings.simplefilter("ignore")
            check_size(path, *image.size)
            samples = np.asarray(image.convert("RGBA" if "A" in image.mode else "RGB"))
    except Exception as error:  # Pillow's readers raise nearly every type there is on damaged bytes
        raise unreadable(path, error) from None
    if not samples.size:
        raise InvalidInputError(f"{path} is damaged: it has no pixels")
    return samples.astype(np.float32) / np.float32(255)
