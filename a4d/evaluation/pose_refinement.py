"""Poses of a body that are fitted to the very frames by which it is then judged, its appearance held."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import l1_loss

from a4d.evaluation.sources import require_embodied
from a4d.scenes.scene import Scene
from a4d.views import Frames

RATE = 1e-2
"""Radians, and metres, by which a step of Adam moves joints at first; at the end a tenth of it."""


def refine_poses(scene: Scene, frames: Frames, indices: Sequence[int], steps: int) -> None:
    """Turn the joints, and shift the roots, at the moments of some frames until renders are like them.

    The usual protocol of papers on avatars fits the poses of the test frames, too: a figure then says how well the
    looks carry over, and nothing of how well the poses were known. Colours count over black, and coverage as much.

    Args:
        scene: a body in poses, which is changed.
        frames: the truth, with times.
        indices: of those that will be compared.
        steps: for each moment.

    Raises:
        UsageError: the scene is no body whose poses could be fitted.
        MissingInputError: the frames have no times.
    """
    groups = require_embodied(scene, "--refine-poses").pose_groups
    counted = {name: buffer.clone() for name, buffer in scene.named_buffers()}
    scene.hold_all_but(groups)
    poses = [parameter for name in groups for parameter in scene.groups()[name]]
    moments = frames.moment_of[torch.tensor(indices)]
    for moment in moments.unique():
        chosen = [index for index, at in zip(indices, moments, strict=True) if at == moment]
        # A fresh one for each moment: the rows of the others have no gradient and no history, and stay.
        optimiser = torch.optim.Adam(poses, RATE)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.1 ** (1 / steps))
        for _ in range(steps):
            optimiser.zero_grad()
            for index in chosen:
                _misfit(scene, frames, index).backward()
            optimiser.step()
            schedule.step()
    for name, buffer in scene.named_buffers():
        # What renders with a graph count, such as what views have shown of a surface, is not theirs to say here.
        buffer.copy_(counted[name])


def _misfit(scene: Scene, frames: Frames, index: int) -> torch.Tensor:
    rgba, camera = frames.rgba[index], frames.cameras[index]
    assert frames.times is not None
    device = next(scene.parameters()).device
    render = scene.render(camera.to(device), frames.times[index : index + 1].to(device))
    colours, alpha = (rgba[..., :3] * rgba[..., 3:]).to(device), rgba[..., 3:].to(device)
    return l1_loss(render.rgb[0], colours) + l1_loss(render.alpha[0], alpha)
