"""Renders of the first guess that stand in for observations where there are none."""

from __future__ import annotations

import torch

from a4d.fitting.seed_settings import ProxyConfig
from a4d.geometry.cameras import orbit
from a4d.geometry.mesh import Mesh
from a4d.render.mesh import render_mesh
from a4d.views import Frames


def render_proxies(mesh: Mesh, frames: Frames, config: ProxyConfig) -> Frames:
    """Renders of the first guess from around it, but not from where the reference was taken.

    Args:
        mesh: the first guess, in the workspace's world.
        frames: the reference is the first of them.
        config: how many views, how large, and on which rings.
    """
    position = frames.cameras[0].positions[0]
    radius = float(position.norm())
    front = float(torch.rad2deg(torch.atan2(position[0], position[2])))
    fov = 2 * torch.rad2deg(torch.atan(frames.cameras[0].height / 2 / frames.cameras[0].intrinsics[0, 1]))
    rings = len(config.elevations)
    indices = torch.arange(config.count)
    # Each ring is turned a little against its neighbours; none looks from within 20 degrees of the reference.
    azimuth = front + 20 + 320 * (indices // rings + (indices % rings) / rings) / max(config.count / rings, 1)
    elevation = torch.tensor(config.elevations)[indices % rings]
    cameras = orbit(azimuth, elevation, radius, float(fov), config.size, config.size)
    images = []
    for index in range(config.count):
        render = render_mesh(mesh, cameras[index])
        straight = render.rgb / render.alpha.clamp_min(1e-3)
        images.append(torch.cat([straight.clamp(0, 1), render.alpha], dim=-1)[0])
    names = [f"proxy-{index:03d}" for index in range(config.count)]
    singles = [cameras[index] for index in range(config.count)]
    times = None if frames.times is None else torch.zeros(config.count)
    return Frames(images, singles, times, names, ["proxy"] * config.count)
