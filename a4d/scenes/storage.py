"""What all kinds of scenes store alike: their configuration and their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from a4d.config import Config, ConfigType, load_yaml, parse, plain, to_yaml

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
    """
    config = parse(model, load_yaml(folder / SETTINGS), str(folder / SETTINGS))
    return config, load_file(folder / TENSORS, device=str(device))
