"""Checkpoints of TripoSR: the names of both layouts of its vision transformer, and a network that fits them."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from a4d.io.converted_weights import read_converted
from a4d.priors.fitting_weights import require_fit, stated_sizes
from a4d.priors.triposr.config import TripoSRConfig
from a4d.priors.triposr.network import TripoSRNetwork
from a4d.priors.triposr.vision import TableRule
from a4d.priors.weights_folder import weight_files

LAYER = re.compile(r"(image_tokenizer\.model\.)layers\.(\d+\.)(.*)")

NEWER_NAMES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""What transformers 5 calls the parts of a layer, and what they were called when the weights were released."""


def released_name(name: str) -> str:
    """The name of a tensor in the released checkpoint, from that of either layout."""
    found = LAYER.fullmatch(name)
    if found is None:
        return name
    part, _, kind = found[3].rpartition(".")
    return f"{found[1]}encoder.layer.{found[2]}{NEWER_NAMES.get(part, part)}.{kind}"


def load_network(folder: Path, rule: TableRule = "legacy") -> TripoSRNetwork:
    """A network in single precision on the CPU, in evaluation mode; its tensors lie in a file until they are used.

    Args:
        folder: with `model.ckpt` or one safetensors file, whose header may say other sizes than the released ones.
        rule: of the table of positions.

    Raises:
        BackendUnavailableError: the weights are missing, damaged, or of another architecture.
    """
    path = weight_files(folder)[0]
    tensors = {released_name(name): tensor for name, tensor in read_converted(path).items()}
    with torch.device("meta"):
        network = TripoSRNetwork(stated_sizes(path, TripoSRConfig), rule)
    require_fit(path, tensors, network.state_dict())
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.requires_grad_(False).eval()
