"""Hash grids on CUDA through tiny-cuda-nn, where the user has built it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import tinycudann
import torch
from torch import Tensor

from a4d.errors import BackendUnavailableError
from a4d.render.grid_layout import GridConfig, GridLayout


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, level_weights: Sequence[float]) -> Tensor:
    """Interpolate every level of a hash grid; see `encoding_reference.encode_grid`, here float32 on CUDA.

    Raises:
        BackendUnavailableError: the installed tiny-cuda-nn lays this grid out in another way.
    """
    encoder = _encoder(layout.config, positions.device.index)
    if encoder.params.numel() != layout.parameters:
        raise BackendUnavailableError(
            f"tinycudann has {encoder.params.numel()} parameters where this grid has {layout.parameters}",
            "Use the backend 'reference'",
        )
    encoded: Tensor = torch.func.functional_call(encoder, {"params": table}, (positions,))
    weights = encoded.new_tensor(list(level_weights)).repeat_interleave(layout.config.features)
    return encoded * weights


@lru_cache(maxsize=8)
def _encoder(config: GridConfig, device: int) -> Any:
    """One module per grid and GPU; its own parameters are never used."""
    with torch.cuda.device(device):
        return tinycudann.Encoding(
            n_input_dims=config.dimensions,
            encoding_config={
                "otype": "Grid",
                "type": "Hash",
                "n_levels": config.levels,
                "n_features_per_level": config.features,
                "log2_hashmap_size": config.table.bit_length() - 1,
                "base_resolution": config.base_resolution,
                "per_level_scale": config.growth,
                "interpolation": config.interpolation.capitalize(),
            },
            dtype=torch.float32,
        )
