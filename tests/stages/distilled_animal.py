"""A painted animal as a capture and a workspace, and the settings by which it is distilled from its own frames."""

from pathlib import Path

import torch
import yaml
from blender_capture import preprocess_capture, write_blender_capture

from a4d.geometry.cameras import Cameras, concatenate, orbit
from a4d.geometry.primitives import creature, paint


def write_capture(folder: Path, train: Cameras, test: Cameras) -> Path:
    """A painted animal from given cameras."""
    return write_blender_capture(folder, paint(creature()), {"train": train, "test": test})


def rings(size: int, elevations: tuple[float, ...], offsets: tuple[float, ...]) -> Cameras:
    """Four views a quarter turn apart for every elevation and offset, ring by ring."""
    quarter = torch.arange(4) * 90.0
    return concatenate(
        [
            orbit(quarter + offset, torch.full((4,), elevation), 2.6, 40.0, size, size)
            for elevation in elevations
            for offset in offsets
        ]
    )


def settings(steps: int, count: int, batch: int, views: int = 1) -> dict:
    """Distillation of Gaussians from a random ball against the exact prior of the frames, over black and white."""
    levels = ("black", "white")
    return {
        "seed": {"kind": "ball", "radius": 0.9},
        "scene": {"kind": "gaussians", "count": count, "opacity": 0.2},
        "views": {
            f"on-{level}": {"kind": "observed", "batch": batch, "run": views, "background": level} for level in levels
        },
        "priors": {level: {"kind": "exact", "background": level, "views": views} for level in levels},
        "objectives": [
            {
                "kind": "score-distillation", "views": f"on-{level}", "prior": level, "form": "x0",
                "guidance_scale": 1, "t": [0.02, {"from": 0.6, "to": 0.05, "steps": steps}],
            }
            for level in levels
        ],
        "iterations": steps,
        "optimiser": {
            "rates": {
                "means": {"from": 1e-2, "to": 5e-4, "steps": steps, "curve": "exponential"},
                "quaternions": 2e-2,
                "log_scales": 2e-2,
                "opacity_logits": 5e-2,
                "sh_base": {"from": 5e-2, "to": 1e-2, "steps": steps, "curve": "exponential"},
            }
        },
    }  # fmt: skip


def write_settings(values: dict) -> str:
    Path("distill.yaml").write_text(yaml.safe_dump(values))
    return "distill.yaml"


def animal_workspace(folder: Path) -> Path:
    """Eight training and four held-out views of 32 pixels, preprocessed."""
    capture = write_capture(folder / "animal", rings(32, (10.0,), (0.0, 45.0)), rings(32, (20.0,), (20.0,)))
    return preprocess_capture(capture)
