"""What all kinds of scenes store alike: their configuration, their tensors, and the rates of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from a4d.config import Config, ConfigType, Number, load_yaml, parse, plain, to_yaml, unknown_key, value_at
from a4d.errors import InvalidInputError
from a4d.io.tensor_files import read_tensors

SETTINGS, TENSORS = "scene.yaml", "tensors.safetensors"


def write_scene(folder: Path, config: Config, tensors: Mapping[str, Tensor]) -> None:
    """Write a scene's configuration and tensors into an existing folder."""
    (folder / SETTINGS).write_text(to_yaml(plain(config)), encoding="utf-8")
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / TENSORS)


def read_scene(
    folder: Path, model: type[ConfigType], device: torch.device | str
) -> tuple[ConfigType, dict[str, Tensor]]:
    """What `write_scene` wrote, the tensors on a device.

    Raises:
        ConfigError: the configuration is missing, or is not one of this kind of scene.
        MissingInputError: there are no tensors.
        InvalidInputError: they are damaged, or one of them is not finite.
    """
    config = parse(model, load_yaml(folder / SETTINGS), str(folder / SETTINGS))
    path = folder / TENSORS
    tensors = read_tensors(path, device)[0]
    for name, values in tensors.items():
        if values.is_floating_point() and not values.isfinite().all():
            raise InvalidInputError(f"{path} is damaged: '{name}' holds numbers that are not finite")
    return config, tensors


def rated_groups(rates: Mapping[str, Number], parameters: Mapping[str, list[nn.Parameter]]) -> list[dict[str, Any]]:
    """Optimiser groups, one per rate whose parameters there are: `{"name", "params", "lr"}`.

    Args:
        rates: by the names of groups; a group without one stays as it is.
        parameters: by the names of all groups that there may be.

    Raises:
        ConfigError: a rate names no group.
    """
    for name in rates:
        if name not in parameters:
            raise unknown_key(f"optimiser.rates.{name}", name, parameters)
    return [
        {"name": name, "params": parameters[name], "lr": value_at(rate, 0)}
        for name, rate in rates.items()
        if any(parameter.numel() for parameter in parameters[name])
    ]
