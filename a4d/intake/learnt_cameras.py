"""The cameras of a film as a scene has learnt them that was fitted to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from a4d.errors import UsageError
from a4d.estimation.objects.courses import angles
from a4d.geometry.cameras import Cameras
from a4d.intake.pose_settings import PoseSettings
from a4d.intake.taken_images import with_splits
from a4d.io.captures.capture import PosedCapture
from a4d.io.captures.transforms_json import read_transforms, write_transforms
from a4d.scenes import load_scene
from a4d.scenes.protocols import Lensed
from a4d.workspace.fitted_cameras import CAMERAS_FILE, was_fitted_to_present
from a4d.workspace.transaction import Transaction


def take_learnt(work: Transaction, config: PoseSettings) -> dict[str, Any]:
    """Write `transforms.json` with the cameras that a scene sees its film through; splits and times stay.

    Raises:
        MissingInputError: there is no such scene, or there are no cameras.
        UsageError: the scene was not fitted to the present cameras, or has learnt nothing of them.
    """
    workspace, name = work.workspace, str(config.from_scene)
    path = workspace.require(CAMERAS_FILE, f"Run `a4d estimate-pose {workspace.argument}` first")
    folder = workspace.scene(name)
    if not was_fitted_to_present(workspace, folder):
        # What it has learnt is by how much others stray; the cameras that were made from it would stray twice.
        raise UsageError(
            f"the scene '{name}' was not fitted to the present cameras of {workspace.path}",
            "Fit it to them, or find the former ones again: `a4d estimate-pose --force`",
        )
    scene, said = load_scene(folder), read_transforms(path)
    learnt = said if not isinstance(scene, Lensed) else _as_learnt(scene, said)
    if all(np.array_equal(getattr(said, each), getattr(learnt, each)) for each in ("world_from_camera", "intrinsics")):
        raise UsageError(
            f"the scene '{name}' has learnt nothing of its cameras",
            "`a4d fit-dynamic` learns how those stray that --method object found",
        )
    write_transforms(work.output(CAMERAS_FILE), with_splits(_staged(work, learnt), config.test_every))
    turned = said.world_from_camera[:, :3, :3].swapaxes(-1, -2) @ learnt.world_from_camera[:, :3, :3]
    facts = {"cameras": len(said), "method": "scene", "turned_degrees": float(angles(turned).mean())}
    cycles = workspace.read_records()[name].metrics.get("cycles")
    return facts if cycles is None else {**facts, "cycles": cycles}


@torch.no_grad()
def _as_learnt(scene: Lensed, said: PosedCapture) -> PosedCapture:
    """The same with the cameras that the scene renders through, one by one at its time."""
    times = [None] * len(said) if said.times is None else said.times[:, None].tolist()
    seen = [scene.seen_from(_camera(said, index), times[index]) for index in range(len(said))]
    return replace(
        said,
        world_from_camera=torch.cat([camera.world_from_camera for camera in seen]).numpy(),
        intrinsics=torch.cat([camera.intrinsics for camera in seen]).numpy(),
    )


def _camera(said: PosedCapture, index: int) -> Cameras:
    """One of them, in double precision."""
    width, height = said.sizes[index].tolist()
    pose, intrinsics = (torch.from_numpy(each[[index]]) for each in (said.world_from_camera, said.intrinsics))
    return Cameras(pose, intrinsics, width, height)


def _staged(work: Transaction, capture: PosedCapture) -> PosedCapture:
    """The same with its files as `transforms.json` will name them, which is staged beside folders that are not."""
    root, folder = work.workspace.path, work.output(CAMERAS_FILE).parent
    images = tuple(folder / image.relative_to(root) for image in capture.images)
    depths = capture.depths and tuple(file and folder / file.relative_to(root) for file in capture.depths)
    return replace(capture, images=images, depths=depths)
