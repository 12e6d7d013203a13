"""Linear layers through oneDNN on the CPU: MKL leaves half of the vector units of some processors idle."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """Torch's linear layer, which says the same twice as fast on some processors where no gradient is wanted."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., D) of (..., C)."""
        if not _suits(tokens) or (torch.is_grad_enabled() and (tokens.requires_grad or self.weight.requires_grad)):
            return super().forward(tokens)
        # What compiled graphs use; there is no public name.
        out: Tensor = torch.ops.mkldnn._linear_pointwise(tokens, self.weight, self.bias, "none", [], "")  # noqa: SLF001
        return out


def _suits(tokens: Tensor) -> bool:
    """Whether oneDNN has a product for them which MKL would get otherwise."""
    if tokens.device.type != "cpu" or tokens.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")
