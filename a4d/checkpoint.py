"""A run's state in one file that is either whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from a4d.documents import parse_json
from a4d.errors import InvalidInputError
from a4d.io.files import atomic_path
from a4d.io.tensor_files import read_tensors

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path, module: torch.nn.Module, optimiser: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write a module, the moments of its Adam optimiser, and plain facts such as the step, in one rename."""
    tensors = {f"scene/{name}": value for name, value in module.state_dict().items()}
    for group in optimiser.param_groups:
        for index, parameter in enumerate(group["params"]):
            for key, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser/{group['name']}/{index}/{key}"] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and facts of a checkpoint, or None where there is none that can be read."""
    if not path.is_file():
        return None
    try:
        tensors, texts = read_tensors(path)
        facts = parse_json(texts.get("facts", ""), f"the header of {path}")
    except InvalidInputError:
        return None
    return (tensors, facts) if isinstance(facts, dict) else None


def scene_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a checkpoint that a scene restores."""
    return {name.removeprefix("scene/"): value for name, value in tensors.items() if name.startswith("scene/")}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an Adam optimiser, whose groups hold the restored parameters, its moments back."""
    for group in optimiser.param_groups:
        for index, parameter in enumerate(group["params"]):
            prefix = f"optimiser/{group['name']}/{index}"
            state = {key: tensors[f"{prefix}/{key}"] for key in MOMENTS if f"{prefix}/{key}" in tensors}
            if state:
                moments = {key: value.to(parameter.device) for key, value in state.items() if key != "step"}
                optimiser.state[parameter] = {"step": state["step"].to(parameter.device), **moments}
