"""Pictures that stay on disk: read when they are asked for, and the last ones kept as 8-bit samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.io.files import hash_file
from a4d.io.pictures.images import read_image, to_bytes
from a4d.pixels import Array
from a4d.views.recent import OnDemand, Recent


class StoredPictures(OnDemand):
    """Images (H, W, 4), sRGB in [0, 1] with straight alpha, of files that must not change meanwhile.

    All are read once, so that a damaged one is found before anything is made of them.

    Args:
        files: of the images.
        recent: takes the last ones read.

    Raises:
        MissingInputError: a file does not exist.
        InvalidInputError: it is damaged or no picture.
    """

    def __init__(self, files: Sequence[Path], recent: Recent) -> None:
        self._files, self._recent = list(files), recent
        self._hashes = [hash_file(file) if file.is_file() else "" for file in self._files]
        self.sizes = [tuple(self._stored(index).shape[1::-1]) for index in range(len(files))]
        """(width, height) of each."""

    def __len__(self) -> int:
        return len(self._files)

    def made(self, place: int) -> Tensor:
        """The image of a place, in floating point."""
        stored = self._stored(place)
        return torch.from_numpy(_levels(stored.numpy())) if stored.dtype == torch.uint8 else stored

    def _stored(self, index: int) -> Tensor:
        """The samples of an image as they are kept: bytes where they say all there is, else float32.

        Raises:
            MissingInputError: the file is gone.
            InvalidInputError: the file is damaged, or no longer what it was.
        """
        return self._recent.get(("picture", index), lambda: self._read(index))

    def _read(self, index: int) -> Tensor:
        pixels = _with_alpha(read_image(self._files[index]))
        if hash_file(self._files[index]) != self._hashes[index]:
            raise InvalidInputError(f"{self._files[index]} changed while it was read", "Run the command again")
        samples = to_bytes(pixels)
        return torch.from_numpy(samples if np.array_equal(_levels(samples), pixels) else pixels)


def _levels(samples: NDArray[np.uint8]) -> Array:
    """8-bit samples as float32 in [0, 1], as the reader of pictures makes them."""
    return samples.astype(np.float32) / np.float32(255)


def _with_alpha(pixels: Array) -> Array:
    if pixels.shape[2] == 4:
        return pixels
    return np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
