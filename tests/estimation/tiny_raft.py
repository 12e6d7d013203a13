"""A tiny RAFT that says the same everywhere."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from a4d.config import plain
from a4d.estimation.raft.config import EncoderConfig, RaftConfig
from a4d.estimation.raft.network import Raft
from a4d.priors.fitting_weights import SIZES

TINY = RaftConfig(
    features=EncoderConfig(widths=(8, 8, 8, 8, 8)), context=EncoderConfig(widths=(8, 8, 8, 8, 16)), levels=2, radius=1,
    correlation=(8,), flow=(8, 8), motion=10, state=8, kernels=((3, 3),), head=8, is_upsampled=False,
)  # fmt: skip


def steady_network(config: RaftConfig, correction: tuple[float, float]) -> Raft:
    """Of random features, which corrects its flow by so many features in every update, whatever it sees."""
    torch.manual_seed(0)
    network = Raft(config).eval()
    head = network.update_block.flow_head.conv2
    torch.nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor(correction))
    return network


def save_tiny(folder: Path, network: Raft, said: RaftConfig = TINY) -> Path:
    """Save a network, and the sizes that its file says it has."""
    folder.mkdir(exist_ok=True)
    state = {name: each.contiguous() for name, each in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", {SIZES: json.dumps(plain(said))})
    return folder
