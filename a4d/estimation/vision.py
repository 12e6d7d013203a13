"""Pictures as networks of transformers expect them, by what lies beside their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from a4d.errors import BackendUnavailableError
from a4d.priors.components import resized
from a4d.priors.weights_folder import REMEDY, WeightsFolder

PREPARATION = "preprocessor_config.json"


@dataclass(frozen=True)
class Preparation:
    """How a picture is brought to a network's size and range.

    Args:
        size: height, width in pixels; where the aspect ratio is kept, the shorter side becomes the smaller of them.
        multiple: of pixels, that each side must be.
        keeps_aspect: whether the picture keeps its aspect ratio, but for that.
        mean: of each colour.
        deviation: of each colour.
    """

    size: tuple[int, int]
    multiple: int
    keeps_aspect: bool
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels that a picture of a size is brought to."""
        if not self.keeps_aspect:
            return self.size
        scale = min(self.size) / min(height, width)
        tall, wide = (max(1, round(side * scale / self.multiple)) * self.multiple for side in (height, width))
        return tall, wide

    def __call__(
        self,
        rgb: Tensor,  # (H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(1, 3, h, w) what the network takes."""
        pixels = resized(rgb[None], self.size_for(*rgb.shape[:2]), "bicubic").clamp(0, 1)
        mean, deviation = (pixels.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.deviation))
        return (pixels - mean) / deviation


def read_preparation(folder: WeightsFolder, multiple: int = 1, size: int | None = None) -> Preparation:
    """What the folder says of pictures.

    Args:
        folder: with `preprocessor_config.json`.
        multiple: of pixels, that each side must be at the least.
        size: of the shorter side, in place of what the folder says.

    Raises:
        BackendUnavailableError: the file is missing, damaged, or says no size, mean or deviation.
    """
    stated = folder.config("", PREPARATION)
    try:
        mean, deviation = (tuple(map(float, stated[key])) for key in ("image_mean", "image_std"))
        own = stated["size"] if size is None else {"shortest_edge": size}
        side = own.get("shortest_edge")
        height, width = (int(own[key]) if side is None else int(side) for key in ("height", "width"))
        step = max(multiple, int(stated.get("ensure_multiple_of") or 1))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BackendUnavailableError(
            f"{folder.path / PREPARATION} says no size or range of pictures", REMEDY
        ) from None
    keeps_aspect = side is not None or bool(stated.get("keep_aspect_ratio", False))
    return Preparation((height, width), step, keeps_aspect, mean, deviation)


def patch_size(model: Any) -> int:
    """Pixels of the side of a transformer's patch; of a depth estimator's backbone, if it has one."""
    config = model.config
    for part in (config, getattr(config, "backbone_config", None)):
        if size := getattr(part, "patch_size", None):
            return int(size)
    return 1
