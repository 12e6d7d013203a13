"""The table of commands; each is imported when it is called and not before."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a4d.running.stage import Stage

STAGES = {
    "preprocess": (
        "a4d.stages.preprocess:STAGE",
        "Take an image, folder, video, mesh, capture or text into a workspace",
    ),
    "estimate-pose": ("a4d.stages.estimate_pose:STAGE", "Find or import the cameras of the images"),
    "fit-static": ("a4d.stages.fit_static:STAGE", "Fit a static scene to images, one image or points"),
    "fit-dynamic": ("a4d.stages.fit_dynamic:STAGE", "Fit a motion to a multi-view video, given or sampled"),
    "distill": ("a4d.stages.distill:STAGE", "Move a scene, or make one, toward what diffusion priors expect"),
    "refine": ("a4d.stages.refine:STAGE", "Give a scene better appearance or detail, and leave the rest as it is"),
    "export": ("a4d.stages.export:STAGE", "Write meshes, splats, turntables and frames to take away"),
}
RUNS = {name: target for name, (target, _) in STAGES.items()} | {"train-prior": "a4d.commands.train_subject:STAGE"}
"""What leaves a run in a workspace and may have a section in a paper's file: the stages, and a command like them."""

COMMANDS = {
    "evaluate": ("a4d.commands.evaluate:evaluate", "Score a scene against held-out views, a workspace or a mesh"),
    "info": ("a4d.commands.info:info", "Show what a workspace holds and what is out of date"),
    "validate": ("a4d.commands.validate:validate", "Check a workspace against the format's specification"),
    "weights": ("a4d.commands.weights:weights", "List, fetch or check the weights of diffusion models"),
    "train-prior": ("a4d.commands.train_prior:train_prior", "Teach a prior one subject, or train a whole model"),
    "make-dataset": ("a4d.commands.make_dataset:make_dataset", "Render assets to a data set of multi-view videos"),
    "doctor": ("a4d.commands.doctor:doctor", "Show versions, devices, optional backends and caches"),
}


def find_stage(name: str) -> Stage:
    """Import a stage of the table, or what teaches a prior one subject."""
    stage: Stage = load(RUNS[name])
    return stage


def load(target: str) -> Any:
    """Import what `module:name` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
