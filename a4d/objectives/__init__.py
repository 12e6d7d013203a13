"""Objectives: what a scene's renders should satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from a4d.config import Spec, parse, unknown_key
from a4d.objectives.objective import Objective

KINDS = {
    "arap": "a4d.objectives.arap:Arap",
    "denoising": "a4d.objectives.denoising:Denoising",
    "depth-correlation": "a4d.objectives.depth:DepthCorrelation",
    "distortion": "a4d.objectives.volume:Distortion",
    "dual-deviation": "a4d.objectives.surface:DualDeviation",
    "laplacian-smoothness": "a4d.objectives.surface:LaplacianSmoothness",
    "material-smoothness": "a4d.objectives.surface:MaterialSmoothness",
    "normal-smoothness": "a4d.objectives.surface:NormalSmoothness",
    "normal-variation": "a4d.objectives.normals:NormalVariation",
    "opacity-entropy": "a4d.objectives.volume:OpacityEntropy",
    "orientation": "a4d.objectives.volume:Orientation",
    "photometric": "a4d.objectives.photometric:Photometric",
    "mask": "a4d.objectives.photometric:Mask",
    "score-distillation": "a4d.objectives.score_distillation:ScoreDistillation",
    "sign-change": "a4d.objectives.surface:SignChange",
    "temporal-variation": "a4d.objectives.temporal_variation:TemporalVariation",
}


def build_objectives(specs: Sequence[Spec]) -> list[Objective]:
    """Objectives from their configurations.

    Raises:
        ConfigError: an unknown kind or key.
    """
    objectives = []
    for index, spec in enumerate(specs):
        kind = str(spec.get("kind"))
        if kind not in KINDS:
            raise unknown_key(f"objectives.{index}.kind: {kind}", kind, KINDS)
        module, _, name = KINDS[kind].partition(":")
        objective: type[Objective] = getattr(import_module(module), name)
        objectives.append(parse(objective, spec, f"objectives.{index}"))
    return objectives
