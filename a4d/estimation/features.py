"""Features of a picture's patches by a vision transformer (Oquab et al. 2023, DINOv2), reduced to few channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from a4d.errors import InvalidInputError
from a4d.estimation.vision import Preparation, patch_size, read_preparation
from a4d.priors.weights_folder import WeightsFolder


class FeatureExtractor:
    """A vision transformer that says of each patch of a picture what it is part of.

    Args:
        model: of transformers, with `last_hidden_state` among its outputs.
        preparation: of its pictures.
        patch: pixels of a patch's side.
    """

    def __init__(self, model: Any, preparation: Preparation, patch: int) -> None:
        self.model, self.preparation, self.patch = model, preparation, patch

    @torch.no_grad()
    def __call__(
        self,
        rgb: Tensor,  # (H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(h, w, C) float32 on the CPU, a grid of patches over the whole picture."""
        pixels = self.preparation(rgb).to(self.model.device, self.model.dtype)
        height, width = (side // self.patch for side in pixels.shape[-2:])
        tokens = self.model(pixel_values=pixels).last_hidden_state[0].float().cpu()
        # Tokens of the class and registers come first.
        return tokens[-height * width :].view(height, width, -1)


@dataclass(frozen=True)
class PrincipalComponents:
    """A projection to the directions in which features differ most.

    Args:
        mean: (C,).
        directions: (C, N) orthonormal, by falling variance; each of a sign that makes its largest entry positive.
        explained: share of the variance that is kept, in [0, 1].
    """

    mean: Tensor
    directions: Tensor
    explained: float

    def __call__(
        self,
        features: Tensor,  # (..., C)
    ) -> Tensor:
        """(..., N)."""
        return (features - self.mean) @ self.directions


def principal_components(samples: Iterable[Tensor], channels: int) -> PrincipalComponents:
    """The projection to `channels` directions that keeps most of the variance.

    Args:
        samples: (K, C) features each, which are summed up one after another.
        channels: N.

    Raises:
        InvalidInputError: there are fewer features than channels, or none.
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for sample in samples:
        values = sample.double()
        count += len(values)
        total, products = total + values.sum(0), products + values.T @ values
    if count <= channels or len(total) < channels:
        raise InvalidInputError(
            f"{count} patches of {len(total) if total.ndim else 0} features cannot be reduced to {channels} channels",
            "Choose fewer with --feature-channels",
        )
    mean = total / count
    variance, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    kept = directions.flip(-1)[:, :channels]
    largest = kept.gather(0, kept.abs().argmax(0, keepdim=True))
    explained = float(variance.flip(-1)[:channels].sum() / variance.sum().clamp_min(1e-300))
    return PrincipalComponents(mean.float(), (kept * largest.sign()).float(), explained)


def load_feature_extractor(folder: WeightsFolder) -> FeatureExtractor:
    """A vision transformer in transformers' layout, which sees pictures at the size that it was trained for.

    Raises:
        BackendUnavailableError: files are missing or damaged, or belong to another architecture.
    """
    from transformers import AutoModel

    model = folder.model("", AutoModel)
    patch = patch_size(model)
    return FeatureExtractor(model, read_preparation(folder, patch, int(model.config.image_size)), patch)
