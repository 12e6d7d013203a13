"""How well a scene's renders agree with frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from a4d.errors import MissingInputError, UsageError
from a4d.evaluation.films import FilmFigures, fixed_views
from a4d.evaluation.judges import Judges
from a4d.geometry.cameras import Cameras
from a4d.metrics import foreground, mask_iou, psnr, ssim
from a4d.scenes.protocols import is_moving
from a4d.scenes.scene import Scene
from a4d.views import Frames

HIGHEST_PSNR = 99.0
"""dB that stand for equal images."""

FILM_FRAMES = 16
"""Moments of the film that is rendered where the frames hold none: the length of the released video models' clips."""

NO_JUDGES = Judges()


@torch.no_grad()
def compare_views(
    scene: Scene, frames: Frames, split: str = "auto", background: float = 0.0, judges: Judges = NO_JUDGES
) -> dict[str, Any]:
    """Render each frame's camera and compare over one grey; follow what moves from cameras that stand still.

    Where a scene moves and no camera of the frames stands still for several moments, a film of 16 even moments is
    rendered from the first frame's. If all frames are of one moment it should be like that frame, and CLIP judges the
    film in place of the views: the reference view against the reference image.

    Args:
        scene: on any device.
        frames: the truth.
        split: `test`, `train`, `all`, or `auto` for test where there are any, else all.
        background: grey behind both in [0, 1]: 0 is black, 1 is white.
        judges: networks that are asked, too.

    Returns:
        `split`, the means of the views' figures, and `views` with each one's: `psnr` in dB, `ssim` and
        `iou`; `foreground_psnr` and `foreground_ssim` over the pixels that the render or the truth covers (see
        `a4d.metrics.foreground`); `lpips` and `lpips_unscaled` where that is a judge. Then what
        `a4d.evaluation.films.FilmFigures` finds.

    Raises:
        UsageError: there is no such split.
        MissingInputError: the split is empty.
    """
    split, indices = chosen_frames(frames, split)
    times = frames.times
    is_one_moment = times is None or len(times[indices].unique()) == 1
    films, figures = fixed_views(frames, indices), FilmFigures(judges.clip, judges.texts)
    views: dict[int, dict[str, Any]] = {}
    for film in films:
        figures.begin()
        for index in film:
            time = None if times is None else times[index : index + 1]
            image, alpha = _shown(scene, frames.cameras[index], time, background)
            truth = _over(frames.rgba[index], background)
            scores = _scores(image, alpha, truth, frames.rgba[index][..., 3])
            views[index] = {"name": frames.names[index], **scores, **judges.of_pair(image, truth)}
            if not (is_one_moment and is_moving(scene)):
                figures.add(image, truth, truth)
    if is_moving(scene) and all(len(film) == 1 for film in films):
        reference = _over(frames.rgba[indices[0]], background) if is_one_moment else None
        figures.begin()
        for time in torch.linspace(0, 1, FILM_FRAMES).split(1):
            figures.add(_shown(scene, frames.cameras[indices[0]], time, background)[0], None, reference)
    rows = [views[index] for index in indices]
    means = {key: sum(float(row[key]) for row in rows) / len(rows) for key in rows[0] if key != "name"}
    return {"split": split, **means, **figures.means(), "views": rows}


def chosen_frames(frames: Frames, split: str) -> tuple[str, list[int]]:
    """The split that is meant, and its frames; see `compare_views`.

    Raises:
        UsageError: there is no such split.
        MissingInputError: the split is empty.
    """
    if split == "auto":
        split = "test" if frames.select("test") else "all"
    if split not in ("test", "train", "all"):
        raise UsageError(f"there is no split '{split}'", "Choose from auto, test, train and all")
    indices = frames.select(split)
    if not indices:
        raise MissingInputError(f"there are no frames of split '{split}'", "Choose another --split")
    return split, indices


def _shown(scene: Scene, camera: Cameras, time: Tensor | None, background: float) -> tuple[Tensor, Tensor]:
    """(H, W, 3) what a camera sees over a grey, and (H, W) its coverage, on the CPU."""
    device = next(scene.parameters()).device
    render = scene.render(
        camera.to(device), None if time is None else time.to(device), torch.full((1, 3), background, device=device)
    )
    return render.rgb[0].clamp(0, 1).cpu(), render.alpha[0, ..., 0].cpu()


def _over(rgba: Tensor, background: float) -> Tensor:
    """(H, W, 3) a frame over a grey."""
    return rgba[..., :3] * rgba[..., 3:] + background * (1 - rgba[..., 3:])


def _scores(image: Tensor, alpha: Tensor, truth: Tensor, true_alpha: Tensor) -> dict[str, float]:
    mask = foreground(alpha, true_alpha)
    return {
        "psnr": min(psnr(image, truth), HIGHEST_PSNR),
        "ssim": ssim(image, truth),
        "iou": mask_iou(alpha, true_alpha),
        "foreground_psnr": min(psnr(image, truth, mask), HIGHEST_PSNR),
        "foreground_ssim": ssim(image, truth, mask),
    }
