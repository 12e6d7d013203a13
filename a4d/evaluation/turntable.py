"""A turn around a scene: whether CLIP finds in it what a text says, without any picture to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from a4d.evaluation.clip import Clip
from a4d.geometry.cameras import Cameras, orbit
from a4d.scenes.extraction import FOV_DEGREES, distance_for, extent
from a4d.scenes.protocols import has_mesh
from a4d.scenes.scene import Scene

VIEWS, ELEVATION, SIZE = 24, 15.0, 224
"""Views of a turn, degrees above the subject, and pixels of a side: as many as the smaller CLIPs look at."""


@torch.no_grad()
def turntable_figures(scene: Scene, clip: Clip, texts: Sequence[str], background: float = 1.0) -> dict[str, float]:
    """What CLIP finds in 24 even views of the first moment, which the subject fills.

    Args:
        scene: on any device.
        clip: the judge.
        texts: what the scene should show, then those from which it is to be told.
        background: grey behind the scene in [0, 1]: 0 is black, 1 is white.

    Returns:
        `clip_score`, 100 times the mean cosine between views and the first text (Hessel et al. 2021 without their
        factor; X-Dreamer, table 1), and where there are several texts `clip_r`, the share of views to which the first
        is the nearest.
    """
    cameras, device = _turn(scene), next(scene.parameters()).device
    images = [
        scene.render(cameras[index].to(device), None, torch.full((1, 3), background, device=device)).rgb.clamp(0, 1)
        for index in range(len(cameras))
    ]
    cosines = clip.images(torch.cat(images)) @ clip.texts(texts).T
    figures = {"clip_score": 100 * float(cosines[:, 0].mean())}
    return figures if len(texts) == 1 else {**figures, "clip_r": float((cosines.argmax(1) == 0).float().mean())}


def _turn(scene: Scene) -> Cameras:
    """Cameras around the middle of the surface, or around the origin where there is none."""
    centre, radius = torch.zeros(3), extent(scene)
    if has_mesh(scene):
        vertices = scene.mesh().vertices
        centre = (vertices.amin(0) + vertices.amax(0)) / 2
        radius = float((vertices - centre).norm(dim=1).max())
    azimuth = torch.arange(VIEWS) * (360.0 / VIEWS)
    return orbit(azimuth, torch.full((VIEWS,), ELEVATION), distance_for(radius), FOV_DEGREES, SIZE, SIZE, centre)
