"""Models that are too many for a device at once: each lies in host memory and visits the device while it is used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class OffloadedModel:
    """A frozen model in host memory, a copy of whose weights is on the device for as long as something needs it.

    What is computed without a graph needs the copy until it is computed, and what has one until its backward pass is
    done: the copy belongs to the call and goes with it. Nothing is copied back, since frozen weights do not change.

    Args:
        model: on the CPU; its attributes are found here too, except for the device.
        device: where it computes. For CUDA the weights are pinned, so that copying them waits for nothing.
    """

    def __init__(self, model: nn.Module, device: torch.device | str) -> None:
        self._at_home = _Methods(model)
        self.device = torch.device(device)
        if self.device.type == "cuda":
            for tensor in _weights(model).values():
                tensor.data = tensor.data.pin_memory()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._at_home.model, name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """What the model returns for arguments on the device."""
        return self._visit("__call__", *arguments, **keywords)

    def encode(self, *arguments: Any, **keywords: Any) -> Any:
        """The same for an autoencoder's first half."""
        return self._visit("encode", *arguments, **keywords)

    def decode(self, *arguments: Any, **keywords: Any) -> Any:
        """The same for an autoencoder's second half."""
        return self._visit("decode", *arguments, **keywords)

    def _visit(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        copies = {name: copied(tensor, self.device) for name, tensor in _weights(self._at_home).items()}
        return functional_call(self._at_home, copies, (method, *arguments), keywords)


class _Methods(nn.Module):
    """Any method of a model as the forward pass of a module, which is what can be called with other weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """What a method of the model returns."""
        return getattr(self.model, method)(*arguments, **keywords)


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def copied(
    tensor: Tensor,  # in host memory
    device: torch.device,
) -> Tensor:
    """The same values on a device, without waiting for the copy to arrive."""
    return tensor.to(device, non_blocking=True)
