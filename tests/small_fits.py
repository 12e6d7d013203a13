"""A few steps of Gaussians and of a field through the command line, wherever they are computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

SIZE = {"levels": 3, "table": 1024, "base_resolution": 4, "finest_resolution": 16}
SCENES = {
    "gaussians": ({"count": 40}, {"means": 1e-2, "sh_base": 1e-2}),
    "field": (
        {"encoding": SIZE, "sampling": {"steps": 12}, "occupancy": {"resolution": 12}, "surface_resolution": 12},
        {"encoding": 1e-2, "network": 1e-2},
    ),
}


def settings(kind: str) -> dict[str, Any]:
    """Two steps toward the frames, by pictures and by a prior."""
    scene, rates = SCENES[kind]
    return {
        "seed": {"kind": "ball", "radius": 0.9},
        "scene": {"kind": kind, **scene},
        "views": {"seen": {"kind": "observed", "batch": 2, "background": "white"}},
        "priors": {"exact": {"kind": "exact", "background": "white"}},
        "objectives": [
            {"kind": "photometric", "views": "seen"},
            {"kind": "mask", "views": "seen"},
            {"kind": "score-distillation", "views": "seen", "prior": "exact", "form": "x0", "guidance_scale": 1},
        ],
        "iterations": 2,
        "optimiser": {"rates": rates},
    }


def losses(a4d: Callable[..., Any], workspace: Path, kind: str, place: str) -> list[dict[str, float]]:
    """The objectives that are logged, on a device that the command line need not know."""
    run = f"{kind}-{place}"
    Path("fit.yaml").write_text(yaml.safe_dump(settings(kind)))
    with (
        mock.patch("a4d.running.runner.resolve_device", return_value=place),
        mock.patch("a4d.memory.available_bytes", return_value=None),
    ):
        done = a4d("distill", workspace, "--name", run, "--config", "fit.yaml", "--debug")
    assert done.code == 0, done.err
    lines = (workspace / "stages" / run / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if "seen" in name} for line in lines]


def largest_difference(here: list[dict[str, float]], there: list[dict[str, float]]) -> float:
    """Of any objective, relative to its value."""
    return max(
        abs(value - after[name]) / max(abs(value), 1e-6)
        for before, after in zip(here, there, strict=True)
        for name, value in before.items()
    )
