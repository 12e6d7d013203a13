"""What is measured of a fitted scene: likeness to a picture, what photographs lack, and how far it kept its shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from a4d.estimation.objects.courses import angles
from a4d.evaluation.picture import figures_of_picture
from a4d.evaluation.views import compare_views
from a4d.framing import Crop
from a4d.geometry.cameras import Cameras
from a4d.geometry.deformation.arap import deformation_energy
from a4d.geometry.transforms import invert_rigid
from a4d.io.pictures.images import read_image
from a4d.render.shading import decode_srgb
from a4d.scenes.protocols import Deforming, Lensed, Repeating, has_mesh, is_moving
from a4d.scenes.scene import Scene
from a4d.views import Frames
from a4d.workspace.workspace import Workspace

COMPARED_PHOTOGRAPHS = 12
"""Of many, evenly chosen, whose brightness is compared."""

COMPARED_SIZE = 256
"""Pixels of their longer sides: more of them would be as bright, and rays through a field take their time."""

OPAQUE = 0.95

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


def figures_of_photographs(scene: Scene, frames: Frames) -> dict[str, float]:
    """What may be wrong with photographs from several sides, which a good likeness to each of them does not tell.

    Args:
        scene: fitted to those of the split `train`.
        frames: at least two of that split.

    Returns:
        `degrees_unseen`, the largest angle in [0, 180] at the origin between a level direction and the nearest
        photograph; and `exposure_spread`, the standard deviation of their brightness over the scene's, as a share.
    """
    train = frames.select("train")
    chosen = np.unique(np.linspace(0, len(train) - 1, min(len(train), COMPARED_PHOTOGRAPHS)).round().astype(int))
    ratios = torch.tensor([_brightness(scene, frames, train[index]) for index in chosen.tolist()])
    return {
        "degrees_unseen": degrees_unseen([frames.cameras[index] for index in train]),
        "exposure_spread": float(ratios.log().std()),
    }


def degrees_unseen(cameras: Sequence[Cameras]) -> float:
    """The largest angle in [0, 180] at the origin between a level direction and the nearest of single cameras."""
    seen = normalize(torch.cat([camera.positions for camera in cameras]).double(), dim=-1)
    around = torch.deg2rad(torch.arange(360, dtype=torch.float64))
    level = torch.stack([around.sin(), torch.zeros_like(around), around.cos()], dim=-1)
    nearest = (level @ seen.T).amax(dim=1).clamp(-1, 1)
    return float(torch.rad2deg(torch.acos(nearest)).max())


def _brightness(scene: Scene, frames: Frames, index: int) -> float:
    """Linear light of a photograph over that of the scene, where both show the subject; 1 where nowhere both do."""
    rgba, camera = frames.reduced(index, COMPARED_SIZE)
    with torch.no_grad():
        render = scene.render(camera.to(next(scene.parameters()).device))
    shown = (render.rgb / render.alpha.clamp_min(1e-3))[0].clamp(0, 1).cpu()
    is_both = (render.alpha[0, ..., 0].cpu() > OPAQUE) & (rgba[..., 3] > OPAQUE)
    light = [float(decode_srgb(image[is_both]).sum()) for image in (rgba[..., :3], shown)]
    return light[0] / light[1] if min(light) > 0 else 1.0


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


def repetition(scene: Scene) -> dict[str, float]:
    """How often a scene found its motion to repeat in the clip; empty where it does not."""
    return {"cycles": scene.cycles} if isinstance(scene, Repeating) and scene.cycles else {}


def lens(scene: Scene, frames: Frames | None) -> dict[str, float]:
    """How many times as long a scene found the lens of its frames as their cameras say; empty where it is the same."""
    if frames is None or not isinstance(scene, Lensed):
        return {}
    said, found = (float(cameras[0].intrinsics[0, 0]) for cameras in _both(scene, frames))
    return {} if found == said else {"focal_scale": found / said}


def course(scene: Scene, frames: Frames | None) -> dict[str, float]:
    """How far a scene found its frames' cameras from where they are said to be; empty where it turned none of them.

    Returns:
        means over the frames: `strayed_degrees`, by how much cameras are turned; and `strayed_share`, by how much the
        world's origin is shifted before them, as a share of its distance.
    """
    if frames is None or not isinstance(scene, Lensed):
        return {}
    said, found = (torch.cat([each.world_from_camera for each in cameras]).double() for cameras in _both(scene, frames))
    if torch.equal(said[:, :3, :3], found[:, :3, :3]):
        return {}
    turned = angles((said[:, :3, :3].transpose(1, 2) @ found[:, :3, :3]).numpy())
    before, after = (invert_rigid(each)[:, :3, 3] for each in (said, found))
    before = before * lens(scene, frames).get("focal_scale", 1.0)
    shifted = (after - before).norm(dim=-1) / before.norm(dim=-1)
    return {"strayed_degrees": float(turned.mean()), "strayed_share": float(shifted.mean())}


def _both(scene: Lensed, frames: Frames) -> tuple[list[Cameras], list[Cameras]]:
    """The cameras of frames as they are said, and as a scene has learnt them."""
    return frames.cameras, frames.seen_by(scene).cameras
