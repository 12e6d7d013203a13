"""A multi-view video that a prior makes of a scene at rest, kept as pictures and read as the frames to fit."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from a4d.console import progress
from a4d.fitting.sample_settings import BACKGROUNDS, SampleConfig
from a4d.geometry.cameras import Cameras, orbit
from a4d.io.pictures.images import read_image, write_image
from a4d.priors.catalogue import load_prior, locate, with_bases
from a4d.priors.placement import Placement
from a4d.priors.protocol import Prior, Query
from a4d.priors.sampling import FreeInit, known_first_frames, sample
from a4d.randomness import generator
from a4d.render.footprint import pixel_sizes
from a4d.running.weights import record_weights
from a4d.runtime import Runtime
from a4d.scenes.protocols import Splatting
from a4d.scenes.scene import Scene
from a4d.views import Frames
from a4d.workspace.transaction import Transaction

CLEAR, SOLID = 0.12, 0.3
"""Distances in sRGB from the background between which a sampled pixel goes from empty to full."""


def sampled_frames(
    work: Transaction, scene: Scene, config: SampleConfig, prompt: str, placement: Placement, runtime: Runtime
) -> Frames:
    """The frames that a prior makes, unless an interrupted run has made them.

    They are kept as `previews/sampled/view_V/FFFFF.png`, and read from there: a resumed run sees what the first saw.

    Args:
        work: of the run.
        scene: at rest; its renders are the first frames.
        config: the prior and the cameras.
        prompt: what happens, where the settings do not say it.
        placement: of the prior.
        runtime: device, seed and console.

    Raises:
        ConfigError: the prior cannot draw as the settings say.
        BackendUnavailableError: weights are missing, damaged, or of another architecture.
    """
    folder = work.previews / "sampled"
    finished = folder / "done"
    overrides = placement.overrides
    record_weights(work, {name: locate(name, overrides) for name in with_bases([config.prior])}, overrides)
    if not finished.is_file():
        prior = load_prior(config.prior, placement, config.options)
        rgb = make_video(prior, scene.to(runtime.device), config, config.prompt or prompt, runtime)
        write_views(folder, rgb, config)
        finished.touch()
    return read_views(folder, config, scene)


def make_video(prior: Prior, scene: Scene, config: SampleConfig, prompt: str, runtime: Runtime) -> Tensor:
    """(V, F, h, w, 3) sRGB: frame 0 is the scene at rest."""
    cameras = camera_ring(config, *config.size, scene).to(runtime.device)
    if isinstance(scene, Splatting):
        scene.see_pixels(float(pixel_sizes(cameras).min()))
    with torch.no_grad():
        rest = scene.render(cameras)
        first = (config.exposure * rest.rgb + BACKGROUNDS[config.background] * (1 - rest.alpha)).clamp(0, 1)
    draws = generator(runtime.seed, "sample", config.prior)
    latents = prior.encode(first, draws)
    each = torch.arange(prior.views, device=runtime.device).repeat_interleave(config.frames)
    query = Query(
        prior.condition([prompt], first, cameras),
        prior.unconditional([config.negative_prompt], first, cameras),
        cameras[each],
        torch.tensor(config.times, device=runtime.device).repeat(prior.views),
    )
    shape = (1, prior.views, config.frames, latents.shape[1], latents.shape[2], latents.shape[3])
    free_init = FreeInit(config.free_init) if config.free_init > 1 else None
    with progress(runtime.console) as bar:
        task = bar.add_task("sample", total=config.free_init * config.steps, losses="")
        sampled = sample(
            prior, query, known_first_frames(latents, config.frames), shape, config.steps, config.guidance_scale, draws,
            free_init, config.spacing, lambda done, _: bar.update(task, completed=done),
        )  # fmt: skip
    with torch.no_grad():
        return prior.decode(sampled).clamp(0, 1).unflatten(0, (prior.views, config.frames)).cpu()


def without_background(
    rgb: Tensor,  # (..., 3) sRGB
    level: float,
    exposure: float = 1.0,
) -> Tensor:
    """(..., 4) sRGB with straight alpha of pictures over a grey, as bright as before they were darkened by a factor."""
    alpha = (((rgb - level).norm(dim=-1, keepdim=True) - CLEAR) / (SOLID - CLEAR)).clamp(0, 1)
    straight = (rgb - level * (1 - alpha)) / (exposure * alpha.clamp_min(1e-3))
    return torch.cat([straight.clamp(0, 1) * (alpha > 0), alpha], dim=-1)


def write_views(folder: Path, rgb: Tensor, config: SampleConfig) -> None:
    """Write (V, F, h, w, 3) pictures as RGBA, without their background and as bright as the scene."""
    for view, frames in enumerate(without_background(rgb, BACKGROUNDS[config.background], config.exposure)):
        (folder / f"view_{view}").mkdir(parents=True, exist_ok=True)
        for index, rgba in enumerate(frames):
            write_image(folder / f"view_{view}" / f"{index:05d}.png", rgba.numpy())


def read_views(folder: Path, config: SampleConfig, scene: Scene) -> Frames:
    """The pictures that `write_views` has written, with their cameras and times, view by view."""
    rgba, cameras, times, names = [], [], [], []
    for view in range(config.views):
        for index, time in enumerate(config.times):
            path = folder / f"view_{view}" / f"{index:05d}.png"
            rgba.append(torch.from_numpy(read_image(path)))
            height, width = rgba[-1].shape[:2]
            cameras.append(camera_ring(config, height, width, scene)[view])
            times.append(time)
            names.append(f"view_{view}_{index:05d}")
    return Frames(rgba, cameras, torch.tensor(times), names, ["train"] * len(rgba))


def camera_ring(config: SampleConfig, height: int, width: int, scene: Scene) -> Cameras:
    """The cameras of a video of a scene at rest, one per view."""
    azimuth = config.azimuth + torch.arange(config.views) * (360 / config.views)
    elevation = torch.full((config.views,), config.elevation)
    return orbit(azimuth, elevation, _distance(config, scene), config.fov, width, height)


def _distance(config: SampleConfig, scene: Scene) -> float:
    """Metres from the middle to the cameras."""
    if config.fill is None or not isinstance(scene, Splatting):
        return config.radius
    reach = float(scene.gaussians().means.detach().abs().max())
    return reach / (config.fill * math.tan(math.radians(config.fov) / 2))
