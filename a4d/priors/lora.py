"""Low-rank adapters on the attention of a diffusion model: a few trained numbers beside frozen projections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from a4d.config import Config
from a4d.errors import BackendUnavailableError, ConfigError
from a4d.priors.components import UNetPrior
from a4d.priors.protocol import Prior
from a4d.trainable import Trainable

LORA_FILE = "pytorch_lora_weights.safetensors"
"""The name by which diffusers looks for it."""

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
"""The projections of an attention layer, by the names that diffusers gives them."""


class LowRank(nn.Module):
    """A frozen linear layer with a trained update of low rank (Hu et al. 2021): `x W^T + x A^T B^T`, at first `x W^T`.

    Args:
        base: (O, I) weight, left as it is.
        rank: R.
        generator: draws A, on the CPU.
    """

    def __init__(self, base: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        start = torch.randn(rank, base.in_features, generator=generator) / rank
        self.down = nn.Parameter(start.to(base.weight.device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """(..., O) of (..., I), of the base's dtype."""
        output: Tensor = self.base(x)
        return output + (x.to(self.down) @ self.down.T @ self.up.T).to(output)


def attach_lora(model: nn.Module, rank: int, generator: torch.Generator) -> dict[str, LowRank]:
    """Give every attention projection of a model a low-rank update.

    Args:
        model: of diffusers, frozen; its output does not change by this.
        rank: of each update.
        generator: on the CPU.

    Returns:
        the new layers by module name.
    """
    layers = {}
    for name, base in list(model.named_modules()):
        if isinstance(base, nn.Linear) and name.endswith(tuple(f".{each}" for each in PROJECTIONS)):
            parent, _, attribute = name.rpartition(".")
            layers[name] = LowRank(base, rank, generator)
            setattr(model.get_submodule(parent), attribute, layers[name])
    return layers


class LoraAdapter(Trainable):
    """Low-rank updates that are attached to a model, as what learns in a run; their group is `lora`.

    Args:
        layers: from `attach_lora`.
    """

    def __init__(self, layers: Mapping[str, LowRank]) -> None:
        super().__init__()
        self.layers = dict(layers)
        # A module's name may hold no dot.
        self.updates = nn.ModuleDict(
            {
                name.replace(".", "/"): nn.ParameterDict({"down": layer.down, "up": layer.up})
                for name, layer in layers.items()
            }
        )

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All updates."""
        return {"lora": list(self.parameters())}

    def state(self) -> dict[str, Tensor]:
        """The updates under the names by which diffusers loads them, as `merge_lora` takes them."""
        return lora_state(self.layers)

    def save(self, folder: Path) -> None:
        """Write the updates as diffusers reads them."""
        save_file(self.state(), folder / LORA_FILE)


class LoraConfig(Config):
    """Low-rank updates of a model's attention that learn in a run, at the rate PRIOR/lora."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(default=4, ge=1, le=512, description="of each update")

    def attach(self, prior: Prior, generator: torch.Generator, where: str) -> LoraAdapter:
        """New updates that a prior has from now on.

        Args:
            prior: its predictions do not change by this.
            generator: on the CPU.
            where: place in the settings, for messages.

        Raises:
            ConfigError: the prior has no attention to adapt.
        """
        if not isinstance(prior, UNetPrior):
            raise ConfigError(f"{where}: the prior has no attention to adapt", "Leave the key out")
        return LoraAdapter(attach_lora(prior.unet, self.rank, generator))


def lora_state(layers: Mapping[str, LowRank]) -> dict[str, Tensor]:
    """The trained tensors under the names by which diffusers loads them, A (R, I) and B (O, R) of each layer."""
    return {
        f"unet.{name}.lora_{letter}.weight": value.detach().float().cpu().contiguous()
        for name, layer in layers.items()
        for letter, value in (("A", layer.down), ("B", layer.up))
    }


@torch.no_grad()
def merge_lora(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Add low-rank updates to the weights of a model that has none attached.

    Args:
        model: of diffusers.
        state: what `lora_state` returns.

    Raises:
        BackendUnavailableError: the updates belong to another architecture; the model is as it was.
    """
    modules = dict(model.named_modules())
    updates = []
    for key in state:
        name = key.removeprefix("unet.").removesuffix(".lora_A.weight")
        if key.endswith(".lora_B.weight") and key.replace("lora_B", "lora_A") in state:
            continue
        layer, other = modules.get(name), state.get(key.replace("lora_A", "lora_B"))
        fits = isinstance(layer, nn.Linear) and other is not None and key.endswith(".lora_A.weight")
        if not fits or (len(other), state[key].shape[1]) != layer.weight.shape:  # type: ignore[arg-type,union-attr]
            raise BackendUnavailableError(f"the adapter does not fit the model, first at {key}")
        updates.append((layer, other, state[key]))
    for layer, up, down in updates:
        layer.weight += (up.float() @ down.float()).to(layer.weight)  # type: ignore[union-attr]
