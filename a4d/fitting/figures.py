"""What is measured of a scene when it has been fitted: how like its picture it is, and how far it kept its shape."""

from __future__ import annotations

import torch

from a4d.evaluation.picture import figures_of_picture
from a4d.evaluation.views import compare_views
from a4d.framing import Crop
from a4d.geometry.deformation.arap import deformation_energy
from a4d.io.pictures.images import read_image
from a4d.scenes.protocols import Deforming, Lensed, has_mesh, is_moving
from a4d.scenes.scene import Scene
from a4d.views import Frames
from a4d.workspace.workspace import Workspace

REPORTED_MOMENTS = 16
"""Of a scene without frames, at which its energy is taken."""


def score_picture(workspace: Workspace, scene: Scene, frames: Frames) -> dict[str, float]:
    """The render of the one frame against that frame's outline, and against the whole picture it was cut out of."""
    crop = Crop.model_validate(workspace.metadata.notes["crop"])
    with torch.no_grad():
        render = scene.render(frames.cameras[0].to(next(scene.parameters()).device))
    straight = render.rgb / render.alpha.clamp_min(1e-3)
    rgba = torch.cat([straight.clamp(0, 1), render.alpha], dim=-1)[0].cpu().numpy()
    picture = read_image(workspace.source_path(), max_size=4 * crop.size)
    return {"iou": compare_views(scene, frames.only(0))["iou"], **figures_of_picture(rgba, crop, picture)}


def rigidity(scene: Scene, frames: Frames | None) -> dict[str, float]:
    """How far a moving scene is from keeping its shape; empty for one whose points cannot be followed.

    Args:
        scene: looked at where it moves.
        frames: at whose moments it is looked at; evenly spaced ones where there are none.
    """
    if not isinstance(scene, Deforming) or not is_moving(scene):
        return {}
    moments = torch.linspace(0, 1, REPORTED_MOMENTS) if frames is None or frames.times is None else frames.moments
    times = [0.0, *moments[moments > 0].tolist()]
    with torch.no_grad():
        paths = scene.moved_points("vertices" if has_mesh(scene) else "gaussians", times)
    return {"arap_energy": deformation_energy(paths, scene.mesh().faces if has_mesh(scene) else None)}


def lens(scene: Scene, frames: Frames | None) -> dict[str, float]:
    """How many times as long a scene found the lens of its frames as their cameras say; empty where it is the same."""
    if frames is None or not isinstance(scene, Lensed):
        return {}
    found, said = (float(each.cameras[0].intrinsics[0, 0]) for each in (frames.seen_by(scene), frames))
    return {} if found == said else {"focal_scale": found / said}
