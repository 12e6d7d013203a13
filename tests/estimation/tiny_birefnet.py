"""A tiny random BiRefNet, saved as the released ones are, with what only their training needs."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from a4d.config import plain
from a4d.estimation.birefnet.config import BiRefNetConfig, SwinConfig
from a4d.estimation.birefnet.network import BiRefNet
from a4d.priors.fitting_weights import SIZES

TINY = BiRefNetConfig(
    swin=SwinConfig(width=8, depths=(2, 2, 2, 2), heads=(1, 1, 2, 2), window=2),
    size=64, inner=8, branch=8, kernels=(1, 3), gradient=4,
)  # fmt: skip

OF_TRAINING = ("decoder.conv_ms_spvn_4.weight", "decoder.gdt_convs_pred_2.0.bias")


def tiny_network(seed: int = 0) -> BiRefNet:
    torch.manual_seed(seed)
    return BiRefNet(TINY).eval()


def save_tiny(folder: Path, network: BiRefNet, left_out: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    state = {name: each.contiguous() for name, each in network.state_dict().items() if name != left_out}
    state |= {name: torch.zeros(1) for name in OF_TRAINING}
    save_file(state, folder / "model.safetensors", {SIZES: json.dumps(plain(network.config))})
    return folder
