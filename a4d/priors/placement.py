"""Where the models of priors lie and compute, in what precision, and how much of a batch they take at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

Offload = Literal["none", "encoders", "all"]
"""What leaves the device between two uses: nothing, the encoders of prompts and pictures, or every model."""


@dataclass(frozen=True)
class Placement:
    """Where priors compute and in what.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        dtype: None is half precision on CUDA and single on the CPU.
        text_on_cpu: text encoders compute on the CPU.
        offload: the models that lie in host memory and visit the device while they are used.
        images_at_once: that an autoencoder takes; with more, each part is encoded again in the backward pass.
        samples_at_once: that a denoiser takes, of which guidance makes two of each; None is all.
        overrides: folders of weights by name.
    """

    device: str = "cpu"
    dtype: torch.dtype | None = None
    text_on_cpu: bool = False
    offload: Offload = "none"
    images_at_once: int = 4
    samples_at_once: int | None = None
    overrides: Mapping[str, Path] = field(default_factory=dict)

    @property
    def precision(self) -> torch.dtype:
        """What models compute in."""
        import torch

        return self.dtype or (torch.float16 if self.device.startswith("cuda") else torch.float32)

    def of_encoders(self) -> Placement:
        """The placement of what encodes a condition, which has little to do after the first step."""
        return self if self.offload == "none" else replace(self, offload="all")

    def of_text(self, cpu_dtype: torch.dtype) -> Placement:
        """The placement of text encoders, which on the CPU compute in a precision of their own."""
        encoders = self.of_encoders()
        return replace(encoders, device="cpu", dtype=cpu_dtype) if self.text_on_cpu else encoders

    def placed(self, model: nn.Module) -> Any:
        """A model frozen, in evaluation mode and in the precision; on the device, or offloaded."""
        from a4d.priors.offloading import OffloadedModel

        frozen = model.requires_grad_(False).eval()
        if self.offload == "all":
            return OffloadedModel(frozen.to("cpu", self.precision), self.device)
        return frozen.to(self.device, self.precision)
