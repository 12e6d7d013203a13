"""Several results of `a4d evaluate --json` as one table, with their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = {
    "clip_i": "CLIP-I",
    "clip_r": "CLIP-R",
    "clip_f": "CLIP-F",
    "foreground_psnr": "PSNR dB",
    "iou": "IoU",
    "second_difference": "flicker",
}
"""Figures of a moving scene against its reference image, by their titles (Animate124, table 1, and two of our own)."""


def table_of(results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Rows of text, one per result and last their means, each with a name and a figure per column.

    Args:
        results: of `a4d evaluate --json`, by name.
    """
    rows = [[name, *(_figure(result.get(key)) for key in COLUMNS)] for name, result in results.items()]
    means = [_mean([result[key] for result in results.values() if key in result]) for key in COLUMNS]
    return [*rows, ["mean", *(_figure(mean) for mean in means)]]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""
