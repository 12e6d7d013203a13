"""Several results of `a4d evaluate --json` as one table, with their mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def table_of(results: Mapping[str, Mapping[str, Any]], columns: Iterable[str] = COLUMNS) -> list[list[str]]:
    """Rows of text, one per result and last their means, each with a name and a figure per column.

    Args:
        results: of `a4d evaluate --json`, by name.
        columns: names of figures.
    """
    keys = list(columns)
    rows = [[name, *(_figure(result.get(key)) for key in keys)] for name, result in results.items()]
    means = [_mean([result[key] for result in results.values() if key in result]) for key in keys]
    return [*rows, ["mean", *(_figure(mean) for mean in means)]]


def scores_by_judge(results: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """CLIP scores of turntables by text, and for each by the CLIP that was asked (X-Dreamer, table 1).

    Args:
        results: of `a4d evaluate --compare turntable --json`.
    """
    scores: dict[str, dict[str, float]] = {}
    for result in results:
        scores.setdefault(result["text"], {})[result["clip_model"]] = result["clip_score"]
    return scores


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""
