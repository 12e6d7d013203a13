"""The compact network's weights in one safetensors file with its sizes in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from a4d.config import parse, plain
from a4d.documents import parse_json
from a4d.errors import BackendUnavailableError, ConfigError, InvalidInputError, MissingInputError
from a4d.io.files import atomic_path
from a4d.io.tensor_files import read_tensors
from a4d.priors.compact.network import CompactConfig, CompactNetwork

FORMAT = "a4d-compact-1"


def save_network(path: Path, network: CompactNetwork, facts: dict[str, Any] | None = None) -> None:
    """Write a network in half precision.

    Args:
        path: of the file.
        network: of any precision.
        facts: about its training, kept in the header.
    """
    header = {"format": FORMAT, "config": json.dumps(plain(network.config)), "facts": json.dumps(facts or {})}
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_network(path: Path) -> tuple[CompactNetwork, dict[str, Any]]:
    """A network in single precision on the CPU, in evaluation mode, and the facts about its training.

    Raises:
        BackendUnavailableError: the file is missing, damaged, or no compact network.
    """
    try:
        tensors, header = read_tensors(path)
        if header.get("format") != FORMAT:
            raise BackendUnavailableError(f"{path} is not a compact prior of this version")
        config = parse(CompactConfig, parse_json(header.get("config", ""), f"the header of {path}"))
        facts = parse_json(header.get("facts", "{}"), f"the header of {path}")
        with torch.device("meta"):
            network = CompactNetwork(config)
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    except (MissingInputError, InvalidInputError, ConfigError) as error:
        raise BackendUnavailableError(f"{path} cannot be loaded as a compact prior: {error.problem}") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise BackendUnavailableError(f"{path} cannot be loaded as a compact prior: {error!s:.120}") from None
    return network.requires_grad_(False).eval(), facts
