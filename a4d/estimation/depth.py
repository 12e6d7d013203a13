"""Depth of single pictures by networks of transformers: Depth Anything, DPT and their like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from a4d.estimation.vision import Preparation, patch_size, read_preparation
from a4d.io.depth_maps import Larger
from a4d.priors.weights_folder import WeightsFolder


class DepthEstimator:
    """A network that tells depth, or disparity, of a picture.

    Args:
        model: of transformers, with `predicted_depth` among its outputs.
        preparation: of its pictures.
        larger: what larger values of its output mean: disparity is larger nearer, metric depth farther.
    """

    def __init__(self, model: Any, preparation: Preparation, larger: Larger) -> None:
        self.model, self.preparation, self.larger = model, preparation, larger

    @torch.no_grad()
    def __call__(
        self,
        rgb: Tensor,  # (H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(H, W) float32 on the CPU, in the network's own unit."""
        pixels = self.preparation(rgb).to(self.model.device, self.model.dtype)
        found = self.model(pixel_values=pixels).predicted_depth.float().cpu()
        return interpolate(found[:, None], rgb.shape[:2], mode="bicubic", align_corners=False)[0, 0]


def load_depth_estimator(folder: WeightsFolder) -> DepthEstimator:
    """Any depth estimator in transformers' layout, with `larger` among the options of its folder.

    Raises:
        BackendUnavailableError: files are missing or damaged, or belong to another architecture.
    """
    from transformers import AutoModelForDepthEstimation

    model = folder.model("", AutoModelForDepthEstimation)
    return DepthEstimator(model, read_preparation(folder, patch_size(model)), folder.options["larger"])
