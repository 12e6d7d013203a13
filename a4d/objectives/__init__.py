"""Objectives: what a scene's renders should satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from a4d.config import Spec, parse, unknown_key
from a4d.objectives.objective import Objective

KINDS = {
    "arap": "a4d.objectives.arap:Arap",
    "attention-mask": "a4d.objectives.attention_mask:AttentionMask",
    "bone-centring": "a4d.objectives.bones:BoneCentring",
    "bone-displacement": "a4d.objectives.bone_motion:BoneDisplacement",
    "denoising": "a4d.objectives.denoising:Denoising",
    "depth-correlation": "a4d.objectives.depth:DepthCorrelation",
    "distortion": "a4d.objectives.volume:Distortion",
    "dual-deviation": "a4d.objectives.surface:DualDeviation",
    "eikonal": "a4d.objectives.eikonal:Eikonal",
    "feature-magnitude": "a4d.objectives.surface_bound:FeatureMagnitude",
    "feature-match": "a4d.objectives.features:FeatureMatch",
    "feature-reprojection": "a4d.objectives.feature_reprojection:FeatureReprojection",
    "flow": "a4d.objectives.flow:Flow",
    "joint-gap": "a4d.objectives.bones:JointGap",
    "laplacian-smoothness": "a4d.objectives.surface:LaplacianSmoothness",
    "mask": "a4d.objectives.photometric:Mask",
    "material-smoothness": "a4d.objectives.surface:MaterialSmoothness",
    "normal-detail": "a4d.objectives.normals:NormalDetail",
    "normal-smoothness": "a4d.objectives.surface:NormalSmoothness",
    "normal-variation": "a4d.objectives.normals:NormalVariation",
    "opacity-entropy": "a4d.objectives.volume:OpacityEntropy",
    "orientation": "a4d.objectives.volume:Orientation",
    "perceptual": "a4d.objectives.perceptual:Perceptual",
    "photometric": "a4d.objectives.photometric:Photometric",
    "pose-change": "a4d.objectives.poses:PoseChange",
    "pose-steadiness": "a4d.objectives.poses:PoseSteadiness",
    "score-distillation": "a4d.objectives.score_distillation:ScoreDistillation",
    "sign-change": "a4d.objectives.surface:SignChange",
    "skeleton-range": "a4d.objectives.bone_motion:SkeletonRange",
    "skinning-entropy": "a4d.objectives.bones:SkinningEntropy",
    "surface-laplacian": "a4d.objectives.surface_bound:SurfaceLaplacian",
    "surface-offset": "a4d.objectives.surface_bound:SurfaceOffset",
    "surface-size": "a4d.objectives.surface_bound:SurfaceSize",
    "temporal-variation": "a4d.objectives.temporal_variation:TemporalVariation",
    "wandering": "a4d.objectives.bones:Wandering",
    "warp-cycle": "a4d.objectives.bones:WarpCycle",
    "weight-correction": "a4d.objectives.bones:WeightCorrection",
}


def objective_class(kind: str, where: str = "kind") -> type[Objective]:
    """The class of a kind of objective.

    Raises:
        ConfigError: there is no such kind; names the place in the settings.
    """
    if kind not in KINDS:
        raise unknown_key(f"{where}: {kind}", kind, KINDS)
    module, _, name = KINDS[kind].partition(":")
    found: type[Objective] = getattr(import_module(module), name)
    return found


def build_objectives(specs: Sequence[Spec], prompt: str | None = None) -> list[Objective]:
    """Objectives from their configurations.

    Args:
        specs: in order.
        prompt: for those that take one and say none.

    Raises:
        ConfigError: an unknown kind or key.
    """
    objectives = []
    for index, spec in enumerate(specs):
        found = objective_class(str(spec.get("kind")), f"objectives.{index}.kind")
        given = {"prompt": prompt, **spec} if prompt and found.takes_prompt else spec
        objectives.append(parse(found, given, f"objectives.{index}"))
    return objectives
