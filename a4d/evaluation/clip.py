"""CLIP as a judge: images and texts as directions whose cosine says how alike they are (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from a4d.errors import BackendUnavailableError
from a4d.priors.components import CLIP_DEVIATION, CLIP_MEAN, resized
from a4d.priors.weights_folder import REMEDY, WeightsFolder


class Clip:
    """Both encoders of a CLIP with their projections.

    Args:
        model: transformers' `CLIPModel`.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def images(
        self,
        rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
    ) -> Tensor:
        """(B, D) float32 features of length 1 on the CPU, of the square in the middle of each image."""
        pixels = centred_pixels(rgb, self.model.config.vision_config.image_size).to(self.model.device, self.model.dtype)
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return normalize(self.model.visual_projection(pooled).float().cpu(), dim=-1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """(S, D) float32 features of length 1 on the CPU; each text is encoded once, and cut after 77 tokens."""
        for text in dict.fromkeys(texts):
            if text not in self._known:
                length = self.model.config.text_config.max_position_embeddings
                tokens = self.tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
                pooled = self.model.text_model(**tokens.to(self.model.device)).pooler_output
                self._known[text] = normalize(self.model.text_projection(pooled).float().cpu()[0], dim=-1)
        return torch.stack([self._known[text] for text in texts])


def centred_pixels(
    rgb: Tensor,  # (B, H, W, 3) sRGB in [0, 1]
    size: int,
) -> Tensor:
    """(B, 3, size, size) what CLIP was trained on: the shorter side brought to `size`, the middle cut out, normalised.

    `a4d.priors.components.clip_pixels` squeezes the whole image into the square instead, as the released priors do.
    """
    height, width = rgb.shape[1:3]
    scale = size / min(height, width)
    images = resized(rgb, (max(size, int(height * scale)), max(size, int(width * scale))), "bicubic").clamp(0, 1)
    top, left = (images.shape[-2] - size) // 2, (images.shape[-1] - size) // 2
    middle = images[..., top : top + size, left : left + size]
    mean, deviation = (middle.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_DEVIATION))
    return (middle - mean) / deviation


def load_clip(folder: WeightsFolder) -> Clip:
    """A CLIP in transformers' layout, its tokenizer beside its weights.

    Raises:
        BackendUnavailableError: files are missing or damaged, or belong to another architecture.
    """
    from transformers import CLIPModel, CLIPTokenizer

    model = folder.model("", CLIPModel, {"model_type": "clip"})
    stored = {path.name for path in folder.path.iterdir()}
    # Without these files the tokenizer would load all the same, with no words in it.
    if not ("tokenizer.json" in stored or stored >= {"vocab.json", "merges.txt"}):
        raise BackendUnavailableError(f"{folder.path} has no tokenizer", REMEDY)
    return Clip(model, folder.tokenizer(CLIPTokenizer, ""))
