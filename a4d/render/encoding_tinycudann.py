"""Hash grids on CUDA through tiny-cuda-nn, where the user has built it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from a4d.config import Config
from a4d.errors import BackendUnavailableError
from a4d.render.grid_layout import GridConfig, GridLayout


@lru_cache(maxsize=1)
def unavailable() -> str:
    """Why this backend cannot be used here, or an empty string."""
    try:
        import tinycudann  # noqa: F401
    except (ImportError, OSError) as error:  # without a GPU its import raises OSError
        return f"tinycudann cannot be imported: {error}"
    return ""


def refuses(values: Tensor, config: Config) -> str:
    """Why this backend does not take an encoding's parameters, or an empty string."""
    if values.device.type != "cuda" or values.dtype != torch.float32:
        return f"tinycudann encodes float32 on CUDA, not {values.dtype} on {values.device}"
    if not isinstance(config, GridConfig) or config.kind != "hash-grid":
        # Its tiled grids have neither a table of our size nor our way of wrapping.
        return "tinycudann encodes hash grids only"
    return ""


def encode_grid(positions: Tensor, table: Tensor, layout: GridLayout, level_weights: Sequence[float]) -> Tensor:
    """Interpolate every level of a hash grid; see `encoding_reference.encode_grid`, here float32 on CUDA.

    Raises:
        BackendUnavailableError: the installed tiny-cuda-nn lays this grid out in another way.
    """
    encoder = _encoder(layout.config, positions.device.index)
    if encoder.params.numel() != layout.parameters:
        raise BackendUnavailableError(
            f"tinycudann has {encoder.params.numel()} parameters where this grid has {layout.parameters}",
            "Use backend 'torch'",
        )
    encoded: Tensor = torch.func.functional_call(encoder, {"params": table}, (positions,))
    weights = encoded.new_tensor(list(level_weights)).repeat_interleave(layout.config.features)
    return encoded * weights


@lru_cache(maxsize=8)
def _encoder(config: GridConfig, device: int) -> Any:
    """One module per grid and GPU; its own parameters are never used."""
    import tinycudann

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
